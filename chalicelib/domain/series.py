"""Counts over time: how many URLs were reported, banned and unbanned, by bucket and by a dimension. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from chalicelib.domain.model import Action, Rule, TaskState
from chalicelib.domain.source_counts import FIELDS

BUCKETS: Final = {"minute": "%Y-%m-%dT%H:%M:00+00:00", "hour": "%Y-%m-%dT%H:00:00+00:00", "day": "%Y-%m-%d"}
VERDICTS: Final = ("ban", "hold", "duplicate", "rejected", "suppressed")
COUNTS: Final = ("messages", "reported", *VERDICTS, "banned", "unbanned", "undone")
COLUMNS: Final = ("bucket", "value", *COUNTS, "refused_at_once", "p50", "p95")

BY_REPORTS: Final = ("source", "account")
"""Dimensions for which batches and tasks are counted, as they are for counts without a dimension."""

BY_URLS: Final = ("category", "rule", "state")
"""Dimensions of single URLs. They are counted from the decision about each URL, so repeats are not counted."""

NOT_COUNTED: Final = {
    "source": frozenset({"unbanned"}),  # the journal names sources only for bans that people undid
    "account": frozenset({"messages", "reported", *VERDICTS}),
    **dict.fromkeys(BY_URLS, frozenset({"messages", "duplicate"})),
    "category": frozenset({"messages", "duplicate", "unbanned", "undone"}),  # an unban has none of its own
}
"""The counts that a dimension cannot give: they are ``None``, and not 0."""

BY_PEOPLE: Final = frozenset({Rule.UNBAN, Rule.UNDO})
"""Rules of unbans that a person asked for."""

MOST_VALUES: Final = 1_000
"""The most values of a dimension that are counted by name. Senders choose categories, so their number has no limit."""

MOST_ROWS: Final = 10_000
"""About how many rows an answer has. If there are more values, those with the smallest counts share one row."""

THE_REST: Final = "(others)"


class Series:
    """Counts by bucket, and in each bucket by the values of a dimension. Without one, the only value is empty."""

    def __init__(self, by: str, bucket: str) -> None:
        self.by = by
        self._format = BUCKETS[bucket]
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._seconds: dict[tuple[str, str], Counter[int]] = {}
        self._quantiles: dict[tuple[str, str], tuple[int | None, int | None]] = {}
        self._values: set[str] = set()
        self._known_at_once: set[str] = set()

    def _at(self, at: datetime, value: str) -> tuple[str, str]:
        if value not in self._values:
            if len(self._values) >= MOST_VALUES:
                value = THE_REST
            self._values.add(value)
        return at.strftime(self._format), value

    def add_taken(self, at: datetime, sources: object) -> None:
        """Count a batch of reports: source → verdict → URLs, as its row in the journal has it."""
        if self.by not in {"", "source"} or not isinstance(sources, Mapping):
            return
        for source, counts in sources.items():
            counter = self._counts.setdefault(self._at(at, source if self.by else ""), Counter())
            if isinstance(counts, Mapping):
                counter.update({name: number for name, number in counts.items() if isinstance(number, int)})

    def add_task(self, at: datetime, task: Mapping[str, object]) -> None:
        """Count a task that ended: account, action, state, urls and seconds."""
        urls, seconds, account = task.get("urls"), task.get("seconds"), task.get("account")
        if task.get("state") != TaskState.SUCCEEDED:
            return
        if self.by == "source":
            self._add_by_source(at, task)
        if self.by not in {"", "account"}:
            return
        if not isinstance(urls, int) or not isinstance(seconds, int | float):
            return
        place = self._at(at, account if self.by and isinstance(account, str) else "")
        banned = task.get("action") == Action.BAN
        counts = self._counts.setdefault(place, Counter())
        counts["banned" if banned else "unbanned"] += urls
        counts["undone"] += sum(_numbers(task.get("undone")).values())
        if banned:
            self._seconds.setdefault(place, Counter())[round(seconds)] += urls

    def _add_by_source(self, at: datetime, task: Mapping[str, object]) -> None:
        """Count new bans, and what people undid, for the sources of the bans. A renewal is no new ban."""
        for field, column in FIELDS.items():
            for source, number in _numbers(task.get(field)).items():
                self._counts.setdefault(self._at(at, source), Counter())[column] += number

    def add_url(self, at: datetime, event: Mapping[str, Any]) -> None:
        """Count the decision about one URL: a ban, hold, unban or refusal among the events of the ledger's archive."""
        kind = str(event["event"])
        if self.by not in BY_URLS or kind not in {"ban", "hold", "unban", "refusal"}:
            return
        if kind == "unban" and self.by == "category":
            return
        value = event.get(self.by) or ("default" if self.by == "rule" else "")
        counts = self._counts.setdefault(self._at(at, str(value)), Counter())
        if kind == "unban":
            counts["unbanned"] += 1
            counts["undone"] += event.get("rule") in BY_PEOPLE
            return
        verdict = event.get("state") if kind == "refusal" else kind
        counts[verdict if verdict in VERDICTS else "rejected"] += 1
        counts["banned"] += event.get("finished_at") is not None

    def add_counted(self, at: datetime, value: str, counts: Mapping[str, int | None]) -> None:
        """Add earlier counts, in the form of ``counted``. The seconds of one place come from one of the counts only."""
        place = self._at(at, value)
        named = {name: counts.get(name) or 0 for name in ("messages", *VERDICTS, "banned", "unbanned", "undone")}
        self._counts.setdefault(place, Counter()).update(named)
        self._quantiles[place] = (counts.get("p50"), counts.get("p95"))

    def add_refused_at_once(self, at: datetime, by_source: Mapping[str, int]) -> None:
        """Count the URLs that the webhook refused at once in a bucket. Else that count of the bucket is ``None``."""
        self._known_at_once.add(at.strftime(self._format))
        for source, urls in by_source.items():
            self._counts.setdefault(self._at(at, source if self.by else ""), Counter())["refused_at_once"] += urls

    def counted(self) -> dict[str, dict[str, int | None]]:
        """Return the counts by value, for a series of one bucket."""
        return {row["value"]: {name: row[name] for name in (*COUNTS, "p50", "p95")} for row in self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts, oldest bucket first."""
        self._keep_large()
        without = dict.fromkeys(NOT_COUNTED.get(self.by, ()))
        return [
            {
                "bucket": place[0],
                "value": place[1],
                "messages": counts["messages"],
                "reported": sum(counts[verdict] for verdict in VERDICTS),
                **{verdict: counts[verdict] for verdict in VERDICTS},
                "banned": counts["banned"],
                "unbanned": counts["unbanned"],
                "undone": counts["undone"],
                "refused_at_once": counts["refused_at_once"] if place[0] in self._known_at_once else None,
                **self._times(place),
                **without,
            }
            for place, counts in sorted(self._counts.items())
        ]

    def _times(self, place: tuple[str, str]) -> dict[str, int | None]:
        if place in self._seconds:
            seconds = self._seconds[place]
            return {"p50": quantile(seconds, 0.5), "p95": quantile(seconds, 0.95)}
        p50, p95 = self._quantiles.get(place, (None, None))
        return {"p50": p50, "p95": p95}

    def _keep_large(self) -> None:
        """Join the smallest values into one row if there are more rows than an answer has room for."""
        if len(self._counts) <= MOST_ROWS:
            return
        totals = Counter[str]()
        for (_, value), counts in self._counts.items():
            totals[value] += counts.total()
        buckets = len({bucket for bucket, _ in self._counts})
        large = {value for value, _ in totals.most_common(max(1, MOST_ROWS // buckets))}
        merged: dict[tuple[str, str], Counter[str]] = {}
        for (bucket, value), counts in self._counts.items():
            merged.setdefault((bucket, value if value in large else THE_REST), Counter()).update(counts)
        self._counts = merged


def _numbers(counts: object) -> dict[str, int]:
    """Return the counts of a field of the journal that counts something."""
    named = counts.items() if isinstance(counts, Mapping) else ()
    return {str(name): int(number) for name, number in named}


def quantile(seconds: Counter[int], share: float) -> int | None:
    """Return the seconds within which a share of the URLs was banned (nearest rank); ``None`` if none was."""
    missing = math.ceil(seconds.total() * share)
    for value in sorted(seconds):
        missing -= seconds[value]
        if missing <= 0:
            return value
    return None
