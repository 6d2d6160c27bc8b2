"""The words that the policy had for statements of reasons, with the moment from which each version was in force.

They are a few rows a year and are kept for good: a statement says what held when its ban was decided.
"""

from __future__ import annotations

from datetime import datetime

from chalicelib.ledger.row import blob, millis, moment, stamp
from chalicelib.ports import Put, Rows

_PLACE = "policy#statements"


def record(rows: Rows, words: bytes, *, since: datetime) -> None:
    """Write a version of the words."""
    rows.apply(Put({"pk": _PLACE, "sk": stamp(since), "since": millis(since), "words": words}))


def latest(rows: Rows) -> bytes:
    """Return the words that were recorded last; empty if none were."""
    found = rows.query(_PLACE, limit=1, newest_first=True)
    return blob(found[0], "words") if found else b""


def versions(rows: Rows) -> list[tuple[datetime, bytes]]:
    """Return all versions, oldest first."""
    return [(since, blob(row, "words")) for row in rows.query(_PLACE) if (since := moment(row, "since"))]
