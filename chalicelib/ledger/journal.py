"""What happened on a day, one row an event: the daily archive reads it instead of scanning the ledger.

The outer door may write nothing but reports, so what it refuses stands in a partition of its own among those.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, stamp
from chalicelib.ports import Rows, Value


def entry(kind: str, subject: str, *, now: datetime, **fields: Value) -> dict[str, Value]:
    """Make a journal row: ``kind`` says what ``subject`` (an id) is. Fields hold what only this moment knows."""
    return {
        "pk": f"day#{now:%Y-%m-%d}",
        "sk": f"{stamp(now)}#{kind}#{subject}",
        "kind": kind,
        "subject": subject,
        "expires_at": epoch(now + KEEP),
        **fields,
    }


def read(rows: Rows, day: date) -> list[dict[str, Value]]:
    """Read the events of a UTC day in order."""
    return rows.query(f"day#{day:%Y-%m-%d}")


def outer_entry(report: str, *, now: datetime) -> dict[str, Value]:
    """Make the row that leads to what the outer door refused of a report; the same for the same report and day."""
    return {
        "pk": f"report#day#{now:%Y-%m-%d}",
        "sk": report,
        "kind": "refused_at_once",
        "subject": report,
        "expires_at": epoch(now + KEEP),
    }


def stream(rows: Rows, day: date, *, page: int = 500) -> Iterator[dict[str, Value]]:
    """Read the events of a UTC day in order, then what the outer door refused, some at a time."""
    for pk in (f"day#{day:%Y-%m-%d}", f"report#day#{day:%Y-%m-%d}"):
        after = ""
        while found := rows.query(pk, after=after, limit=page):
            yield from found
            after = str(found[-1]["sk"])
            if len(found) < page:
                break


def begun(rows: Rows, day: date) -> bool:
    """Whether anything is known of a day."""
    return next(stream(rows, day, page=1), None) is not None
