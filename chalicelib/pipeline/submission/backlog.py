"""What of an account is to be submitted: recorded tasks in their turns, and chunks that wait, packed into new tasks.

What waited is asked of the policy once more when its task is made: what that forbids by now gets a task of its own that
is never called. Both are recorded at once, so that the decision holds whatever crashes after it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import ChunkState, TaskState
from chalicelib.domain.packing import Slice, Work, pack
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import ordering, splitting
from chalicelib.pipeline.run import Run

CACHED_CHUNKS = 64
WORK_AT_ONCE = 4_000
"""Waiting chunks read for one round of packing: 4 million URLs, or as many single ones as 4 tasks hold."""


class Backlog:
    """The backlog of one account, as its one submitter takes it up. ``drain`` is the submitter's epoch."""

    def __init__(self, run: Run, *, drain: int, limit: int) -> None:
        """``limit`` is in URLs a task. The policy is asked for each task: a drain may outlast a change of it."""
        self._run, self._account, self._rows, self._clock = run, run.account, run.rows, run.clock
        self._drain, self._limit = drain, limit
        self._plans: deque[tuple[Slice, ...]] = deque()
        self._work: dict[str, Work] = {}
        self._due: deque[Task] = deque()
        self._parts: deque[Task] = deque()
        self._later: list[tuple[datetime, Task]] = []
        self._parts_turn = False
        self.fresh: set[str] = set()
        """Tasks that were recorded as about to be called, and are called without a look."""
        self._chunks: dict[str, Chunk] = {}

    def begin(self) -> None:
        """Take up what earlier drains left, and plan what waits."""
        unsent = [task for task in tasks.live(self._rows, self._account) if task.state is TaskState.SUBMITTING]
        waiting = self._read()
        firsts = [task for task in unsent if not task.parent]
        if firsts:  # a crash may have kept their slices from being taken off the waiting chunks
            tasks.take_slices(self._rows, firsts, waiting)
        now = self._clock()
        for task in unsent:
            if task.not_before and task.not_before > now:
                self.postpone(task, task.not_before)
            else:
                self.add(task)
        self._plans.extend(self._plan())

    def add(self, *recorded: Task) -> None:
        """Have recorded tasks called in their turn."""
        for task in recorded:
            (self._parts if task.parent else self._due).append(task)

    def postpone(self, task: Task, until: datetime) -> None:
        """Have a recorded task called later."""
        insort(self._later, (until, task), key=lambda pair: (pair[0], pair[1].id))

    @property
    def next_due(self) -> datetime | None:
        """When the first of what was postponed comes due; ``None`` if nothing was."""
        return self._later[0][0] if self._later else None

    def wake(self) -> None:
        """Have the first of what was postponed called now."""
        self.add(self._later.pop(0)[1])

    def next(self) -> Task | None:
        """Take what is to be called next; a new task is recorded, as about to be called, and leaves the waiting chunks.

        Parts of a refused task may be many: they take every other turn, so that what is new does not wait for them.

        Raises StaleSubmitter if another submitter has begun since.
        """
        if self._due:
            return self._due.popleft()
        self._parts_turn = not self._parts_turn
        if self._parts and (self._parts_turn or not self._plans):
            return self._parts.popleft()
        if self._plans:
            self._make(self._plans.popleft())
        return self._due.popleft() if self._due else None

    def chunks_of(self, slices: Sequence[Slice]) -> Mapping[str, Chunk]:
        """Return chunks by id, those of these slices among them; each is read once."""
        missing = [each.chunk for each in slices if each.chunk not in self._chunks]
        if missing:
            if len(self._chunks) > CACHED_CHUNKS:
                self._chunks.clear()
            self._chunks.update(chunks.read(self._rows, [each.chunk for each in slices]))
        return self._chunks

    def _make(self, slices: tuple[Slice, ...]) -> None:
        now = self._clock()
        work = self._work[slices[0].chunk]
        parts = splitting.allowed(self._run, work.action, slices, self.chunks_of(slices))
        made = [
            Task(
                account=self._account,
                action=work.action,
                ban_days=work.ban_days,
                slices=part,
                created_at=now,
                received_at=min(self._work[each.chunk].received_at for each in part),
                attempts=int(why is None),
                attempted_at=now if why is None else None,
                **tasks.ending(why),
            )
            for why, part in parts.items()
        ]
        tasks.record_new(self._rows, made, drain=self._drain)
        tasks.take_slices(self._rows, made, self._work)
        self.add(*made)
        self.fresh.update(task.id for task in made if not task.withheld)

    def grown(self) -> bool:
        """Look whether at least a full task has come to wait since, and plan it."""
        plans = self._plan()
        enough = sum(part.count for slices in plans for part in slices) >= self._limit
        self._plans.extend(plans if enough else [])
        return enough

    def _read(self) -> dict[str, Work]:
        """Read until enough can be sent: any number of older chunks may be held, or wait for their turn."""
        found: dict[str, Work] = {}
        after, ready = "", 0
        while True:
            page = chunks.work(self._rows, self._account, limit=WORK_AT_ONCE, after=after)
            found.update((each.chunk, each) for each in page)
            ready += sum(each.state is ChunkState.WAITING and not each.after for each in page)
            if len(page) < WORK_AT_ONCE or ready >= WORK_AT_ONCE:
                return found
            after = f"chunk#{page[-1].chunk}"

    def _plan(self) -> list[tuple[Slice, ...]]:
        found = self._read()
        later = [each for each in found.values() if each.after and each.state is ChunkState.WAITING]
        in_turn = {each.chunk for each in later if ordering.ready(self._rows, each, found)}
        if later:  # an unban among them may have taken URLs out of the others
            found = self._read()
        self._work = {
            each.chunk: each
            for each in found.values()
            if each.state is ChunkState.WAITING and (not each.after or each.chunk in in_turn)
        }
        return pack(self._work.values(), limit=self._limit)
