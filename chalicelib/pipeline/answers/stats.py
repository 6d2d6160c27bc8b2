"""How many URLs were reported, banned and unbanned, by hour or day. Read from the journal alone; nothing is written."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from chalicelib.domain.model import Action, TaskState
from chalicelib.ledger import journal
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.answers.overview import quantile
from chalicelib.pipeline.run import Run

PAGE: Final = 1_000
BUCKETS: Final = {"minute": "%Y-%m-%dT%H:%M:00+00:00", "hour": "%Y-%m-%dT%H:00:00+00:00", "day": "%Y-%m-%d"}
DIMENSIONS: Final = ("source", "account")
VERDICTS: Final = ("ban", "hold", "duplicate", "rejected", "suppressed")
COLUMNS: Final = ("bucket", "value", "messages", "reported", *VERDICTS, "banned", "unbanned", "p50", "p95")
"""What is counted; ``banned`` and ``unbanned`` have no source: one task carries the URLs of several."""


class Series:
    """Counts events into buckets, and in each by the values of a dimension."""

    def __init__(self, by: str, bucket: str) -> None:
        self._by = by
        self._format = BUCKETS[bucket]
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._seconds: dict[tuple[str, str], Counter[int]] = {}

    def add(self, event: Entry) -> None:
        """Count one event."""
        if event.at is None:
            return
        bucket = event.at.strftime(self._format)
        sources = event.fields.get("sources")
        if event.kind == "taken" and isinstance(sources, dict) and self._by != "account":
            for source, counts in sources.items():
                counter = self._counts.setdefault((bucket, source if self._by == "source" else ""), Counter())
                if isinstance(counts, dict):
                    counter.update({name: number for name, number in counts.items() if isinstance(number, int)})
        urls, seconds = event.fields.get("urls"), event.fields.get("seconds")
        ended = event.kind == "task" and event.fields.get("state") == TaskState.SUCCEEDED
        if ended and isinstance(urls, int) and isinstance(seconds, int) and self._by != "source":
            account = event.fields.get("account")
            place = (bucket, account if self._by == "account" and isinstance(account, str) else "")
            action = event.fields.get("action")
            self._counts.setdefault(place, Counter())["banned" if action == Action.BAN else "unbanned"] += urls
            if action == Action.BAN:
                self._seconds.setdefault(place, Counter())[seconds] += urls

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts, oldest bucket first."""
        rows = []
        for place, counts in sorted(self._counts.items()):
            seconds = self._seconds.get(place, Counter())
            rows.append(
                {
                    "bucket": place[0],
                    "value": place[1],
                    "messages": counts["messages"],
                    "reported": sum(counts[verdict] for verdict in VERDICTS),
                    **{verdict: counts[verdict] for verdict in VERDICTS},
                    "banned": counts["banned"],
                    "unbanned": counts["unbanned"],
                    "p50": quantile(seconds, 0.5),
                    "p95": quantile(seconds, 0.95),
                }
            )
        return rows


def read(run: Run, series: Series, *, since: datetime, until: datetime) -> bool:
    """Count the events of a span; return whether all were counted before time was up."""
    place = stamp(since)
    while events := journal.following(run.rows, place, until=until, limit=PAGE):
        for event in events:
            series.add(event)
        place = events[-1].place
        if run.time_is_up:
            return False
    return True
