"""Deliveries of the webhook: a delivery that comes again is the same report, and too many deliveries are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.config.sources import Source
from chalicelib.domain.errors import BadSignature, InputError, TooManyRequests
from chalicelib.domain.model import ParsedReport
from chalicelib.domain.plural import counted
from chalicelib.ledger import refused_at_door, report_rate, reports
from chalicelib.ledger.reports import Refusal, Report
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows
from chalicelib.reports import ParserOptions
from chalicelib.reports.compression import unpacked
from chalicelib.reports.signature import DIGEST, Scheme, authenticate, of_nobody

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


def by_digest(source: Source, call_id: str) -> bool:
    """Return whether a delivery is named by its body's digest, for want of an id that is signed."""
    return source.auth is Scheme.HUB and call_id.startswith(DIGEST)


def replayed(run: Run, source: Source, call_id: str, report_id: str) -> Receipt | None:
    """Repeat the answer to a body that was taken before: it says nothing new, and does not count against the rate."""
    if not (by_digest(source, call_id) and reports.was_queued(run.rows, report_id)):
        return None
    report = reports.read(run.rows, report_id, at_once=True)
    if report is None:
        return None
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


def authenticated(sources: Mapping[str, Source], call: WebhookCall, now: datetime) -> tuple[Source, str]:
    """Check who sent a report; return the source and the id of its delivery. Raises BadSignature.

    API Gateway undoes ``Content-Encoding: gzip`` before a function sees the body. So the signature covers the body
    before compression, on every way that a call takes; a signature of the compressed bytes is accepted too.
    """
    source = sources.get(call.source)
    scheme = source.auth if source else None
    if source is None or scheme is None:
        scheme, secrets = of_nobody()
        source = Source(call.source, scheme, secrets)
    try:
        return source, authenticate(scheme, secrets=source.secrets, headers=call.headers, body=call.body, now=now)
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
    return source, authenticate(scheme, secrets=source.secrets, headers=call.headers, body=body, now=now)


@contextmanager
def refusals_counted(rows: Rows, source: str, now: datetime) -> Iterator[None]:
    """Count what is refused inside, by its error's code. The source has proved who it is: a stranger leaves no row."""
    try:
        yield
    except InputError as error:
        refused_at_door.add(rows, source, {error.code: 1}, now=now)
        raise


def tell_received(run: Run, report: Report, parsed: ParsedReport, *, accepted: int, again: bool) -> None:
    """Emit what a report held and how many of its URLs are accepted; count those refused, unless it came before."""
    if report.refusals and not again:
        kinds = Counter(f"{refused_at_door.URLS}{refusal.verdict}" for refusal in report.refusals)
        refused_at_door.add(run.rows, report.source, kinds, now=report.received_at)
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
