"""When each source last named a URL, to half a day. A source that stops naming URLs has changed what it sends.

The rows begin with ``report#``, since the function that receives reports may write no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Put, Rows

LATELY = timedelta(hours=36)
"""A source that named a URL within this time, give or take half a day, may send a report without one."""

_AGAIN = LATELY / 3
"""How old a note is when it is written anew."""


_KNOWN: WeakKeyDictionary[Rows, dict[Key, int]] = WeakKeyDictionary()
"""The notes that this process has read or written, by table and key. A note is not read again before it is old."""


def note(rows: Rows, sources: Iterable[str], *, now: datetime) -> None:
    """Note that sources named URLs: at most two writes a day and source, however much they report."""
    known, old = _KNOWN.setdefault(rows, {}), epoch(now - _AGAIN)
    keys = [key for key in map(_key, sorted(set(sources))) if known.get(key, 0) <= old]
    if not keys:
        return
    found = rows.get(keys)
    named_at = {key: number(found.get(key, {}), "named_at") for key in keys}
    stale = [key for key in keys if named_at[key] <= old]
    rows.write(
        [Put({"pk": pk, "sk": sk, "named_at": epoch(now), "expires_at": epoch(now + 2 * LATELY)}) for pk, sk in stale]
    )
    known.update(named_at | dict.fromkeys(stale, epoch(now)))


def lately(rows: Rows, sources: Iterable[str], *, now: datetime) -> set[str]:
    """Return those of the sources that named a URL within ``LATELY``."""
    keys = {_key(source): source for source in sources}
    found = rows.get(list(keys)) if keys else {}
    after = epoch(now - LATELY)
    return {keys[key] for key, row in found.items() if number(row, "named_at") > after}


def _key(source: str) -> Key:
    return (f"report#named#{source}", "named")
