"""Follow the tasks that a vendor works on to their end, in the vendor's own list.

The vendor gives one status a task and no detail of a URL. A failed task is repeated once as a whole, since most
failures pass; then it is split, so that one URL that the vendor cannot ban does not keep the others unbanned. A URL
that comes to stand alone is repeated once, too. The parts of one task together get ``RETRY_CALLS`` calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.errors import AccessRefused, VendorError
from chalicelib.domain.model import TaskState, UrlState, VendorTask
from chalicelib.domain.pacing import Pace
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import chunks, control, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import give_up, split
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.vendor_tasks import SKEW
from chalicelib.ports import BanVendor, Emit, Rows, Wake

QUERY_RATE = 18.0
"""Task list queries a second: with the submitter's look-ups (10) below the vendor's 30 (VENDORS, Huawei 1e)."""

RETRY_CALLS = 100
"""Calls that repeat the parts of one failed task: enough to isolate four URLs among 1,000."""

RETRY_AFTER = timedelta(seconds=30)
LOST_AFTER = timedelta(hours=1)
"""A task that the vendor accepted and whose list has not shown for so long counts as failed."""


@dataclass(slots=True)
class Tracked:
    """What a run came to, in tasks."""

    succeeded: int = 0
    failed: int = 0
    open: int = 0
    why: str = "done"


def track_tasks(
    account: str,
    *,
    vendor: BanVendor,
    rows: Rows,
    wake: Wake,
    emit: Emit,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    deadline: datetime,
) -> Tracked:
    """Move every finished task of a vendor account to its end."""
    run = Run(
        rows=rows,
        emit=emit,
        wake=wake,
        clock=clock,
        read_policy=_no_policy,
        sleep=sleep,
        deadline=deadline,
        account=account,
    )
    tracked = Tracked()
    if _blocked(account, rows, emit, now=clock()):
        tracked.why = "blocked"
        return tracked
    processing = [task for task in tasks.live(rows, account) if task.state is TaskState.PROCESSING]
    open_tasks = {task.vendor_task_id: task for task in processing}
    pace = Pace(QUERY_RATE, clock=clock, sleep=sleep)
    read_at = clock()
    retried = False
    try:
        for theirs in _their_tasks(processing, vendor, pace, deadline=deadline, clock=clock):
            task = open_tasks.get(theirs.id)
            if task is None or theirs.state not in {TaskState.SUCCEEDED, TaskState.FAILED}:
                continue
            del open_tasks[theirs.id]
            if theirs.state is TaskState.SUCCEEDED:
                _succeed(task, rows, emit, now=clock())
                tracked.succeeded += 1
            else:
                retried |= _fail(run, task, "the vendor reports the task as failed")
                tracked.failed += 1
            if not open_tasks:
                break
        else:
            seen_whole = clock() < deadline
            for task in open_tasks.values() if seen_whole else ():
                if task.submitted_at and read_at - task.submitted_at > LOST_AFTER and not _listed(task, vendor, pace):
                    retried |= _fail(run, task, "the vendor's list does not show the task any more")
                    tracked.failed += 1
    except VendorError as error:  # the next minute asks again
        tracked.why = error.kind
        _note(error, account, rows, emit, now=clock())
    if retried:
        wake(account, now=clock())
    tracked.open = len(open_tasks)
    emit(
        "tasks_tracked",
        account=account,
        succeeded=tracked.succeeded,
        failed=tracked.failed,
        open=tracked.open,
        why=tracked.why,
    )
    return tracked


def _blocked(account: str, rows: Rows, emit: Emit, *, now: datetime) -> bool:
    """Whether the vendor refused access a moment ago: one call more would only make it refuse for longer."""
    state = control.read(rows, [account])[account]
    if state.blocked_for != AccessRefused.kind or not state.blocked_until or state.blocked_until <= now:
        return False
    emit("tracking_blocked", account=account, until=state.blocked_until.isoformat(), reason=state.blocked_reason)
    return True


def _note(error: VendorError, account: str, rows: Rows, emit: Emit, *, now: datetime) -> None:
    emit(
        "vendor_error",
        account=account,
        kind=error.kind,
        code=error.code,
        vendor_request_id=error.request_id,
        problem=str(error)[:300],
    )
    if isinstance(error, AccessRefused):
        control.block(rows, account, until=now + control.ACCESS_BLOCK, error=error)


def windows(processing: Iterable[Task], *, longest: timedelta) -> list[tuple[datetime, datetime]]:
    """The spans of time to ask the vendor about: those in which an open task was created there, none too long."""
    spans: list[tuple[datetime, datetime]] = []
    ends = [(task.created_at, (task.submitted_at or task.created_at) + SKEW) for task in processing]
    for start, end in sorted((max(created_at - SKEW, end - longest), end) for created_at, end in ends):
        if spans and max(end, spans[-1][1]) - spans[-1][0] <= longest:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _their_tasks(
    processing: list[Task], vendor: BanVendor, pace: Pace, *, deadline: datetime, clock: Callable[[], datetime]
) -> Iterable[VendorTask]:
    for start, end in windows(processing, longest=vendor.limits.task_window):
        offset, total = 0, 1
        while offset < total and clock() < deadline:
            pace.wait()
            page = vendor.list_tasks(start, end, offset)
            yield from page.tasks
            if not page.tasks:
                break
            offset, total = offset + len(page.tasks), page.total


def _listed(task: Task, vendor: BanVendor, pace: Pace) -> bool:
    """Ask once more, closely around the task's creation, before it counts as lost."""
    at = task.attempted_at or task.created_at
    offset, total = 0, 1
    while offset < total:
        pace.wait()
        page = vendor.list_tasks(at - SKEW, at + SKEW, offset)
        if any(each.id == task.vendor_task_id for each in page.tasks):
            return True
        if not page.tasks:
            break
        offset, total = offset + len(page.tasks), page.total
    return False


def _succeed(task: Task, rows: Rows, emit: Emit, *, now: datetime) -> None:
    if tasks.finish(rows, task, TaskState.SUCCEEDED, now=now):
        emit(
            "task_finished",
            task_id=task.id,
            account=task.account,
            action=task.action.value,
            state="succeeded",
            urls=task.count,
            seconds=(now - task.received_at).total_seconds(),
        )


def _fail(run: Run, task: Task, reason: str) -> bool:
    """Repeat or split a failed task within the budget, or let its URLs end; whether something is to be submitted."""
    rows, now = run.rows, run.clock()
    whole = task.id == task.root or (task.count == 1 and not _repeats(rows, task))
    spent = tasks.count_retry(rows, task.root, 1 if whole else 2)
    children: list[Task] = []
    if spent <= RETRY_CALLS and (whole or task.count > 1):
        children = split(run, task, reason=reason, whole=whole, not_before=now + RETRY_AFTER)
        given_up = False
    else:
        given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=_chunks_of(rows, task))
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


def _repeats(rows: Rows, task: Task) -> bool:
    """Whether the task is another one as a whole, once more."""
    parent = tasks.read(rows, [task.parent]).get(task.parent)
    return parent is not None and parent.count == task.count


def _chunks_of(rows: Rows, task: Task) -> dict[str, Chunk]:
    return chunks.read(rows, [each.chunk for each in task.slices])


def _no_policy() -> Policy:
    raise AssertionError("no policy decides about a task that the vendor has")
