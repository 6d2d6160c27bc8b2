"""Take the URLs of an unban out of recorded bans that certainly were not sent: it need not wait for these (I11).

An unban waits for a ban that may have been sent. Such a ban is looked up even while it may not be called, so that the
wait ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from chalicelib.domain.model import Action
from chalicelib.domain.packing import Slice, Work
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import splitting
from chalicelib.pipeline.run import Run


def taken_out(
    run: Run, unban: Work, recorded: Iterable[Task], chunks_of: Callable[[Sequence[Slice]], Mapping[str, Chunk]]
) -> Iterator[tuple[Task, Sequence[Task]]]:
    """Take the URLs of an unban out of recorded bans that were not sent; yield each such ban and its remaining URLs."""
    unsent = [
        task
        for task in recorded
        if task.action is Action.BAN and not task.attempted_at
        if any(part.chunk in unban.after for part in task.slices)
    ]
    if not unsent:
        return
    chunk = chunks_of([Slice(unban.chunk, unban.next, unban.count)])[unban.chunk]
    keys = {key for position, key in enumerate(chunk.keys) if position not in unban.excluded}
    for task in unsent:
        chunks_by_id = chunks_of(task.slices)
        if not keys.isdisjoint(chunks_by_id[part.chunk].keys[at] for part in task.slices for at in part.positions()):
            yield task, splitting.take_out(run, task, keys, chunks_by_id)
