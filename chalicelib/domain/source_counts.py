"""How many bans of each source began, and how many of them a person undid, day by day. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

DAYS: Final = 30
"""How many UTC days are counted, today among them."""

ByDay = dict[str, dict[str, dict[str, int]]]
"""UTC day → ``banned`` or ``undone`` → source → URLs."""

FIELDS: Final = {"sources": "banned", "undone": "undone"}
"""Fields in the journal of a task that succeeded (``lifecycle.by_source``), and the counts that they add to."""


class Bans(NamedTuple):
    """Bans of a source that began, and that a person undid."""

    banned: int = 0
    undone: int = 0

    @property
    def share(self) -> float | None:
        """The undone share of the bans; ``None`` if there were none."""
        return round(self.undone / self.banned, 4) if self.banned else None


def add(by_day: ByDay, at: datetime, fields: Mapping[str, object]) -> None:
    """Count the bans and the undone bans in the journal's row of a task that ended."""
    for field, name in FIELDS.items():
        counts = fields.get(field)
        if isinstance(counts, Mapping):
            of_day = by_day.setdefault(f"{at:%Y-%m-%d}", {}).setdefault(name, {})
            for source, number in counts.items():
                of_day[source] = of_day.get(source, 0) + int(number)


def recent(by_day: ByDay, now: datetime) -> ByDay:
    """Leave out days that are too old to be counted."""
    first = f"{now - timedelta(days=DAYS - 1):%Y-%m-%d}"
    return {day: counts for day, counts in by_day.items() if day >= first}


def summed(by_day: ByDay, before: Mapping[str, Bans]) -> dict[str, Bans]:
    """Return the bans of each source over all days, and those that were counted ``before``."""
    banned = Counter({source: bans.banned for source, bans in before.items()})
    undone = Counter({source: bans.undone for source, bans in before.items()})
    for of_day in by_day.values():
        banned.update(of_day.get("banned", {}))
        undone.update(of_day.get("undone", {}))
    return {source: Bans(banned[source], undone[source]) for source in banned.keys() | undone.keys()}
