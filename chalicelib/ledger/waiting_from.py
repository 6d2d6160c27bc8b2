"""Where a drain begins to read the chunks of an account: behind the oldest ones, where all of them are held.

Thousands of holds of one URL each would otherwise be read by every drain before the first chunk that waits. The sweep,
which reads all chunks each minute, writes the mark. A release of a hold takes it back *before* the hold waits, so that
the drain that follows reads everything; without a mark, as an earlier version leaves it, everything is read too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger.row import stamp, text
from chalicelib.ports import Insert, Key, Put, Row, Rows, Update

WORTH = 200
"""Holds at an account from which on a mark is written: fewer are read with what waits, in one request."""

MARGIN = timedelta(hours=1)
"""How much younger than now a mark never is: ids sort by the clocks of the functions that made the chunks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``chunk`` is the last one of the oldest chunks that are held; empty if nothing is to be left out."""

    chunk: str = ""
    released: str = ""
    """The hold whose release took the mark back."""
    is_written: bool = False


def read(rows: Rows, account: str, *, consistent: bool = True) -> Mark:
    """Read the mark of an account. One that is not consistent serves to advance it: an older one changes nothing."""
    key = _key(account)
    row = rows.get([key], consistent=consistent).get(key)
    return Mark(text(row, "chunk"), text(row, "released"), is_written=True) if row else Mark()


def advance(rows: Rows, account: str, before: Mark, all_work: Iterable[Work], *, now: datetime) -> None:
    """Write the mark that all chunks of an account allow. ``before`` was read before they were.

    Nothing is written if a hold was released since, or if the holds are too few.
    """
    end, held = stamp(now - MARGIN), list[str]()
    for work in all_work:
        if work.state is ChunkState.HELD:
            held.append(work.chunk)
        else:
            end = min(end, work.chunk)
    chunk = max((each for each in held if each < end), default="")
    if len(held) < WORTH or chunk == before.chunk:
        return
    pk, sk = _key(account)
    if before.is_written:
        as_read: Row = {"chunk": before.chunk, "released": before.released}
        rows.apply(Update((pk, sk), set={"chunk": chunk}, expect=as_read))
    else:
        rows.apply(Insert({"pk": pk, "sk": sk, "chunk": chunk, "released": ""}))


def take_back(rows: Rows, account: str, hold: str) -> None:
    """Have everything read again, since a hold is about to be released."""
    pk, sk = _key(account)
    rows.apply(Put({"pk": pk, "sk": sk, "chunk": "", "released": hold}))


def _key(account: str) -> Key:
    return (f"account#{account}", "waiting_from")
