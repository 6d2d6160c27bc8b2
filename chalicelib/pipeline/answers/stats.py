"""How many URLs were reported, banned and unbanned over time, read from the journal alone. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from chalicelib.domain import source_counts
from chalicelib.domain.series import Series
from chalicelib.domain.source_counts import ByDay
from chalicelib.ledger import journal
from chalicelib.ledger.row import epoch, stamp
from chalicelib.pipeline.run import Run

PAGE: Final = 1_000


@dataclass(slots=True)
class Sources:
    """What the journal says of sources behind a place; what came before, the index of bans has."""

    place: str
    reported: dict[str, int] = field(default_factory=dict)
    """When each source reported, in epoch seconds."""
    by_day: ByDay = field(default_factory=dict)


def read(run: Run, series: Series, *, since: datetime, until: datetime, sources: Sources | None = None) -> bool:
    """Count the events of a span; return whether all were counted before time was up. ``sources`` learns of them."""
    place = stamp(since)
    while events := journal.following(run.rows, place, until=until, limit=PAGE):
        for event in events:
            if event.at is None:
                continue
            if event.kind == "taken":
                counts = event.fields.get("sources")
                series.add_taken(event.at, counts)
                if sources and isinstance(counts, dict):
                    sources.reported.update(dict.fromkeys(counts, epoch(event.at)))
            elif event.kind == "task":
                series.add_task(event.at, event.fields)
                if sources and event.place > sources.place:
                    source_counts.add(sources.by_day, event.at, event.fields)
        place = events[-1].place
        if run.time_is_up:
            return False
    return True
