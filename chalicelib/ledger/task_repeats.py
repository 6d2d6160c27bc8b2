"""Steps of a task that is called again: its call had no effect, it waits, or its parts are repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.model import TaskState
from chalicelib.ledger.row import millis, number
from chalicelib.ledger.tasks import Task, task_key
from chalicelib.ports import Row, Rows, Update


def record_not_sent(rows: Rows, task: Task) -> None:
    """Write that the last attempt certainly had no effect, so that the next attempt needs no look-up before it."""
    expect: Row = {"state": TaskState.SUBMITTING.value}
    rows.apply(Update(task_key(task.id), set={"attempts": 0}, expect=expect, remove=("attempted_at",)))


def record_postponed(rows: Rows, task: Task, *, until: datetime) -> Task:
    """Write that the last attempt had no effect, and the moment before which the next one must not be made."""
    change: Row = {"attempts": 0, "not_before": millis(until)}
    expect: Row = {"state": TaskState.SUBMITTING.value}
    rows.apply(Update(task_key(task.id), set=change, expect=expect, remove=("attempted_at",)))
    return replace(task, attempts=0, attempted_at=None, not_before=until)


def count_retry(rows: Rows, root: str, calls: int) -> int:
    """Count vendor calls that repeat parts of a failed first task; return how many there were so far."""
    return number(rows.add(task_key(root), {"retries": calls}), "retries")
