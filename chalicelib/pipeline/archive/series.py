"""Counts over time. An archived day is read from its summary: one object instead of the day's journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from chalicelib.domain.series import Series
from chalicelib.pipeline.archive.keys import ledger_keys
from chalicelib.pipeline.archive.ledger_events import LedgerEvents
from chalicelib.pipeline.archive.summary import ALL
from chalicelib.pipeline.run import Run
from chalicelib.ports import Objects

REFUSALS: Final = {"rejected": "rejected", "suppressed": "suppressed"}


def add_archived_day(objects: Objects, series: Series, day: date) -> bool:
    """Count a day from its summary; ``False`` if there is none."""
    body = objects.get(ledger_keys(day).summary)
    if body is None:
        return False
    summary = json.loads(body)
    at = datetime.combine(day, time(), UTC)
    by_value = summary["series"][series.by or ALL] if "series" in summary else _of_marginals(summary, series.by)
    for value, counts in by_value.items():
        series.add_counted(at, value, counts)
    return True


def _of_marginals(summary: Mapping[str, Any], by: str) -> dict[str, dict[str, int | None]]:
    """Count a day whose summary has no series: an earlier version counted events by each of their fields alone.

    It did not keep repeats, and kept only the sum of the URLs that a vendor banned.
    """
    counted: dict[str, dict[str, int | None]] = {}
    for event, column in (("ban", "ban"), ("hold", "hold"), ("unban", "unbanned"), ("refusal", "rejected")):
        told = summary["events"].get(event, {})
        by_value = told.get(f"by_{by}", {}) if by else {"": told["count"]} if told else {}
        for value, count in by_value.items():
            name = value if event == "refusal" and by == "state" and value in REFUSALS else column
            counts = counted.setdefault(value, {})
            counts[name] = (counts.get(name) or 0) + count
    if not by and (times := summary.get("seconds_to_ban")):
        counted.setdefault("", {}).update(banned=times["urls"], p50=times["median"], p95=times["p95"])
    return counted


def add_decided_urls(run: Run, series: Series, *, since: datetime, until: datetime) -> bool:
    """Count what was decided about each URL, as the archive of the day will have it; ``False`` if time ran out."""
    events = LedgerEvents(run.rows, {}, run.clock(), names_reporters=False)
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        for event in events.of_day(day, workers=0):
            at = datetime.fromisoformat(event["at"]) if event["at"] else until
            if since <= at < until:
                series.add_url(at, event)
            if run.time_is_up:
                return False
        day += timedelta(days=1)
    return True
