"""Submit what waits at one vendor account: waiting chunks become ban tasks at the vendor. One call is one drain.

The steps of a task, each durable before the next:

1. its row is written, ``submitting``, with the time of the attempt (``tasks.record_new``);
2. its URLs leave the waiting chunks (``remaining.take_slices``);
3. the vendor is called (``BanVendor.create_task``);
4. the vendor's task id is written, and the task is ``processing`` (``tasks.record_processing``).

What the next drain does if the submitter dies:

- After 1 or 2: it repeats 2 (``Backlog.begin``). It cannot know whether the vendor was called, so it goes on as below.
- After 3, or if no answer came: the task *may* be at the vendor. The drain looks it up and adopts it, or calls again
  once it is certain that the vendor does not have it (``lost_answers``).
- After 4: nothing. ``track`` follows the task to its end.

The submit queue is FIFO with one group per account, so one drain runs at a time. A drain beats (``Run.beat``); the
wake-up of one that died is delivered again ten seconds after its last beat. If a drain that was believed dead still
runs, its number stops it: each drain takes a new one, and the transaction of step 1 checks it (``StaleSubmitter``).
``pipeline.waking`` says why no wake-up is lost.

The vendor's answer decides what is next (``_Drain._answered``). A task whose content is refused is halved until the
refused URLs stand alone (``refused_content``). A task whose permission is refused is split by host. Throttling and
outages slow the drain down and then end it (``brakes``). Refused access blocks the account, a used-up quota blocks the
action (``vendor_refusals``).

Unbans go first (I11): before every waiting ban, while bans are paused, and while the quota of bans is used up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.domain.errors import (
    ContentRefused,
    PermissionRefused,
    StaleSubmitter,
    Throttled,
    Unavailable,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action
from chalicelib.ledger import control, tasks
from chalicelib.ledger.control import Control
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.splitting import end_withheld, urls_sent, withhold
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.brakes import Brakes
from chalicelib.pipeline.submission.day_quota import DayQuota
from chalicelib.pipeline.submission.lost_answers import LostAnswers
from chalicelib.pipeline.submission.parallel_calls import ParallelCalls
from chalicelib.pipeline.submission.refused_content import Refusals
from chalicelib.pipeline.submission.vendor_tasks import emit_submitted
from chalicelib.pipeline.waking import wake_tracker
from chalicelib.ports import BanVendor

LOOK_AGAIN_WHILE_CALLING = timedelta(seconds=1)
"""While a drain waits for answers, it looks for new chunks this long after its last call."""


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
    parallel = vendor.limits.parallel
    drain = _Drain(run, vendor, state, closed, workers=parallel if workers is None else min(workers, parallel))
    try:
        drained = drain.drain()
    except StaleSubmitter as error:
        run.emit("submitter_stale", account=run.account, problem=str(error))
        drained = Drained("stale", drain.tasks, drain.urls)
    else:
        pace = drain.brakes.pace
        if pace.last and pace.last != state.last_call_at:
            control.record_last_calls(run.rows, run.account, pace, well=drain.brakes.ended_well)
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
        self.backlog = Backlog(run, drain=state.drain, limits=limits)
        self.brakes = Brakes(run, self.backlog, limits, state=state, closed=closed)
        self.lost_answers = LostAnswers(run, vendor, self.backlog, self.brakes, adopted=self._submitted)
        pace, proven = self.lost_answers.pace, self.brakes.proven
        self.refusals = Refusals(run, vendor, self.backlog, pace=pace, accepted=proven)
        self.quota = DayQuota(run, limits, self.backlog, self.brakes)
        self.tasks = self.urls = 0

    def drain(self) -> Drained:
        """Call the vendor for one task after the other, until none is left that may be called now."""
        run, backlog, brakes, pace = self.run, self.backlog, self.brakes, self.brakes.pace
        if not brakes.stopped:
            pace.approach()  # chunks that come before the next call may be made go into it
            backlog.begin()
        look_at = run.clock()
        with ParallelCalls(run, self.vendor, pace, workers=self.workers, handle=self._answered) as parallel_calls:
            while True:
                run.beat()
                parallel_calls.settle(self.workers if brakes.proven else 1)
                if brakes.stopped:
                    break
                pace.approach()
                task = backlog.next()
                if task is not None:
                    ready = self._ready(task)
                    under_way = parallel_calls.urls_under_way(task.action)
                    if ready is None or not self.quota.has_room(ready[0], under_way=under_way):
                        continue
                    parallel_calls.start(*ready, permitted=pace.wait())
                    look_at = run.clock() + LOOK_AGAIN_WHILE_CALLING
                elif parallel_calls.under_way:
                    parallel_calls.settle(parallel_calls.under_way, until=look_at)
                    if run.clock() >= look_at:
                        backlog.more_waits(fill=False)
                        look_at = run.clock() + LOOK_AGAIN_WHILE_CALLING
                elif not brakes.wait_until(backlog.next_postponed) and not (self.tasks and backlog.more_waits()):
                    break  # less than a full task has come since: the next wake packs it with what follows
            parallel_calls.settle(1)
        why = brakes.closed.get(Action.BAN) or brakes.closed.get(Action.UNBAN) or "done"
        return Drained(brakes.stop or why, self.tasks, self.urls)

    def _ready(self, task: Task) -> tuple[Task, list[str]] | None:
        """Make a task ready for its call; ``None`` if it is not to be called now."""
        chunks_by_id = self.backlog.chunks_of(task.slices)
        if task.withheld:
            end_withheld(self.run, task, task.withheld, chunks_by_id)
            return None
        urls = urls_sent(task, chunks_by_id)
        fresh = task.id in self.backlog.fresh
        self.backlog.fresh.discard(task.id)
        if not fresh and self.lost_answers.settled(task, urls):
            return None
        if self.refusals.keep_back(task, urls):
            return None
        if fresh:
            return task, urls
        if parts := withhold(self.run, task, chunks_by_id):
            self.backlog.recorded.add(*parts)
            return None
        return tasks.record_attempt(self.run.rows, task, now=self.run.clock()), urls

    def _answered(self, task: Task, error: VendorError | None) -> None:
        """Decide what follows from the answer to a task's call."""
        if error is None or (isinstance(error, ContentRefused) and not isinstance(error, UnknownRefusal)):
            self.brakes.answered()
        if error is None:
            self.refusals.accepted()
            self._submitted(task)
        elif isinstance(error, PermissionRefused) and self.refusals.of_host(task, error):
            pass  # the task, or the parts of it, are in the backlog now
        elif self.brakes.blocked(task, error):
            self.backlog.recorded.call_again(task)
        elif isinstance(error, ContentRefused):
            self.refusals.of_content(task, error)
        elif isinstance(error, Throttled):
            self.backlog.recorded.call_again(task)
            self.brakes.throttled(task, error)
        elif isinstance(error, Unavailable):
            self.backlog.recorded.call_again(task)
            self.brakes.not_answered()
        else:  # the call may have had its effect
            self.lost_answers.postpone(task)
            self.brakes.not_answered()

    def _submitted(self, task: Task) -> None:
        self.quota.count(task)
        if not self.tasks:
            wake_tracker(self.run, self.run.account)
        self.tasks += 1
        self.urls += task.count
        emit_submitted(self.run, task)
