"""How many bans began in this hour and on the last days at an account, for the caps of the policy.

Each account has a row for each hour, and one row for the days. Their numbers change only by atomic additions, so that
intakes that count at the same moment never conflict. An intake *reserves* the bans that it is about to make, and later
takes back those that it did not make. A crash in between leaves the counts too high, and never too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from chalicelib.domain.policy.usage import Usage
from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Rows, Value

LIVE_DAYS = 7
"""Days whose bans count as live: the usual length of a ban."""

KEEP_HOURS = timedelta(hours=3)
"""How long an hour's row outlives its hour. A batch counts in the hour in which it began, even if it ends later."""

AT_ONCE = 250
"""Numbers that one update may add to: DynamoDB takes 300 operators an expression."""


def read(rows: Rows, accounts: Iterable[str], *, now: datetime) -> dict[str, Usage]:
    """Read the counts of accounts; a new hour begins at zero."""
    names = list(accounts)
    if not names:
        return {}
    keys = [key for name in names for key in (_hour(name, now), _days(name))]
    found = rows.get(keys, consistent=True)
    usages: dict[str, Usage] = {}
    for name in names:
        usages[name] = _usage(found.get(_hour(name, now), {}))
        usages[name].live = _live(found.get(_days(name), {}), now)
    return usages


def reserve(rows: Rows, account: str, bans: Usage, *, now: datetime) -> Usage:
    """Count bans that are about to be made; return the usage before them, with all that others reserved meanwhile."""
    after = _add(rows, account, bans, now=now, sign=1)
    return after.minus(bans)


def exchange(rows: Rows, account: str, reserved: Usage, instead: Usage, *, now: datetime) -> None:
    """Replace the reserved bans with others. ``now`` is the moment of the reservation.

    The new bans are added before the old ones are subtracted: a crash in between leaves the counts too high.
    """
    for bans, sign in ((instead.minus(reserved), 1), (reserved.minus(instead), -1)):
        if bans.sources or bans.hosts:
            _add(rows, account, bans, now=now, sign=sign)


def count_lifts(rows: Rows, account: str, source: str, lifts: int, *, now: datetime) -> int:
    """Count bans that a source's withdrawals lift; return how many they lift in this hour, these included."""
    name = f"w:{source}"
    return number(rows.add(_hour(account, now), {name: lifts}, beside={"expires_at": epoch(now + KEEP_HOURS)}), name)


def _add(rows: Rows, account: str, bans: Usage, *, now: datetime, sign: int) -> Usage:
    amounts = {
        "total": sign * bans.total,
        **{f"s:{source}": sign * count for source, count in bans.sources.items()},
        **{f"h:{counter}": sign * count for counter, count in bans.hosts.items()},
    }
    names = list(amounts)
    row: Mapping[str, Value] = {}
    for start in range(0, len(names), AT_ONCE):
        part = {name: amounts[name] for name in names[start : start + AT_ONCE]}
        row = rows.add(_hour(account, now), part, beside={"expires_at": epoch(now + KEEP_HOURS)})
    usage = _usage(row)
    usage.live = _live(rows.add(_days(account), {f"{now:d%Y%m%d}": sign * bans.total}), now)
    return usage


def _hour(account: str, now: datetime) -> Key:
    return (f"account#{account}", f"{now:usage#%Y-%m-%dT%H}")


def _days(account: str) -> Key:
    return (f"account#{account}", "usage#days")


def _usage(row: Mapping[str, Value]) -> Usage:
    return Usage(
        total=number(row, "total"),
        sources=Counter({name[2:]: number(row, name) for name in row if name.startswith("s:")}),
        hosts=Counter({int(name[2:]): number(row, name) for name in row if name.startswith("h:")}),
    )


def _live(row: Mapping[str, Value], now: datetime) -> int:
    return sum(number(row, f"{now - timedelta(days=day):d%Y%m%d}") for day in range(LIVE_DAYS))
