"""The numbers of a day, for a transparency report. Pure.

They are counted from the day's archived events alone, one at a time. So whoever has the archive can count them again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

DIMENSIONS: Final = ("account", "action", "category", "rule", "source", "state", "vendor")
"""Fields of an event by which it is counted."""

MOST_VALUES: Final = 1_000
"""Most values of a dimension that are counted by name. Categories are senders' words: their number has no limit."""

THE_REST: Final = "(others)"


class Summary:
    """Counts events as they are archived."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._by: dict[tuple[str, str], Counter[str]] = {}
        self._seconds: dict[str, Counter[int]] = {}

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event."""
        name = str(event["event"])
        self.events[name] += 1
        for dimension in DIMENSIONS:
            value = event.get(dimension)
            if value:
                counted = self._by.setdefault((name, dimension), Counter())
                counted[value if value in counted or len(counted) < MOST_VALUES else THE_REST] += 1
        if name == "task" and event.get("action") == "ban" and event.get("state") == "succeeded":
            # Timed by the tasks that ended on this day, so that every ban counts once: on the day it came into force.
            for vendor in ("", str(event.get("vendor") or "")):
                self._seconds.setdefault(vendor, Counter())[round(event["seconds"])] += event["urls"]

    def document(self, day: str) -> dict[str, Any]:
        """Return the summary as JSON. Times are whole seconds from report to ban, weighted by URLs."""
        by_event: dict[str, Any] = {}
        for name, count in sorted(self.events.items()):
            by_event[name] = {"count": count}
            for dimension in DIMENSIONS:
                if counted := self._by.get((name, dimension)):
                    by_event[name][f"by_{dimension}"] = dict(sorted(counted.items()))
        times = {vendor: quantiles(seconds) for vendor, seconds in sorted(self._seconds.items())}
        total = times.pop("", quantiles(Counter()))
        return {"day": day, "events": by_event, "seconds_to_ban": {**total, "by_vendor": times}}


def quantiles(seconds: Counter[int]) -> dict[str, int | None]:
    """Return how many URLs there are, and the seconds within which half and 95 % were banned (nearest rank)."""
    total = seconds.total()

    def at(share: float) -> int | None:
        missing = math.ceil(share * total)
        for value in sorted(seconds):
            missing -= seconds[value]
            if missing <= 0:
                return value
        return None

    return {"urls": total, "median": at(0.5) if total else None, "p95": at(0.95) if total else None}
