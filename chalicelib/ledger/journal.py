"""The journal: one row for each event of a day. The daily archive reads it instead of scanning the ledger.

``receive_report`` may write only rows of reports. It therefore journals its refusals under ``report#day#<date>``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, get_args

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, stamp, text
from chalicelib.ports import Put, Row, Rows, Value

PAGE = 500
"""Rows that ``stream`` reads at once."""

Kind = Literal["taken", "chunk", "task", "decision", "words", "refused"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_HEAD = frozenset({"pk", "sk", "kind", "subject", "expires_at"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. ``kind`` says what ``subject`` (an id) is; ``fields`` hold facts that no other row keeps.

    ``place`` is where the event stands in the journal. ``at`` is ``None`` for an event of ``receive_report``, which
    refused URLs: the report's row has that time.
    """

    kind: str
    subject: str
    place: str
    at: datetime | None
    fields: Row


def entry(kind: Kind, subject: str, *, now: datetime, **fields: Value) -> dict[str, Value]:
    """Make the row of an event. See ``Entry``."""
    return {
        "pk": f"day#{now:%Y-%m-%d}",
        "sk": f"{stamp(now)}#{kind}#{subject}",
        "kind": kind,
        "subject": subject,
        "expires_at": epoch(now + KEEP),
        **fields,
    }


def add_taken(rows: Rows, name: str, sources: dict[str, Value], *, now: datetime) -> None:
    """Write how many URLs of each source a batch had, by verdict. ``name`` stands for the batch's messages."""
    rows.apply(Put(entry("taken", name, now=now, sources=sources)))


def outer_entry(report: str, *, now: datetime) -> dict[str, Value]:
    """Make the row that points to the refusals of a report. There is one per report and day."""
    return {
        "pk": f"report#day#{now:%Y-%m-%d}",
        "sk": report,
        "kind": "refused_at_once",
        "subject": report,
        "expires_at": epoch(now + KEEP),
    }


def read(rows: Rows, day: date) -> list[Entry]:
    """Read the events of a UTC day in order, without what the webhook's function refused."""
    return [_entry(row) for row in rows.query(f"day#{day:%Y-%m-%d}")]


def stream(rows: Rows, day: date, *, page: int = PAGE) -> Iterator[Entry]:
    """Read the events of a UTC day in order, then what the webhook's function refused, a page at a time."""
    for pk in (f"day#{day:%Y-%m-%d}", f"report#day#{day:%Y-%m-%d}"):
        after = ""
        while entries := [_entry(row) for row in rows.query(pk, after=after, limit=page)]:
            yield from entries
            after = entries[-1].place
            if len(entries) < page:
                break


def following(rows: Rows, place: str, *, until: datetime, limit: int) -> list[Entry]:
    """Read the next events after a place, across the ends of days, up to ``until``; none if there are no more.

    A place is that of an event, or the ``stamp`` of a moment.
    """
    day, end = datetime.strptime(place[:8], "%Y%m%d").replace(tzinfo=UTC).date(), stamp(until)
    while day <= until.astimezone(UTC).date():
        page = [_entry(row) for row in rows.query(f"day#{day:%Y-%m-%d}", after=place, limit=limit)]
        if due := [event for event in page if event.place <= end]:
            return due
        day += timedelta(days=1)
    return []


def _entry(row: Row) -> Entry:
    place = text(row, "sk")
    try:
        at = datetime.strptime(place.partition("#")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        at = None
    fields = {name: value for name, value in row.items() if name not in _HEAD}
    return Entry(text(row, "kind"), text(row, "subject"), place, at, fields)


def place_of(rows: Rows, reader: str) -> str:
    """Return how far a reader of the journal has come; empty if it has not begun."""
    key = (f"reader#{reader}", "place")
    return text(rows.get([key], consistent=True).get(key, {}), "place")


def record_place(rows: Rows, reader: str, place: str) -> None:
    """Write how far a reader has come."""
    rows.apply(Put({"pk": f"reader#{reader}", "sk": "place", "place": place}))


def begun(rows: Rows, day: date) -> bool:
    """Say whether the journal has any event of a day."""
    return next(stream(rows, day, page=1), None) is not None
