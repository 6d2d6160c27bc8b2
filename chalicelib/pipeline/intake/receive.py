"""Take a report from the webhook: verify, record, queue, answer.

Crash order: the report is recorded, then queued, then answered. A sender that saw no 202 sends again under the same
``webhook-id``. The report is then on record and is queued once more. That is harmless: intake claims each URL once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.config.sources import Source
from chalicelib.domain.errors import Conflict, TooLarge, UnusableUrl
from chalicelib.domain.model import ParsedReport, ReportedUrl, Rule, Verdict
from chalicelib.domain.policy.forbidden import not_managed
from chalicelib.domain.policy.model import NO_RULES, Policy
from chalicelib.domain.policy.rules import PROTECTED, standing
from chalicelib.domain.urls import canonical_url
from chalicelib.ledger import callbacks, naming, reports, seals
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.pipeline.intake import deliveries
from chalicelib.pipeline.intake.deliveries import Receipt, WebhookCall
from chalicelib.pipeline.intake.ours import may_report, options_of, tell_silence, withdrawals_of
from chalicelib.pipeline.intake.sealing import bodies_of, sealed_messages
from chalicelib.pipeline.run import Run
from chalicelib.ports import ReportQueue
from chalicelib.reports import format_for, parse

MAX_BODY = 4 * 1024 * 1024
"""Largest body, in bytes: Lambda passes at most 6 MB to an invocation, and escaping may take a third of that."""


def receive_report(run: Run, call: WebhookCall, sources: Mapping[str, Source], queue: ReportQueue) -> Receipt:
    """Take one report, or raise the InputError that says what its sender must change."""
    if len(call.body) > MAX_BODY:
        raise TooLarge(f"the body has {len(call.body):,} bytes: send at most {MAX_BODY:,} a report")
    now = run.clock()
    source, call_id = deliveries.authenticated(sources, call, now)
    with deliveries.refusals_counted(run.rows, source.name, now):
        return _take(run, now, call, source, call_id, queue)


def _take(run: Run, now: datetime, call: WebhookCall, source: Source, call_id: str, queue: ReportQueue) -> Receipt:
    policy, body = run.policy, call.body
    report_id = deliveries.report_id_of(run.rows, source, call_id, now)
    if replayed := deliveries.replayed(run, source, call_id, report_id):
        return replayed
    deliveries.limit_rate(run.rows, source, report_id, now)
    options = replace(options_of(source, policy, now), content_encoding=call.header("content-encoding"))
    parsed = parse(body, format_for(call.header("content-type"), source.format), options)
    reported_urls, refusals = screen(parsed, source, policy, now)
    report = Report(
        id=report_id,
        source=source.name,
        body_sha256=hashlib.sha256(body).hexdigest(),
        received_at=now,
        urls=tuple(dict.fromkeys(reported.url for reported, refused in reported_urls if not refused)),
        refusals=tuple(refusals),
        correlation_id=parsed.correlation_id,
        test=parsed.test,
        accounts=tuple(policy.accounts),
    )
    beside = [callbacks.first(report.id, now)] if source.callback_url else []
    keep = timedelta(days=source.replay_days)
    recorded = reports.record(run.rows, report, beside=beside, keep=keep)
    if recorded.body_sha256 != report.body_sha256:
        raise Conflict("this webhook-id was used for another body: send a new report under a new webhook-id")
    again, report, kept = recorded is not report, recorded, set(recorded.urls)  # what was answered first stands
    accepted = [reported for reported, _ in reported_urls if reported.url in kept]
    withdrawals = [] if report.test else withdrawals_of(parsed, source, policy)
    messages = bodies_of(report, accepted, withdrawals)
    if messages:
        queue.send(sealed_messages(messages, report, source, seals.current(run.rows, now=now)))
    if deliveries.by_digest(source, call_id):
        reports.note_queued(run.rows, report, keep=keep)
    deliveries.tell_received(run, report, parsed, accepted=len(kept), again=again)
    if parsed.names_nothing:
        usual = source.may_name_nothing or source.name in naming.lately(run.rows, [source.name], now=now)
        tell_silence(run, source.name, report.id, skipped=parsed.parts_skipped, usual=usual)
    elif not messages:  # intake will not hear of it
        naming.note(run.rows, [source.name], now=now)
    return Receipt(
        report_id=report.id,
        accepted=len(kept),
        refusals=report.refusals,
        correlation_id=parsed.correlation_id,
        skipped=tuple((part.where, part.reason) for part in parsed.skipped),
        test=parsed.test,
    )


def screen(
    parsed: ParsedReport, source: Source, policy: Policy, now: datetime
) -> tuple[list[tuple[ReportedUrl, Verdict | None]], list[Refusal]]:
    """Canonicalise each URL; refuse the URLs that can be refused without reading the ledger.

    Return each usable URL with the verdict that refuses it, if one does, and all refusals.
    """
    reported_urls: list[tuple[ReportedUrl, Verdict | None]] = []
    refusals: list[Refusal] = []
    for reported in parsed.urls:
        try:
            url = canonical_url(reported.url)
        except UnusableUrl as error:
            refusals.append(Refusal(reported.url[:200], "rejected", Rule.UNUSABLE_URL, error.reason))
            continue
        ours = may_report(source, url, policy)
        refused = standing(url, policy, now, source=source.name) if ours else not_managed(url)
        if refused is PROTECTED and policy.sources.get(source.name, NO_RULES).review:
            refused = None  # a source under review does not learn what is protected: intake suppresses it
        if refused:
            refusals.append(Refusal(url, refused.kind.value, refused.rule, refused.reason))
        category, days = reported.category or source.category, reported.ban_days or source.ban_days
        reported_urls.append((reported._replace(url=url, category=category, ban_days=days), refused))
    return reported_urls, refusals
