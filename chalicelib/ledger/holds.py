"""The steps of a held chunk: approved once, released to the submitter, refused by a person, left by URLs, removed.

Each step returns whether it was done. It is not done if somebody else decided about the hold at the same moment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger import waiting_from
from chalicelib.ledger.chunks import Chunk
from chalicelib.ports import Delete, Key, Row, Rows, Update, Value


def brief(chunk: Chunk, state: ChunkState) -> Row:
    """Return what the row of a hold says of its chunk: the source, if all its URLs have the same one.

    So thousands of holds can be counted by source without reading their chunks.
    """
    sources = {origin.source for origin in chunk.origins}
    return {"source": sources.pop()} if state is ChunkState.HELD and len(sources) == 1 else {}


def note_first_approval(rows: Rows, hold: Work, actor: str, person: str, excepted: Collection[int] = ()) -> bool:
    """Record the first of two approvals: whose token it was, the person's name, and the URLs that it leaves out."""
    undecided: Row = {**_as_read(hold), "approved_by": None}
    change: dict[str, Value] = {"approved_by": actor, "approved_person": person}
    if excepted:
        change["excepted"] = [*sorted(excepted)]
    return rows.apply(Update(_key(hold), set=change, expect=undecided))


def begin_release(rows: Rows, hold: Work, approving: str, excepted: Collection[int] = ()) -> Work | None:
    """Record that a hold was approved for good, and what is left out; ``None`` if the hold has changed.

    From here on nobody else decides about it, and no URL leaves it by a word. ``approving`` says who approved it, and
    why: the sweep goes on from here after a crash.
    """
    unchanged: Row = {**_as_read(hold), "approved_by": hold.approved_by or None}
    change: dict[str, Value] = {"approving": approving, "version": hold.version + 1}
    if excepted:
        change["excepted"] = [*sorted(excepted)]
    waiting_from.take_back(rows, hold.account, hold.chunk)  # the sweep must find the hold
    if not rows.apply(Update(_key(hold), set=change, expect=unchanged)):
        return None
    return replace(hold, approving=approving, excepted=tuple(sorted(excepted)), version=hold.version + 1)


def release(rows: Rows, hold: Work, positions: Collection[int]) -> bool:
    """Hand these positions of a hold to the submitter, and leave out all others; without any, remove the hold.

    An unban that took URLs out of the hold since it was read stands: then the answer is ``False``.
    """
    lost: list[Value] = [*hold.excluded]
    unchanged: Row = {**_as_read(hold), "lost": lost}
    if not positions:
        return rows.apply(Delete(_key(hold), expect=unchanged))
    excluded: list[Value] = [position for position in range(hold.count) if position not in positions]
    waiting_from.take_back(rows, hold.account, hold.chunk)
    change: Row = {"state": ChunkState.WAITING.value, "lost": excluded}
    return rows.apply(Update(_key(hold), set=change, expect=unchanged))


def refuse(rows: Rows, hold: Work, reason: str) -> bool:
    """Record that a person refused a hold, before its claims end. After a crash the sweep goes on from here."""
    change: Row = {"state": ChunkState.REFUSED.value, "refused": reason}
    waiting_from.take_back(rows, hold.account, hold.chunk)
    return rows.apply(Update(_key(hold), set=change, expect=_as_read(hold)))


def leave(rows: Rows, hold: Work, positions: Collection[int]) -> bool:
    """Let URLs leave a hold, before another chunk claims them. Remove the hold if no URL is left."""
    excluded = {*hold.excluded, *positions}
    if len(excluded) == hold.count:
        return rows.apply(Delete(_key(hold), expect=_as_read(hold)))
    change: Row = {"lost": [*sorted(excluded)], "version": hold.version + 1}
    return rows.apply(Update(_key(hold), set=change, expect=_as_read(hold)))


def remove(rows: Rows, hold: Work) -> None:
    """Remove a hold whose claims have ended."""
    rows.apply(Delete(_key(hold)))


def _as_read(hold: Work) -> Row:
    """Return the condition that since the read nobody decided about the hold and no URL left it."""
    return {
        "state": ChunkState.HELD.value,
        "version": hold.version or None,
        "approving": hold.approving or None,
    }


def _key(hold: Work) -> Key:
    return (f"account#{hold.account}", f"chunk#{hold.chunk}")
