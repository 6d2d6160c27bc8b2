"""When each source last named a URL, to half a day. A source that stops naming URLs has changed what it sends.

The rows begin with ``report#``, since the function that receives reports may write no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Put, Rows

LATELY = timedelta(hours=36)
"""A source that named a URL within this time, give or take half a day, may send a report without one."""

_AGAIN = LATELY / 3
"""How old a note is when it is written anew."""


def note(rows: Rows, sources: Iterable[str], *, now: datetime) -> None:
    """Note that sources named URLs: at most two writes a day and source, however much they report."""
    keys = [_key(source) for source in sorted(set(sources))]
    found = rows.get(keys) if keys else {}
    stale = [key for key in keys if number(found.get(key, {}), "named_at") <= epoch(now - _AGAIN)]
    rows.write(
        [Put({"pk": pk, "sk": sk, "named_at": epoch(now), "expires_at": epoch(now + 2 * LATELY)}) for pk, sk in stale]
    )


def lately(rows: Rows, sources: Iterable[str], *, now: datetime) -> set[str]:
    """Return those of the sources that named a URL within ``LATELY``."""
    keys = {_key(source): source for source in sources}
    found = rows.get(list(keys)) if keys else {}
    after = epoch(now - LATELY)
    return {keys[key] for key, row in found.items() if number(row, "named_at") > after}


def _key(source: str) -> Key:
    return (f"report#named#{source}", "named")
