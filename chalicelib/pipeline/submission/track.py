"""Follow the tasks that a vendor works on to their end: ``succeeded`` or ``failed``.

``track_tasks`` follows all tasks, every minute. ``track_young`` follows those of the last minutes, within seconds: a
drain that has submitted something wakes it, and it comes again as long as there are any (``Tracked.again_after``).

Where the vendor names the URLs of a task that failed, those alone go on (``named_failures``). Elsewhere a task has one
state and no detail of a URL. A failed task is taken apart into many parts at once, so that one URL that the vendor
cannot ban keeps the others unbanned for two more rounds and no longer. Where many parts fail together it is hardly
about their URLs, and most such failures pass: those that fail from then on are repeated whole, later. So is a URL that
comes to stand alone. All parts of one task together get ``RETRY_CALLS`` calls; then their URLs end as ``failed``. The
submitter makes the repeated calls: ``track`` records the new tasks and wakes it.

A tracker that dies loses nothing: each task ends in one transaction, and what has not ended is followed by the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.errors import VendorError
from chalicelib.domain.model import Action, TaskState, UrlState, VendorTask
from chalicelib.domain.pacing import Pace
from chalicelib.domain.packing import Slice, divide
from chalicelib.ledger import chunks, remaining, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.splitting import give_up, split, urls_of
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.named_failures import end_with_named
from chalicelib.pipeline.submission.vendor_tasks import TRACK_SHARE, emit_finished, is_banned, sent
from chalicelib.pipeline.waking import wake_submitter
from chalicelib.ports import BanVendor

RETRY_CALLS = 300
"""Calls that repeat the parts of one failed task: enough to isolate eight URLs among 1,000."""

HALVINGS = 5
"""A failed task becomes 32 parts: a URL among 1,000 stands alone after two rounds of the vendor's work."""

MANY_PARTS = 4
"""Failed parts of one task from which on the failure counts as one of the vendor's."""

PASSES_AFTER = timedelta(minutes=5)
"""How long after such a failure the other parts are repeated."""

RETRY_AFTER = timedelta(seconds=30)
"""How long after its failure a task is repeated."""

FAILED = "the vendor reports the task as failed"

OVERDUE_AFTER = timedelta(hours=2)
"""How long a vendor may work on a task before a person is told."""

YOUNG = timedelta(minutes=3)
"""Age up to which tasks are followed within seconds. The minute's run follows the older ones."""

SHOWN_AFTER = timedelta(seconds=2)
"""How long after its submission a task is looked for at the earliest."""

SOONEST, LATEST = 2, 10
"""Seconds until young tasks are looked at again: an eighth of the youngest one's age, within these bounds."""

LOST_AFTER = timedelta(hours=1)
"""A task that the vendor accepted, and has not shown for so long, counts as failed."""


OLDEST = 50
"""Waiting chunks that are looked at for one that waits for a task's end."""


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
    now = run.clock()
    young = [task for task in _processing(run) if task.submitted_at and now - task.submitted_at < YOUNG]
    shown = [task for task in young if task.submitted_at and now - task.submitted_at >= SHOWN_AFTER]
    tracked = _track(run, vendor, shown) if shown else Tracked()
    if tracked.why == "blocked" or len(young) == tracked.succeeded + tracked.failed:
        return tracked
    youngest = min((now - task.submitted_at).total_seconds() for task in young if task.submitted_at)
    tracked.again_after = min(max(int(youngest / 8), SOONEST), LATEST)
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
    if repeats or (tracked.succeeded + tracked.failed and _turn_has_come(run)):
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


def _turn_has_come(run: Run) -> bool:
    """Whether something waits that may have waited for a task to end. More than the oldest is the sweep's to find."""
    oldest = remaining.of_account(run.rows, run.account, limit=OLDEST)
    return any(work.after for work in (*oldest, *remaining.unbans(run.rows, run.account, now=None)))


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
                task = _begun(open_tasks.pop(theirs.id), theirs)
                if theirs.state is TaskState.FAILED:
                    yield task, FAILED, theirs.failed or _named_at_once(run, task)
                else:
                    yield task, "", ()
        if not open_tasks:
            return
    if run.time_is_up:  # not all was seen: what is open may be further on
        return
    for task in list(open_tasks.values()):
        overdue = task.submitted_at is not None and begun_at - task.submitted_at > LOST_AFTER
        if overdue and not _shown(run, vendor, task, pace):
            del open_tasks[task.vendor_task_id]
            yield task, "the vendor's list does not show the task any more", ()


def _named_at_once(run: Run, task: Task) -> tuple[str, ...]:
    """Return the URLs that failed by the vendor's answer to the call; empty if it named none."""
    if not task.failed_at:
        return ()
    urls = urls_of(task, chunks.read(run.rows, [part.chunk for part in task.slices]))
    return tuple(urls[position] for position in task.failed_at)


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
        emit_finished(run, task, TaskState.SUCCEEDED)


def _fail(run: Run, task: Task, reason: str) -> bool:
    """Repeat a failed task or take it apart within the budget, or end its URLs; return whether parts are to be sent."""
    now = run.clock()
    parent = _parent(run, task)
    alone, lost = task.count == 1, reason != FAILED
    vendors_fault = _many_failed(run, parent, task) or (
        parent is not None and _many_failed(run, _parent(run, parent), parent)
    )
    repeated = parent is not None and parent.count == task.count
    parts: list[tuple[Slice, ...]] = []
    not_before = None
    if (alone or lost or vendors_fault) and not repeated:
        parts, not_before = [task.slices], now + (PASSES_AFTER if vendors_fault else RETRY_AFTER)
    elif not alone:
        parts = divide(task.slices, halvings=HALVINGS)
    children: list[Task] = []
    given_up = False
    if parts and tasks.count_retry(run.rows, task.root, len(parts)) <= RETRY_CALLS:
        children = split(run, task, reason=reason, parts=parts, not_before=not_before)
    else:
        chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])
        given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=chunks_by_id)
    emit_finished(run, task, TaskState.FAILED, parts=len(children), given_up=task.count if given_up else 0)
    return bool(children)


def _fail_named(run: Run, task: Task, named: tuple[str, ...]) -> bool | None:
    """End a task whose failed URLs the vendor names; return whether some are repeated, or ``None``: no URL is ours."""
    now = run.clock()
    repeated = end_with_named(run, task, named, reason=FAILED, not_before=now + RETRY_AFTER)
    if repeated is None:
        return None
    emit_finished(run, task, TaskState.FAILED, parts=int(repeated > 0), given_up=0 if repeated else len(named))
    return repeated > 0


def _parent(run: Run, task: Task) -> Task | None:
    return tasks.read(run.rows, [task.parent]).get(task.parent) if task.parent else None


def _many_failed(run: Run, parent: Task | None, failed: Task) -> bool:
    """Whether many parts of a task have failed, ``failed`` among them: then it is hardly about the URLs of each."""
    if parent is None or len(parent.children) < MANY_PARTS:
        return False
    siblings = tasks.read(run.rows, parent.children).values()
    return sum(sibling.state is TaskState.FAILED or sibling.id == failed.id for sibling in siblings) >= MANY_PARTS
