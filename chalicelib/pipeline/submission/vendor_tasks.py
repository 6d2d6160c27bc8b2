"""Find our tasks in the vendor's own lists: what was sent and when, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import Sent, TaskState, VendorTask
from chalicelib.domain.pacing import Pace
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.run import Run
from chalicelib.ports import BanVendor

LIST_LAG = timedelta(seconds=60)
"""For this long after an attempt, the vendor's list may not show its task yet."""

SKEW = timedelta(minutes=5)
"""How much the vendor's clock usually differs from ours, at most."""

LARGEST_SKEW = timedelta(minutes=20)
"""The same for a task that is not shown ``SHOWN_BY`` after its submission: vendors take signatures that are 15 minutes
off. The longer span costs more pages."""

SHOWN_BY = timedelta(minutes=5)

LOOK_UP_SHARE = 1 / 3
"""The submitter's share of the vendor's list rate."""

TRACK_SHARE = 3 / 10
"""A tracker's share of the vendor's list rate. One tracker follows young tasks, and one follows all tasks each minute.
The submitter and both trackers may run at once, and together stay below the vendor's rate."""


def sent(task: Task, *, now: datetime) -> Sent:
    """Return what the vendor needs to find a task of ours that it has accepted."""
    submitted_at = task.submitted_at or task.created_at
    skew = SKEW if now - submitted_at < SHOWN_BY else LARGEST_SKEW
    return Sent(task.vendor_task_id, task.created_at - skew, submitted_at + skew)


def emit_submitted(run: Run, task: Task) -> None:
    """Emit that the vendor took a task, and how long its oldest report had waited."""
    run.emit(
        "task_submitted",
        task_id=task.id,
        account=run.account,
        action=task.action.value,
        urls=task.count,
        seconds=(run.clock() - task.received_at).total_seconds(),
    )


def emit_finished(run: Run, task: Task, state: TaskState, *, parts: int = 0, given_up: int = 0) -> None:
    """Emit that a task ended, into how many ``parts`` it was split, and how many URLs were ``given_up``."""
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
    """Ask the vendor's list for a URL whose unban was refused; ``False`` only if the list says that there is no ban."""
    try:
        pages = vendor.banned(url)
        if pages is None:
            return True
        return any(url in urls for urls in run.paced(pages, pace)) or run.time_is_up
    except VendorError as error:
        vendor_refusals.note(run, error)
        return True


def begun_at_the_vendor(task: Task, theirs: VendorTask) -> Task:
    """Return the task with the time at which the vendor made it: the days of its bans count from then.

    A task whose answer was lost may be found days later. A time at which the vendor cannot have made the task is
    ignored.
    """
    earliest, latest = task.created_at - LARGEST_SKEW, (task.submitted_at or task.created_at) + LARGEST_SKEW
    return replace(task, submitted_at=theirs.created_at) if earliest <= theirs.created_at <= latest else task


def is_shown(run: Run, vendor: BanVendor, task: Task, pace: Pace) -> bool:
    """Ask for one task once more before it counts as lost: a list that changes while it is read may skip a task.

    Return ``True`` also if the time is up before the whole list was read.
    """
    pages = run.paced(vendor.follow([sent(task, now=run.clock())]), pace)
    return any(theirs.id == task.vendor_task_id for page in pages for theirs in page) or run.time_is_up


OVERDUE_AFTER = timedelta(hours=2)
"""How long a vendor may work on a task before a person is told."""


def tell_overdue(run: Run, open_tasks: Iterable[Task]) -> None:
    """Tell of tasks that the vendor shows and neither finishes nor fails for too long."""
    now = run.clock()
    for task in open_tasks:
        if task.submitted_at and now - task.submitted_at > OVERDUE_AFTER:
            run.emit(
                "task_overdue",
                account=run.account,
                task_id=task.id,
                vendor_task_id=task.vendor_task_id,
                action=task.action.value,
                urls=task.count,
                hours=round((now - task.submitted_at) / timedelta(hours=1), 1),
            )
