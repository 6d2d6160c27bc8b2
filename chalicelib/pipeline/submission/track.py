"""Follow the tasks that a vendor works on to their end: ``succeeded`` or ``failed``.

``track_tasks`` follows all tasks, every minute. ``track_young`` follows those of the last minutes, within seconds: a
drain that has submitted a task wakes it, and its wake-up comes again while there are young ones (``again_after``).

A failed task is repeated or split (``failed_tasks``): ``track`` records the new tasks and wakes the submitter, which
makes the calls.

A tracker that dies loses nothing: each task ends in one transaction, and the next tracker follows all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import TaskState
from chalicelib.ledger import chunks, control, remaining, tasks, waiting_from, waiting_unbans
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.by_source import attributed
from chalicelib.pipeline.lifecycle.calling_back import call_back_of_task
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.failed_tasks import FAILED, fail, fail_named, named_at_once, nothing_to_lift
from chalicelib.pipeline.submission.named_failures import with_urls_not_shown
from chalicelib.pipeline.submission.vendor_tasks import (
    LIST_LAG,
    TRACK_SHARE,
    begun_at_the_vendor,
    emit_finished,
    is_shown,
    sent,
    tell_overdue,
)
from chalicelib.pipeline.waking import wake_submitter
from chalicelib.ports import BanVendor

YOUNG = timedelta(minutes=3)
"""Age up to which tasks are followed within seconds. The minute's run follows the older ones."""

SHOWN_AFTER = timedelta(seconds=2)
"""A task is not looked for until this long after its submission."""

SOONEST, LATEST = 2, 10
"""Seconds until young tasks are looked at again: an eighth of the youngest one's age, within these bounds."""

LOST_AFTER = timedelta(hours=1)
"""A task that the vendor accepted, and has not shown since then for this long, counts as failed."""

OLDEST = 50
"""How many of the oldest chunks are read to see whether one waits for the end of a task."""


@dataclass(slots=True)
class Tracked:
    """What a run came to, in tasks. ``why`` it ended: ``done``, ``blocked``, or the kind of the vendor's error.

    ``again_after`` is the seconds after which the young tasks are to be looked at again; ``None`` if there are none.
    """

    succeeded: int = 0
    failed: int = 0
    open: int = 0
    why: str = "done"
    again_after: int | None = None


def track_tasks(run: Run, vendor: BanVendor) -> Tracked:
    """Move every finished task of the run's account to its end."""
    return _track(run, vendor, _processing(run))


def track_young(run: Run, vendor: BanVendor) -> Tracked:
    """Move every finished task to its end that was submitted in the last minutes; say when to come again."""
    now, settles = run.clock(), vendor.limits.settles
    aged = [(now - task.submitted_at, task) for task in _processing(run) if task.submitted_at]
    ages = [age for age, _ in aged if age < YOUNG + settles]
    shown = [task for age, task in aged if max(SHOWN_AFTER, settles) <= age < YOUNG + settles]
    tracked = _track(run, vendor, shown) if shown else Tracked()
    if tracked.why == "blocked" or len(ages) == tracked.succeeded + tracked.failed:
        return tracked
    unsettled = min((settles - age for age in ages if age < settles), default=timedelta())
    again_after = math.ceil(unsettled.total_seconds()) or min(int(min(ages).total_seconds() / 8), LATEST)
    tracked.again_after = max(again_after, SOONEST)
    return tracked


def _processing(run: Run) -> list[Task]:
    return [task for task in tasks.live(run.rows, run.account) if task.state is TaskState.PROCESSING]


def _track(run: Run, vendor: BanVendor, processing: Sequence[Task]) -> Tracked:
    tracked = Tracked()
    if vendor_refusals.blocked(run, "tracking"):
        tracked.why = "blocked"
        return tracked
    open_tasks = {task.vendor_task_id: task for task in processing}
    repeats = False
    latest = timedelta()
    try:
        for task, problem, named in _finished(run, vendor, open_tasks):
            latest = max(latest, run.clock() - (task.submitted_at or run.clock()))
            if named and (repeated := fail_named(run, task, named)) is not None:
                repeats |= repeated
                tracked.failed += 1
            elif problem and not nothing_to_lift(run, vendor, task):
                repeats |= fail(run, task, problem)
                tracked.failed += 1
            else:
                _succeed(run, task)
                tracked.succeeded += 1
    except VendorError as error:  # the next minute asks again
        tracked.why = error.kind
        vendor_refusals.note(run, error)
    if latest > LIST_LAG and not vendor.limits.declarative:
        control.record_late_end(run.rows, run.account, latest, now=run.clock())
    if repeats or (tracked.succeeded + tracked.failed and _turn_has_come(run)):
        wake_submitter(run, run.account)
    tracked.open = len(open_tasks)
    tell_overdue(run, open_tasks.values())
    counts = {"succeeded": tracked.succeeded, "failed": tracked.failed, "open": tracked.open}
    run.emit("tasks_tracked", account=run.account, **counts, why=tracked.why)
    return tracked


def _turn_has_come(run: Run) -> bool:
    """Whether a chunk waits that may have waited for a task to end. The sweep finds what the oldest do not show."""
    mark = waiting_from.read(run.rows, run.account)
    oldest = remaining.of_account(run.rows, run.account, limit=OLDEST, after=mark.chunk)
    return any(work.after for work in (*oldest, *waiting_unbans.read(run.rows, run.account, now=None)))


def _finished(run: Run, vendor: BanVendor, open_tasks: dict[str, Task]) -> Iterator[tuple[Task, str, tuple[str, ...]]]:
    """Yield the tasks that have ended, and take them out of ``open_tasks``.

    A failed task comes with the problem and the URLs that the vendor names, a succeeded one with neither.
    """
    pace = run.pace(vendor.limits.lists_per_second * TRACK_SHARE)
    begun_at = run.clock()
    for page in run.paced(vendor.follow([sent(task, now=begun_at) for task in open_tasks.values()]), pace):
        for theirs in with_urls_not_shown(run, page, open_tasks):
            if theirs.id in open_tasks and theirs.state is None:
                run.emit("vendor_word_unknown", account=run.account, task_id=open_tasks[theirs.id].id)
            if theirs.id in open_tasks and theirs.state in {TaskState.SUCCEEDED, TaskState.FAILED}:
                task = begun_at_the_vendor(open_tasks.pop(theirs.id), theirs)
                if theirs.state is TaskState.FAILED:
                    yield task, FAILED, theirs.failed or named_at_once(run, task)
                else:
                    yield task, "", ()
        if not open_tasks:
            return
    if run.time_is_up:  # not all pages were seen: an open task may be on a later one
        return
    for task in list(open_tasks.values()):
        overdue = task.submitted_at is not None and begun_at - task.submitted_at > LOST_AFTER
        if overdue and not is_shown(run, vendor, task, pace):
            del open_tasks[task.vendor_task_id]
            yield task, "the vendor's list does not show the task any more", ()


def _succeed(run: Run, task: Task) -> None:
    chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])
    if tasks.finish(run.rows, attributed(run.rows, task, chunks_by_id), TaskState.SUCCEEDED, now=run.clock()):
        emit_finished(run, task, TaskState.SUCCEEDED)
        call_back_of_task(run, task, chunks_by_id)
