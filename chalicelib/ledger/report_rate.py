"""How many reports a source sent in a minute, for the sources that have a limit."""

from __future__ import annotations

from datetime import datetime
from zlib import crc32

from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Rows

MINUTE = 60
KEEP_SECONDS = 600
"""How long a minute's row is kept: it is of no use once the minute has passed."""

HIGH = 2_000
"""A limit of so many reports a minute, or more, is kept within some percent, and not to the single report."""

SAMPLE = 16
"""Under a high limit only every sixteenth report is written, and counts as sixteen. The others cost half a read."""


def count(rows: Rows, source: str, *, report_id: str, limit: int, now: datetime) -> int:
    """Count one report of a source; return how many it sent this minute, this one included."""
    key = (f"rate#{source}#{epoch(now) // MINUTE}", "rate")
    weight = 1 if limit < HIGH else SAMPLE
    if crc32(report_id.encode()) % weight:
        return number(rows.get([key]).get(key, {}), "reports")
    return number(rows.add(key, {"reports": weight}, beside={"expires_at": epoch(now) + KEEP_SECONDS}), "reports")


def seconds_left(now: datetime) -> int:
    """Return the seconds until the next minute begins."""
    return MINUTE - epoch(now) % MINUTE
