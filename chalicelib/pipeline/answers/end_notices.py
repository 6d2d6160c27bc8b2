"""Tell people once a day which bans end in the coming days and are not renewed, by day and source.

A new report of a page moves the end of its ban out, and a person may move it too. People who are told in time can keep
a page banned.
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
"""The day's message is sent from this hour on, in UTC."""

DAYS: Final = 3
"""A message tells of the ends on so many whole days after today: a weekend and one day."""

LINES: Final = 20
"""How many lines a message's table has. One more line counts the rest."""


def tell_of_ends(run: Run, index: Index, notify: Notify, *, told: str) -> str:
    """Tell people which bans will end, unless they were told today; return the day on which they were last told.

    ``told`` and the answer are days such as ``2026-01-15``; empty: nobody was told yet. The caller stores the day
    afterwards: after a crash in between people are told twice. If the index has no bans, nobody is told and the day
    does not change.
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
