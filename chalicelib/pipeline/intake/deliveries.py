"""Deliveries of the webhook: a delivery that comes again is the same report, and too many deliveries are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.config.sources import Source
from chalicelib.domain.errors import BadSignature, InputError, TooManyRequests
from chalicelib.domain.model import ParsedReport
from chalicelib.domain.plural import counted
from chalicelib.ledger import report_rate, reports
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows
from chalicelib.reports import ParserOptions
from chalicelib.reports.compression import unpacked
from chalicelib.reports.signature import DIGEST, Scheme, authenticate

SAME_DELIVERY = timedelta(minutes=10)
"""For how long the same body, sent with a bearer token and without an id, counts as one delivery."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call of the webhook, as it came."""

    source: str
    """The name in the path. The signature has not been checked yet."""
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header by its name in lower case, empty if there is none."""
        return next((value for given, value in self.headers.items() if given.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a source is told of its report."""

    report_id: str
    accepted: int
    refusals: tuple[Refusal, ...]
    correlation_id: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    test: bool = False


def report_id_of(rows: Rows, source: Source, call_id: str, now: datetime) -> str:
    """Name the report of a delivery.

    The same body with a bearer token and without an id is one delivery during ``SAME_DELIVERY``, and a new one later.
    """
    if source.auth is not Scheme.BEARER or not call_id.startswith(DIGEST):
        return reports.report_id(source.name, call_id)
    seconds = SAME_DELIVERY.total_seconds()
    span = int(now.timestamp() // seconds)
    before, current = (reports.report_id(source.name, f"{call_id} {number}") for number in (span - 1, span))
    earlier = reports.received_at(rows, before)
    return before if earlier and now - earlier < SAME_DELIVERY else current


def replayed(run: Run, report: Report) -> Receipt:
    """Repeat the answer to a body that was taken before: it says nothing new, and does not count against the rate."""
    run.emit("report_replayed", source=report.source, report_id=report.id)
    return Receipt(
        report_id=report.id,
        accepted=len(report.urls),
        refusals=report.refusals,
        correlation_id=report.correlation_id,
        test=report.test,
    )


def limit_rate(rows: Rows, source: Source, report_id: str, now: datetime) -> None:
    """Count a delivery. Raises TooManyRequests if its source sent more this minute than it may."""
    limit = source.reports_per_minute
    if limit and report_rate.count(rows, source.name, report_id=report_id, limit=limit, now=now) > limit:
        problem = f"the source sent more than {counted(limit, 'report')} this minute"
        raise TooManyRequests(problem, retry_after=report_rate.seconds_left(now))


def authenticated(scheme: Scheme, source: Source, call: WebhookCall, now: datetime) -> str:
    """Check who sent a report, and return the id of its delivery. Raises BadSignature.

    API Gateway undoes ``Content-Encoding: gzip`` before a function sees the body. So the signature covers the body
    before compression, on every way that a call takes; a signature of the compressed bytes is accepted too.
    """
    try:
        return authenticate(scheme, secrets=source.secrets, headers=call.headers, body=call.body, now=now)
    except BadSignature:
        encoding = call.header("content-encoding")
        if not encoding or scheme is Scheme.BEARER:
            raise
        try:
            body = unpacked(call.body, ParserOptions(content_encoding=encoding))
        except InputError:
            body = call.body
        if body is call.body:
            raise
    return authenticate(scheme, secrets=source.secrets, headers=call.headers, body=body, now=now)


def tell_received(run: Run, report: Report, parsed: ParsedReport, *, accepted: int) -> None:
    """Emit what a report held, and how many of its URLs are accepted."""
    run.emit(
        "report_received",
        report_id=report.id,
        source=report.source,
        accepted=accepted,
        refused=len(report.refusals),
        skipped=parsed.parts_skipped,
        elsewhere=parsed.elsewhere,
        withdrawn=len(parsed.withdrawals),
        correlation_id=parsed.correlation_id,
    )
