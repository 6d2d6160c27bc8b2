"""What a day came to, in numbers that a transparency report can quote. Pure.

Made from the day's archived events alone, one at a time, so that whoever has the archive can make it again.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.domain.exports import neutralise

DIMENSIONS: Final = ("account", "action", "category", "rule", "source", "state", "vendor")
"""Fields of an event by which it is counted."""

MOST_VALUES: Final = 1_000
"""Values of a dimension that are counted by themselves: categories are the senders' own words, without end."""

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
            # From the tasks that ended on this day: so every ban is timed once, on the day that it came into force.
            for whose in ("", str(event.get("vendor") or "")):
                self._seconds.setdefault(whose, Counter())[round(event["seconds"])] += event["urls"]

    def document(self, day: str) -> dict[str, Any]:
        """The summary as JSON, keys in order. Times are whole seconds from report to ban, weighed by URLs."""
        by_event: dict[str, Any] = {}
        for name, count in sorted(self.events.items()):
            by_event[name] = {"count": count}
            for dimension in DIMENSIONS:
                if counted := self._by.get((name, dimension)):
                    by_event[name][f"by_{dimension}"] = dict(sorted(counted.items()))
        times = {whose: quantiles(seconds) for whose, seconds in sorted(self._seconds.items())}
        total = times.pop("", quantiles(Counter()))
        return {"day": day, "events": by_event, "seconds_to_ban": {**total, "by_vendor": times}}


def quantiles(seconds: Counter[int]) -> dict[str, int | None]:
    """How many URLs, and within how many seconds half and 95 % of them were banned (nearest rank)."""
    total = seconds.total()

    def at(share: float) -> int | None:
        left = math.ceil(share * total)
        for value in sorted(seconds):
            left -= seconds[value]
            if left <= 0:
                return value
        return None

    return {"urls": total, "median": at(0.5) if total else None, "p95": at(0.95) if total else None}


def summary_csv(document: Mapping[str, Any]) -> bytes:
    """The summary as CSV: a number a line, and no cell that a spreadsheet would run."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")

    def line(*cells: object) -> None:
        writer.writerow([neutralise(cell) if isinstance(cell, str) else cell for cell in cells])

    line("day", "event", "dimension", "value", "count")
    day = document["day"]
    for event, counted in document["events"].items():
        line(day, event, "all", "", counted["count"])
        for dimension in DIMENSIONS:
            for value, count in counted.get(f"by_{dimension}", {}).items():
                line(day, event, dimension, value, count)
    times = document["seconds_to_ban"]
    for vendor, said in {"": times, **times["by_vendor"]}.items():
        for name in ("urls", "median", "p95"):
            if said[name] is not None:
                line(day, "seconds_to_ban", name, vendor, said[name])
    return out.getvalue().encode()
