"""Read queue messages: out of their envelopes, by the format of the source that sent them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.config.sources import Source
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import reports
from chalicelib.pipeline.intake.envelopes import Fetch, bodies_in, source_of
from chalicelib.pipeline.intake.ours import options_of
from chalicelib.pipeline.intake.sealing import SealKeys, check_sender, received_at_of
from chalicelib.reports import ParserOptions, format_for, parse
from chalicelib.reports.envelope import unwrap


@dataclass(frozen=True, slots=True)
class Message:
    """One queue message, read. ``recorded``: the report has a row that its source can ask for."""

    message_id: str
    report_id: str
    source: Source
    received_at: datetime
    urls: tuple[ReportedUrl, ...]
    withdrawals: tuple[Withdrawal, ...] = ()
    """What the source takes back."""
    test: bool = False
    recorded: bool = False
    digest: str = ""
    """Identifies a part of a report: it is the same each time that the part is queued."""
    skipped: int = 0
    """Parts that name nothing to ban."""
    names_nothing: bool = False
    """Whether it names no URL at all."""
    elsewhere: int = 0
    """How many URLs are not on our hosts. They are only counted where a report is too large to keep them."""

    @property
    def is_called_back(self) -> bool:
        """Whether the source is told when all URLs of the report have ended."""
        return self.recorded and bool(self.source.callback_url)


def read_record(
    record: Mapping[str, Any],
    sources: Mapping[str, Source],
    policy: Policy,
    *,
    fetch: Fetch | None = None,
    seal_keys: SealKeys = dict,
    now: datetime,
) -> Message | None:
    """Read one SQS record; ``None`` if its kind carries no report, as S3's test events do.

    Raises an InputError if it is not a report that a configured source may send.
    """
    given = {name: str(each.get("stringValue", "")) for name, each in record.get("messageAttributes", {}).items()}
    unwrapped = unwrap(record["body"], given)
    if unwrapped.nothing:
        return None
    attributes = unwrapped.attributes or {}
    source = source_of(unwrapped, attributes, sources)
    check_sender(source, given, record["body"], seal_keys)
    ours = given.get("report_id", "")
    # edgeban queued such a message itself, after applying the source's options: they are not applied a second time.
    options = ParserOptions(now=now) if ours else options_of(source, policy, now)
    parsed = [_parse(body, attributes, source, options) for body in bodies_in(unwrapped, fetch)]
    sent = record.get("attributes", {}).get("SentTimestamp")
    received_at = datetime.fromtimestamp(int(sent) / 1000, tz=UTC) if sent else now
    return Message(
        message_id=record["messageId"],
        report_id=ours or reports.report_id(source.name, record["messageId"]),
        source=source,
        received_at=received_at_of(given) if ours else received_at,
        urls=parsed[0].urls if len(parsed) == 1 else tuple(url for each in parsed for url in each.urls),
        withdrawals=tuple(each for report in parsed for each in report.withdrawals),
        test=any(each.test for each in parsed),
        recorded=bool(ours),
        digest=hashlib.sha256(record["body"].encode("utf-8", "surrogatepass")).hexdigest()[:16] if ours else "",
        names_nothing=all(report.names_nothing for report in parsed),
        skipped=sum(report.parts_skipped for report in parsed),
        elsewhere=sum(report.elsewhere for report in parsed),
    )


def _parse(body: bytes, attributes: Mapping[str, str], source: Source, options: ParserOptions) -> ParsedReport:
    options = replace(options, content_encoding=attributes.get("content_encoding", ""))
    configured = attributes.get("format") or source.format
    return parse(body, format_for(attributes.get("content_type", ""), configured), options)
