"""The rows of the vendors' exports, one for each day: whether it is wanted, how far it is, where it was archived.

``wanted → creating → polling → downloading → archived | failed``. A run takes a day before it works on it: one
conditional write on the row's ``step``, under a lease, so that only one of several runs gets the day. A lease that has
passed means a crash: the next run continues from the state in the row. An export only reads, so asking for it twice
harms nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Literal

from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, millis, moment, number, text
from chalicelib.ports import Insert, Put, Row, Rows, Update, Value

Call = Literal["create", "describe"]
"""The vendor's two calls, each with a rate of its own."""

KEPT = 10 * KEEP
"""How long a day's row is kept for operators. The manifest in the archive stays for ever."""

LONGEST_REASON = 300
"""Most characters of a reason that a row keeps."""

_CALLS = "calls"
"""Sort key of the row with the next permitted call of each kind. Days begin with a digit, so they sort before it."""


class DayState(StrEnum):
    """How far a day is. The last two states are final, until an operator asks for the day again."""

    WANTED = "wanted"
    CREATING = "creating"  # the vendor is being asked for an export
    POLLING = "polling"  # the vendor prepares the export
    DOWNLOADING = "downloading"  # the file is being fetched and archived
    ARCHIVED = "archived"
    FAILED = "failed"


ENDS = frozenset({DayState.ARCHIVED, DayState.FAILED})


@dataclass(frozen=True, slots=True)
class ExportDay:
    """One day of one account, in the vendor's zone.

    ``attempt`` counts how often the day was asked for, and names its files. ``task`` counts the exports that this
    attempt asked of the vendor. ``step`` changes with every write.
    """

    account: str
    day: date
    state: DayState
    step: int
    attempt: int
    task: int
    vendor_task_id: str = ""
    created_at: datetime | None = None
    deadline: datetime | None = None
    """When the export must be complete. After that moment edgeban asks the vendor for another one."""
    not_before: datetime | None = None
    lease_until: datetime | None = None
    reason: str = ""
    requested_by: str = ""
    manifest: str = ""
    rows: int = 0
    rejected: int = 0
    archived_at: datetime | None = None
    confirms: int = 0
    """The archived attempt that this one is to confirm; 0: none. The row keeps its archive until this one ends."""
    asked_twice: bool = False
    """Whether an archived attempt was confirmed or is being confirmed, which is done once."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ENDS

    @property
    def ready_at(self) -> datetime | None:
        """When a run may take the day; ``None``: now."""
        return max((moment for moment in (self.not_before, self.lease_until) if moment), default=None)


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """What the manifest of an archived day says."""

    manifest: str
    rows: int
    rejected: int
    archived_at: datetime


# --- accounts and days ------------------------------------------------------------------------------------------


def register(rows: Rows, account: str, *, vendor: str, calendar: ExportCalendar, now: datetime) -> None:
    """Record that an account has exports, for functions that may not read the vendors' configuration."""
    row: Row = {
        "pk": "exports",
        "sk": account,
        "vendor": vendor,
        "window_days": calendar.window_days,
        "utc_offset_minutes": round(calendar.zone.utcoffset(None).total_seconds() / 60),
        "checked_at": millis(now),
    }
    rows.apply(Put(row))


def accounts(rows: Rows) -> dict[str, ExportCalendar]:
    """Return the accounts with exports, each with its vendor's calendar.

    A row that an older version wrote has no offset and counts days in UTC, until the next run writes it again (every
    five minutes).
    """
    return {text(row, "sk"): _calendar(row) for row in rows.query("exports")}


def _calendar(row: Row) -> ExportCalendar:
    zone = timezone(timedelta(minutes=number(row, "utc_offset_minutes")))
    return ExportCalendar(zone, number(row, "window_days"))


def want(rows: Rows, account: str, days: Iterable[date], *, now: datetime, lost: str = "") -> None:
    """Write rows for days that have none. ``lost`` says why the vendor no longer has some: these begin as failed."""
    rows.write([Insert(_new(account, day, now=now, lost=lost)) for day in days])


def _new(account: str, day: date, *, now: datetime, lost: str = "", requested_by: str = "") -> dict[str, Value]:
    return {
        "pk": f"exports#{account}",
        "sk": day.isoformat(),
        "state": (DayState.FAILED if lost else DayState.WANTED).value,
        "step": 0,
        "attempt": 1,
        "task": 1,
        "reason": lost,
        "requested_by": requested_by,
        "expires_at": epoch(now + KEPT),
    }


def ask_again(rows: Rows, account: str, day: date, *, actor: str, now: datetime) -> ExportDay:
    """Ask for a day once more. A day that has ended begins its next attempt; one under way continues."""
    rows.apply(Insert(_new(account, day, now=now, requested_by=actor)))
    current = read_day(rows, account, day)
    if not current.ended:
        return current
    change: Row = {"attempt": current.attempt + 1, "task": 1, "reason": "", "requested_by": actor}
    remove = ("confirms", "vendor_task_id", "manifest", "archived_at", "rows", "rejected", "deadline", "not_before")
    _move(rows, current, DayState.WANTED, change, remove=remove)
    return read_day(rows, account, day)


def ask_to_confirm(rows: Rows, day: ExportDay) -> ExportDay | None:
    """Ask for an archived day once more: the vendor may have completed it since."""
    change: Row = {"attempt": day.attempt + 1, "task": 1, "confirms": day.attempt, "asked_twice": 1}
    return _move(rows, day, DayState.WANTED, change, remove=("vendor_task_id", "deadline", "not_before"))


def confirm(rows: Rows, day: ExportDay, reason: str = "") -> ExportDay | None:
    """Keep the earlier attempt: its content is the same, or ``reason`` says why it could not be compared."""
    change: Row = {"attempt": day.confirms, "reason": reason[:LONGEST_REASON]}
    return _move(rows, day, DayState.ARCHIVED, change, remove=("confirms", "not_before", "deadline"))


def read_day(rows: Rows, account: str, day: date) -> ExportDay:
    """Read a day that has a row."""
    key = (f"exports#{account}", day.isoformat())
    return _day(rows.get([key], consistent=True)[key])


def read(rows: Rows, account: str, *, after: str = "", limit: int = 0, newest_first: bool = False) -> list[ExportDay]:
    """Read the days of an account in order of their date. ``after`` is a date, exclusive."""
    page = rows.query(f"exports#{account}", prefix="2", after=after, limit=limit, newest_first=newest_first)
    return [_day(row) for row in page]


# --- the steps of a day -----------------------------------------------------------------------------------------
# Each returns the day as it is now, or None if another run changed it in between: then nothing was written.


def take(rows: Rows, day: ExportDay, state: DayState, *, lease: timedelta, now: datetime) -> ExportDay | None:
    """Take a day, so that no other run works on it until the lease ends."""
    return _move(rows, day, state, {"lease_until": millis(now + lease)}, keep_lease=True)


def await_export(
    rows: Rows, day: ExportDay, vendor_task_id: str, *, now: datetime, complete_within: timedelta, poll_after: timedelta
) -> ExportDay | None:
    """Record the vendor's task id of an export that was created just now."""
    change: Row = {
        "vendor_task_id": vendor_task_id,
        "created_at": millis(now),
        "deadline": millis(now + complete_within),
        "not_before": millis(now + poll_after),
        "reason": "",
    }
    return _move(rows, day, DayState.POLLING, change)


def give_back(rows: Rows, day: ExportDay, state: DayState, *, until: datetime, reason: str = "") -> ExportDay | None:
    """Give a day back: the next run may take it from ``until`` on. An empty reason keeps the one in the row."""
    change: dict[str, Value] = {"not_before": millis(until)}
    if reason:
        change["reason"] = reason[:LONGEST_REASON]
    return _move(rows, day, state, change)


def want_another_export(rows: Rows, day: ExportDay, reason: str) -> ExportDay | None:
    """Give up the vendor's export of a day, so that the next run asks for another one."""
    change: Row = {"task": day.task + 1, "reason": reason[:LONGEST_REASON]}
    return _move(rows, day, DayState.WANTED, change, remove=("vendor_task_id", "deadline", "not_before"))


def fail(rows: Rows, day: ExportDay, reason: str) -> ExportDay | None:
    """End a day that cannot be archived."""
    return _move(rows, day, DayState.FAILED, {"reason": reason[:LONGEST_REASON]})


def finish(rows: Rows, day: ExportDay, archived: ArchivedDay) -> ExportDay | None:
    """End a day that is archived."""
    change: Row = {
        "manifest": archived.manifest,
        "rows": archived.rows,
        "rejected": archived.rejected,
        "archived_at": millis(archived.archived_at),
        "reason": "",
    }
    return _move(rows, day, DayState.ARCHIVED, change, remove=("confirms", "not_before", "deadline"))


def _move(
    rows: Rows, day: ExportDay, state: DayState, change: Row, *, remove: tuple[str, ...] = (), keep_lease: bool = False
) -> ExportDay | None:
    row: Row = {**change, "state": state.value, "step": day.step + 1}
    gone = remove if keep_lease else (*remove, "lease_until")
    key = (f"exports#{day.account}", day.day.isoformat())
    if not rows.apply(Update(key, set=row, expect={"step": day.step, "state": day.state.value}, remove=gone)):
        return None
    return read_day(rows, day.account, day.day)


# --- the vendor's rate, over all runs ---------------------------------------------------------------------------


def take_turn(rows: Rows, account: str, call: Call, *, gap: timedelta, now: datetime) -> float:
    """Take the right to make the next call of a kind; return 0, or the seconds after which to try again."""
    key = (f"exports#{account}", _CALLS)
    row = rows.get([key], consistent=True).get(key)
    due = row.get(call) if row else None
    if isinstance(due, int) and due > millis(now):
        return (due - millis(now)) / 1000
    change: Row = {call: millis(now + gap)}
    if row is None:
        taken = rows.apply(Insert({"pk": key[0], "sk": key[1], **change}))
    else:
        taken = rows.apply(Update(key, set=change, expect={call: due}))
    return 0.0 if taken else gap.total_seconds() / 10


def delay_calls(rows: Rows, account: str, call: Call, *, until: datetime) -> None:
    """Keep all runs from making a call of a kind before ``until``."""
    rows.apply(Update((f"exports#{account}", _CALLS), set={call: millis(until)}))


def _day(row: Mapping[str, Value]) -> ExportDay:
    return ExportDay(
        account=text(row, "pk").partition("#")[2],
        day=date.fromisoformat(text(row, "sk")),
        state=DayState(text(row, "state")),
        step=number(row, "step"),
        attempt=number(row, "attempt"),
        task=number(row, "task"),
        vendor_task_id=text(row, "vendor_task_id"),
        created_at=moment(row, "created_at"),
        deadline=moment(row, "deadline"),
        not_before=moment(row, "not_before"),
        lease_until=moment(row, "lease_until"),
        reason=text(row, "reason"),
        requested_by=text(row, "requested_by"),
        manifest=text(row, "manifest"),
        rows=number(row, "rows"),
        rejected=number(row, "rejected"),
        archived_at=moment(row, "archived_at"),
        confirms=number(row, "confirms"),
        asked_twice=bool(number(row, "asked_twice")),
    )
