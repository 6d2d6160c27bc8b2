"""Submit what waits at one vendor account: waiting chunks become ban tasks at the vendor. One call is one drain.

The steps of a task, each durable before the next:

1. its row is written, ``submitting``, with the time of the attempt (``tasks.record_new``);
2. its URLs leave the waiting chunks (``carriers.take_slices``);
3. the vendor is called (``BanVendor.create_task``);
4. the vendor's task id is written, and the task is ``processing`` (``tasks.record_processing``).

What the next drain does if the submitter dies:

- After 1 or 2: it repeats 2 (``Backlog.begin``). It cannot know whether the vendor was called, so it goes on as below.
- After 3, so after the vendor answered and before the answer was written, or if no answer came: the task *may* be at
  the vendor. The drain looks for a vendor task with exactly these URLs and adopts it (``_may_be_there``): its id is
  written as in 4, and nothing is sent twice. If the vendor shows none ``LIST_LAG`` after the attempt, the call had no
  effect and is repeated. A vendor that is declarative has no tasks: the call is repeated at once, which does no harm.
- After 4: nothing. ``track`` follows the task to its end.

The submit queue is FIFO with one group per account, so one drain runs at a time. A drain beats (``Run.beat``); the
wake-up of one that died is delivered again ten seconds after its last beat. If a drain that was believed dead still
runs, the epoch stops it: each drain takes a new one, and the transaction of step 1 checks it (``StaleSubmitter``).
``pipeline.waking`` says why no wake-up is lost.

The vendor's answer decides what is next (``_Drain._answered``). A task whose content is refused is halved until the
refused URLs stand alone (``refused_content``), one whose permission is refused is taken apart by host. Throttling and
outages slow the drain down and then end it. Refused access blocks the account, a used-up quota the action
(``vendor_refusals``).

Unbans go first (I11): before every waiting ban, while bans are paused, and while the quota of bans is used up. An unban
takes its URLs out of recorded bans that were not sent. It waits for a ban that may have been sent, and a ban that may
not be called is looked up all the same, so that the wait ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.errors import (
    AccessRefused,
    ContentRefused,
    PermissionRefused,
    StaleSubmitter,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.model import Action, Rule, UrlState
from chalicelib.ledger import control, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.control import Control
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.splitting import give_up, urls_of, withhold
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission import refused_content
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.day_quota import DayQuota
from chalicelib.pipeline.submission.parallel_calls import ParallelCalls
from chalicelib.pipeline.submission.vendor_tasks import LOOK_UP_SHARE, adopt
from chalicelib.pipeline.waking import wake_tracker
from chalicelib.ports import BanVendor

LIST_LAG = timedelta(seconds=60)
"""How long after an attempt the vendor's list may still come to show its task."""

LOOK_AGAIN = timedelta(seconds=3)
"""How long after a lost answer its task is looked up."""

LOOK_AGAIN_WHILE_CALLING = timedelta(seconds=1)
"""How long after the last call a drain looks at what has come since, while it waits for answers."""

PROOF_LASTS = timedelta(minutes=5)
"""How long a drain believes of a vendor that it answers well, because an earlier drain has seen it."""

PATIENCE = timedelta(seconds=10)
"""How long a drain with nothing else to do waits for a postponed task, instead of leaving it to the sweep."""

MAX_FAILURES = 3
"""Calls without an answer in a row after which the vendor counts as down: the next sweep tries again."""

MAX_THROTTLES = 8
"""Throttled calls in a row after which the vendor counts as down."""

CHECK_PAUSED = timedelta(seconds=10)
"""How often a drain reads whether somebody has paused the account."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did.

    ``why`` it ended: ``done``, ``deadline``, ``paused``, ``blocked``, ``stale``, ``down``, ``throttled``.
    """

    why: str
    tasks: int = 0
    urls: int = 0

    @property
    def unfinished(self) -> bool:
        """Whether the wake-up is to be delivered again: it may be the last one that tells of work that is left."""
        return self.why in {"deadline", "stale"}


def submit_tasks(run: Run, vendor: BanVendor, *, workers: int | None = None) -> Drained:
    """Submit what waits at the run's account until the deadline.

    ``workers`` is how many calls may be under way at once: as many as the vendor allows, if it is ``None``. 0 makes one
    call at a time, in order.
    """
    state = control.begin_drain(run.rows, run.account, now=run.clock())
    closed: dict[Action, str] = dict.fromkeys(vendor_refusals.blocked_actions(run, state), "blocked")
    if control.paused(run.rows, run.account):
        run.emit("submission_paused", account=run.account)
        closed.setdefault(Action.BAN, "paused")
    if Action.UNBAN in closed and Action.BAN in closed:
        return Drained(closed[Action.BAN])
    drain = _Drain(
        run,
        vendor,
        state,
        closed,
        workers=vendor.limits.parallel if workers is None else min(workers, vendor.limits.parallel),
    )
    try:
        drained = drain.drain()
    except StaleSubmitter as error:
        run.emit("submitter_stale", account=run.account, problem=str(error))
        drained = Drained("stale", drain.tasks, drain.urls)
    else:
        if drain.pace.last and drain.pace.last != state.last_call_at:
            well = drain.proven and not drain.failures and not drain.stop
            control.record_last_call(run.rows, run.account, now=drain.pace.last, well=well or drain.stop == "deadline")
    run.emit("drained", account=run.account, why=drained.why, tasks=drained.tasks, urls=drained.urls)
    return drained


class _Drain:
    """The state of one drain. Everything but the vendor's calls themselves runs in the calling thread."""

    def __init__(
        self, run: Run, vendor: BanVendor, state: Control, closed: Mapping[Action, str], *, workers: int
    ) -> None:
        """Begin a drain. ``closed`` says why actions may not be sent now."""
        limits = vendor.limits
        self.run, self.vendor, self.workers = run, vendor, workers
        self.backlog = Backlog(run, epoch=state.epoch, limits=limits)
        self.refused_hosts = refused_content.RefusedHosts(run, self.backlog)
        self.closed: dict[Action, str] = {}
        for action, why in closed.items():
            self._close(action, why)
        self.pace = run.pace(limits.creates_per_second, last=state.last_call_at)
        self.pace.hold(vendor_refusals.seconds_held(run, state))
        self.look_up_pace = run.pace(limits.lists_per_second * LOOK_UP_SHARE)
        self.quota = DayQuota(run, limits)
        self.tasks = self.urls = 0
        self.failures = self.throttles = 0
        self.stop = ""
        """Why the drain is to end before its work is done; empty while it goes on."""
        self.proven = bool(state.answered_at and run.clock() - state.answered_at < PROOF_LASTS)
        """Whether the vendor has answered well, now or a while ago: until it has, calls go one at a time."""
        self.pause_checked_at = run.clock()

    # --- the loop ------------------------------------------------------------------------------------------

    def drain(self) -> Drained:
        """Call the vendor for one task after the other, until none is left that may be called now."""
        if not self._stopped():
            self.pace.approach()  # what comes until the next call may be made goes into it
            self.backlog.begin()
        look_at = self.run.clock()
        with ParallelCalls(
            self.run, self.vendor, self.pace, workers=self.workers, handle=self._answered
        ) as parallel_calls:
            while True:
                self.run.beat()
                parallel_calls.settle(self.workers if self.proven else 1)
                if self._stopped():
                    break
                self.pace.approach()
                task = self.backlog.next()
                if task is not None:
                    ready = self._ready(task)
                    if ready is None or not self._has_room(ready[0], parallel_calls.urls_under_way(task.action)):
                        continue
                    self.pace.wait()
                    parallel_calls.start(*ready)
                    look_at = self.run.clock() + LOOK_AGAIN_WHILE_CALLING
                elif parallel_calls.under_way:
                    parallel_calls.settle(parallel_calls.under_way, until=look_at)
                    if self.run.clock() >= look_at:
                        self.backlog.more_waits(fill=False)
                        look_at = self.run.clock() + LOOK_AGAIN_WHILE_CALLING
                elif not self._wait_for_postponed() and not (self.tasks and self.backlog.more_waits()):
                    break  # less than a full task has come since: the next wake packs it with what follows
            parallel_calls.settle(1)
        why = self.closed.get(Action.BAN) or self.closed.get(Action.UNBAN) or "done"
        return Drained(self.stop or why, self.tasks, self.urls)

    def _ready(self, task: Task) -> tuple[Task, list[str]] | None:
        """Make a task ready for its call; ``None`` if it is not to be called now."""
        if task.withheld:
            self._end_withheld(task, task.withheld)
            return None
        urls = urls_of(task, self._chunks_of(task))
        fresh = task.id in self.backlog.fresh
        self.backlog.fresh.discard(task.id)
        if not fresh and self._settled_by_look_up(task, urls):
            return None
        if self.refused_hosts.keep_back(task, urls):
            return None
        if fresh:
            return task, urls
        if parts := withhold(self.run, task, self._chunks_of(task)):
            self.backlog.add(*parts)
            return None
        return tasks.record_attempt(self.run.rows, task, now=self.run.clock()), urls

    def _has_room(self, task: Task, under_way: int) -> bool:
        """Return whether the vendor's day has room for a task; if not, the task waits for the next day."""
        is_lift = self._chunks_of(task)[task.slices[0].chunk].rule == Rule.ENDED
        if self.quota.has_room(task, under_way=under_way, is_lift=is_lift):
            return True
        if is_lift and task.attempts <= 1:  # what people unban may still go
            until = self.quota.next_day
            self.backlog.postpone(tasks.record_postponed(self.run.rows, task, until=until), until)
            return False
        self.quota.block(task.action)
        self._close(task.action, "blocked")
        self._call_again(task)
        return False

    def _settled_by_look_up(self, task: Task, urls: list[str]) -> bool:
        """Look a task up if its last call may have had an effect; return whether it is not to be called now."""
        if task.attempted_at and not self.vendor.limits.declarative and self._may_be_there(task, urls):
            return True
        if task.action not in self.closed:
            return False
        tasks.record_not_sent(self.run.rows, task)
        self.backlog.put_back(replace(task, attempts=0, attempted_at=None))
        return True

    def _may_be_there(self, task: Task, urls: list[str]) -> bool:
        """Look up a task whose last call has no recorded answer.

        Returns ``False`` if the vendor has certainly not made it. Otherwise it is adopted, or looked up again later.
        """
        assert task.attempted_at
        try:
            vendor_task_id = adopt(self.run, self.vendor, task, urls, pace=self.look_up_pace)
        except VendorError as error:  # an error of the list says nothing of the task
            self.backlog.look_ups_allowed = False
            if not self._blocked(task, error):
                self._slow_down()
            self.backlog.postpone(task, self.run.clock() + LOOK_AGAIN)
            return True
        if vendor_task_id:
            self.run.emit("task_adopted", task_id=task.id, account=self.run.account, vendor_task_id=vendor_task_id)
            self._submitted(task)
            return True
        if self.run.clock() < task.attempted_at + LIST_LAG or self.run.time_is_up:
            self.backlog.postpone(task, task.attempted_at + LIST_LAG)
            return True
        return False

    def _wait_for_postponed(self) -> bool:
        """Sleep until the next postponed task is due, if that is soon; ``False`` if there is none to wait for."""
        now, due_at = self.run.clock(), self.backlog.next_postponed
        if due_at is None or due_at > min(now + PATIENCE, self.run.deadline):
            return False
        if due_at > now:
            self.run.rest((due_at - now).total_seconds())
        return True

    def _stopped(self) -> bool:
        now = self.run.clock()
        if not self.stop and max(now, self.pace.due) >= self.run.deadline:
            held = self.pace.due - now > timedelta(seconds=vendor_refusals.LONG_WAIT)
            self.stop = "throttled" if held else "deadline"  # the sweep wakes the account when the vendor's wait ends
        if not self.stop and now - self.pause_checked_at >= CHECK_PAUSED:
            self.pause_checked_at = now
            if Action.BAN not in self.closed and control.paused(self.run.rows, self.run.account):
                self._close(Action.BAN, "paused")
        return bool(self.stop)

    def _close(self, action: Action, why: str) -> None:
        """Send no more of an action. A pause is for bans alone: it is there to stop harm, and an unban undoes harm."""
        self.closed[action] = why
        self.backlog.closed.add(action)

    def _blocked(self, task: Task, error: VendorError) -> bool:
        """Note an error of a task's call or look-up; return whether the vendor refuses more than this call."""
        if not vendor_refusals.note(self.run, error, quota=task.action, task_id=task.id):
            return False
        for action in Action if isinstance(error, AccessRefused) else (task.action,):
            self._close(action, "blocked")
        return True

    # --- answers ------------------------------------------------------------------------------------------------

    def _answered(self, task: Task, error: VendorError | None) -> None:
        """Decide what follows from the answer to a task's call."""
        if error is None or isinstance(error, ContentRefused):
            self.proven, self.failures, self.throttles = True, 0, 0
        if error is None:
            self.refused_hosts.accepted()
            self._submitted(task)
            return
        if isinstance(error, PermissionRefused) and self.refused_hosts.meet(task, error):
            return
        if self._blocked(task, error):
            self._call_again(task)
        elif isinstance(error, ContentRefused):
            refused_content.isolate(self.run, self.vendor, self.backlog, task, error, pace=self.look_up_pace)
        elif isinstance(error, Throttled):
            self._call_again(task)
            self.throttles += 1
            seconds = error.retry_after * 2 ** min(self.throttles - 1, 4)
            self.pace.hold(seconds)
            vendor_refusals.hold_creates(self.run, error, seconds)
            if self.throttles > MAX_THROTTLES:
                self.stop = "down"
        elif isinstance(error, Unavailable):
            self._call_again(task)
            self._slow_down()
        else:  # the call may have had its effect
            self.backlog.postpone(task, self.run.clock() + LOOK_AGAIN)
            self._slow_down()

    def _submitted(self, task: Task) -> None:
        self.quota.count(task)
        if not self.tasks:
            wake_tracker(self.run, self.run.account)
        self.tasks += 1
        self.urls += task.count
        self.run.emit(
            "task_submitted",
            task_id=task.id,
            account=self.run.account,
            action=task.action.value,
            urls=task.count,
            seconds=(self.run.clock() - task.received_at).total_seconds(),
        )

    def _slow_down(self) -> None:
        """Count a call without an answer and wait longer after each; too many in a row mean that the vendor is down."""
        self.failures += 1
        self.pace.hold(2.0**self.failures - 1)
        if self.failures >= MAX_FAILURES:
            self.stop = "down"

    def _call_again(self, task: Task) -> None:
        """Put back a task whose call had no effect. It needs no look-up, unless an earlier call may have had one."""
        if task.attempts <= 1:
            tasks.record_not_sent(self.run.rows, task)
            task = replace(task, attempts=0, attempted_at=None)
        self.backlog.add(task)

    def _end_withheld(self, task: Task, outcome: UrlState) -> None:
        """End a task that the policy keeps from the vendor, and its URLs."""
        if give_up(self.run, task, outcome, reason=task.reason, chunks_by_id=self._chunks_of(task)):
            self.run.emit(
                "urls_withheld", task_id=task.id, account=self.run.account, urls=task.count, reason=task.reason
            )

    def _chunks_of(self, task: Task) -> Mapping[str, Chunk]:
        return self.backlog.chunks_of(task.slices)
