"""What happened on a day, one row an event: the daily archive reads it instead of scanning the ledger."""

from __future__ import annotations

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
