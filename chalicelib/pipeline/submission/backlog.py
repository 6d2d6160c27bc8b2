"""The tasks to submit at one account, in their order: recorded ones, and new ones packed from the waiting chunks.

Before a task is recorded, the policy checks its URLs again. Forbidden URLs go into a task of their own, which ends them
without a vendor call. Both tasks are recorded in one transaction, so that the decision holds whatever crashes after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chalicelib.domain.model import Action, ChunkState, Rule, TaskState, VendorLimits
from chalicelib.domain.packing import Slice, Work, pack
from chalicelib.ledger import chunks, remaining, tasks, waiting_from, waiting_unbans
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import ordering, splitting
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.granted_days import GrantedDays
from chalicelib.pipeline.submission.recorded_tasks import RecordedTasks
from chalicelib.pipeline.submission.unbans_first import taken_out

CACHED_CHUNKS = 64
LOOK_FOR_UNBANS = timedelta(seconds=2)
"""How often a drain looks for unbans that have come since, or whose bans have ended since."""

WORK_AT_ONCE = 4_000
"""Waiting chunks read for one round of packing: 4 million URLs, or as many single ones as 4 tasks hold."""


class Backlog:
    """The backlog of one account, for its one submitter. Unbans come before all bans, even before older ones."""

    def __init__(self, run: Run, *, drain: int, limits: VendorLimits) -> None:
        """``drain`` is the number of the drain."""
        self._run, self._drain, self._limit = run, drain, limits.urls_per_task
        self._endless = limits.longest_ban is None
        self._granted_days = GrantedDays(run, limits.longest_ban)
        self.recorded = RecordedTasks(run)
        self._planned: dict[Action, deque[tuple[Slice, ...]]] = {Action.UNBAN: deque(), Action.BAN: deque()}
        """Slices of new tasks, not recorded yet."""
        self.closed: set[Action] = set()
        """Actions that may not be sent now."""
        self.look_ups_allowed = True
        """Whether a task that may not be sent may be looked up at the vendor."""
        self.unban_waits = False
        """Whether an unban waits, which may be of URLs of a recorded ban."""
        self._work: dict[str, Work] = {}
        """The waiting chunks that the planned slices belong to."""
        self._unbans_read_at = run.clock()
        self._chunks: dict[str, Chunk] = {}
        self.fresh: set[str] = set()
        """Tasks recorded by this drain, with the time of their attempt: they may be called without a look-up."""

    def begin(self) -> None:
        """Take up the tasks that earlier drains left, and plan new ones from what waits."""
        unsent = [task for task in tasks.live(self._run.rows, self._run.account) if task.state is TaskState.SUBMITTING]
        first_tasks = [task for task in unsent if not task.parent]
        if first_tasks:  # a crash may have kept their slices from being taken off the waiting chunks
            remaining.take_slices(self._run.rows, first_tasks, self._read(bans=True))
        self.recorded.add(*unsent)
        self._plan()

    def put_back(self, task: Task) -> None:
        """Put back a recorded task that certainly was not sent: an unban of its URLs need not wait for it."""
        self.recorded.add(task)
        self._plan()

    @property
    def next_postponed(self) -> datetime | None:
        """When the first postponed task that may be sent, or looked up, comes due; ``None`` if none is postponed."""
        return self.recorded.next_postponed(self._may_take)

    def _may_take(self, task: Task) -> bool:
        """Return whether a task may be sent, or be looked up because an unban may wait for it.

        A task is looked up only if its last call may have had an effect.
        """
        return task.action not in self.closed or (
            task.attempted_at is not None and self.unban_waits and self.look_ups_allowed
        )

    def next(self) -> Task | None:
        """Take the next task to call. A new one is recorded as about to be called, and leaves the waiting chunks.

        Raises ``StaleSubmitter`` if another submitter has begun since.
        """
        now = self._run.clock()
        if now - self._unbans_read_at >= LOOK_FOR_UNBANS:
            self._unbans_read_at = now
            if waiting_unbans.read(self._run.rows, self._run.account, now=now):
                self._plan()  # anew: an unban takes its URLs out of the waiting bans
        for action, planned in self._planned.items():
            if action not in self.closed and (task := self._next_of(action, planned)):
                return task
        return self.recorded.take_any(self._may_take)

    def _next_of(self, action: Action, planned: deque[tuple[Slice, ...]]) -> Task | None:
        """Take the next task of one action: one that is on record, else a new one."""
        task = self.recorded.take(action, new_ones_wait=bool(planned))
        if task is None and planned:
            self._record(planned.popleft())
            task = self.recorded.take(action, new_ones_wait=bool(planned))
        return task

    def chunks_of(self, slices: Sequence[Slice]) -> Mapping[str, Chunk]:
        """Return chunks by id, those of these slices among them. Each chunk is read once."""
        missing = [part.chunk for part in slices if part.chunk not in self._chunks]
        if missing:
            if len(self._chunks) > CACHED_CHUNKS:
                self._chunks.clear()
            self._chunks.update(chunks.read(self._run.rows, [part.chunk for part in slices]))
        return self._chunks

    def more_waits(self, *, fill: bool = True) -> bool:
        """Read the waiting chunks again; return whether they fill a task, or hold an unban that may be sent.

        With ``fill`` false, chunks that do not fill a task are planned too.
        """
        self._plan()
        if not fill:
            return any(self._planned.values())
        bans = self._planned[Action.BAN]
        if self._planned[Action.UNBAN] and Action.UNBAN not in self.closed:
            return True
        full = sum(part.count for slices in bans for part in slices) >= self._limit
        if not full:  # the next wake-up packs it with what follows
            bans.clear()
        return full and Action.BAN not in self.closed

    def _record(self, slices: tuple[Slice, ...]) -> None:
        """Make a task of planned slices, and one more for each group of URLs that the policy forbids by now."""
        now = self._run.clock()
        work = self._work[slices[0].chunk]
        chunks_by_id, ban_days = self.chunks_of(slices), work.ban_days
        if work.action is Action.BAN:
            ban_days = self._granted_days.of_ban(work, [part.chunk for part in slices], chunks_by_id)
        groups = splitting.allowed(self._run, work.action, slices, chunks_by_id)
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
                endless=work.action is Action.BAN and self._endless,
                **splitting.ending(why),
            )
            for why, group in groups.items()
        ]
        tasks.record_new(self._run.rows, new_tasks, drain=self._drain)
        remaining.take_slices(self._run.rows, new_tasks, self._work)
        self.recorded.add(*new_tasks)
        self.fresh.update(task.id for task in new_tasks if not task.withheld)

    def _plan(self) -> None:
        """Pack the waiting chunks whose turn it is. What was planned and not recorded is planned anew."""
        bans = Action.BAN not in self.closed
        work = self._read(bans=bans)
        ordered = [part for part in work.values() if part.after and part.state is ChunkState.WAITING]
        for part in ordered:
            if part.action is Action.UNBAN:
                for task, rest in taken_out(self._run, part, self.recorded.all(), self.chunks_of):
                    self.recorded.remove(task)
                    self.recorded.add(*rest)
        in_turn = {part.chunk for part in ordered if ordering.ready(self._run.rows, part)}
        if ordered:  # an unban among them may have taken URLs out of the others
            work = self._read(bans=bans)
        self.unban_waits = any(part.action is Action.UNBAN for part in work.values())
        self._work = {
            part.chunk: part
            for part in work.values()
            if part.state is ChunkState.WAITING and (not part.after or part.chunk in in_turn)
        }
        for action in self._planned:
            waiting = [part for part in self._work.values() if part.action is action]
            lifts = [part for part in waiting if part.rule == Rule.ENDED]  # what people unban goes first
            others = [part for part in waiting if part.rule != Rule.ENDED]
            self._planned[action] = deque([*pack(others, limit=self._limit), *pack(lifts, limit=self._limit)])

    def _read(self, *, bans: bool) -> dict[str, Work]:
        """Read the unbans, and the other chunks, oldest first, until enough of them can be sent.

        Any number of the oldest chunks may be held. The sweep marks where they end.
        """
        work = {
            part.chunk: part for part in waiting_unbans.read(self._run.rows, self._run.account, now=self._run.clock())
        }
        if not bans:
            return work
        after, sendable = waiting_from.read(self._run.rows, self._run.account).chunk, 0
        while True:
            page = remaining.of_account(self._run.rows, self._run.account, limit=WORK_AT_ONCE, after=after)
            work.update((part.chunk, part) for part in page)
            sendable += sum(part.state is ChunkState.WAITING and not part.after for part in page)
            if len(page) < WORK_AT_ONCE or sendable >= WORK_AT_ONCE:
                return work
            after = page[-1].chunk
