"""End a task whose failed URLs the vendor names: the other URLs are done, and only the named ones go on.

The named URLs are repeated once, since most failures pass. A URL that is named again ends as failed.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from chalicelib.domain.model import TaskState, UrlState
from chalicelib.domain.packing import Slice, sort_out
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import carry_on, give_up
from chalicelib.pipeline.run import Run


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
