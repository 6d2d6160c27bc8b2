"""Every decision about one URL, back through the chunks that banned and unbanned it (I7). Reads only."""

from __future__ import annotations

from typing import Any

from chalicelib.ledger import carriers, chunks
from chalicelib.pipeline.answers.url_status import UrlStatus
from chalicelib.ports import Rows

MOST = 50
"""Decisions that are told at the most."""


def of_status(status: UrlStatus, *, rows: Rows) -> list[dict[str, Any]]:
    """Tell every decision about a URL at an account, newest first, as far back as its chunks are kept.

    Each chunk remembers which chunks banned and unbanned its URLs before, so the past costs no write of its own.
    """
    told: list[dict[str, Any]] = []
    wanted = [(status.unban, status.key), (status.chunk, status.key)]
    seen: set[str] = set()
    while wanted and len(told) < MOST:
        chunk_id, key = wanted.pop(0)
        chunk = chunks.read(rows, [chunk_id]).get(chunk_id) if chunk_id and chunk_id not in seen else None
        seen.add(chunk_id)
        if chunk is None or key not in chunk.keys:
            continue
        position = chunk.keys.index(key)
        origin = chunk.origins[position]
        told.append(
            {
                "at": chunk.created_at.isoformat(),
                "action": chunk.action.value,
                "rule": chunk.rule or "default",
                "actor": chunk.actor or None,
                "reason": chunk.reason or None,
                "report_id": origin.report or None,
                "source": origin.source,
                "reporter": origin.reporter,
                "category": origin.category,
                "chunk_id": chunk.id,
                "tasks": [task.id for task in carriers.of_chunk(rows, chunk.id, [position])],
            }
        )
        wanted += [(name, key) for at, ban, unban in chunk.before if at == position for name in (unban, ban)]
    return told
