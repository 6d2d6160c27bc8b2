"""What was banned this hour and these days at an account, for the caps of the policy: one small row an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.policy.usage import Usage
from chalicelib.ledger.row import blob, number, text
from chalicelib.ports import Insert, Rows, Update, Value

TRIES = 5
"""How often a batch is decided again because another one counted meanwhile. After that its bans are held: no cap is
passed by what could not be counted."""

LIVE_DAYS = 7
"""Days whose bans count as live ones: the usual length of a ban."""


@dataclass(slots=True)
class Counted:
    """An account's counts as they were read, and what was added to them since."""

    account: str
    usage: Usage
    hour: str
    version: int = 0
    days: dict[str, int] = field(default_factory=dict)
    added: int = 0

    def count(self, source: str, host: str) -> None:
        """Count one ban."""
        self.usage.add(source, host, self.account)
        self.added += 1


def _key(account: str) -> tuple[str, str]:
    return (f"account#{account}", "usage")


def read(rows: Rows, accounts: Iterable[str], *, now: datetime) -> dict[str, Counted]:
    """Read the counts of accounts; a new hour begins at zero."""
    keys = [_key(account) for account in accounts]
    found = rows.get(keys, consistent=True) if keys else {}
    return {pk[8:]: _counted(pk[8:], found.get((pk, sk), {}), now) for pk, sk in keys}


def _counted(account: str, row: Mapping[str, Value], now: datetime) -> Counted:
    hour = max(text(row, "hour"), f"{now:%Y-%m-%dT%H}")  # one that began late in an hour counts in the next
    stored = row.get("days")
    since = f"{now - timedelta(days=LIVE_DAYS):%Y-%m-%d}"
    days = {
        day: count
        for day, count in (stored.items() if isinstance(stored, dict) else ())
        if isinstance(count, int) and day > since
    }
    usage = Usage.unpack(blob(row, "usage")) if text(row, "hour") == hour else Usage()
    usage.live = sum(days.values())
    return Counted(account, usage, hour, number(row, "version"), days)


def write(rows: Rows, counted: Iterable[Counted], *, now: datetime) -> set[str]:
    """Write the counts that grew; return the accounts where somebody else counted meanwhile, whose counts stand."""
    day = f"{now:%Y-%m-%d}"
    grown = [each for each in counted if each.added]
    writes: list[Insert | Update] = []
    for each in grown:
        days: dict[str, Value] = {**each.days, day: each.days.get(day, 0) + each.added}
        pk, sk = _key(each.account)
        row: dict[str, Value] = {
            "usage": each.usage.packed(),
            "hour": each.hour,
            "days": days,
            "version": each.version + 1,
        }
        if each.version:
            writes.append(Update((pk, sk), set=row, expect={"version": each.version}))
        else:
            writes.append(Insert({"pk": pk, "sk": sk, **row}))
    return {grown[index].account for index in rows.write(writes)} if writes else set()
