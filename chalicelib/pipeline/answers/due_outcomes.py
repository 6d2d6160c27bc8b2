"""Every minute: name the reports that are due, so that ``deliver_outcomes`` looks at them.

Most reports were looked at when their last task ended (``pipeline.lifecycle.calling_back``). This finds the others:
reports that a crash left out, that a receiver did not take, or that wait for a person.
"""

from __future__ import annotations

from typing import Final

from chalicelib.ledger import callbacks, reports
from chalicelib.pipeline.run import Run

PAGE: Final = 100

A_MINUTE: Final = 1_000
"""How many reports of one source a run names, the oldest first. The next run names the others."""


def name_due_reports(run: Run) -> int:
    """Name the reports of each source that are due; return how many."""
    reports_by_source: dict[str, list[str]] = {}
    after = ""
    while not run.time_is_up:
        due = callbacks.due(run.rows, now=run.clock(), after=after, limit=PAGE)
        if not due:
            break
        sources = {found.id: found.source for found in reports.summaries(run.rows, [each.report for each in due])}
        for callback in due:
            if callback.report in sources:
                reports_by_source.setdefault(sources[callback.report], []).append(callback.report)
            else:  # its sender saw no answer, and its next attempt writes a new row
                callbacks.drop(run.rows, callback)
        after = due[-1].place
    minute = int(run.clock().timestamp() // 60)
    named = {source: list(dict.fromkeys(ids))[:A_MINUTE] for source, ids in reports_by_source.items()}
    for source, ids in named.items():
        run.call_back(source, ids, mark=f"sweep-{minute}")
    return sum(map(len, named.values()))
