"""Our tasks in the vendor's own list: what was sent and when, and the adoption of a task whose answer was lost (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import Sent, TaskState
from chalicelib.domain.pacing import Pace
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.run import Run
from chalicelib.ports import BanVendor

SKEW = timedelta(minutes=5)
"""How far the vendor's clock may be from ours."""

LOOK_UP_SHARE = 1 / 3
"""The submitter's share of the vendor's list rate."""

TRACK_SHARE = 3 / 10
"""A tracker's share of it. One follows young tasks and one follows all, each minute. All three may run at once, and
together stay below the vendor's rate."""


def sent(task: Task) -> Sent:
    """Return what the vendor needs to find a task of ours that it has accepted."""
    return Sent(task.vendor_task_id, task.created_at - SKEW, (task.submitted_at or task.created_at) + SKEW)


def emit_finished(run: Run, task: Task, state: TaskState, *, parts: int = 0, given_up: int = 0) -> None:
    """Emit that a task ended, into how many ``parts`` it was taken, and how many URLs were ``given_up``."""
    run.emit(
        "task_finished",
        task_id=task.id,
        account=task.account,
        action=task.action.value,
        state=state.value,
        urls=task.count,
        parts=parts,
        given_up=given_up,
        seconds=(run.clock() - task.received_at).total_seconds(),
    )


def is_banned(run: Run, vendor: BanVendor, url: str, *, pace: Pace) -> bool:
    """Ask the vendor's list for a URL whose unban was refused; ``True`` if it cannot say that there is no ban."""
    try:
        pages = vendor.banned(url)
        if pages is None:
            return True
        return any(url in urls for urls in run.paced(pages, pace)) or run.time_is_up
    except VendorError as error:
        vendor_refusals.note(run, error)
        return True


def adopt(run: Run, vendor: BanVendor, task: Task, urls: Sequence[str], *, pace: Pace) -> str:
    """Look for the vendor task that carries exactly these URLs, and record it as ``task``'s.

    Returns the vendor's id, or an empty text if the vendor shows none that is free: one that is recorded for another
    of our tasks is not. The look-up may have stopped at the deadline, so an empty text proves nothing if ``run`` is
    out of time.
    """
    now = run.clock()
    steps = vendor.find_task(task.action, urls, task.created_at - SKEW, now + SKEW)
    matches = [vendor_task_id for vendor_task_id in run.paced(steps, pace) if vendor_task_id]
    recorded = tasks.known_vendor_tasks(run.rows, task.account, matches)
    for vendor_task_id in matches:
        if vendor_task_id not in recorded and tasks.record_processing(run.rows, task, vendor_task_id, now=now):
            return vendor_task_id
    return ""
