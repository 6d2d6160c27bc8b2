"""Which tasks carry which URLs of a chunk.

A link names the first task of each part of a chunk. A failed task names the tasks that repeat its URLs
(``Task.children``), so a walk from the links finds all tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from chalicelib.ledger import tasks
from chalicelib.ledger.row import number, text
from chalicelib.ledger.tasks import Task
from chalicelib.ports import Rows


def of_chunk(rows: Rows, chunk: str, positions: Collection[int] | None = None) -> Iterator[Task]:
    """Yield the tasks that carried a chunk's URLs: the first tasks, then the tasks that repeated them.

    With ``positions``, only the tasks that carried one of these. Each step reads one generation of tasks.
    """
    ids = [task_id for task_id, _, _ in links(rows, chunk)]
    while ids:
        generation = list(tasks.read(rows, ids).values())
        if positions is not None:
            generation = [task for task in generation if carries(task, chunk, positions)]
        yield from generation
        ids = [child for task in generation for child in task.children]


def carries(task: Task, chunk: str, positions: Collection[int]) -> bool:
    """Whether a task carries one of these positions of a chunk."""
    return any(not set(positions).isdisjoint(part.positions()) for part in task.slices if part.chunk == chunk)


def links(rows: Rows, chunk: str) -> list[tuple[str, int, int]]:
    """Read which first tasks carry which positions of a chunk (task id, start, end), oldest first."""
    found = rows.query(f"chunk#{chunk}", prefix="task#")
    return [(text(row, "sk").removeprefix("task#"), number(row, "start"), number(row, "end")) for row in found]
