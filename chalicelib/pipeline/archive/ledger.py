"""Archive what was decided on each finished UTC day: its events, a summary of them, and last the manifest.

The crash order is that of exports: the events are stored first, and everything else is made from the stored events. So
the summary and the manifest agree with the events, whatever crashed in between. An event has the outcome that its URL
has when the day is archived. A later end is in the archive of the day on which it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from chalicelib.ledger import KEEP, journal
from chalicelib.pipeline.archive.files import JSON, Stored, ZippedFile, fetch, json_line, lines, store, store_small
from chalicelib.pipeline.archive.keys import LEDGER_MANIFESTS, LedgerKeys, ledger_keys
from chalicelib.pipeline.archive.ledger_events import LedgerEvents
from chalicelib.pipeline.archive.summary import Summary
from chalicelib.pipeline.run import Run
from chalicelib.ports import Objects, Rows

SETTLES: Final = timedelta(hours=1)
"""How long after its end a day is not archived yet. Then writes that began before midnight are done, and most tasks
have ended."""

LATE: Final = timedelta(hours=6)
"""A day that is not archived this long after its end is late, which raises an alarm."""

BACK: Final = KEEP - timedelta(days=2)
"""So far back the journal is certainly complete. Older rows expire."""

PARALLEL_READS: Final = 8
"""How many journal rows are read side by side, and held in memory with their events: at most 1,000 URLs each."""


@dataclass(slots=True)
class ArchivedLedger:
    """The result of a run, in days."""

    archived: list[date] = field(default_factory=list)
    left: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class LedgerRoute:
    """What the archive of the ledger needs besides its run."""

    objects: Objects
    vendors: Callable[[], Mapping[str, str]]
    """Reads which vendor each account is at."""
    workers: int = PARALLEL_READS
    """Threads that read; 0: the caller's own."""


def archive_ledger(run: Run, route: LedgerRoute) -> ArchivedLedger:
    """Archive every finished day that is not archived yet, oldest first."""
    result = ArchivedLedger()
    days = missing_days(run.rows, route.objects, now=run.clock())
    for day in days:
        if run.time_is_up:
            break
        _archive_day(run, route, day)
        result.archived.append(day)
    left = days[len(result.archived) :]
    result.left, result.late = len(left), sum(run.clock() - _end(day) > LATE for day in left)
    run.emit("ledger_checked", archived=len(result.archived), left=result.left, late=result.late)
    return result


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def missing_days(rows: Rows, objects: Objects, *, now: datetime) -> list[date]:
    """List the finished days without a manifest, from the first archived day, or else the first with a journal."""
    last = (now - SETTLES).astimezone(UTC).date() - timedelta(days=1)
    archived = {key[len(LEDGER_MANIFESTS) :][:10] for key in objects.keys(LEDGER_MANIFESTS)}
    if archived:
        first = date.fromisoformat(min(archived))
    else:
        span = (last - timedelta(days=back) for back in range(BACK.days, 0, -1))
        first = next((day for day in span if journal.begun(rows, day)), last)
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in days if day.isoformat() not in archived]


def _archive_day(run: Run, route: LedgerRoute, day: date) -> None:
    keys = ledger_keys(day)
    events = LedgerEvents(run.rows, route.vendors(), run.clock())
    summary, newest = Summary(), ""
    with TemporaryDirectory(prefix="ledger-") as directory:
        events_file = _store_events(events, route, day, keys, Path(directory) / "events.gz")
        for event in lines(events_file.path):
            summary.add(event)
            newest = max(newest, event["at"])
    document = summary.document(day.isoformat())
    summary_object = store_small(route.objects, keys.summary, json_line(document), content_type=JSON)
    complete = events.now - _end(day) < BACK
    manifest: dict[str, Any] = {
        "kind": "ledger",
        "day": day.isoformat(),
        "archived_at": events.now.isoformat(),
        "journal_complete": complete,
        "events": summary.events.total(),
        "events_by_kind": dict(sorted(summary.events.items())),
        "newest_event_at": newest or None,
        "objects": {"events": events_file.described(), "summary": summary_object},
    }
    new = route.objects.put_new(keys.manifest, json_line(manifest), content_type=JSON)
    if not complete:
        run.emit("ledger_day_lost", day=day.isoformat(), problem="archived after its journal had begun to expire")
    run.emit(
        "ledger_archived",
        day=day.isoformat(),
        events=summary.events.total(),
        manifest=keys.manifest,
        new=new,
        summary=json.dumps(manifest["events_by_kind"]),
    )


def _store_events(events: LedgerEvents, route: LedgerRoute, day: date, keys: LedgerKeys, path: Path) -> Stored:
    """Store the day's events: from the ledger, or from the store if an earlier run put them there."""
    if route.objects.sha256(keys.events) is not None:
        return fetch(route.objects, keys.events, path)
    with ZippedFile(path) as file:
        for event in events.of_day(day, workers=route.workers):
            file.write_line(event)
    return store(route.objects, keys.events, file)
