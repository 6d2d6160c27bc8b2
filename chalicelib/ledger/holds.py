"""The steps of a held chunk: approved once, released to the submitter, refused by a person, removed.

Each step answers whether it was done: it is not where somebody else decided about the hold at the same moment.
"""

from __future__ import annotations

from collections.abc import Collection

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ports import Delete, Key, Row, Rows, Update, Value


def note_first_approval(rows: Rows, hold: Work, actor: str) -> bool:
    """Record the first of two approvals."""
    undecided: Row = {"state": ChunkState.HELD.value, "approved_by": None}
    return rows.apply(Update(_key(hold), set={"approved_by": actor}, expect=undecided))


def release(rows: Rows, hold: Work, positions: Collection[int]) -> bool:
    """Hand these positions of a hold to the submitter, and leave out all others; without any, remove the hold."""
    unchanged: Row = {"state": ChunkState.HELD.value, "approved_by": hold.approved_by or None}
    if not positions:
        return rows.apply(Delete(_key(hold), expect=unchanged))
    excluded: list[Value] = [position for position in range(hold.count) if position not in positions]
    return rows.apply(Update(_key(hold), set={"state": ChunkState.WAITING.value, "lost": excluded}, expect=unchanged))


def refuse(rows: Rows, hold: Work, reason: str) -> bool:
    """Record that a person refused a hold, before its claims end: the sweep goes on from here after a crash."""
    held: Row = {"state": ChunkState.HELD.value}
    return rows.apply(Update(_key(hold), set={"state": ChunkState.REFUSED.value, "refused": reason}, expect=held))


def remove(rows: Rows, hold: Work) -> None:
    """Remove a hold whose claims have ended."""
    rows.apply(Delete(_key(hold)))


def _key(hold: Work) -> Key:
    return (f"account#{hold.account}", f"chunk#{hold.chunk}")
