"""How many URLs one person let through alone: approved in holds, or banned by hand.

There is one row for each account, person and day, with a number for each hour. Numbers change only by atomic additions,
so that no approval is overlooked when many come at one moment. A crash leaves a count too high, and never too low.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Rows

SPAN = timedelta(hours=24)
"""How far back is counted."""

KEEP = timedelta(days=3)
"""How long a day's row outlives its last change."""


def add(rows: Rows, account: str, person: str, urls: int, *, now: datetime) -> int:
    """Count URLs that a person lets through; return the count of the last 24 hours, these included."""
    today = rows.add(_key(account, person, now), {_hour(now): urls}, beside={"expires_at": epoch(now + KEEP)})
    before = _key(account, person, now - SPAN)
    yesterday = rows.get([before], consistent=True).get(before, {})
    hours = range(now.hour + 1)
    earlier = range(now.hour, 24)
    return sum(number(today, f"h{hour:02}") for hour in hours) + sum(
        number(yesterday, f"h{hour:02}") for hour in earlier
    )


def _key(account: str, person: str, day: datetime) -> Key:
    return (f"account#{account}", f"{day:person#%Y-%m-%d}#{person}")


def _hour(now: datetime) -> str:
    return f"{now:h%H}"
