"""Where drains and sweeps begin to read the chunks of an account: behind the oldest ones, where all of them are held.

Thousands of holds of one URL each would otherwise be read by every drain and every sweep. The sweep writes the mark
when it has read all chunks, which it does every ten minutes. Between these it reads what lies behind the mark, and
takes from the mark how many holds lie before it. Who releases or refuses a hold takes the mark back *before* the
hold's state changes, so that the next drain and the next sweep read everything. Without a mark, as an earlier version
leaves it, everything is read too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger.row import millis, moment, number, stamp, text
from chalicelib.ports import Insert, Key, Put, Row, Rows, Update

WORTH = 200
"""Holds at an account from which on a mark is written: fewer are read with what waits, in one request."""

MARGIN = timedelta(hours=1)
"""How much younger than now a mark never is: ids sort by the clocks of the functions that made the chunks."""

READ_ALL_AFTER = timedelta(minutes=10)
"""Time after which the sweep reads the holds before the mark once more: what changed them without taking it back (a
URL that left, a function of an earlier version) is seen then."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``chunk`` is the last one of the oldest chunks that are held; empty if nothing is to be left out."""

    chunk: str = ""
    released: str = ""
    """The hold whose release or refusal took the mark back."""
    held: int = 0
    """Holds up to ``chunk`` when all chunks were read last."""
    overdue: int = 0
    """How many of these had waited for too long."""
    oldest: datetime | None = None
    """When the oldest of these was received."""
    read_at: datetime | None = None
    """When all chunks were read last; ``None`` where an earlier version wrote the mark."""
    is_written: bool = False

    def speaks_for_holds(self, now: datetime) -> bool:
        """Whether the sweep takes the number of the holds up to ``chunk`` from here, and does not read them."""
        if not self.chunk or self.read_at is None:
            return False
        return timedelta() <= now - self.read_at < READ_ALL_AFTER

    def overdue_at(self, now: datetime, age: timedelta) -> int:
        """Return how many of the holds up to ``chunk`` have waited for longer than ``age``, at the least."""
        return max(self.overdue, int(self.oldest is not None and now - self.oldest > age))


def read(rows: Rows, account: str, *, consistent: bool = True) -> Mark:
    """Read the mark of an account. One that is not consistent serves the sweep, which comes again in a minute."""
    key = _key(account)
    row = rows.get([key], consistent=consistent).get(key)
    if not row:
        return Mark()
    return Mark(
        text(row, "chunk"),
        text(row, "released"),
        number(row, "held"),
        number(row, "overdue"),
        moment(row, "oldest"),
        moment(row, "read_at"),
        is_written=True,
    )


def advance(rows: Rows, account: str, before: Mark, all_work: Iterable[Work], *, age: timedelta, now: datetime) -> None:
    """Write the mark that all chunks of an account allow. ``before`` was read before they were.

    ``age`` is that from which on a hold is overdue. Nothing is written if a hold was released or refused since, or if
    the holds are too few.
    """
    end, held = stamp(now - MARGIN), list[Work]()
    for work in all_work:
        if work.state is ChunkState.HELD:
            held.append(work)
        else:
            end = min(end, work.chunk)
    left_out = [work for work in held if work.chunk < end]
    if len(held) < WORTH or not left_out:
        return
    row: Row = {
        "chunk": max(work.chunk for work in left_out),
        "held": len(left_out),
        "overdue": sum(now - work.received_at > age for work in left_out),
        "oldest": millis(min(work.received_at for work in left_out)),
        "read_at": millis(now),
    }
    pk, sk = _key(account)
    if before.is_written:
        as_read: Row = {"chunk": before.chunk, "released": before.released}
        rows.apply(Update((pk, sk), set=row, expect=as_read))
    else:
        rows.apply(Insert({"pk": pk, "sk": sk, "released": "", **row}))


def take_back(rows: Rows, account: str, hold: str) -> None:
    """Have everything read again, since a hold is about to be released or refused."""
    pk, sk = _key(account)
    rows.apply(Put({"pk": pk, "sk": sk, "chunk": "", "released": hold}))


def _key(account: str) -> Key:
    return (f"account#{account}", "waiting_from")
