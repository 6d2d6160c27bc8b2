"""Follow the tasks that a vendor works on to their end: ``succeeded`` or ``failed``. Runs every minute.

Where the vendor names the URLs of a task that failed, those alone go on (``named_failures``). Elsewhere a task has one
state and no detail of a URL. A failed task is repeated once as a whole, since most failures pass; then it is halved, so
that one URL that the vendor cannot ban does not keep the others unbanned. A URL that comes to stand alone is repeated
once, too. All parts of one task together get ``RETRY_CALLS`` calls; then their URLs end as ``failed``. The submitter
makes the repeated calls: ``track`` records the new tasks and wakes it.

A tracker that dies loses nothing: each task ends in one transaction, and what has not ended is followed by the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import Action, TaskState, UrlState, VendorTask
from chalicelib.domain.pacing import Pace
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.splitting import give_up, split, urls_of
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.named_failures import end_with_named
from chalicelib.pipeline.submission.vendor_tasks import TRACK_SHARE, is_banned, sent
from chalicelib.pipeline.waking import wake_submitter
from chalicelib.ports import BanVendor

RETRY_CALLS = 100
"""Calls that repeat the parts of one failed task: enough to isolate four URLs among 1,000."""

RETRY_AFTER = timedelta(seconds=30)
"""How long after its failure a task is repeated."""

FAILED = "the vendor reports the task as failed"

OVERDUE_AFTER = timedelta(hours=2)
"""How long a vendor may work on a task before a person is told."""

LOST_AFTER = timedelta(hours=1)
"""A task that the vendor accepted, and has not shown for so long, counts as failed."""


@dataclass(slots=True)
class Tracked:
    """What a run came to, in tasks. ``why`` it ended: ``done``, ``blocked``, or the kind of the vendor's error."""

    succeeded: int = 0
    failed: int = 0
    open: int = 0
    why: str = "done"


def track_tasks(run: Run, vendor: BanVendor) -> Tracked:
    """Move every finished task of the run's account to its end."""
    tracked = Tracked()
    if vendor_refusals.blocked(run, "tracking"):
        tracked.why = "blocked"
        return tracked
    live = tasks.live(run.rows, run.account)
    open_tasks = {task.vendor_task_id: task for task in live if task.state is TaskState.PROCESSING}
    repeats = False
    try:
        for task, problem, named in _finished(run, vendor, open_tasks):
            if named and (repeated := _fail_named(run, task, named)) is not None:
                repeats |= repeated
                tracked.failed += 1
            elif problem and not _nothing_to_lift(run, vendor, task):
                repeats |= _fail(run, task, problem)
                tracked.failed += 1
            else:
                _succeed(run, task)
                tracked.succeeded += 1
    except VendorError as error:  # the next minute asks again
        tracked.why = error.kind
        vendor_refusals.note(run, error)
    if repeats:
        wake_submitter(run, run.account)
    tracked.open = len(open_tasks)
    _tell_overdue(run, open_tasks.values())
    run.emit(
        "tasks_tracked",
        account=run.account,
        succeeded=tracked.succeeded,
        failed=tracked.failed,
        open=tracked.open,
        why=tracked.why,
    )
    return tracked


def _finished(run: Run, vendor: BanVendor, open_tasks: dict[str, Task]) -> Iterator[tuple[Task, str, tuple[str, ...]]]:
    """Yield the tasks that have ended, and take them out of ``open_tasks``.

    Beside a task that failed stand the problem and the URLs that the vendor names, beside one that succeeded nothing.
    """
    pace = run.pace(vendor.limits.lists_per_second * TRACK_SHARE)
    begun_at = run.clock()
    for page in run.paced(vendor.follow([sent(task) for task in open_tasks.values()]), pace):
        for theirs in page:
            if theirs.id in open_tasks and theirs.state is None:
                run.emit("vendor_word_unknown", account=run.account, task_id=open_tasks[theirs.id].id)
            if theirs.id in open_tasks and theirs.state in {TaskState.SUCCEEDED, TaskState.FAILED}:
                failed = theirs.state is TaskState.FAILED
                task = _begun(open_tasks.pop(theirs.id), theirs)
                yield task, FAILED if failed else "", theirs.failed if failed else ()
        if not open_tasks:
            return
    if run.time_is_up:  # not all was seen: what is open may be further on
        return
    for task in list(open_tasks.values()):
        overdue = task.submitted_at is not None and begun_at - task.submitted_at > LOST_AFTER
        if overdue and not _shown(run, vendor, task, pace):
            del open_tasks[task.vendor_task_id]
            yield task, "the vendor's list does not show the task any more", ()


def _tell_overdue(run: Run, open_tasks: Iterable[Task]) -> None:
    """Tell of the tasks that the vendor shows, and neither finishes nor fails."""
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


def _begun(task: Task, theirs: VendorTask) -> Task:
    """Return the task as submitted when the vendor made it: the days of its bans count from then.

    A task whose answer was lost may have been found days later. A time in which the vendor cannot have made the task is
    not believed.
    """
    span = sent(task)
    return replace(task, submitted_at=theirs.created_at) if span.since <= theirs.created_at <= span.until else task


def _shown(run: Run, vendor: BanVendor, task: Task, pace: Pace) -> bool:
    """Ask for one task once more before it counts as lost: a list that moves while it is read may skip one.

    ``True`` as well if the time is up before all was seen.
    """
    pages = run.paced(vendor.follow([sent(task)]), pace)
    return any(theirs.id == task.vendor_task_id for page in pages for theirs in page) or run.time_is_up


def _nothing_to_lift(run: Run, vendor: BanVendor, task: Task) -> bool:
    """Whether a failed task is an unban of one URL that the vendor's list does not show: somebody else lifted it."""
    if task.action is not Action.UNBAN or task.count > 1:
        return False
    (url,) = urls_of(task, chunks.read(run.rows, [part.chunk for part in task.slices]))
    return not is_banned(run, vendor, url, pace=run.pace(vendor.limits.lists_per_second * TRACK_SHARE))


def _succeed(run: Run, task: Task) -> None:
    now = run.clock()
    if tasks.finish(run.rows, task, TaskState.SUCCEEDED, now=now):
        run.emit(
            "task_finished",
            task_id=task.id,
            account=task.account,
            action=task.action.value,
            state="succeeded",
            urls=task.count,
            seconds=(now - task.received_at).total_seconds(),
        )


def _fail(run: Run, task: Task, reason: str) -> bool:
    """Repeat or halve a failed task within the budget, or end its URLs; return whether something is to be submitted."""
    now = run.clock()
    whole = task.id == task.root or (task.count == 1 and not _repeats_whole(run, task))
    spent = tasks.count_retry(run.rows, task.root, 1 if whole else 2)
    children: list[Task] = []
    given_up = False
    if spent <= RETRY_CALLS and (whole or task.count > 1):
        children = split(run, task, reason=reason, whole=whole, not_before=now + RETRY_AFTER)
    else:
        chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])
        given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=chunks_by_id)
    run.emit(
        "task_finished",
        task_id=task.id,
        account=task.account,
        action=task.action.value,
        state="failed",
        urls=task.count,
        parts=len(children),
        given_up=task.count if given_up else 0,
        seconds=(now - task.received_at).total_seconds(),
    )
    return bool(children)


def _fail_named(run: Run, task: Task, named: tuple[str, ...]) -> bool | None:
    """End a task whose failed URLs the vendor names; return whether some are repeated, or ``None``: no URL is ours."""
    now = run.clock()
    repeated = end_with_named(run, task, named, reason=FAILED, not_before=now + RETRY_AFTER)
    if repeated is None:
        return None
    run.emit(
        "task_finished",
        task_id=task.id,
        account=task.account,
        action=task.action.value,
        state="failed",
        urls=task.count,
        parts=int(repeated > 0),
        given_up=0 if repeated else len(named),
        seconds=(now - task.received_at).total_seconds(),
    )
    return repeated > 0


def _repeats_whole(run: Run, task: Task) -> bool:
    """Return whether the task already repeats the whole of its parent."""
    parent = tasks.read(run.rows, [task.parent]).get(task.parent)
    return parent is not None and parent.count == task.count
