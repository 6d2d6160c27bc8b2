"""Find a task whose answer was lost in the vendor's own list, so that it is adopted and not repeated (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from chalicelib.domain.pacing import Pace
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.ports import BanVendor, Rows

SKEW = timedelta(minutes=5)
"""How far the vendor's clock may be from ours."""


def adopt(task: Task, urls: Sequence[str], *, vendor: BanVendor, rows: Rows, pace: Pace, now: datetime) -> str:
    """Record the vendor task that carries exactly these URLs as ``task``'s; return its id, empty if there is none.

    The vendor's list names neither our id nor a finish time, so the match is: same action, same set of URLs, created
    since our task was, and not recorded for another of our tasks.
    """
    start = max(task.created_at - SKEW, now + 2 * SKEW - vendor.limits.task_window)
    wanted = frozenset(urls)
    matches: list[str] = []
    offset, total = 0, 1
    while offset < total:
        pace.wait()
        page = vendor.list_tasks(start, now + SKEW, offset)
        matches += [each.id for each in page.tasks if each.action is task.action and frozenset(each.urls) == wanted]
        if not page.tasks:
            break
        offset, total = offset + len(page.tasks), page.total
    taken = tasks.known_vendor_tasks(rows, task.account, matches)
    for vendor_task_id in matches:
        if vendor_task_id not in taken and tasks.record_processing(rows, task, vendor_task_id, now=now):
            return vendor_task_id
    return ""
