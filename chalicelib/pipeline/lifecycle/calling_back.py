"""Have sources called back as soon as URLs of their reports have come to an end.

A function that ends a task names the reports of its URLs in a queue, after the end is on record. The function that
reads the queue checks whether all URLs of each report have ended (``pipeline.answers.outcomes``). A report may not be
named, because of a crash or because its URL is in another report's chunk. It is checked when the row that its intake
wrote is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chalicelib.ledger import chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.run import Run


def call_back_of_task(run: Run, task: Task, chunks_by_id: Mapping[str, Chunk] | None = None) -> None:
    """Have the sources called back that reported the URLs of a task which has ended."""
    found = chunks_by_id or chunks.read(run.rows, [part.chunk for part in task.slices])
    urls = [
        (found[part.chunk], position) for part in task.slices if part.chunk in found for position in part.positions()
    ]
    _call_back(run, urls, mark=task.id)


def call_back_of_chunk(run: Run, chunk: Chunk, positions: Iterable[int]) -> None:
    """Have the sources called back that reported these URLs of a chunk, which have ended without a task."""
    _call_back(run, [(chunk, position) for position in positions], mark=chunk.id)


def _call_back(run: Run, urls: Iterable[tuple[Chunk, int]], *, mark: str) -> None:
    reports_by_source: dict[str, dict[str, None]] = {}
    for chunk, position in urls:
        origin = chunk.origins[position]
        if origin.source in chunk.call_back:
            reports_by_source.setdefault(origin.source, {})[origin.report] = None
    for source, reports in reports_by_source.items():
        run.call_back(source, list(reports), mark=mark)
