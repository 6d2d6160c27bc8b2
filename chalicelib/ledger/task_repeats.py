"""Steps of a task that is called again: its call had no effect, it waits, or its parts are repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.model import TaskState
from chalicelib.ledger.row import millis, number
from chalicelib.ledger.tasks import Task, task_key
from chalicelib.ports import Row, Rows, Update


def record_not_sent(rows: Rows, task: Task) -> None:
    """Write that the last attempt certainly had no effect, so that the next needs no look-up first."""
    expect: Row = {"state": TaskState.SUBMITTING.value}
    rows.apply(Update(task_key(task.id), set={"attempts": 0}, expect=expect, remove=("attempted_at",)))


def record_postponed(rows: Rows, task: Task, *, until: datetime) -> Task:
    """Write that the last attempt had no effect, and that the next one is not to be made before a moment."""
    change: Row = {"attempts": 0, "not_before": millis(until)}
    expect: Row = {"state": TaskState.SUBMITTING.value}
    rows.apply(Update(task_key(task.id), set=change, expect=expect, remove=("attempted_at",)))
    return replace(task, attempts=0, attempted_at=None, not_before=until)


def count_retry(rows: Rows, root: str, calls: int) -> int:
    """Add to the vendor calls spent on repeating parts of a first task that failed; return their number so far."""
    return number(rows.add(task_key(root), {"retries": calls}), "retries")
