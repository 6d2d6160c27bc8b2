"""The numbers of a day, for a transparency report. Pure.

They are counted only from the day's archived events, one at a time. So anybody with the archive can count them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from chalicelib.domain.series import BY_REPORTS, BY_URLS, MOST_VALUES, THE_REST, Series, quantile

DIMENSIONS: Final = ("account", "action", "category", "rule", "source", "state", "vendor")
"""Fields of an event by which it is counted."""

ALL: Final = "all"
"""The name of the series without a dimension."""

_THE_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The name of the only bucket in the series of a day."""


class Summary:
    """Counts events as they are archived."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._by: dict[tuple[str, str], Counter[str]] = {}
        self._seconds: dict[str, Counter[int]] = {}
        self._series = [Series(by, "day") for by in ("", *BY_REPORTS, *BY_URLS)]

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event."""
        name = str(event["event"])
        self.events[name] += 1
        self._add_to_series(name, event)
        for dimension in DIMENSIONS:
            value = event.get(dimension)
            if value:
                counted = self._by.setdefault((name, dimension), Counter())
                counted[value if value in counted or len(counted) < MOST_VALUES else THE_REST] += 1
        if name == "task" and event.get("action") == "ban" and event.get("state") == "succeeded":
            # Timed by the tasks that ended on this day, so that every ban counts once: on the day it came into force.
            for vendor in ("", str(event.get("vendor") or "")):
                self._seconds.setdefault(vendor, Counter())[round(event["seconds"])] += event["urls"]

    def _add_to_series(self, name: str, event: Mapping[str, Any]) -> None:
        for series in self._series:
            if name == "taken":
                series.add_taken(_THE_DAY, event.get("details", {}).get("sources"))
            elif name == "task":
                series.add_task(_THE_DAY, {**event, **event.get("details", {})})
            else:
                series.add_url(_THE_DAY, event)

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
        series = {each.by or ALL: each.counted() for each in self._series}
        return {"day": day, "events": by_event, "seconds_to_ban": {**total, "by_vendor": times}, "series": series}


def quantiles(seconds: Counter[int]) -> dict[str, int | None]:
    """Return how many URLs there are, and the seconds within which half and 95 % were banned (nearest rank)."""
    return {"urls": seconds.total(), "median": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95)}
