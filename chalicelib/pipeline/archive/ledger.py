"""Archive what was decided on each finished UTC day: its events, a summary of them, and last the manifest.

Crash order as with exports: the events are stored first, and all else is made from the stored ones, so that summary
and manifest say the same as the events whatever crashed in between. The outcomes are those at the time of archiving;
what ends later stands in the day on which it ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from chalicelib.ledger import KEEP, journal
from chalicelib.pipeline.archive.files import CSV, JSON, Stored, ZippedFile, fetch, json_line, lines, store, store_small
from chalicelib.pipeline.archive.keys import LEDGER_MANIFESTS, LedgerKeys, ledger_keys
from chalicelib.pipeline.archive.ledger_events import AT_ONCE, Ledger
from chalicelib.pipeline.archive.summary import Summary, summary_csv
from chalicelib.ports import Emit, Objects, Rows

SETTLES: Final = timedelta(hours=1)
"""After its end a day is left alone for so long: who began to write before midnight is done, and most tasks have
ended."""

LATE: Final = timedelta(hours=6)
"""A day that is not archived so long after its end is late: an alarm."""

BACK: Final = KEEP - timedelta(days=2)
"""How far back the journal is there for certain."""


@dataclass(slots=True)
class ArchivedLedger:
    """What a run came to, in days."""

    archived: list[date] = field(default_factory=list)
    left: int = 0
    late: int = 0


def archive_ledger(
    *,
    rows: Rows,
    objects: Objects,
    vendors: Callable[[], dict[str, str]],
    emit: Emit,
    clock: Callable[[], datetime],
    deadline: datetime,
    directory: Path | None = None,
    workers: int = AT_ONCE,
) -> ArchivedLedger:
    """Archive every finished day that is not, oldest first. ``vendors`` says which vendor an account is at."""
    run = ArchivedLedger()
    days = missing_days(rows, objects, now=clock())
    for day in days:
        if clock() >= deadline:
            break
        _archive_day(
            day, Ledger(rows, vendors(), clock()), objects=objects, emit=emit, directory=directory, workers=workers
        )
        run.archived.append(day)
    left = days[len(run.archived) :]
    run.left, run.late = len(left), sum(clock() - _end(day) > LATE for day in left)
    emit("ledger_checked", archived=len(run.archived), left=run.left, late=run.late)
    return run


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def missing_days(rows: Rows, objects: Objects, *, now: datetime) -> list[date]:
    """The finished days without a manifest, from the first archived day on, or else from the first with a journal."""
    last = (now - SETTLES).astimezone(UTC).date() - timedelta(days=1)
    done = {key[len(LEDGER_MANIFESTS) :][:10] for key in objects.keys(LEDGER_MANIFESTS)}
    if done:
        first = date.fromisoformat(min(done))
    else:
        span = (last - timedelta(days=back) for back in range(BACK.days, 0, -1))
        first = next((day for day in span if journal.begun(rows, day)), last)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day for day in days if day.isoformat() not in done]


def _archive_day(
    day: date, ledger: Ledger, *, objects: Objects, emit: Emit, directory: Path | None, workers: int
) -> None:
    keys = ledger_keys(day)
    with TemporaryDirectory(prefix="ledger-", dir=directory) as scratch:
        events = _events(day, ledger, keys, Path(scratch) / "events.gz", objects=objects, workers=workers)
        summary, newest = Summary(), ""
        for event in lines(events.path):
            summary.add(event)
            newest = max(newest, event["at"])
    document = summary.document(day.isoformat())
    said = store_small(objects, keys.summary, json_line(document), content_type=JSON)
    said_csv = store_small(objects, keys.summary_csv, summary_csv(document), content_type=CSV)
    # The journal's rows expire: a day that is archived as late as that may have lost some.
    whole = ledger.now - _end(day) < BACK
    manifest: dict[str, Any] = {
        "kind": "ledger",
        "day": day.isoformat(),
        "archived_at": ledger.now.isoformat(),
        "journal_complete": whole,
        "events": summary.events.total(),
        "events_by_kind": dict(sorted(summary.events.items())),
        "newest_event_at": newest or None,
        "objects": {"events": events.described(), "summary": said, "summary_csv": said_csv},
    }
    new = objects.put_new(keys.manifest, json_line(manifest), content_type=JSON)
    if not whole:
        emit("ledger_day_lost", day=day.isoformat(), problem="archived after its journal had begun to expire")
    emit(
        "ledger_archived",
        day=day.isoformat(),
        events=summary.events.total(),
        manifest=keys.manifest,
        new=new,
        summary=json.dumps(manifest["events_by_kind"]),
    )


def _events(day: date, ledger: Ledger, keys: LedgerKeys, path: Path, *, objects: Objects, workers: int) -> Stored:
    """The day's events, stored and on disk: from the ledger, or from the store if it came that far before."""
    if objects.sha256(keys.events) is not None:
        return fetch(objects, keys.events, path)
    with ZippedFile(path) as file:
        for event in ledger.events(day, workers=workers):
            file.write_line(event)
    return store(objects, keys.events, file)
