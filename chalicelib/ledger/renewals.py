"""Which chunks are to be renewed when: one row per chunk whose bans are planned to outlive what the vendor grants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import stamp, text
from chalicelib.ports import Delete, Key, Put, Rows


@dataclass(frozen=True, slots=True)
class Renewal:
    """A chunk that is due. ``chunk`` is ``None`` where its rows have expired."""

    key: Key
    chunk: Chunk | None


def due(rows: Rows, account: str, *, now: datetime, limit: int) -> list[Renewal]:
    """Read what is due at an account, the oldest first."""
    found = rows.query(f"renewals#{account}", limit=limit)
    found = [row for row in found if text(row, "sk") <= stamp(now)]
    chunks_by_id = chunks.read(rows, [text(row, "chunk") for row in found])
    return [Renewal((text(row, "pk"), text(row, "sk")), chunks_by_id.get(text(row, "chunk"))) for row in found]


def plan(rows: Rows, chunk: Chunk, *, at: datetime) -> None:
    """Have a chunk renewed at another time. The row by which it was found is dropped by whoever found it."""
    rows.apply(Put(chunks.renewal(chunk, at)))


def drop(rows: Rows, renewal: Renewal) -> None:
    """Take a chunk off the list once it is renewed, postponed or gone."""
    rows.apply(Delete(renewal.key))
