"""How many URLs were reported, banned and unbanned over time, read from the journal alone. Nothing is written."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from chalicelib.domain.series import Series
from chalicelib.ledger import journal
from chalicelib.ledger.row import epoch, stamp
from chalicelib.pipeline.run import Run

PAGE: Final = 1_000


def read(run: Run, series: Series, *, since: datetime, until: datetime, reported: dict[str, int] | None = None) -> bool:
    """Count the events of a span; return whether all were counted before time was up.

    ``reported`` learns when each source reported, in epoch seconds.
    """
    place = stamp(since)
    while events := journal.following(run.rows, place, until=until, limit=PAGE):
        for event in events:
            if event.at is None:
                continue
            if event.kind == "taken":
                sources = event.fields.get("sources")
                series.add_taken(event.at, sources)
                if reported is not None and isinstance(sources, dict):
                    reported.update(dict.fromkeys(sources, epoch(event.at)))
            elif event.kind == "task":
                series.add_task(event.at, event.fields)
        place = events[-1].place
        if run.time_is_up:
            return False
    return True
