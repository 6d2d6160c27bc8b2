"""How many reports a source sent in a minute, for the sources that have a limit."""

from __future__ import annotations

from datetime import datetime

from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Rows

MINUTE = 60
KEEP_SECONDS = 600
"""How long a minute's row is kept: it is of no use once the minute has passed."""


def count(rows: Rows, source: str, *, now: datetime) -> int:
    """Count one report of a source; return how many it sent this minute, this one included."""
    key = (f"rate#{source}#{epoch(now) // MINUTE}", "rate")
    return number(rows.add(key, {"reports": 1}, beside={"expires_at": epoch(now) + KEEP_SECONDS}), "reports")


def seconds_left(now: datetime) -> int:
    """Return the seconds until the next minute begins."""
    return MINUTE - epoch(now) % MINUTE
