"""When edgeban itself is to end the bans of a chunk: one row a chunk and moment, at vendors whose bans never end.

The submitter writes the row before the task is recorded, since it alone knows the vendor. ``pipeline.lifecycle.ending``
reads what is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger import KEEP_DECISIONS, chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.ports import Delete, Key, Put, Row, Rows


@dataclass(frozen=True, slots=True)
class DueEnd:
    """A chunk some of whose bans are to end. ``chunk`` is ``None`` where its rows have expired."""

    key: Key
    chunk: Chunk | None


def plan(rows: Rows, account: str, chunk: str, *, at: datetime) -> None:
    """Have the bans of a chunk ended at a moment. Planning the same moment twice changes nothing."""
    row: Row = {
        "pk": _pk(account),
        "sk": f"{stamp(at)}#{chunk}",
        "chunk": chunk,
        "expires_at": epoch(at + KEEP_DECISIONS),
    }
    rows.write([Put(row)])


def due(rows: Rows, account: str, *, now: datetime, limit: int) -> list[DueEnd]:
    """Read what is due at an account, the oldest first."""
    found = rows.query(_pk(account), limit=limit)
    found = [row for row in found if text(row, "sk") <= stamp(now)]
    chunks_by_id = chunks.read(rows, [text(row, "chunk") for row in found]) if found else {}
    return [DueEnd((text(row, "pk"), text(row, "sk")), chunks_by_id.get(text(row, "chunk"))) for row in found]


def drop(rows: Rows, end: DueEnd) -> None:
    """Take a chunk off the list once its bans are ended, planned anew or gone."""
    rows.write([Delete(end.key)])


def _pk(account: str) -> str:
    return f"ends#{account}"
