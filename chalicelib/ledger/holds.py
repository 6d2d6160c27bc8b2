"""The steps of a held chunk: approved once, released to the submitter, refused by a person, left by URLs, removed.

Each step answers whether it was done: it is not where somebody else decided about the hold at the same moment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger import waiting_from
from chalicelib.ports import Delete, Key, Row, Rows, Update, Value


def note_first_approval(rows: Rows, hold: Work, actor: str, person: str, excepted: Collection[int] = ()) -> bool:
    """Record the first of two approvals: whose token it was, the person's name, and what it leaves out."""
    undecided: Row = {**_as_read(hold), "approved_by": None}
    change: dict[str, Value] = {"approved_by": actor, "approved_person": person}
    if excepted:
        change["excepted"] = [*sorted(excepted)]
    return rows.apply(Update(_key(hold), set=change, expect=undecided))


def except_positions(rows: Rows, hold: Work, positions: Collection[int]) -> Work | None:
    """Record which positions an approval leaves out, before they end as refused; ``None`` if the hold has changed.

    Whoever else decides at this moment has read another version, and is refused: nobody can release what is excepted.
    """
    change: Row = {"excepted": [*sorted(positions)], "version": hold.version + 1}
    if not rows.apply(Update(_key(hold), set=change, expect=_as_read(hold))):
        return None
    return replace(hold, excepted=tuple(sorted(positions)), version=hold.version + 1)


def release(rows: Rows, hold: Work, positions: Collection[int]) -> bool:
    """Hand these positions of a hold to the submitter, and leave out all others; without any, remove the hold."""
    unchanged: Row = {**_as_read(hold), "approved_by": hold.approved_by or None}
    if not positions:
        return rows.apply(Delete(_key(hold), expect=unchanged))
    excluded: list[Value] = [position for position in range(hold.count) if position not in positions]
    waiting_from.take_back(rows, hold.account, hold.chunk)
    return rows.apply(Update(_key(hold), set={"state": ChunkState.WAITING.value, "lost": excluded}, expect=unchanged))


def refuse(rows: Rows, hold: Work, reason: str) -> bool:
    """Record that a person refused a hold, before its claims end: the sweep goes on from here after a crash."""
    change: Row = {"state": ChunkState.REFUSED.value, "refused": reason}
    waiting_from.take_back(rows, hold.account, hold.chunk)
    return rows.apply(Update(_key(hold), set=change, expect=_as_read(hold)))


def leave(rows: Rows, hold: Work, positions: Collection[int]) -> bool:
    """Let URLs leave a hold, before another chunk claims them; the hold is removed once none is left."""
    excluded = {*hold.excluded, *positions}
    if len(excluded) == hold.count:
        return rows.apply(Delete(_key(hold), expect=_as_read(hold)))
    change: Row = {"lost": [*sorted(excluded)], "version": hold.version + 1}
    return rows.apply(Update(_key(hold), set=change, expect=_as_read(hold)))


def remove(rows: Rows, hold: Work) -> None:
    """Remove a hold whose claims have ended."""
    rows.apply(Delete(_key(hold)))


def _as_read(hold: Work) -> Row:
    """Demand that nobody decided about the hold, and that no URL left it, since it was read."""
    return {"state": ChunkState.HELD.value, "version": hold.version or None}


def _key(hold: Work) -> Key:
    return (f"account#{hold.account}", f"chunk#{hold.chunk}")
