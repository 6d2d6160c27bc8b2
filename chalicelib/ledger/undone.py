"""What people undid: a source or a report. What such a source said by then makes nobody count as a reporter any more.

Who reported a URL that waits for further reporters stands with the URL, and no index leads there from a source. So an
undoing leaves a row of its own, and whoever counts reporters reads all of these.
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
    """What one person undid: what a source said in a span of seconds, perhaps on one host, or what a report said."""

    source: str
    report: str
    host: str
    since: int
    until: int

    def holds(self, mention: Mention, host: str) -> bool:
        """Return whether a mention of a URL of a host was undone."""
        if self.report:
            return mention.report == report_id(self.report)
        of_source = mention.source == source_id(self.source) and self.since <= mention.said_at <= self.until
        return of_source and (not self.host or covers(self.host, host))


def record(rows: Rows, job: Job) -> None:
    """Put on record that a job undoes a source or a report. Safe to repeat.

    One that undoes only a category of a source is left out: nothing says in which category somebody was named.
    """
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
                    "since": epoch(job.since) if job.since else 0,
                    "until": epoch(until),
                    "expires_at": epoch(job.at + KEEP_DECISIONS),
                }
            )
        )


def read(rows: Rows) -> list[Undone]:
    """Read what was undone: names that wait for further reporters are forgotten before these rows are."""
    return [
        Undone(text(row, "source"), text(row, "report"), text(row, "host"), number(row, "since"), number(row, "until"))
        for row in rows.query(PK)
    ]


def holds_any(undone: Iterable[Undone], mention: Mention, host: str) -> bool:
    """Return whether any of the undoings holds a mention."""
    return any(each.holds(mention, host) for each in undone)
