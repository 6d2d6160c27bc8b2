"""Split, repeat or give up a task that the vendor reports as failed.

If the vendor names the URLs that failed, only these go on (``named_failures``). Otherwise a task has one state, which
says nothing about single URLs. A failed task is split into many parts at once: if the vendor cannot ban one URL, the
others stay unbanned for two more rounds and no longer. If many parts fail together, their URLs are hardly the cause,
and most such failures pass: parts that fail from then on are repeated whole, later. A part of one URL is repeated
later, too. All parts of one task together get ``RETRY_CALLS`` calls. Then their URLs end as ``failed``, and
``lifecycle.retrying`` sends them again later.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.domain.packing import Slice, divide
from chalicelib.ledger import chunks, task_repeats, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import give_up, split, urls_of, urls_sent
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.named_failures import end_with_named
from chalicelib.pipeline.submission.vendor_tasks import TRACK_SHARE, emit_finished, is_banned
from chalicelib.ports import BanVendor

RETRY_CALLS = 300
"""Calls that repeat the parts of one failed task: enough to isolate eight URLs among 1,000."""

HALVINGS = 5
"""A failed task becomes 32 parts: a URL among 1,000 stands alone after two rounds of the vendor's work."""

MANY_PARTS = 4
"""If so many parts of one task fail, the vendor itself counts as the cause."""

PASSES_AFTER = timedelta(minutes=5)
"""How long after such a failure of the vendor the other parts are repeated."""

RETRY_AFTER = timedelta(seconds=30)
"""How long after its failure a task is repeated."""

FAILED = "the vendor reports the task as failed"


def nothing_to_lift(run: Run, vendor: BanVendor, task: Task) -> bool:
    """Whether a failed task is the unban of one URL that the vendor's list no longer shows: somebody else lifted it."""
    if task.action is not Action.UNBAN or task.count > 1:
        return False
    (url,) = urls_of(task, chunks.read(run.rows, [part.chunk for part in task.slices]))
    return not is_banned(run, vendor, url, pace=run.pace(vendor.limits.lists_per_second * TRACK_SHARE))


def fail(run: Run, task: Task, reason: str) -> bool:
    """Repeat or split a failed task within its budget, or end its URLs; return whether there are tasks to send."""
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
    given_up: int | None = None
    if parts and task_repeats.count_retry(run.rows, task.root, len(parts)) <= RETRY_CALLS:
        children = split(run, task, reason=reason, parts=parts, not_before=not_before)
    else:
        chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])
        given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=chunks_by_id)
    emit_finished(run, task, TaskState.FAILED, parts=len(children), given_up=given_up or 0)
    return bool(children)


def fail_named(run: Run, task: Task, named: tuple[str, ...]) -> bool | None:
    """End a task whose failed URLs the vendor names; return whether some are repeated; ``None`` if none is ours."""
    now = run.clock()
    ended = end_with_named(run, task, named, reason=FAILED, not_before=now + RETRY_AFTER)
    if ended is None:
        return None
    emit_finished(run, task, TaskState.FAILED, parts=int(ended.repeated > 0), given_up=ended.given_up)
    return ended.repeated > 0


def named_at_once(run: Run, task: Task) -> tuple[str, ...]:
    """Return the URLs that the vendor's answer to the call named as failed."""
    if not task.failed_at:
        return ()
    urls = urls_sent(task, chunks.read(run.rows, [part.chunk for part in task.slices]))
    return tuple(urls[position] for position in task.failed_at)


def _parent(run: Run, task: Task) -> Task | None:
    return tasks.read(run.rows, [task.parent]).get(task.parent) if task.parent else None


def _many_failed(run: Run, parent: Task | None, failed: Task) -> bool:
    """Whether many parts of a task have failed, ``failed`` among them: then their URLs are hardly the cause."""
    if parent is None or len(parent.children) < MANY_PARTS:
        return False
    siblings = tasks.read(run.rows, parent.children).values()
    return sum(sibling.state is TaskState.FAILED or sibling.id == failed.id for sibling in siblings) >= MANY_PARTS
