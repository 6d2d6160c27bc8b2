"""The reports whose source has not yet been told the outcome.

A row in the partition ``WAITING`` says when to look at a report again. The report's own row ``callback`` says which of
these rows counts, how often the source was called, and in the end how the call ended. A row in ``WAITING`` that does
not count is left over from a repeated request, and is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, millis, moment, number, stamp, text
from chalicelib.ports import Delete, Insert, Key, Put, Row, Rows, Update, Value

WAITING: Final = "report#callbacks"
"""It begins with ``report#``, because receive_report may write no other key. No report has the id ``callbacks``: ids
of reports begin with ``r-``."""

FIRST_LOOK: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Callback:
    """A report whose source will be told the outcome. ``place`` is the sort key of its row in ``WAITING``."""

    report: str
    place: str
    attempts: int = 0
    first_attempt_at: datetime | None = None
    on_record: bool = False
    """Whether the report's own row exists. The first look at the report writes it."""
    held: str = ""
    """A hash of the URLs that were held when the source was last told. It is told again once a person has decided."""
    status: int = 0
    """The HTTP status that the receiver answered last; 0: it was not called, or did not answer."""

    @property
    def due(self) -> datetime | None:
        """When the report is looked at again; ``None`` if no row says when."""
        return _due_at(self.place)


def first(report: str, received_at: datetime) -> Row:
    """Make the row by which a new report is found. It is written before the report, so that no report is forgotten.

    Its time is in milliseconds, as in the report's row: the report's time therefore gives the key of this row.
    """
    received_at = datetime.fromtimestamp(millis(received_at) / 1000, tz=UTC)
    return _waiting(report, received_at + FIRST_LOOK, until=received_at + KEEP)


def _waiting(report: str, due: datetime, *, until: datetime) -> dict[str, Value]:
    return {"pk": WAITING, "sk": f"{stamp(due)}#{report}", "expires_at": epoch(until)}


def of_reports(rows: Rows, received: Mapping[str, datetime]) -> list[Callback]:
    """Read how far the calls about reports are. ``received`` says when each report came. Ended calls are left out.

    A report that nobody has looked at yet has no row of its own. The time of the report gives its row in ``WAITING``.
    """
    found = rows.get([_own(report) for report in received], consistent=True)
    return [
        _callback(report, text(own, "place") if own else str(first(report, at)["sk"]), own)
        for report, at in received.items()
        if not (own := found.get(_own(report), {})) or text(own, "place")
    ]


def _callback(report: str, place: str, own: Row) -> Callback:
    return Callback(
        report,
        place,
        number(own, "attempts"),
        moment(own, "first_attempt_at"),
        on_record=bool(own),
        held=text(own, "held"),
        status=number(own, "status"),
    )


def due(rows: Rows, *, now: datetime, after: str, limit: int) -> list[Callback]:
    """Read the reports that are due, oldest first. Rows that do not count are removed, and are not in the answer."""
    places = [text(row, "sk") for row in rows.query(WAITING, after=after, limit=limit)]
    places = [place for place in places if place.partition("#")[0] <= stamp(now)]
    keys = {place: _own(place.partition("#")[2]) for place in places}
    found = rows.get(list(dict.fromkeys(keys.values())), consistent=True)
    counting: list[Callback] = []
    stale: list[Delete] = []
    for place in places:
        own = found.get(keys[place], {})
        if own and text(own, "place") != place:
            stale.append(Delete((WAITING, place)))
            continue
        counting.append(_callback(place.partition("#")[2], place, own))
    rows.write(stale)
    return counting


def _own(report: str) -> Key:
    return (f"report#{report}", "callback")


def drop(rows: Rows, callback: Callback) -> None:
    """Forget a report that was never accepted. Its sender saw no answer; the next attempt writes a new row."""
    rows.write([Delete((WAITING, callback.place))])


def move(rows: Rows, callback: Callback, *, due: datetime, now: datetime) -> None:
    """Write when a report is looked at again, with the attempts and the held URLs of ``callback``.

    Nothing happens if another run has moved or finished the report since it was read.
    """
    later = _waiting(callback.report, due, until=now + KEEP)
    change: dict[str, Value] = {
        "place": later["sk"],
        "attempts": callback.attempts,
        "held": callback.held,
        "status": callback.status,
        "expires_at": later["expires_at"],
    }
    remove: tuple[str, ...] = ("first_attempt_at",)
    if callback.first_attempt_at:
        change["first_attempt_at"], remove = millis(callback.first_attempt_at), ()
    _settle(rows, callback, change, more=[Put(later)], remove=remove)


def finish(rows: Rows, callback: Callback, outcome: str, *, attempts: int, now: datetime) -> None:
    """Write how the call ended; the report is not looked at again."""
    change: dict[str, Value] = {
        "place": "",
        "outcome": outcome,
        "attempts": attempts,
        "finished_at": millis(now),
        "status": callback.status,
        "expires_at": epoch(now + KEEP),
    }
    _settle(rows, callback, change)


def _settle(
    rows: Rows, callback: Callback, change: Row, *, more: Sequence[Put] = (), remove: Sequence[str] = ()
) -> None:
    key = _own(callback.report)
    own: Insert | Update = Insert({"pk": key[0], "sk": key[1], **change})
    if callback.on_record:
        own = Update(key, set=change, expect={"place": callback.place}, remove=tuple(remove))
    rows.transact([own, Delete((WAITING, callback.place)), *more])


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far the call of a source is. While ``outcome`` is empty, the call is still to be made, at ``due``."""

    outcome: str
    attempts: int
    due: datetime | None
    finished_at: datetime | None
    status: int
    """The HTTP status that the receiver answered last; 0 if it answered none."""


def deliveries(rows: Rows, reports: Sequence[str]) -> dict[str, Delivery]:
    """Return how far the calls about reports are. A report that nobody has looked at is absent from the answer."""
    found = rows.get([_own(report) for report in reports], consistent=True)
    return {
        pk.removeprefix("report#"): Delivery(
            text(row, "outcome"),
            number(row, "attempts"),
            _due_at(text(row, "place")),
            moment(row, "finished_at"),
            number(row, "status"),
        )
        for (pk, _), row in found.items()
    }


def _due_at(place: str) -> datetime | None:
    return datetime.strptime(place.partition("#")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC) if place else None


def resend(rows: Rows, report: str, *, now: datetime) -> bool:
    """Have a source called again about a report; ``False`` if a call about it was under way at this moment.

    Crash order: the new row in ``WAITING``, then the report's own row, which makes it count. After a crash in between
    the new row does not count. ``due`` removes rows that do not count.
    """
    own = rows.get([_own(report)], consistent=True).get(_own(report), {})
    again = _waiting(report, now, until=now + KEEP)
    rows.apply(Put(again))
    if not own:
        return True
    change: Row = {"place": again["sk"], "attempts": 0, "held": "", "expires_at": again["expires_at"]}
    remove = ("outcome", "finished_at", "first_attempt_at")
    return rows.apply(Update(_own(report), set=change, expect={"place": text(own, "place")}, remove=remove))
