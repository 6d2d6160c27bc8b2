"""The vendor's exports, one row a day: what is wanted, how far it is, and where it was archived.

``wanted → creating → polling → downloading → archived | failed``. Whoever works on a day takes it first: one
conditional write on the row's ``step``, under a lease, so that of many runs one wins. A lease that has passed means a
crash, and the day is taken up where it stood: an export is only read, so asking for it a second time harms nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, millis, moment, number, text
from chalicelib.ports import Insert, Put, Row, Rows, Update, Value

Call = Literal["create", "describe"]
"""The vendor's two calls, each with a rate of its own."""

KEPT = 10 * KEEP
"""How long a day's row is kept, for operators; what was archived says the manifest for ever."""

_CALLS = "calls"
"""The sort key of the row with the next permitted call of each kind; days begin with a digit, so they sort before."""


class DayState(StrEnum):
    """How far a day is. The last two are its ends, until an operator asks for the day again."""

    WANTED = "wanted"
    CREATING = "creating"  # the vendor is being asked for an export
    POLLING = "polling"  # the vendor prepares it
    DOWNLOADING = "downloading"  # it is fetched and archived
    ARCHIVED = "archived"
    FAILED = "failed"


ENDS = frozenset({DayState.ARCHIVED, DayState.FAILED})


@dataclass(frozen=True, slots=True)
class ExportDay:
    """One day (the vendor's, UTC+8) of one account.

    ``attempt`` counts how often the day was asked for, and names its files; ``task`` counts the exports asked of the
    vendor for that. ``step`` changes with every write.
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
    """When the export must be complete; later, the vendor is asked for another."""
    not_before: datetime | None = None
    lease_until: datetime | None = None
    reason: str = ""
    requested_by: str = ""
    manifest: str = ""
    rows: int = 0
    rejected: int = 0
    archived_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ENDS

    @property
    def task_name(self) -> str:
        """What the export is called at the vendor: the same for the same try."""
        return f"edgeban-{self.day:%Y%m%d}-{self.attempt}-{self.task}"

    @property
    def ready_at(self) -> datetime | None:
        """When somebody may take the day; ``None``: now."""
        return max((each for each in (self.not_before, self.lease_until) if each), default=None)


def register(rows: Rows, account: str, *, vendor: str, window_days: int, now: datetime) -> None:
    """Note that an account has exports, for those who may not read the vendors' configuration."""
    row: Row = {"pk": "exports", "sk": account, "vendor": vendor, "window_days": window_days, "checked_at": millis(now)}
    rows.apply(Put(row))


def accounts(rows: Rows) -> dict[str, int]:
    """Name the accounts with exports, each with the days of its vendor's window."""
    return {text(row, "sk"): number(row, "window_days") for row in rows.query("exports")}


def want(rows: Rows, account: str, days: Iterable[date], *, now: datetime, lost: str = "") -> None:
    """Begin days that have no row yet. ``lost`` says why days cannot be had any more: they begin failed."""
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
    """Ask for a day (once more): a day that has ended begins its next attempt, one under way goes on as it is."""
    rows.apply(Insert(_new(account, day, now=now, requested_by=actor)))
    found = read_day(rows, account, day)
    if found.ended:
        change: Row = {"attempt": found.attempt + 1, "task": 1, "reason": "", "requested_by": actor}
        remove = ("vendor_task_id", "manifest", "archived_at", "rows", "rejected", "deadline", "not_before")
        move(rows, found, DayState.WANTED, set=change, remove=remove)
        found = read_day(rows, account, day)
    return found


def read_day(rows: Rows, account: str, day: date) -> ExportDay:
    """Read a day that has a row."""
    key = (f"exports#{account}", day.isoformat())
    return _day(rows.get([key], consistent=True)[key])


def read(rows: Rows, account: str, *, after: str = "", limit: int = 0, newest_first: bool = False) -> list[ExportDay]:
    """Read the days of an account in order of their date. ``after`` is a date, exclusive."""
    found = rows.query(f"exports#{account}", prefix="2", after=after, limit=limit, newest_first=newest_first)
    return [_day(row) for row in found]


def take(rows: Rows, day: ExportDay, state: DayState, *, lease: timedelta, now: datetime) -> ExportDay | None:
    """Take a day to work on it alone until the lease ends; ``None`` if somebody else was quicker."""
    change: Row = {"lease_until": millis(now + lease)}
    return move(rows, day, state, set=change, keep_lease=True)


def move(
    rows: Rows,
    day: ExportDay,
    state: DayState,
    *,
    set: Row | None = None,  # noqa: A002, the name in ``Update``
    remove: tuple[str, ...] = (),
    keep_lease: bool = False,
) -> ExportDay | None:
    """Write the next state of a day that nobody changed meanwhile, and give it free; ``None`` if somebody did."""
    change: Row = {"state": state.value, "step": day.step + 1, **(set or {})}
    gone = remove if keep_lease else (*remove, "lease_until")
    key = (f"exports#{day.account}", day.day.isoformat())
    if not rows.apply(Update(key, set=change, expect={"step": day.step, "state": day.state.value}, remove=gone)):
        return None
    return read_day(rows, day.account, day.day)


# --- the vendor's rate, over all runs ---------------------------------------------------------------------------


def turn(rows: Rows, account: str, call: Call, *, gap: timedelta, now: datetime) -> float:
    """Take the next permitted call of a kind; return 0, or the seconds after which to try again."""
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


def hold(rows: Rows, account: str, call: Call, *, until: datetime) -> None:
    """Let nobody make a call of a kind for a while: the vendor said so."""
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
    )
