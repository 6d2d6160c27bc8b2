"""Go through the chunks that are due at an account, oldest first: for renewals and for ends."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.ledger import due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.due_chunks import Purpose
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

READ_AT_ONCE = 50


def work_through(run: Run, purpose: Purpose, work: Callable[[Run, Chunk], int]) -> int:
    """Do the work for each chunk that is due, until the deadline; return how many URLs it was done for.

    Crash order: the work, then the row by which the chunk was found is dropped. A crash in between does the work again.
    """
    urls = 0
    while not run.time_is_up:
        due = due_chunks.due(run.rows, purpose, run.account, now=run.clock(), limit=READ_AT_ONCE)
        if not due:
            break
        for due_chunk in due:
            if due_chunk.chunk:
                urls += work(run, due_chunk.chunk)
            due_chunks.drop(run.rows, due_chunk)
    if urls:
        wake_submitter(run, run.account)
    return urls
