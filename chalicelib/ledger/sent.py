"""How many URLs were sent to a vendor on a day, if the vendor limits them: one row for an account and a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from chalicelib.domain.model import Action
from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Rows, Value

KEEP = timedelta(days=3)


def read(rows: Rows, account: str, day: date) -> dict[Action, int]:
    """Read how many URLs were sent on a day, by action."""
    key = _key(account, day)
    return _counts(rows.get([key], consistent=True).get(key, {}))


def count(rows: Rows, account: str, day: date, action: Action, urls: int, *, now: datetime) -> dict[Action, int]:
    """Count URLs that the vendor took; return the numbers of the day."""
    return _counts(rows.add(_key(account, day), {action.value: urls}, beside={"expires_at": epoch(now + KEEP)}))


def _key(account: str, day: date) -> Key:
    return (f"account#{account}", f"sent#{day.isoformat()}")


def _counts(row: Mapping[str, Value]) -> dict[Action, int]:
    return {action: number(row, action.value) for action in Action}
