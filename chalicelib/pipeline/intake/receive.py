"""``POST /v1/reports/{source}``: verify, record, queue, answer.

Crash order: the report is recorded, then queued, then answered. A sender that saw no 202 sends again under the same
``webhook-id``: the report is found recorded and queued once more, which intake's claims make harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_hex

from chalicelib.config.sources import Source
from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import Conflict, TooLarge, TooManyRequests, UnusableUrl
from chalicelib.domain.model import ParsedReport, ReportedUrl, Rule, Verdict
from chalicelib.domain.policy.rules import NOT_MANAGED, Policy, accounts_for, standing
from chalicelib.domain.urls import canonical_url, host_of
from chalicelib.ledger import callbacks, reports
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Emit, ReportQueue, Rows
from chalicelib.reports import ParserOptions, format_for, native, parse
from chalicelib.reports.signature import Scheme, authenticate, seal

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a body at the most: a Lambda function gets 6 MB an invocation, of which escaping may take a third."""

MESSAGE_BYTES = 200 * 1024
"""Bytes of a queue message, with room for what is said of all its URLs: below the 256 KB that every SQS queue takes."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a source is told of its report."""

    report_id: str
    accepted: int
    refusals: tuple[Refusal, ...]
    correlation_id: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    test: bool = False


def receive_report(
    source_name: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    sources: Mapping[str, Source],
    policy: Policy,
    rows: Rows,
    queue: ReportQueue,
    emit: Emit,
    now: datetime,
) -> Receipt:
    """Take one report, or raise the InputError that says what its sender must change."""
    if len(body) > MAX_BODY:
        raise TooLarge(f"the body has {len(body):,} bytes: send at most {MAX_BODY:,} a report")
    source = sources.get(source_name)
    auth = source.auth if source else None
    if source is None or auth is None:
        # Answered to the letter like a source of that scheme whose secret one does not have. Those of the other
        # schemes are told their own headers, which is worth more than that nobody guesses their names.
        auth = Scheme.STANDARD_WEBHOOKS
        source = Source(source_name, auth, (f"whsec_{token_hex(32)}",))
    delivery_id = authenticate(auth, secrets=source.secrets, headers=headers, body=body, now=now)
    _limit_rate(rows, source, now=now)
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    parsed = parse(body, format_for(content_type, source.format), options_of(source, now))
    named, refusals = sort_out(parsed, source, policy, now)
    report = Report(
        id=reports.report_id(source.name, delivery_id),
        source=source.name,
        body_sha256=hashlib.sha256(body).hexdigest(),
        received_at=now,
        urls=tuple(dict.fromkeys(each.url for each, refused in named if not refused)),
        refusals=tuple(refusals),
        correlation_id=parsed.correlation_id,
        test=parsed.test,
        accounts=tuple(policy.accounts),
    )
    beside = [callbacks.first(report.id, now)] if source.callback_url else []
    recorded = reports.record(rows, report, beside=beside)
    if recorded.body_sha256 != report.body_sha256:
        raise Conflict("this webhook-id was used for another body: send a new report under a new webhook-id")
    report, kept = recorded, set(recorded.urls)  # what was answered first stands, whatever the policy says by now
    accepted = [each for each, _ in named if each.url in kept]
    queue.send(messages(report, accepted, secret=source.secrets[0]))
    emit(
        "report_received",
        report_id=report.id,
        source=source.name,
        accepted=len(kept),
        refused=len(report.refusals),
        skipped=len(parsed.skipped),
        correlation_id=parsed.correlation_id,
    )
    return Receipt(
        report_id=report.id,
        accepted=len(kept),
        refusals=report.refusals,
        correlation_id=parsed.correlation_id,
        skipped=tuple((each.where, each.reason) for each in parsed.skipped),
        test=parsed.test,
    )


def options_of(source: Source, now: datetime) -> ParserOptions:
    """How to read the bodies of a source."""
    return ParserOptions(defanged=source.defanged, html_escaped=source.html_escaped, now=now)


def sort_out(
    parsed: ParsedReport, source: Source, policy: Policy, now: datetime
) -> tuple[list[tuple[ReportedUrl, Verdict | None]], list[Refusal]]:
    """Canonicalise each URL; refuse at once those that no ledger needs to be asked about, and say which those are."""
    named: list[tuple[ReportedUrl, Verdict | None]] = []
    refusals: list[Refusal] = []
    for each in parsed.urls:
        try:
            url = canonical_url(each.url)
        except UnusableUrl as error:
            refusals.append(Refusal(each.url[:200], "rejected", Rule.UNUSABLE_URL, error.reason))
            continue
        ours = accounts_for(url, policy) and (source.hosts is None or source.hosts.covers(host_of(url)))
        refused = standing(url, policy, now, source=source.name) if ours else NOT_MANAGED
        if refused:
            refusals.append(Refusal(url, refused.kind.value, refused.rule, refused.reason))
        category, days = each.category or source.category, each.ban_days or source.ban_days
        named.append((replace(each, url=url, category=category, ban_days=days), refused))
    return named, refusals


def messages(report: Report, accepted: Sequence[ReportedUrl], *, secret: str) -> list[tuple[str, dict[str, str]]]:
    """Split what was accepted over queue messages, each sealed with the source's secret.

    Whoever else may send to the queue can then report in no name but of a source that only queues.
    """
    attributes = {
        "source": report.source,
        "report_id": report.id,
        "format": "native",
        "received_at": report.received_at.isoformat(),
    }
    # In bytes, with whatever JSON has to escape.
    parts = list(
        cut(accepted, count=reports.PART_URLS, size=MESSAGE_BYTES, size_of=lambda each: len(native.render([each])))
    )
    bodies = [native.render(part, correlation_id=report.correlation_id, test=report.test) for part in parts]
    return [
        (body.decode(), {**attributes, "seal": seal(secret, report.id, attributes["received_at"], body)})
        for body in bodies
    ]


def _limit_rate(rows: Rows, source: Source, *, now: datetime) -> None:
    if not source.reports_per_minute:
        return
    window = epoch(now) // 60
    row = rows.add((f"rate#{source.name}#{window}", "rate"), {"reports": 1}, beside={"expires_at": epoch(now) + 600})
    if number(row, "reports") > source.reports_per_minute:
        raise TooManyRequests(
            f"the source sent more than {source.reports_per_minute} reports this minute",
            retry_after=60 - epoch(now) % 60,
        )
