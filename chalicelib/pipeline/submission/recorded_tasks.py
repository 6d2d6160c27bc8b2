"""Tasks that are on record and wait for their call: from earlier drains, called again, or parts of other tasks."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.model import Action
from chalicelib.ledger import task_repeats
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.run import Run


class _Queue:
    """The tasks of one action, in their order."""

    def __init__(self) -> None:
        self.tasks: deque[Task] = deque()
        self.parts: deque[Task] = deque()
        """Tasks that repeat URLs of another task."""
        self.parts_turn = False


class RecordedTasks:
    """The recorded tasks of one account, for its one submitter."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queues = {Action.UNBAN: _Queue(), Action.BAN: _Queue()}
        self._postponed: list[tuple[datetime, Task]] = []

    def add(self, *recorded: Task) -> None:
        """Put tasks into the queue; a task that may not be called yet joins it later."""
        now = self._run.clock()
        for task in recorded:
            if task.not_before and task.not_before > now:
                self.postpone(task, task.not_before)
            else:
                queue = self._queues[task.action]
                (queue.parts if task.parent else queue.tasks).append(task)

    def add_first(self, *parts: Task) -> None:
        """Put parts of a task before all other parts, so that few calls show why it was refused."""
        for task in reversed(parts):
            self._queues[task.action].parts.appendleft(task)

    def call_again(self, task: Task) -> None:
        """Put back a task whose call had no effect. It needs no look-up, unless an earlier call may have had one."""
        if task.attempts <= 1:
            task_repeats.record_not_sent(self._run.rows, task)
            task = replace(task, attempts=0, attempted_at=None)
        self.add(task)

    def postpone(self, task: Task, until: datetime) -> None:
        """Keep a task back until a moment."""
        insort(self._postponed, (until, task), key=lambda pair: (pair[0], pair[1].id))

    def next_postponed(self, may_take: Callable[[Task], bool]) -> datetime | None:
        """Return when the first postponed task that may be taken is due; ``None`` if there is none."""
        return next((until for until, task in self._postponed if may_take(task)), None)

    def take(self, action: Action, *, new_ones_wait: bool) -> Task | None:
        """Take the next task of an action that is due.

        A refused task may have many parts: they take every other turn, so that new tasks do not wait for them.
        """
        self._let_come_due()
        queue = self._queues[action]
        if queue.tasks:
            return queue.tasks.popleft()
        queue.parts_turn = not queue.parts_turn
        return queue.parts.popleft() if queue.parts and (queue.parts_turn or not new_ones_wait) else None

    def take_any(self, may_take: Callable[[Task], bool]) -> Task | None:
        """Take any task that is due and may be taken."""
        self._let_come_due()
        for task in self._due():
            if may_take(task):
                self.remove(task)
                return task
        return None

    def _let_come_due(self) -> None:
        """Put the postponed tasks whose time has come in their queues."""
        now = self._run.clock()
        while self._postponed and self._postponed[0][0] <= now:
            self.add(self._postponed.pop(0)[1])

    def remove(self, task: Task) -> None:
        """Take a task out of its queue, or from among the postponed ones."""
        queue = self._queues[task.action]
        for waiting in (queue.tasks, queue.parts):
            if task in waiting:
                waiting.remove(task)
        self._postponed = [(until, other) for until, other in self._postponed if other != task]

    def all(self) -> list[Task]:
        """List all tasks that wait, the postponed ones too."""
        return [*self._due(), *(task for _, task in self._postponed)]

    def _due(self) -> list[Task]:
        return [task for queue in self._queues.values() for task in (*queue.tasks, *queue.parts)]
