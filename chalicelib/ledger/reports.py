"""Reports that arrived by webhook. They are kept so that their senders can ask for the state of each URL.

The URLs of a report stand in parts, which are written before its row, so that one conditional write of that row accepts
the report. The state of a URL is read from its claim. Only verdicts that leave no claim are written here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.domain.cutting import cut
from chalicelib.ledger import KEEP, journal
from chalicelib.ledger.row import blob, compress, decompress, epoch, millis, moment, number, text, texts
from chalicelib.ports import Insert, Put, Row, Rows, Value

PART_URLS = 1_000
PART_BYTES = 256 * 1024
"""The most URLs, and the most bytes of URLs, in one part: its compressed row stays below DynamoDB's 400 KB."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A URL that was refused or suppressed, by which rule and why. ``account`` is empty if no account serves it."""

    url: str
    verdict: str
    rule: str
    reason: str
    account: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What is recorded of a report. ``urls`` are accepted and canonical. ``accounts`` are those of the policy then."""

    id: str
    source: str
    body_sha256: str
    received_at: datetime
    urls: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    correlation_id: str = ""
    test: bool = False
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """A report as a list shows it. ``accepted`` counts the URLs that were not refused at once."""

    id: str
    source: str
    received_at: datetime
    correlation_id: str
    accepted: int
    test: bool = False


SUMMARY = ("source", "received_at", "correlation_id", "accepted", "test")


def report_id(source: str, delivery_id: str) -> str:
    """Name a report: the same for the same source and delivery (its ``webhook-id``, or the queue's message id)."""
    digest = hashlib.sha256(f"{source}\0{delivery_id}".encode()).digest()
    return "r-" + base64.b32encode(digest[:16]).decode().rstrip("=").lower()


def split(urls: Iterable[str]) -> list[list[str]]:
    """Split URLs into parts of at most ``PART_URLS`` and ``PART_BYTES``."""
    return list(cut(urls, count=PART_URLS, size=PART_BYTES, size_of=len))


def received_at(rows: Rows, report: str) -> datetime | None:
    """Return when a report was received; ``None`` if there is none of this id."""
    key = (f"report#{report}", "report")
    return moment(rows.get([key], consistent=True, attributes=("received_at",)).get(key, {}), "received_at")


def note_queued(rows: Rows, report: Report, *, keep: timedelta) -> None:
    """Record that all of a report is in the queue. If its body comes again, nothing more is queued."""
    rows.apply(Put({**_queued(report.id), "expires_at": epoch(report.received_at + keep)}))


def was_queued(rows: Rows, report: str) -> bool:
    """Return whether all of a report is known to have been in the queue."""
    marker = _queued(report)
    key = (str(marker["pk"]), str(marker["sk"]))
    return key in rows.get([key], consistent=True)


def _queued(report: str) -> dict[str, Value]:
    return {"pk": f"report#{report}", "sk": "queued"}


def record(rows: Rows, report: Report, *, beside: Sequence[Row] = (), keep: timedelta = KEEP) -> Report:
    """Record a report unless it is there already; return what the ledger holds for its id.

    Repeating this is harmless: the keys of the parts hold a hash of their content, so that neither another body under
    the same id nor another policy can change what was accepted. ``beside`` are rows that lead to the report. These rows
    and the parts are written before the report. A crash in between leaves rows that lead nowhere, which their readers
    leave out, and never a report that cannot be found.
    """
    parts = split(report.urls)
    refusals = [_plain(refusal) for refusal in report.refusals]
    content = hashlib.sha256(json.dumps([report.urls, refusals]).encode()).hexdigest()[:16]
    row: dict[str, Value] = {
        "pk": f"report#{report.id}",
        "sk": "report",
        "source": report.source,
        "body_sha256": report.body_sha256,
        "received_at": millis(report.received_at),
        "accepted": len(report.urls),
        "content": content,
        "accounts": list(report.accounts),
        "expires_at": epoch(report.received_at + keep),
    }
    if report.correlation_id:
        row["correlation_id"] = report.correlation_id
    if report.test:
        row["test"] = 1
    of_day: dict[str, Value] = {"pk": _of_source(report.source, report.received_at.date()), "sk": report.id}
    before = [*(dict(lead) for lead in beside), {**of_day, "expires_at": row["expires_at"]}]
    if report.correlation_id:
        found_by: dict[str, Value] = {"pk": _correlation(report.source, report.correlation_id), "sk": report.id}
        before.append({**found_by, "expires_at": row["expires_at"]})
    if len(parts) == 1 and not refusals:
        row["urls"] = compress(parts[0])
    else:
        more: list[Any] = [*parts, *split_refusals(refusals)]
        row["parts"] = len(more)
        before += [
            {
                "pk": f"report#{report.id}",
                "sk": _part(content, index),
                "urls" if index < len(parts) else "refusals": compress(part),
                "expires_at": row["expires_at"],
            }
            for index, part in enumerate(more)
        ]
    if "parts" in row and rows.get([(f"report#{report.id}", "report")], consistent=True):
        return _recorded(rows, report.id)  # what is sent again, with whatever body, leaves no rows
    if refusals:
        before.append(journal.outer_entry(report.id, now=report.received_at))
    if before:
        rows.write([Put(written) for written in before])
    if rows.apply(Insert(row)):
        return report
    return _recorded(rows, report.id)


def _recorded(rows: Rows, report: str) -> Report:
    there = read(rows, report, at_once=True)
    assert there
    return there


def _of_source(source: str, day: date) -> str:
    return f"report#source#{source}#{day:%Y-%m-%d}"


def of_source(rows: Rows, source: str, day: date, *, after: str = "", limit: int) -> tuple[list[Summary], str]:
    """Read a source's webhook reports of a UTC day; return some, and the id after which to go on (empty at the end)."""
    found = rows.query(_of_source(source, day), after=after, limit=limit + 1)
    ids = [text(row, "sk") for row in found[:limit]]
    return summaries(rows, ids), ids[-1] if len(found) > limit else ""


def summaries(rows: Rows, ids: Sequence[str]) -> list[Summary]:
    """Read what a list shows of reports. An id leads nowhere if its request was refused after the index was written."""
    heads = rows.get([(f"report#{each}", "report") for each in ids], consistent=True, attributes=SUMMARY)
    return [
        Summary(
            each,
            text(head, "source"),
            received_at,
            text(head, "correlation_id"),
            number(head, "accepted"),
            test=bool(number(head, "test")),
        )
        for each in ids
        if (head := heads.get((f"report#{each}", "report"))) and (received_at := moment(head, "received_at"))
    ]


def _correlation(source: str, correlation_id: str) -> str:
    return f"correlation#{source}#{correlation_id}"


def find(rows: Rows, source: str, correlation_id: str, *, after: str = "", limit: int) -> tuple[list[Summary], str]:
    """Find a source's reports by its own id for them; return some, and the id after which to go on (empty at the end).

    Each entry of the index is compared with the report itself: a request that was refused later leaves an entry, too.
    """
    found = rows.query(_correlation(source, correlation_id), after=after, limit=limit + 1)
    ids = [text(row, "sk") for row in found[:limit]]
    kept = [
        summary
        for summary in summaries(rows, ids)
        if (summary.source, summary.correlation_id) == (source, correlation_id)
    ]
    return kept, ids[-1] if len(found) > limit else ""


def _plain(refusal: Refusal) -> list[str]:
    return [refusal.url, refusal.verdict, refusal.rule, refusal.reason, refusal.account]


def split_refusals(refusals: Iterable[list[str]]) -> list[list[list[str]]]:
    """Split refusals into parts by the size of their JSON, since a refused URL may hold anything."""
    parts = cut(
        refusals,
        count=PART_URLS,
        size=PART_BYTES,
        size_of=lambda refusal: len(json.dumps(refusal, ensure_ascii=False).encode()),
    )
    return list(parts)


def record_refusals(rows: Rows, refusals: Mapping[tuple[str, str], Sequence[Refusal]], *, now: datetime) -> None:
    """Add to reports which URLs intake refused or suppressed. No claim could tell it later.

    The keys hold the report's id and the digest of the queue message. So a message that is delivered again, or a report
    that is sent again, writes the same rows.
    """
    rows.write(
        [
            Put(
                {
                    "pk": f"report#{report}",
                    "sk": f"verdict#{message}#{index:04}",
                    "refusals": compress(part),
                    "expires_at": epoch(now + KEEP),
                }
            )
            for (report, message), of_message in refusals.items()
            for index, part in enumerate(split_refusals([_plain(refusal) for refusal in of_message]))
        ]
    )


def journal_refusals(rows: Rows, refusals: Sequence[tuple[str, str, Refusal]], *, now: datetime) -> None:
    """Note refusals of intake for the archive: the report's id, the source and the refusal of each."""
    plain = [[report, source, *_plain(refusal)] for report, source, refusal in refusals]
    parts = [compress(part) for part in split_refusals(plain)]
    entries = [journal.entry("refused", hashlib.sha256(part).hexdigest()[:12], now=now, body=part) for part in parts]
    rows.write([Put(entry) for entry in {str(entry["sk"]): entry for entry in entries}.values()])


def journalled(row: Row) -> list[tuple[str, str, Refusal]]:
    """Read what ``journal_refusals`` noted in a row."""
    return [(report, source, Refusal(*rest)) for report, source, *rest in decompress(blob(row, "body"))]


def _part(content: str, index: int) -> str:
    return f"part#{content}#{index:04}"


def _accepted(rows: Rows, report: str) -> list[Row]:
    """Read the rows of a report, without those that intake added, by their keys."""
    pk = f"report#{report}"
    heads = list(rows.get([(pk, "report")], consistent=True).values())
    keys = [(pk, _part(text(head, "content"), index)) for head in heads for index in range(number(head, "parts"))]
    parts = rows.get(keys, consistent=True) if keys else {}
    return [*heads, *(parts[key] for key in keys if key in parts)]


def read(rows: Rows, report: str, *, at_once: bool = False) -> Report | None:
    """Read a report with all its refusals; with ``at_once``, only with those of the outer door."""
    found = _accepted(rows, report) if at_once else rows.query(f"report#{report}")
    head = next((row for row in found if row["sk"] == "report"), None)
    if head is None:
        return None
    received_at = moment(head, "received_at")
    assert received_at
    ours = f"part#{text(head, 'content')}#"
    urls: list[str] = decompress(blob(head, "urls")) if "urls" in head else []
    refusals: list[Refusal] = []
    for row in found:
        name = text(row, "sk")
        if name.startswith(ours) and "urls" in row:
            urls += decompress(blob(row, "urls"))
        if name.startswith(ours if at_once else (ours, "verdict#")) and "refusals" in row:
            refusals += [Refusal(*fields) for fields in decompress(blob(row, "refusals"))]
    return Report(
        id=report,
        source=text(head, "source"),
        body_sha256=text(head, "body_sha256"),
        received_at=received_at,
        urls=tuple(urls),
        refusals=tuple(dict.fromkeys(refusals)),  # a report that was sent twice was decided about twice
        correlation_id=text(head, "correlation_id"),
        test=bool(number(head, "test")),
        accounts=texts(head, "accounts"),
    )
