"""What happened on a day, one row an event: the daily archive reads it instead of scanning the ledger.

The outer door may write nothing but reports, so what it refuses stands in a partition of its own among those.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.ports import Put, Rows, Value


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


def following(rows: Rows, place: str, *, until: datetime, limit: int) -> list[dict[str, Value]]:
    """Read the next events after a place, over the ends of days, up to a moment; none if there are no more.

    A place is an event's ``sk``, or the ``stamp`` of a moment.
    """
    day, end = datetime.strptime(place[:8], "%Y%m%d").replace(tzinfo=UTC).date(), stamp(until)
    while day <= until.astimezone(UTC).date():
        found = rows.query(f"day#{day:%Y-%m-%d}", after=place, limit=limit)
        found = [row for row in found if text(row, "sk") <= end]
        if found:
            return found
        day += timedelta(days=1)
    return []


def place_of(rows: Rows, reader: str) -> str:
    """How far a reader of the journal has come; empty if it has not begun."""
    key = (f"reader#{reader}", "place")
    return text(rows.get([key], consistent=True).get(key, {}), "place")


def record_place(rows: Rows, reader: str, place: str) -> None:
    """Write how far a reader has come."""
    rows.apply(Put({"pk": f"reader#{reader}", "sk": "place", "place": place}))


def begun(rows: Rows, day: date) -> bool:
    """Whether anything is known of a day."""
    return next(stream(rows, day, page=1), None) is not None
