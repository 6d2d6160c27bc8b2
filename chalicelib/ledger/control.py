"""Switches and the submitter's state, one row per vendor account and one for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.domain.errors import VendorError
from chalicelib.ledger.row import millis, moment, number, text
from chalicelib.ports import Check, Rows, Update, Value

ACCESS_BLOCK = timedelta(minutes=10)
"""How long nobody calls a vendor that refused access: five refused signatures lock a key for 5 minutes."""

QUOTA_BLOCK = timedelta(minutes=15)
EVERYWHERE = "*"
"""The name under which all accounts are paused at once."""


class AccountState(StrEnum):
    """What keeps submission at an account, if anything does."""

    RUNNING = "running"
    PAUSED = "paused"  # by an operator
    BLOCKED = "blocked"  # the vendor refused our keys, or its quota is used up


@dataclass(frozen=True, slots=True)
class Control:
    """``blocked_until``: the vendor refused credentials or quota, so calls of it wait."""

    account: str
    epoch: int = 0
    paused: bool = False
    paused_by: str = ""
    reason: str = ""
    paused_at: datetime | None = None
    blocked_until: datetime | None = None
    blocked_reason: str = ""
    blocked_for: str = ""
    """The kind of the vendor's error: a used up quota blocks creates alone, refused access every call."""
    last_call_at: datetime | None = None


def _key(account: str) -> tuple[str, str]:
    return (f"account#{account}", "control")


def of_row(row: Mapping[str, Value]) -> Control:
    """Read a control row."""
    return Control(
        account=text(row, "pk")[8:],
        epoch=number(row, "epoch"),
        paused=bool(number(row, "paused")),
        paused_by=text(row, "paused_by"),
        reason=text(row, "reason"),
        paused_at=moment(row, "paused_at"),
        blocked_until=moment(row, "blocked_until"),
        blocked_reason=text(row, "blocked_reason"),
        blocked_for=text(row, "blocked_for"),
        last_call_at=moment(row, "last_call_at"),
    )


def read(rows: Rows, accounts: list[str]) -> dict[str, Control]:
    """Read the switches of accounts, ``EVERYWHERE`` among them if named; an account without a row has none set."""
    found = rows.get([_key(account) for account in accounts], consistent=True)
    return {name: of_row(found[_key(name)]) if _key(name) in found else Control(name) for name in accounts}


def begin_drain(rows: Rows, account: str, *, now: datetime) -> Control:
    """Become the one submitter of the account: every earlier one is refused its next task (``still_drains``)."""
    return of_row(rows.add(_key(account), {"epoch": 1}, beside={"drain_at": millis(now)}))


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
    """End a pause, and a block by the vendor with it: a person says that the cause is gone."""
    rows.add(_key(account), {"switched": 1}, beside={"paused": 0, "resumed_by": actor, "resumed_at": millis(now)})
    unblock(rows, account)


def unblock(rows: Rows, account: str) -> None:
    """End a block by the vendor."""
    rows.apply(Update(_key(account), remove=("blocked_until", "blocked_reason", "blocked_for")))


def block(rows: Rows, account: str, *, until: datetime, error: VendorError) -> None:
    """Write that the vendor refused access or quota, and until when its account is not to be called."""
    beside: dict[str, Value] = {
        "blocked_until": millis(until),
        "blocked_reason": f"{error.code} {error}"[:300],
        "blocked_for": error.kind,
    }
    rows.add(_key(account), {"blocks": 1}, beside=beside)


def record_last_call(rows: Rows, account: str, *, now: datetime) -> None:
    """Write when the vendor was last called, so that the next submitter keeps the rate across the change."""
    rows.apply(Update(_key(account), set={"last_call_at": millis(now)}))
