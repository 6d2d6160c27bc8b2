"""Tell people once a day which bans end in the days to come and are not renewed, by day and source.

A report that comes again moves the end of its ban out, and a person may: who is told in time keeps a page down.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from chalicelib.domain.ban_index import DIMENSIONS, Index, Wanted
from chalicelib.domain.errors import NotNotified
from chalicelib.domain.plural import counted
from chalicelib.pipeline.run import Run
from chalicelib.ports import Notify

HOUR: Final = 6
"""The hour of the day, UTC, from which on a day's message is sent."""

DAYS: Final = 3
"""Whole days after today of whose ends a message tells: a weekend and one day."""

LINES: Final = 20
"""Lines of a message's table; the rest is one line."""


def tell_of_ends(run: Run, index: Index, notify: Notify, *, told: str) -> str:
    """Tell people of the ends to come, unless they were told today; return the day on which they were told last.

    ``told`` and the answer are days such as ``2026-01-15``; empty: nobody was told yet. Whoever calls writes the day
    down afterwards: a crash in between tells twice. An index without bans tells of nothing, and of no day.
    """
    now = run.clock()
    today = f"{now:%Y-%m-%d}"
    if not len(index) or now.hour < HOUR or told >= today:
        return told
    until = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=DAYS + 1)
    lines = Wanted(ends_before=until).select(index, now=now)
    if lines:
        last = f"{until - timedelta(days=1):%Y-%m-%d}"
        try:
            notify(_subject(len(lines), last), _text(lines, last))
        except NotNotified as error:
            run.emit("hold_notice_failed", kind="ends", problem=str(error)[:300])
            return told
    run.emit("ends_told", bans=len(lines), day=today)
    return today


def _subject(count: int, last: str) -> str:
    return f"edgeban: {counted(count, 'ban ends', 'bans end')} by {last} and will not be renewed"


def _text(lines: list[str], last: str) -> str:
    """Write counts by day and source, and how to see the bans. No URL, no reporter."""
    counts = Counter((DIMENSIONS["ends"](line), DIMENSIONS["source"](line)) for line in lines)
    ordered = sorted(counts.items(), key=lambda it: (it[0][0], -it[1], it[0][1]))
    shown, rest = ordered[:LINES], ordered[LINES:]
    table = [f"{'bans':>7}  {'end on':<12}source"]
    table += [f"{count:>7,}  {day:<12}{source}" for (day, source), count in shown]
    if rest:
        table.append(f"{sum(count for _, count in rest):>7,}  on other days, or of other sources")
    return "\n".join(
        (
            f"{_subject(len(lines), last)}.",
            "",
            *table,
            "",
            "They end as planned, and each page answers again then. A further report of a page keeps it banned.",
            "See them, and change their ends: edgeban bans --ends-before 4d --sort until, or the view Bans of the",
            "console (<API>/console).",
        )
    )
