"""End a task whose failed URLs the vendor names: the other URLs are done, and only the named ones go on.

The named URLs are repeated once, since most failures pass. A URL that is named again ends as failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from chalicelib.domain.model import TaskState, UrlState, VendorTask
from chalicelib.domain.packing import Slice, sort_out
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import carry_on, give_up, urls_sent
from chalicelib.pipeline.run import Run

SHOWN_WITHIN = timedelta(minutes=10)
"""How long after a task's submission the list may show only some of its URLs. Then the others count as failed."""


def with_urls_not_shown(run: Run, page: Iterable[VendorTask], open_tasks: Mapping[str, Task]) -> Iterator[VendorTask]:
    """Yield the tasks of a page. If one has ended and the list lacks URLs of it, it has not ended yet, or these failed.

    Only a list that tells states URL by URL may show a part of a task. ``open_tasks`` are ours, by the vendor's id.
    """
    for theirs in page:
        task = open_tasks.get(theirs.id)
        if task is None or not theirs.by_url or not theirs.state or len(theirs.urls) >= task.count:
            yield theirs
            continue
        urls = urls_sent(task, chunks.read(run.rows, [part.chunk for part in task.slices]))
        missing = [url for url in urls if url not in theirs.urls] if set(theirs.urls) <= set(urls) else []
        may_come = task.submitted_at is not None and run.clock() - task.submitted_at < SHOWN_WITHIN
        if missing and may_come:
            yield replace(theirs, state=TaskState.PROCESSING)
        elif missing and theirs.state.ended:
            yield replace(theirs, state=TaskState.FAILED, failed=(*theirs.failed, *missing))
        else:
            yield theirs


class Ended(NamedTuple):
    """How many of the URLs that the vendor named are repeated, and how many are given up for good."""

    repeated: int = 0
    given_up: int = 0


def end_with_named(run: Run, task: Task, named: Collection[str], *, reason: str, not_before: datetime) -> Ended | None:
    """End a task whose failed URLs the vendor names.

    Return ``None`` if none of the names is a URL of this task: then nothing is known and nothing was done. One
    transaction ends the task and begins the repetition. If its URLs are given up, a crash before the task's end repeats
    that step.
    """
    chunks_by_id = chunks.read(run.rows, [part.chunk for part in task.slices])

    def failed(chunk: str, position: int) -> bool:
        return chunks_by_id[chunk].urls[position] in named

    groups: dict[bool, tuple[Slice, ...]] = sort_out(task.slices, failed)
    if True not in groups:
        return None
    if _is_repetition(run, task):
        given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=chunks_by_id, only=groups[True])
        return Ended(given_up=given_up or 0)
    repeated = carry_on(run, task, groups[True], reason=reason, not_before=not_before, chunks_by_id=chunks_by_id)
    return Ended(repeated)


def _is_repetition(run: Run, task: Task) -> bool:
    """Return whether the task repeats all URLs that its parent failed."""
    parent = tasks.read(run.rows, [task.parent]).get(task.parent) if task.parent else None
    return parent is not None and (parent.state is TaskState.SUCCEEDED or parent.count == task.count)
