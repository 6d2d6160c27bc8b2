"""When each chunk is looked at again: one row for a chunk and a moment, for renewals and for ends.

A chunk is renewed if its bans are planned to outlive what the vendor grants. edgeban ends a chunk's bans itself if the
vendor ends no bans, or if a later decision moved a ban's end to an earlier time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from chalicelib.domain.model import Rule
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.ledger import KEEP_DECISIONS, chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.ports import Delete, Key, Put, Row, Rows

Purpose = Literal["renewals", "ends"]


@dataclass(frozen=True, slots=True)
class DueChunk:
    """A chunk that is due. ``chunk`` is ``None`` if its rows have expired."""

    key: Key
    chunk: Chunk | None


def lifted_at(chunk: Chunk) -> Row:
    """Return when edgeban lifts a chunk's bans, as an attribute of their claims; empty if the vendor ends them.

    A person named a moment, and vendors ban for whole days.
    """
    whole_days = not (chunk.until - chunk.created_at) % timedelta(days=1)
    if chunk.rule != Rule.BY_HAND or whole_days or chunk.until == FOREVER:
        return {}
    return {"lifted_at": epoch(chunk.until)}


def plan_renewal(rows: Rows, chunk: Chunk, *, at: datetime) -> None:
    """Plan a chunk's renewal for a moment. The caller drops the row by which it found the chunk."""
    rows.apply(Put(chunks.renewal(chunk, at)))


def plan_end(rows: Rows, account: str, chunk: str, *, at: datetime) -> None:
    """Plan the end of a chunk's bans for a moment. Planning the same moment twice changes nothing."""
    row: Row = {
        "pk": f"ends#{account}",
        "sk": f"{stamp(at)}#{chunk}",
        "chunk": chunk,
        "expires_at": epoch(at + KEEP_DECISIONS),
    }
    rows.apply(Put(row))


def has_any(rows: Rows, purpose: Purpose, account: str) -> bool:
    """Return whether any chunk of an account is to be looked at, now or later."""
    return bool(rows.query(f"{purpose}#{account}", limit=1))


def due(rows: Rows, purpose: Purpose, account: str, *, now: datetime, limit: int) -> list[DueChunk]:
    """Read the chunks that are due at an account, the oldest first."""
    found = rows.query(f"{purpose}#{account}", limit=limit)
    found = [row for row in found if text(row, "sk") <= stamp(now)]
    chunks_by_id = chunks.read(rows, [text(row, "chunk") for row in found]) if found else {}
    return [DueChunk((text(row, "pk"), text(row, "sk")), chunks_by_id.get(text(row, "chunk"))) for row in found]


def drop(rows: Rows, due_chunk: DueChunk) -> None:
    """Take a chunk off the list after its renewal or end, after it was planned anew, or if its rows are gone."""
    rows.apply(Delete(due_chunk.key))
