"""Switches and the submitter's state, one row per vendor account and one for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.errors import LedgerUnavailable, QuotaExceeded, VendorError
from chalicelib.domain.model import Action
from chalicelib.domain.pacing import Pace
from chalicelib.ledger.row import millis, moment, number, numbers, text
from chalicelib.ports import Check, Rows, Update, Value

ACCESS_BLOCK = timedelta(minutes=10)
"""How long no function calls a vendor that refused access: five refused signatures lock a key for 5 minutes."""

QUOTA_BLOCK = timedelta(minutes=15)
CHANGE_TRIES = 10
"""How often a change is tried while transactions on the same row refuse it."""

EVERYWHERE = "*"
"""The name under which all accounts are paused at once."""


class AccountState(StrEnum):
    """Whether something keeps tasks of an account from being submitted, and what."""

    RUNNING = "running"
    PAUSED = "paused"  # by an operator
    BLOCKED = "blocked"  # the vendor refused our keys, or its quota is used up


@dataclass(frozen=True, slots=True)
class Block:
    """A refusal of the vendor, during which it is not called. ``kind`` is the kind of the vendor's error."""

    until: datetime
    reason: str
    kind: str


LATE_END_COUNTS = timedelta(hours=1)
"""For this long after a task that ended late, the vendor's list is expected to be late."""


@dataclass(frozen=True, slots=True)
class Control:
    """What the control row of an account says."""

    account: str
    drain: int = 0
    """The number of the last drain: each drain raises it, so that an older one is stopped."""
    paused: bool = False
    paused_by: str = ""
    reason: str = ""
    paused_at: datetime | None = None
    block: Block | None = None
    """The vendor refused the credentials: no call is made."""
    blocks: Mapping[str, Block] = field(default_factory=dict)
    """What the vendor refuses for now, by one of ``SUBJECTS``: calls for anything else are made."""
    last_call_at: datetime | None = None
    last_calls: int | None = None
    """How many calls the drain of ``last_call_at`` made in its last second; ``None`` if that is not known."""
    answered_at: datetime | None = None
    """When a drain last called a vendor that answered well; absent after a drain that met errors."""
    ended_after: timedelta = timedelta()
    """How long after its acceptance the last late task ended."""
    ended_late_at: datetime | None = None
    tracker: int = 0
    tracked_by: str = ""


SUBJECTS = (Action.BAN.value, Action.UNBAN.value, "exports", "creates", "lists")
"""What a vendor may refuse for a while: the first three because a quota is used up, the others because it was called
too fast. The attributes of such a block begin with ``blocked_`` and this name."""


def _key(account: str) -> tuple[str, str]:
    return (f"account#{account}", "control")


def of_row(row: Mapping[str, Value]) -> Control:
    """Read a control row."""
    block = _block(row, "blocked")
    blocks = {subject: found for subject in SUBJECTS if (found := _block(row, f"blocked_{subject}"))}
    if block and block.kind == QuotaExceeded.kind:  # version 1 did not write what the quota was for
        blocks.setdefault(Action.BAN.value, block)
        block = None
    return Control(
        account=text(row, "pk")[8:],
        drain=number(row, "epoch"),
        paused=bool(number(row, "paused")),
        paused_by=text(row, "paused_by"),
        reason=text(row, "reason"),
        paused_at=moment(row, "paused_at"),
        block=block,
        blocks=blocks,
        last_call_at=moment(row, "last_call_at"),
        last_calls=_last_calls(row),
        answered_at=moment(row, "answered_at"),
        ended_after=timedelta(seconds=number(row, "ended_after")),
        ended_late_at=moment(row, "ended_late_at"),
        tracker=number(row, "tracker"),
        tracked_by=text(row, "tracked_by"),
    )


def _last_calls(row: Mapping[str, Value]) -> int | None:
    """Read the number of calls if it belongs to the last call: version 1 writes the time of a call, and no number."""
    at, *count = numbers(row, "last_calls") or (0,)
    return count[0] if count and at == row.get("last_call_at") else None


def _block(row: Mapping[str, Value], name: str) -> Block | None:
    until = moment(row, f"{name}_until")
    return Block(until, text(row, f"{name}_reason"), text(row, f"{name}_for")) if until else None


def read(rows: Rows, accounts: list[str]) -> dict[str, Control]:
    """Read the switches of accounts, ``EVERYWHERE`` among them if named; an account without a row has none set."""
    found = rows.get([_key(account) for account in accounts], consistent=True)
    return {name: of_row(found[_key(name)]) if _key(name) in found else Control(name) for name in accounts}


def begin_drain(rows: Rows, account: str, *, now: datetime) -> Control:
    """Become the only submitter of the account: an earlier one cannot record its next task (``still_drains``)."""
    return of_row(rows.add(_key(account), {"epoch": 1}, beside={"drain_at": millis(now)}))


def last_drain(rows: Rows, account: str) -> int:
    """Return the number of the account's last drain; 0 if it never had one."""
    return read(rows, [account])[account].drain


def last_tracker(rows: Rows, account: str) -> int:
    """Return the number of the account's last tracker of young tasks; 0 if it never had one."""
    return read(rows, [account])[account].tracker


def tracked_by(rows: Rows, account: str) -> str:
    """Return the wake-up by which the last tracker of young tasks began."""
    return read(rows, [account])[account].tracked_by


def begin_tracking(rows: Rows, account: str, wake_up: str) -> None:
    """Begin to follow young tasks for a wake-up."""
    rows.add(_key(account), {"tracker": 1}, beside={"tracked_by": wake_up})


def still_drains(account: str, drain: int) -> Check:
    """Demand, in the transaction that records new tasks, that no other submitter has begun since ``drain``."""
    return Check(_key(account), {"epoch": drain})


def paused(rows: Rows, account: str) -> bool:
    """Whether submission is paused for the account, by its own switch or the one for all."""
    return any(control.paused for control in read(rows, [EVERYWHERE, account]).values())


def set_paused(rows: Rows, account: str, *, actor: str, reason: str, now: datetime) -> None:
    """Pause an account, or ``EVERYWHERE``."""
    beside: dict[str, Value] = {"paused": 1, "paused_by": actor, "reason": reason, "paused_at": millis(now)}
    rows.add(_key(account), {"switched": 1}, beside=beside)


def resume(rows: Rows, account: str, *, actor: str, now: datetime) -> None:
    """End a pause, and with it every block by the vendor: a person says that the cause is gone."""
    rows.add(_key(account), {"switched": 1}, beside={"paused": 0, "resumed_by": actor, "resumed_at": millis(now)})
    unblock(rows, account)


def unblock(rows: Rows, account: str) -> None:
    """End every block by the vendor."""
    names = ("blocked", *(f"blocked_{subject}" for subject in SUBJECTS))
    remove = tuple(f"{name}_{part}" for name in names for part in ("until", "reason", "for"))
    _change(rows, account, Update(_key(account), remove=remove))


def block(rows: Rows, account: str, *, until: datetime, error: VendorError, subject: str = "") -> None:
    """Write that the vendor refused access, or a ``subject`` of ``SUBJECTS``, and until when no call for it is made."""
    name = f"blocked_{subject}" if subject else "blocked"
    beside: dict[str, Value] = {
        f"{name}_until": millis(until),
        f"{name}_reason": f"{error.code} {error}"[:300],
        f"{name}_for": error.kind,
    }
    rows.add(_key(account), {"blocks": 1}, beside=beside)


def record_late_end(rows: Rows, account: str, after: timedelta, *, now: datetime) -> None:
    """Write how long after the acceptance of a task the vendor's list has shown its end."""
    change: dict[str, Value] = {"ended_after": round(after.total_seconds()), "ended_late_at": millis(now)}
    _change(rows, account, Update(_key(account), set=change))


def slow_end(state: Control, *, now: datetime) -> timedelta:
    """Return how late the vendor's list shows the end of tasks; 0 if none of the last hour was late."""
    is_recent = state.ended_late_at is not None and now - state.ended_late_at < LATE_END_COUNTS
    return state.ended_after if is_recent else timedelta()


def record_last_calls(rows: Rows, account: str, pace: Pace, *, well: bool) -> None:
    """Write when a drain called the vendor, so that the next one keeps the rate across the change.

    ``well`` says whether the vendor answered its calls: then the next drain lets calls overlap from its first one on.
    """
    assert pace.last
    at = millis(pace.last)
    change: dict[str, Value] = {"last_call_at": at, "last_calls": [at, pace.last_calls]}
    if well:
        change["answered_at"] = at
    _change(rows, account, Update(_key(account), set=change, remove=() if well else ("answered_at",)))


def _change(rows: Rows, account: str, update: Update) -> None:
    """Change the row of an account, if there is one.

    A submitter's transaction on the row at the same moment makes the change fail, as a failed condition would. So the
    change is tried again: otherwise a person who ends a block might end nothing.
    """
    for _ in range(CHANGE_TRIES):
        if rows.apply(update) or not rows.get([_key(account)], consistent=True):
            return
    raise LedgerUnavailable(f"the switches of {account} could not be changed in {CHANGE_TRIES} tries")
