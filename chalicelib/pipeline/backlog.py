"""What of an account is to be submitted: tasks that earlier drains left, and chunks that wait, packed into new ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

from chalicelib.domain.model import ChunkState, TaskState
from chalicelib.domain.packing import Plan, Waiting, pack
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.chunks import Work
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import order
from chalicelib.ports import Rows

WORK_AT_ONCE = 4_000
"""Waiting chunks read for one round of packing: 4 million URLs, or as many single ones as 4 tasks hold."""


class Backlog:
    """The backlog of one account, as its one submitter takes it up. ``drain`` is the submitter's epoch."""

    def __init__(
        self, account: str, rows: Rows, *, drain: int, limit: int, clock: Callable[[], datetime]
    ) -> None:  # fmt: skip
        """``limit`` is in URLs a task."""
        self._account, self._rows, self._drain, self._limit, self._clock = account, rows, drain, limit, clock
        self._plans: deque[Plan] = deque()
        self._work: dict[str, Work] = {}

    def begin(self) -> list[Task]:
        """Return the recorded tasks that are perhaps at the vendor, oldest first, and plan what waits."""
        unsent = [task for task in tasks.live(self._rows, self._account) if task.state is TaskState.SUBMITTING]
        waiting = self._read()
        for task in unsent:  # a crash may have kept its slices from being taken off the waiting chunks
            behind = {
                each.chunk: waiting[each.chunk].count
                for each in task.slices
                if each.chunk in waiting and waiting[each.chunk].next < each.end
            }
            if not task.parent:
                tasks.take_slices(self._rows, task, behind)
        self._plans.extend(self._plan())
        return unsent

    def next(self) -> Task | None:
        """Record the next new task, as about to be called, and take its slices off the waiting chunks.

        Raises StaleSubmitter if another submitter has begun since.
        """
        if not self._plans:
            return None
        plan = self._plans.popleft()
        task = tasks.new_task(
            account=self._account, action=plan.action, ban_days=plan.ban_days, slices=plan.slices, attempted=True,
            received_at=min(self._work[each.chunk].received_at for each in plan.slices), now=self._clock(),
        )  # fmt: skip
        tasks.record_new(self._rows, task, drain=self._drain)
        tasks.take_slices(self._rows, task, {each.chunk: self._work[each.chunk].count for each in plan.slices})
        return task

    def grown(self) -> bool:
        """Look whether at least a full task has come to wait since, and plan it."""
        plans = self._plan()
        enough = sum(plan.count for plan in plans) >= self._limit
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

    def _plan(self) -> list[Plan]:
        found = self._read()
        later = [each for each in found.values() if each.after and each.state is ChunkState.WAITING]
        in_turn = {each.chunk for each in later if order.ready(self._rows, each, found)}
        if later:  # an unban among them may have taken URLs out of the others
            found = self._read()
        self._work = {
            each.chunk: each
            for each in found.values()
            if each.state is ChunkState.WAITING and (not each.after or each.chunk in in_turn)
        }
        waiting = (Waiting(w.chunk, w.action, w.ban_days, w.next, w.count, w.lost) for w in self._work.values())
        return pack(waiting, limit=self._limit)
