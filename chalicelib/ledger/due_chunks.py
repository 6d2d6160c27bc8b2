"""Which chunks are looked at again when: one row a chunk and moment, for renewals and for ends.

A chunk is renewed whose bans are planned to outlive what the vendor grants. Ends are at vendors whose bans never end:
edgeban lifts them itself; so are ends that a person moved to an earlier time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chalicelib.ledger import KEEP_DECISIONS, chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.ports import Delete, Key, Put, Row, Rows

Purpose = Literal["renewals", "ends"]


@dataclass(frozen=True, slots=True)
class DueChunk:
    """A chunk that is due. ``chunk`` is ``None`` where its rows have expired."""

    key: Key
    chunk: Chunk | None


def plan_renewal(rows: Rows, chunk: Chunk, *, at: datetime) -> None:
    """Have a chunk renewed at a moment. The row by which it was found is dropped by whoever found it."""
    rows.apply(Put(chunks.renewal(chunk, at)))


def plan_end(rows: Rows, account: str, chunk: str, *, at: datetime) -> None:
    """Have the bans of a chunk ended at a moment. Planning the same moment twice changes nothing."""
    row: Row = {
        "pk": f"ends#{account}",
        "sk": f"{stamp(at)}#{chunk}",
        "chunk": chunk,
        "expires_at": epoch(at + KEEP_DECISIONS),
    }
    rows.apply(Put(row))


def due(rows: Rows, purpose: Purpose, account: str, *, now: datetime, limit: int) -> list[DueChunk]:
    """Read what is due at an account, the oldest first."""
    found = rows.query(f"{purpose}#{account}", limit=limit)
    found = [row for row in found if text(row, "sk") <= stamp(now)]
    chunks_by_id = chunks.read(rows, [text(row, "chunk") for row in found]) if found else {}
    return [DueChunk((text(row, "pk"), text(row, "sk")), chunks_by_id.get(text(row, "chunk"))) for row in found]


def drop(rows: Rows, due_chunk: DueChunk) -> None:
    """Take a chunk off the list once it is renewed or ended, planned anew, or gone."""
    rows.apply(Delete(due_chunk.key))
