"""What is to be submitted at one account, in its order: recorded tasks, and new ones packed from the waiting chunks.

Before a task is recorded, the policy checks its URLs again. Forbidden URLs go into a task of their own, which ends them
without a vendor call. Both tasks are recorded in one transaction, so that the decision holds whatever crashes after it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import ChunkState, TaskState
from chalicelib.domain.packing import Slice, Work, pack
from chalicelib.ledger import carriers, chunks, remaining, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import ordering, splitting
from chalicelib.pipeline.run import Run

CACHED_CHUNKS = 64
WORK_AT_ONCE = 4_000
"""Waiting chunks read for one round of packing: 4 million URLs, or as many single ones as 4 tasks hold."""


class Backlog:
    """The backlog of one account, as its one submitter takes it up."""

    def __init__(self, run: Run, *, epoch: int, limit: int) -> None:
        """``epoch`` is the submitter's number; ``limit`` is in URLs a task."""
        self._run, self._epoch, self._limit = run, epoch, limit
        self._planned: deque[tuple[Slice, ...]] = deque()
        """Slices of new tasks, each packed from ``_work`` and not recorded yet."""
        self._work: dict[str, Work] = {}
        self._due: deque[Task] = deque()
        self._parts: deque[Task] = deque()
        self._parts_turn = False
        self._postponed: list[tuple[datetime, Task]] = []
        self._chunks: dict[str, Chunk] = {}
        self.fresh: set[str] = set()
        """Tasks recorded by this drain, with the time of their attempt: they may be called without a look-up."""

    def begin(self) -> None:
        """Take up the tasks that earlier drains left, and plan new ones from what waits."""
        unsent = [task for task in tasks.live(self._run.rows, self._run.account) if task.state is TaskState.SUBMITTING]
        first_tasks = [task for task in unsent if not task.parent]
        if first_tasks:  # a crash may have kept their slices from being taken off the waiting chunks
            carriers.take_slices(self._run.rows, first_tasks, self._read())
        now = self._run.clock()
        for task in unsent:
            if task.not_before and task.not_before > now:
                self.postpone(task, task.not_before)
            else:
                self.add(task)
        self._planned.extend(self._plan())

    def add(self, *recorded: Task) -> None:
        """Put recorded tasks in the queue."""
        for task in recorded:
            (self._parts if task.parent else self._due).append(task)

    def postpone(self, task: Task, until: datetime) -> None:
        """Keep a recorded task back until then."""
        insort(self._postponed, (until, task), key=lambda pair: (pair[0], pair[1].id))

    @property
    def next_postponed(self) -> datetime | None:
        """When the first postponed task comes due; ``None`` if none is postponed."""
        return self._postponed[0][0] if self._postponed else None

    def add_postponed(self) -> None:
        """Put the first postponed task in the queue."""
        self.add(self._postponed.pop(0)[1])

    def next(self) -> Task | None:
        """Take the next task to call. A new one is recorded as about to be called, and leaves the waiting chunks.

        A refused task may have many parts: they take every other turn, so that new tasks do not wait for them.

        Raises ``StaleSubmitter`` if another submitter has begun since.
        """
        if self._due:
            return self._due.popleft()
        self._parts_turn = not self._parts_turn
        if self._parts and (self._parts_turn or not self._planned):
            return self._parts.popleft()
        if self._planned:
            self._record(self._planned.popleft())
        return self._due.popleft() if self._due else None

    def chunks_of(self, slices: Sequence[Slice]) -> Mapping[str, Chunk]:
        """Return chunks by id, those of these slices among them; each is read once."""
        missing = [part.chunk for part in slices if part.chunk not in self._chunks]
        if missing:
            if len(self._chunks) > CACHED_CHUNKS:
                self._chunks.clear()
            self._chunks.update(chunks.read(self._run.rows, [part.chunk for part in slices]))
        return self._chunks

    def full_task_waits(self) -> bool:
        """Read the waiting chunks again; plan them if they fill at least one task."""
        planned = self._plan()
        if sum(part.count for slices in planned for part in slices) < self._limit:
            return False
        self._planned.extend(planned)
        return True

    def _record(self, slices: tuple[Slice, ...]) -> None:
        """Make a task of planned slices, and another one of each group of URLs that the policy forbids by now."""
        now = self._run.clock()
        work = self._work[slices[0].chunk]
        groups = splitting.allowed(self._run, work.action, slices, self.chunks_of(slices))
        new_tasks = [
            Task(
                account=self._run.account,
                action=work.action,
                ban_days=work.ban_days,
                slices=group,
                created_at=now,
                received_at=min(self._work[part.chunk].received_at for part in group),
                attempts=int(why is None),
                attempted_at=now if why is None else None,
                **splitting.ending(why),
            )
            for why, group in groups.items()
        ]
        tasks.record_new(self._run.rows, new_tasks, drain=self._epoch)
        carriers.take_slices(self._run.rows, new_tasks, self._work)
        self.add(*new_tasks)
        self.fresh.update(task.id for task in new_tasks if not task.withheld)

    def _plan(self) -> list[tuple[Slice, ...]]:
        """Pack the waiting chunks whose turn it is."""
        work = self._read()
        ordered = [part for part in work.values() if part.after and part.state is ChunkState.WAITING]
        in_turn = {part.chunk for part in ordered if ordering.ready(self._run.rows, part)}
        if ordered:  # an unban among them may have taken URLs out of the others
            work = self._read()
        self._work = {
            part.chunk: part
            for part in work.values()
            if part.state is ChunkState.WAITING and (not part.after or part.chunk in in_turn)
        }
        return pack(self._work.values(), limit=self._limit)

    def _read(self) -> dict[str, Work]:
        """Read chunks, oldest first, until enough of them can be sent: any number of older ones may be held."""
        work: dict[str, Work] = {}
        after, sendable = "", 0
        while True:
            page = remaining.of_account(self._run.rows, self._run.account, limit=WORK_AT_ONCE, after=after)
            work.update((part.chunk, part) for part in page)
            sendable += sum(part.state is ChunkState.WAITING and not part.after for part in page)
            if len(page) < WORK_AT_ONCE or sendable >= WORK_AT_ONCE:
                return work
            after = page[-1].chunk
