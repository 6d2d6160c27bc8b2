"""Routes for abuse systems: report, and ask what became of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import BadSignature, InputError, NotFound
from chalicelib.handlers.http import operator
from chalicelib.reports.reading import MAX_CORRELATION_ID_LENGTH
from chalicelib.reports.signature import authenticate_question
from chalicelib.web import answer, page_size, query, raw_body

if TYPE_CHECKING:
    from chalicelib.ledger.reports import Report, Summary

PAGE_URLS: Final = 1_000
"""URLs of a report in one answer at the most; fewer where they are long."""

REPORT_ID: Final = re.compile("r-[a-z2-7]{26}")


def receive(made: Services, source: str, request: Request) -> Response:
    """Answer ``POST /v1/reports/{source}``."""
    from chalicelib.pipeline.intake.receive import receive_report

    receipt = receive_report(
        source,
        headers=request.headers,
        body=raw_body(request),
        sources=made.sources,
        policy=made.policy,
        rows=made.rows,
        queue=made.reports_queue,
        emit=made.emit,
        now=now(),
    )
    body: dict[str, Any] = {
        "report_id": receipt.report_id,
        "accepted": receipt.accepted,
        "rejected": [{"url": each.url, "rule": each.rule, "reason": each.reason} for each in receipt.refusals],
    }
    if receipt.skipped:
        body["skipped"] = [{"where": where, "reason": reason} for where, reason in receipt.skipped]
    if receipt.correlation_id:
        body["correlation_id"] = receipt.correlation_id
    if receipt.test:
        body["test"] = True
    return answer(202, body)


def read(made: Services, report_id: str, request: Request) -> Response:
    """Answer ``GET /v1/reports/{report_id}``: to its source, and to operators."""
    from chalicelib.ledger import reports
    from chalicelib.pipeline.answers import url_status

    source = _asker(made, request, report_id)
    start, limit = _place(request), page_size(request, default=PAGE_URLS, most=PAGE_URLS)
    report = reports.read(made.rows, report_id) if REPORT_ID.fullmatch(report_id) else None
    if report is None or source not in ("", report.source):  # of another's report a source learns as little as of none
        raise NotFound("there is no report with this report_id, or it is older than the ledger keeps")
    urls = url_status.urls_of(report)
    page = url_status.page(urls, start, limit)
    states = url_status.of_report(report, rows=made.rows, policy=made.policy, now=now(), urls=page if start else urls)
    body: dict[str, Any] = _brief(report, accepted=len(report.urls))
    if not start:  # what is true of the whole report is read once, with the first page
        body |= {"complete": url_status.terminal(states), "counts": url_status.counts(states)}
    shown = set(page)
    body["urls"] = [each for each in states if each["url"] in shown]
    if start + len(page) < len(urls):
        body["next_token"] = str(start + len(page))
    return answer(200, body)


def find(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/reports?correlation_id=``: to a source about its own reports, to operators about all."""
    from chalicelib.ledger import reports

    correlation_id = query(request, "correlation_id", longest=MAX_CORRELATION_ID_LENGTH)
    source = _asker(made, request, correlation_id)
    limit = page_size(request)
    names = [source] if source else sorted(made.sources)
    first, _, after = query(request, "next_token", needed=False, longest=200).rpartition("/")
    body: dict[str, Any] = {"reports": []}
    for name in names:
        if name < first:
            continue
        left = limit - len(body["reports"])
        found, more = reports.find(
            made.rows, name, correlation_id, after=after if name == first else "", limit=max(left, 1)
        )
        if found and not left:  # the page is full, and there is more
            body["next_token"] = f"{name}/"
            break
        body["reports"] += [_brief(each, accepted=each.accepted) for each in found]
        if more:
            body["next_token"] = f"{name}/{more}"
            break
    return answer(200, body)


def _asker(made: Services, request: Request, asked: str) -> str:
    """Who asks: the name of a source, or nothing for an operator. Raises what becomes a 401 or a 403."""
    named = next((value for name, value in request.headers.items() if name.lower() == "x-edgeban-source"), "")
    name = named or query(request, "source", needed=False, longest=200)
    if not name:
        operator(made, request, "reader")
        return ""
    source = made.sources.get(name)
    if source is None or source.auth is None:
        # As with reports: nobody learns by the answer which sources there are.
        raise BadSignature("the signature does not match: sign with the secret of this source")
    authenticate_question(source.auth, secrets=source.secrets, headers=request.headers, asked=asked, now=now())
    return name


def _place(request: Request) -> int:
    """Where the page begins. Raises InputError."""
    token = query(request, "next_token", needed=False, longest=6) or "0"
    if not token.isascii() or not token.isdigit():
        raise InputError("next_token must be the one that the page before came with")
    return int(token)


def _brief(report: Report | Summary, *, accepted: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "report_id": report.id,
        "source": report.source,
        "received_at": report.received_at.isoformat(),
        "accepted": accepted,
    }
    if report.correlation_id:
        said["correlation_id"] = report.correlation_id
    if report.test:
        said["test"] = True
    return said
