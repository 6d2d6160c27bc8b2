"""What is to be submitted at one account, in its order: recorded tasks, and new ones packed from the waiting chunks.

Before a task is recorded, the policy checks its URLs again. Forbidden URLs go into a task of their own, which ends them
without a vendor call. Both tasks are recorded in one transaction, so that the decision holds whatever crashes after it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chalicelib.domain.model import Action, ChunkState, Rule, TaskState, VendorLimits
from chalicelib.domain.packing import Slice, Work, pack
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.ledger import carriers, chunks, ends, remaining, renewals, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import ordering, splitting
from chalicelib.pipeline.run import Run

CACHED_CHUNKS = 64
LOOK_FOR_UNBANS = timedelta(seconds=2)
"""How often a drain looks for unbans that have come since, or whose bans have ended since."""

ENDS_LATER = timedelta(minutes=1)
"""How long after the planned end bans are lifted: the last task of their chunk may be submitted somewhat later."""

WORK_AT_ONCE = 4_000
"""Waiting chunks read for one round of packing: 4 million URLs, or as many single ones as 4 tasks hold."""


class _Queue:
    """What is to be sent of one action, in its order."""

    def __init__(self) -> None:
        self.recorded: deque[Task] = deque()
        self.parts: deque[Task] = deque()
        """Recorded tasks that carry on what another one could not."""
        self.planned: deque[tuple[Slice, ...]] = deque()
        """Slices of new tasks, not recorded yet."""
        self.parts_turn = False


class Backlog:
    """The backlog of one account, as its one submitter takes it up. Unbans come before bans, whatever came first."""

    def __init__(self, run: Run, *, epoch: int, limits: VendorLimits) -> None:
        """``epoch`` is the submitter's number."""
        self._run, self._epoch, self._limit = run, epoch, limits.urls_per_task
        self._longest_ban = limits.longest_ban
        self._queues = {Action.UNBAN: _Queue(), Action.BAN: _Queue()}
        self.closed: set[Action] = set()
        """Actions that may not be sent now."""
        self.look_ups_allowed = True
        """Whether a task may be looked up that may not be sent."""
        self._unban_waits = False
        self._work: dict[str, Work] = {}
        """The waiting chunks that the planned slices are of."""
        self._postponed: list[tuple[datetime, Task]] = []
        self._unbans_read_at = run.clock()
        self._chunks: dict[str, Chunk] = {}
        self._ends_planned: set[str] = set()
        self.fresh: set[str] = set()
        """Tasks recorded by this drain, with the time of their attempt: they may be called without a look-up."""

    def begin(self) -> None:
        """Take up the tasks that earlier drains left, and plan new ones from what waits."""
        unsent = [task for task in tasks.live(self._run.rows, self._run.account) if task.state is TaskState.SUBMITTING]
        first_tasks = [task for task in unsent if not task.parent]
        if first_tasks:  # a crash may have kept their slices from being taken off the waiting chunks
            carriers.take_slices(self._run.rows, first_tasks, self._read(bans=True))
        now = self._run.clock()
        for task in unsent:
            if task.not_before and task.not_before > now:
                self.postpone(task, task.not_before)
            else:
                self.add(task)
        self._plan()

    def add(self, *recorded: Task) -> None:
        """Put recorded tasks in the queue."""
        for task in recorded:
            queue = self._queues[task.action]
            (queue.parts if task.parent else queue.recorded).append(task)

    def postpone(self, task: Task, until: datetime) -> None:
        """Keep a recorded task back until then."""
        insort(self._postponed, (until, task), key=lambda pair: (pair[0], pair[1].id))

    def add_first(self, *parts: Task) -> None:
        """Put parts of a task before all other parts, so that few calls show what it was refused for."""
        for task in reversed(parts):
            self._queues[task.action].parts.appendleft(task)

    def put_back(self, task: Task) -> None:
        """Put a recorded task back that was certainly not sent: an unban of its URLs waits for it no more."""
        self.add(task)
        self._plan()

    @property
    def next_postponed(self) -> datetime | None:
        """When the first postponed task that may be sent, or looked up, comes due; ``None`` if none is postponed."""
        return next((until for until, task in self._postponed if self._may_take(task)), None)

    def _may_take(self, task: Task) -> bool:
        """Return whether a task may be sent, or be looked up because an unban may wait for it.

        Only a task is looked up whose last call may have had an effect.
        """
        return task.action not in self.closed or (
            task.attempted_at is not None and self._unban_waits and self.look_ups_allowed
        )

    def next(self) -> Task | None:
        """Take the next task to call. A new one is recorded as about to be called, and leaves the waiting chunks.

        Raises ``StaleSubmitter`` if another submitter has begun since.
        """
        now = self._run.clock()
        while self._postponed and self._postponed[0][0] <= now:
            self.add(self._postponed.pop(0)[1])
        if now - self._unbans_read_at >= LOOK_FOR_UNBANS:
            self._unbans_read_at = now
            if remaining.unbans(self._run.rows, self._run.account, now=now):
                self._plan()  # anew: an unban takes its URLs out of the waiting bans
        for action, queue in self._queues.items():
            if action not in self.closed and (task := self._next_of(queue)):
                return task
        return next((task for task in self._recorded() if self._may_take(task) and self._remove(task)), None)

    def _recorded(self) -> list[Task]:
        """List the recorded tasks that are not called yet, but for the postponed ones."""
        return [task for queue in self._queues.values() for task in (*queue.recorded, *queue.parts)]

    def _remove(self, task: Task) -> bool:
        """Take a recorded task out of its queue, or from among the postponed ones."""
        queue = self._queues[task.action]
        for tasks_of_queue in (queue.recorded, queue.parts):
            if task in tasks_of_queue:
                tasks_of_queue.remove(task)
        self._postponed = [(until, other) for until, other in self._postponed if other != task]
        return True

    def _next_of(self, queue: _Queue) -> Task | None:
        """Take the next task of one action.

        A refused task may have many parts: they take every other turn, so that new tasks do not wait for them.
        """
        if queue.recorded:
            return queue.recorded.popleft()
        queue.parts_turn = not queue.parts_turn
        if queue.parts and (queue.parts_turn or not queue.planned):
            return queue.parts.popleft()
        if queue.planned:
            self._record(queue.planned.popleft())
        return queue.recorded.popleft() if queue.recorded else None

    def chunks_of(self, slices: Sequence[Slice]) -> Mapping[str, Chunk]:
        """Return chunks by id, those of these slices among them; each is read once."""
        missing = [part.chunk for part in slices if part.chunk not in self._chunks]
        if missing:
            if len(self._chunks) > CACHED_CHUNKS:
                self._chunks.clear()
            self._chunks.update(chunks.read(self._run.rows, [part.chunk for part in slices]))
        return self._chunks

    def more_waits(self, *, fill: bool = True) -> bool:
        """Read the waiting chunks again; return whether they fill a task, or hold an unban that may be sent.

        ``fill`` False plans what does not fill a task, too.
        """
        self._plan()
        if not fill:
            return any(queue.planned for queue in self._queues.values())
        bans = self._queues[Action.BAN].planned
        if self._queues[Action.UNBAN].planned and Action.UNBAN not in self.closed:
            return True
        full = sum(part.count for slices in bans for part in slices) >= self._limit
        if not full:  # the next wake-up packs it with what follows
            bans.clear()
        return full and Action.BAN not in self.closed

    def _record(self, slices: tuple[Slice, ...]) -> None:
        """Make a task of planned slices, and another one of each group of URLs that the policy forbids by now."""
        now = self._run.clock()
        work = self._work[slices[0].chunk]
        ban_days = self._granted(work, slices)
        groups = splitting.allowed(self._run, work.action, slices, self.chunks_of(slices))
        new_tasks = [
            Task(
                account=self._run.account,
                action=work.action,
                ban_days=ban_days,
                slices=group,
                created_at=now,
                received_at=min(self._work[part.chunk].received_at for part in group),
                attempts=int(why is None),
                attempted_at=now if why is None else None,
                lasts=work.action is Action.BAN and self._longest_ban is None,
                **splitting.ending(why),
            )
            for why, group in groups.items()
        ]
        tasks.record_new(self._run.rows, new_tasks, drain=self._epoch)
        carriers.take_slices(self._run.rows, new_tasks, self._work)
        self.add(*new_tasks)
        self.fresh.update(task.id for task in new_tasks if not task.withheld)

    def _granted(self, work: Work, slices: tuple[Slice, ...]) -> int:
        """Return the days that a call asks for: the vendor may grant fewer than were planned, and the rest is renewed.

        At a vendor that ends no bans edgeban ends them when their days are over. Crash order: renewals and ends are
        planned before the task is recorded. One of a ban that was not sent is postponed.
        """
        if work.action is not Action.BAN:
            return work.ban_days
        if self._longest_ban is None:
            self._plan_ends(work, slices)
            return work.ban_days
        if work.ban_days <= self._longest_ban.days:
            return work.ban_days
        at = self._run.clock() + self._longest_ban - timedelta(hours=self._run.policy.renew_before_hours)
        for chunk in dict.fromkeys(part.chunk for part in slices):
            renewals.plan(self._run.rows, self.chunks_of(slices)[chunk], at=at)
        return self._longest_ban.days

    def _plan_ends(self, work: Work, slices: tuple[Slice, ...]) -> None:
        """Have edgeban end the bans of these slices; a chunk is planned once a drain."""
        for chunk_id in {part.chunk for part in slices} - self._ends_planned:
            self._ends_planned.add(chunk_id)
            chunk = self.chunks_of(slices)[chunk_id]
            if chunk.until < FOREVER:
                at = max(chunk.until, self._run.clock() + timedelta(days=work.ban_days)) + ENDS_LATER
                ends.plan(self._run.rows, chunk.account, chunk.id, at=at)

    def _plan(self) -> None:
        """Pack the waiting chunks whose turn it is. What was planned and not recorded is planned anew."""
        bans = Action.BAN not in self.closed
        work = self._read(bans=bans)
        ordered = [part for part in work.values() if part.after and part.state is ChunkState.WAITING]
        for part in ordered:
            if part.action is Action.UNBAN:
                self._take_out_of_recorded(part)
        in_turn = {part.chunk for part in ordered if ordering.ready(self._run.rows, part)}
        if ordered:  # an unban among them may have taken URLs out of the others
            work = self._read(bans=bans)
        self._unban_waits = any(part.action is Action.UNBAN for part in work.values())
        self._work = {
            part.chunk: part
            for part in work.values()
            if part.state is ChunkState.WAITING and (not part.after or part.chunk in in_turn)
        }
        for action, queue in self._queues.items():
            waiting = [part for part in self._work.values() if part.action is action]
            lifts = [part for part in waiting if part.rule == Rule.ENDED]  # what people unban goes first
            others = [part for part in waiting if part.rule != Rule.ENDED]
            queue.planned = deque([*pack(others, limit=self._limit), *pack(lifts, limit=self._limit)])

    def _take_out_of_recorded(self, unban: Work) -> None:
        """Take the URLs of an unban out of recorded bans that were certainly not sent: it need not wait for these."""
        unsent = [
            task
            for task in (*self._recorded(), *(task for _, task in self._postponed))
            if task.action is Action.BAN and not task.attempted_at
            if any(part.chunk in unban.after for part in task.slices)
        ]
        if not unsent:
            return
        chunk = self.chunks_of([Slice(unban.chunk, unban.next, unban.count)])[unban.chunk]
        keys = {key for position, key in enumerate(chunk.keys) if position not in unban.excluded}
        for task in unsent:
            chunks_by_id = self.chunks_of(task.slices)
            if keys.isdisjoint(chunks_by_id[part.chunk].keys[at] for part in task.slices for at in part.positions()):
                continue
            rest = splitting.take_out(self._run, task, keys, chunks_by_id)
            self._remove(task)
            for other in rest:
                if other.not_before and other.not_before > self._run.clock():
                    self.postpone(other, other.not_before)
                else:
                    self.add(other)

    def _read(self, *, bans: bool) -> dict[str, Work]:
        """Read the unbans, and the other chunks, oldest first, until enough of them can be sent.

        Any number of older ones may be held.
        """
        work = {part.chunk: part for part in remaining.unbans(self._run.rows, self._run.account, now=self._run.clock())}
        if not bans:
            return work
        after, sendable = "", 0
        while True:
            page = remaining.of_account(self._run.rows, self._run.account, limit=WORK_AT_ONCE, after=after)
            work.update((part.chunk, part) for part in page)
            sendable += sum(part.state is ChunkState.WAITING and not part.after for part in page)
            if len(page) < WORK_AT_ONCE or sendable >= WORK_AT_ONCE:
                return work
            after = page[-1].chunk
