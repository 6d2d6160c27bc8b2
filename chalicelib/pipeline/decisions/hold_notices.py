"""Tell people that new holds wait: at most one message in a minute of the clock, however many holds there are.

Crash order: the minute is taken, the message is sent, then each hold's row says that people were told. A run that dies
in between has told nobody, or people are told once more in the next minute. So people learn of each hold at least once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from chalicelib.domain.errors import NotNotified
from chalicelib.domain.packing import Work
from chalicelib.domain.plural import counted
from chalicelib.ledger import chunks, notices
from chalicelib.ledger.waiting_from import Mark
from chalicelib.pipeline.run import Run
from chalicelib.ports import Notify, Rows

LOOKED_INTO: Final = 100
"""For how many holds one message names the sources: each costs the read of its chunk."""

LINES: Final = 20
"""How many lines a message's table has. One more line counts the rest."""

OTHERS: Final = "(others)"


def tell(run: Run, held: Sequence[Work], notify: Notify, *, not_read: Sequence[Mark] = ()) -> int:
    """Tell people of those holds in ``held`` that they were not told of before; return how many these are.

    The marks ``not_read`` count older holds that wait as well.
    """
    new = [work for work in held if work.told_at is None]
    now = run.clock()
    if not new or not notices.take_minute(run.rows, now):
        return 0
    try:
        notify(_subject(new), f"{_text(run.rows, new)}\n{_in_all(held, not_read, now)}")
    except NotNotified as error:
        run.emit("hold_notice_failed", kind="holds", problem=str(error)[:300])
        return 0
    notices.note_told(run.rows, new, now)
    run.emit("holds_told", holds=len(new), urls=sum(map(_urls, new)))
    return len(new)


def _subject(new: Sequence[Work]) -> str:
    urls = sum(map(_urls, new))
    return f"edgeban: {counted(len(new), 'new hold')} with {counted(urls, 'URL')} to decide"


def _text(rows: Rows, new: Sequence[Work]) -> str:
    """Write counts by rule and source. No URL, no reporter, no note."""
    lines = [f"{'URLs':>6}  {'rule':<16}source"]
    counts = _by_rule_and_source(rows, new).most_common()
    shown, rest = counts[:LINES], counts[LINES:]
    lines += [f"{urls:>6,}  {rule:<16}{source}" for (rule, source), urls in shown]
    if rest:
        others = counted(len(rest), "other rule and source", "other rules and sources")
        lines.append(f"{sum(urls for _, urls in rest):>6,}  of {others}")
    return "\n".join((f"{_subject(new)}.", "", *lines, ""))


def _in_all(held: Sequence[Work], not_read: Sequence[Mark], now: datetime) -> str:
    """Write how much waits, and how to open the queue."""
    count = len(held) + sum(mark.held for mark in not_read)
    received = [work.received_at for work in held] + [mark.oldest for mark in not_read if mark.oldest]
    hours = (now - min(received)).total_seconds() / 3600
    return (
        f"In all {counted(count, 'hold waits', 'holds wait')}, the oldest for {hours:.1f} hours.\n"
        "Decide: edgeban holds review, or the view Queue of the console (<API>/console)."
    )


def _by_rule_and_source(rows: Rows, new: Sequence[Work]) -> Counter[tuple[str, str]]:
    """Count the URLs of holds by rule and source. The source of holds beyond ``LOOKED_INTO`` counts as ``OTHERS``."""
    counts: Counter[tuple[str, str]] = Counter()
    chunks_by_id = chunks.read(rows, [work.chunk for work in new[:LOOKED_INTO]])
    for work in new:
        chunk = chunks_by_id.get(work.chunk)
        if chunk is None:
            counts[work.rule, OTHERS] += _urls(work)
            continue
        for position in _positions(work):
            origin = chunk.origins[position]
            counts[work.rule, "a person" if origin.is_person else origin.source] += 1
    return counts


def _positions(work: Work) -> list[int]:
    excluded = set(work.excluded)
    return [position for position in range(work.next, work.count) if position not in excluded]


def _urls(work: Work) -> int:
    return len(_positions(work))
