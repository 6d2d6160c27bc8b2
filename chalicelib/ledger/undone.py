"""The sources and reports that people undid. Reporters that such a source had named by then no longer count.

If a URL waits for further reporters, the reporters so far are in a row of the URL, to which no index leads from a
source. So each undoing leaves a row of its own, and every count of reporters reads all of these rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.domain.ban_index import covers
from chalicelib.ledger import KEEP_DECISIONS
from chalicelib.ledger.packed_words import report_id, source_id
from chalicelib.ledger.reporters import Mention
from chalicelib.ledger.row import epoch, number, text
from chalicelib.ledger.unban_jobs import Job
from chalicelib.ports import Put, Rows

PK = "undone"


@dataclass(frozen=True, slots=True)
class Undone:
    """One undoing: of what a source said in a span of time, perhaps only on one host, or of what a report said."""

    source: str
    report: str
    host: str
    since: int
    until: int

    def holds(self, mention: Mention, host: str) -> bool:
        """Return whether a mention of a URL of a host was undone."""
        if self.report:
            return mention.report == report_id(self.report) and self.since <= mention.said_at
        of_source = mention.source == source_id(self.source) and self.since <= mention.said_at <= self.until
        return of_source and (not self.host or covers(self.host, host))


def record(rows: Rows, job: Job) -> None:
    """Record that a job undoes a source or a report. Safe to repeat.

    A job for one category of a source is left out: no row says in which category a reporter was named. While a second
    person is to approve the rest of a request, only what was said since ``only_from`` is undone.
    """
    since = max((moment for moment in (job.since, job.only_from) if moment), default=None)
    if (job.source and not job.category) or job.report:
        until = min(job.until_time or job.at, job.at)
        rows.apply(
            Put(
                {
                    "pk": PK,
                    "sk": job.id,
                    "source": job.source,
                    "report": job.report,
                    "host": job.host,
                    "since": epoch(since) if since else 0,
                    "until": epoch(until),
                    "expires_at": epoch(job.at + KEEP_DECISIONS),
                }
            )
        )


def read(rows: Rows) -> list[Undone]:
    """Read all undoings. Their rows are kept for longer than the reporters of a URL."""
    return [
        Undone(text(row, "source"), text(row, "report"), text(row, "host"), number(row, "since"), number(row, "until"))
        for row in rows.query(PK)
    ]


def holds_any(undone: Iterable[Undone], mention: Mention, host: str) -> bool:
    """Return whether any of the undoings holds a mention."""
    return any(each.holds(mention, host) for each in undone)
