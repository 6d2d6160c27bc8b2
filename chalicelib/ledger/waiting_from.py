"""Where drains and sweeps begin to read the chunks of an account: behind the oldest ones, if all of these are held.

Otherwise every drain and every sweep would read thousands of holds of one URL each. Every ten minutes the sweep reads
all chunks and writes the mark. Between these times it reads the chunks behind the mark; the mark says how many holds
lie before it. An approval or a refusal of a hold removes the mark *before* the hold's row changes, so that the next
drain and the next sweep read everything. They also read everything if there is no mark: an earlier version wrote none.
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
"""A mark is written if an account has this many holds. Fewer are read with the waiting chunks, in one request."""

MARGIN = timedelta(hours=1)
"""A mark is at least this old: ids sort by the clocks of the functions that made the chunks, which differ."""

READ_ALL_AFTER = timedelta(minutes=10)
"""The sweep reads the holds before the mark again after this time. It then sees what changed them without removing the
mark: a URL that left its hold, or a function of an earlier version."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``chunk`` is the last of the oldest chunks, which are all held; empty if no chunk may be left out."""

    chunk: str = ""
    released: str = ""
    """The hold whose release or refusal took the mark back; empty once a sweep has seen that."""
    held: int = 0
    """Holds up to ``chunk`` when all chunks were read last."""
    overdue: int = 0
    """How many of these had waited for too long."""
    oldest: datetime | None = None
    """When the oldest of these was received."""
    read_at: datetime | None = None
    """When all chunks were last read; ``None`` if an earlier version wrote the mark."""
    is_written: bool = False

    def speaks_for_holds(self, now: datetime) -> bool:
        """Whether the sweep takes the number of holds up to ``chunk`` from the mark, instead of reading the holds."""
        if not self.chunk or self.read_at is None:
            return False
        return timedelta() <= now - self.read_at < READ_ALL_AFTER

    def overdue_at(self, now: datetime, age: timedelta) -> int:
        """Return how many of the holds up to ``chunk`` have waited for longer than ``age``, at least."""
        return max(self.overdue, int(self.oldest is not None and now - self.oldest > age))


def read(rows: Rows, account: str, *, consistent: bool = True) -> Mark:
    """Read the mark of an account. A read that is not ``consistent`` suffices for the sweep, which runs each minute."""
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
    """Write the mark that all chunks of an account allow. ``before`` was read before the chunks.

    A hold that is older than ``age`` is overdue. Nothing is written if a hold was released or refused since, or if
    there are too few holds. A mark that was taken back is only prepared: the hold's row may have changed since the
    chunks were read. The sweep a minute later reads them anew, and writes the mark.
    """
    end, held = stamp(now - MARGIN), list[Work]()
    for work in all_work:
        if work.state is ChunkState.HELD and not work.approving:
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
        taken_back = before.released and not before.chunk
        rows.apply(Update((pk, sk), set={"released": ""} if taken_back else row, expect=as_read))
    else:
        rows.apply(Insert({"pk": pk, "sk": sk, "released": "", **row}))


def take_back(rows: Rows, account: str, hold: str) -> None:
    """Remove the mark, because a hold is about to be released or refused: then everything is read again."""
    pk, sk = _key(account)
    rows.apply(Put({"pk": pk, "sk": sk, "chunk": "", "released": hold}))


def _key(account: str) -> Key:
    return (f"account#{account}", "waiting_from")
