"""Waiting chunks → ban tasks at the vendor: one drain of one vendor account.

Crash order of a task: its row (``submitting``, with the time of the attempt) → its slices taken off the waiting
chunks → the vendor's call → the vendor's task id. A crash or a lost answer in between leaves a task that *may* be at
the vendor: the next drain looks it up in the vendor's list and adopts it, and only when the vendor has had time to
show it and does not, submits it again.

One drain at a time: the FIFO queue sees to it, and the account's epoch, checked in the transaction that records a
task, makes a drain that was believed dead stop at its next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import (
    AccessRefused,
    ContentRefused,
    QuotaExceeded,
    StaleSubmitter,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.model import UrlState
from chalicelib.domain.pacing import Pace
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import control, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import give_up, split, urls_of, withhold
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.parallel_calls import Calls
from chalicelib.pipeline.submission.vendor_tasks import adopt
from chalicelib.ports import BanVendor, Emit, Rows

SETTLE = timedelta(seconds=60)
"""How long after an attempt whose answer is unknown the vendor's list may still come to show the task."""

LOOK_AGAIN = timedelta(seconds=3)
PATIENCE = timedelta(seconds=10)
"""How long a drain with nothing else to do waits for a task to come due, instead of leaving it to the sweep."""

MAX_FAILURES = 3
"""Calls without an answer in a row after which the vendor counts as down: the next sweep tries again."""

MAX_THROTTLES = 8
LOOK_UP_RATE = 10.0
"""Task list queries a second for look-ups: a third of the vendor's, the rest is for track_tasks."""

CHECK_PAUSED = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did. ``why`` it ended: ``done``, ``deadline``, ``paused``, ``blocked``, ``stale``, ``down``."""

    why: str
    tasks: int = 0
    urls: int = 0


def submit_tasks(
    account: str,
    *,
    vendor: BanVendor,
    rows: Rows,
    policy: Callable[[], Policy],
    emit: Emit,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    deadline: datetime,
    workers: int = 8,
) -> Drained:
    """Submit all that waits for a vendor account, until ``deadline``. ``workers`` 0 calls one at a time, in order."""
    now = clock()
    if control.paused(rows, account):
        emit("submission_paused", account=account)
        return Drained("paused")
    state = control.of_row(tasks.begin_drain(rows, account, now=now))
    if state.blocked_until and state.blocked_until > now:
        emit("submission_blocked", account=account, until=state.blocked_until.isoformat(), reason=state.blocked_reason)
        return Drained("blocked")
    drain = _Drain(
        account,
        state,
        vendor=vendor,
        rows=rows,
        policy=policy,
        emit=emit,
        clock=clock,
        sleep=sleep,
        deadline=deadline,
        workers=workers,
    )
    try:
        drained = drain.run()
    except StaleSubmitter as error:
        emit("submitter_stale", account=account, problem=str(error))
        drained = Drained("stale", drain.tasks, drain.urls)
    else:
        control.record_last_call(rows, account, now=clock())
    emit("drained", account=account, why=drained.why, tasks=drained.tasks, urls=drained.urls)
    return drained


class _Drain:
    """The state of one drain. Everything but the vendor's calls themselves runs in the calling thread."""

    def __init__(
        self,
        account: str,
        state: control.Control,
        *,
        vendor: BanVendor,
        rows: Rows,
        policy: Callable[[], Policy],
        emit: Emit,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        deadline: datetime,
        workers: int,
    ) -> None:
        self.account = account
        self.working = Run(
            rows=rows,
            emit=emit,
            wake=_wakes_nobody,
            clock=clock,
            read_policy=policy,
            deadline=deadline,
            account=account,
        )
        self.backlog = Backlog(self.working, drain=state.epoch, limit=vendor.limits.urls_per_task)
        self.vendor, self.rows, self.emit = vendor, rows, emit
        self.clock, self.sleep, self.deadline, self.workers = clock, sleep, deadline, workers
        self.pace = Pace(vendor.limits.creates_per_second, clock=clock, sleep=sleep, last=state.last_call_at)
        self.look_up_pace = Pace(LOOK_UP_RATE, clock=clock, sleep=sleep)
        self.tasks = self.urls = 0
        self.failures = self.throttles = 0
        self.stop = ""
        self.proven = False
        self.checked_at = clock()

    # --- the loop ------------------------------------------------------------------------------------------

    def run(self) -> Drained:
        self.backlog.begin()
        with Calls(
            self.vendor, self.rows, self.clock, workers=self.workers, leaves=self.pace.leaves, handle=self._handle
        ) as calls:
            while True:
                calls.settle(self.workers if self.proven else 1)
                if self._stopped():
                    break
                self.pace.approach()
                task = self.backlog.next()
                if task is not None:
                    ready = self._ready(task)
                    if ready is None:
                        continue
                    self.pace.wait()
                    calls.start(*ready)
                elif calls.under_way:
                    calls.settle(calls.under_way)
                elif not self._wait_for_later() and not (self.tasks and self.backlog.grown()):
                    break  # less than a full task has come since: the next kick packs it with what follows
            calls.settle(1)
        return Drained(self.stop or "done", self.tasks, self.urls)

    def _ready(self, task: Task) -> tuple[Task, list[str]] | None:
        """Make a task ready for its call; ``None`` if it is not to be called now."""
        if task.withheld:
            self._end(task, task.withheld)
            return None
        urls = urls_of(task, self._chunks_of(task))
        if task.id in self.backlog.fresh:
            self.backlog.fresh.discard(task.id)
            return task, urls
        if task.attempted_at and self._perhaps_sent(task, urls):
            return None
        now = self.clock()
        if parts := withhold(self.working, task, self._chunks_of(task)):
            self.backlog.add(*parts)
            return None
        return tasks.record_attempt(self.rows, task, now=now), urls

    def _perhaps_sent(self, task: Task, urls: list[str]) -> bool:
        """Look a task up whose last answer is unknown: adopt it, or look again later; ``False`` if it was not sent."""
        assert task.attempted_at
        now = self.clock()
        try:
            vendor_task_id = adopt(task, urls, vendor=self.vendor, rows=self.rows, pace=self.look_up_pace, now=now)
        except VendorError as error:  # of the list: it says nothing of the task
            self._tell_error(error, task)
            if isinstance(error, AccessRefused | QuotaExceeded):
                self._block(error)
            else:
                self._fail()
            self.backlog.postpone(task, self.clock() + LOOK_AGAIN)
            return True
        if vendor_task_id:
            self.emit("task_adopted", task_id=task.id, account=self.account, vendor_task_id=vendor_task_id)
            self._submitted(task)
            return True
        if self.clock() < task.attempted_at + SETTLE:
            self.backlog.postpone(task, task.attempted_at + SETTLE)
            return True
        return False

    def _wait_for_later(self) -> bool:
        """Sleep until the next postponed task is due, if that is soon; ``False`` if there is none to wait for."""
        now, due_at = self.clock(), self.backlog.next_due
        if due_at is None or due_at > min(now + PATIENCE, self.deadline):
            return False
        if due_at > now:
            self.sleep((due_at - now).total_seconds())
        self.backlog.wake()
        return True

    def _stopped(self) -> bool:
        now = self.clock()
        if not self.stop and max(now, self.pace.due) >= self.deadline:
            self.stop = "deadline"
        if not self.stop and now - self.checked_at >= CHECK_PAUSED:
            self.checked_at = now
            if control.paused(self.rows, self.account):
                self.stop = "paused"
        return bool(self.stop)

    # --- answers ------------------------------------------------------------------------------------------------

    def _handle(self, task: Task, error: VendorError | None) -> None:
        if error is None or isinstance(error, ContentRefused):
            self.proven, self.failures, self.throttles = True, 0, 0
        if error is None:
            self._submitted(task)
            return
        self._tell_error(error, task)
        if isinstance(error, ContentRefused):
            self._isolate(task, error)
        elif isinstance(error, Throttled):
            self._again(task)
            self.throttles += 1
            self.pace.hold(error.retry_after * 2 ** min(self.throttles - 1, 4))
            if self.throttles > MAX_THROTTLES:
                self.stop = "down"
        elif isinstance(error, AccessRefused | QuotaExceeded):
            self._again(task)
            self._block(error)
        elif isinstance(error, Unavailable):
            self._again(task)
            self._fail()
        else:
            self.backlog.postpone(task, self.clock() + LOOK_AGAIN)
            self._fail()

    def _block(self, error: AccessRefused | QuotaExceeded) -> None:
        block = control.ACCESS_BLOCK if isinstance(error, AccessRefused) else control.QUOTA_BLOCK
        control.block(self.rows, self.account, until=self.clock() + block, error=error)
        self.stop = "blocked"

    def _submitted(self, task: Task) -> None:
        self.tasks += 1
        self.urls += task.count
        self.emit(
            "task_submitted",
            task_id=task.id,
            account=self.account,
            action=task.action.value,
            urls=task.count,
            seconds=(self.clock() - task.received_at).total_seconds(),
        )

    def _tell_error(self, error: VendorError, task: Task) -> None:
        self.emit(
            "vendor_error",
            account=self.account,
            kind=error.kind,
            code=error.code,
            vendor_request_id=error.request_id,
            task_id=task.id,
            problem=str(error)[:300],
        )

    def _fail(self) -> None:
        """Count a call without an answer, and slow down; too many in a row mean that the vendor is down."""
        self.failures += 1
        self.pace.hold(2.0**self.failures - 1)
        if self.failures >= MAX_FAILURES:
            self.stop = "down"

    def _again(self, task: Task) -> None:
        """The call had no effect: unless an earlier one may have had, the task is called again without a look."""
        if task.attempts <= 1:
            tasks.record_not_sent(self.rows, task)
            task = replace(task, attempts=0, attempted_at=None)
        self.backlog.add(task)

    def _isolate(self, task: Task, error: ContentRefused) -> None:
        """Split a refused task in two; a single refused URL ends here, with the vendor's reason."""
        reason = f"{error.code} {error}".strip()
        if task.count > 1:
            self.backlog.add(*split(self.working, task, reason=reason))
        elif give_up(self.working, task, UrlState.REJECTED, reason=reason, chunks_by_id=self._chunks_of(task)):
            self.emit("url_refused", task_id=task.id, account=self.account, code=error.code, problem=reason[:300])

    def _end(self, task: Task, outcome: UrlState) -> None:
        """End a task that the policy keeps from the vendor, and its URLs."""
        if give_up(self.working, task, outcome, reason=task.reason, chunks_by_id=self._chunks_of(task)):
            self.emit("urls_withheld", task_id=task.id, account=self.account, urls=task.count, reason=task.reason)

    def _chunks_of(self, task: Task) -> Mapping[str, Chunk]:
        return self.backlog.chunks_of(task.slices)


def _wakes_nobody(account: str, *, now: datetime) -> None:
    """Wake nobody: a drain takes up what it leaves to itself."""
