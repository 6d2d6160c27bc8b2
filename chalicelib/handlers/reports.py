"""Routes for abuse systems and operators: find reports, and ask for the state of their URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import BadSignature, InputError, NotFound
from chalicelib.handlers.http import REPORT_ID, listed, only, operator, token_like
from chalicelib.web import first_position, page_size, query

if TYPE_CHECKING:
    from chalicelib.ledger.reports import Report, Summary

PAGE_URLS: Final = 1_000
"""The most URLs of a report in one answer; an answer has fewer if they are long."""

COLUMNS: Final = ("report_id", "source", "received_at", "accepted", "correlation_id", "test")
URL_COLUMNS: Final = ("url", "account", "state", "rule", "reason", "until", "reported_before")


def read(services: Services, report_id: str, request: Request) -> Response:
    """Answer ``GET /v1/reports/{report_id}`` to the source of the report, and to operators."""
    from chalicelib.ledger import reports
    from chalicelib.pipeline.answers import as_json, url_status

    source = _asking_source(services, request, report_id)
    only(request, "source", "limit", "next_token")
    start, limit = first_position(request), page_size(request, default=PAGE_URLS, most=PAGE_URLS)
    report = reports.read(services.rows, report_id) if REPORT_ID.fullmatch(report_id) else None
    if report is None or source not in ("", report.source):  # a source must not learn which reports others sent
        raise NotFound("there is no report with this report_id, or it is older than the ledger keeps")
    urls = url_status.urls_of(report)
    page = url_status.page(urls, start, limit)
    run = services.run()
    states = url_status.of_report(run, report, page if start else urls)
    body: dict[str, Any] = _brief(report, accepted=len(report.urls))
    if not start:  # what is true of the whole report is read with the first page alone
        body["complete"] = url_status.terminal(states)
    if source:
        states = url_status.told_to(run.policy, source, states)
    if not start:
        body["counts"] = url_status.counts(states)
    shown = set(page)
    body["urls"] = [as_json.reported_state(state) for state in states if state.url in shown]
    if start + len(page) < len(urls):
        body["next_token"] = str(start + len(page))
    return listed(request, "urls", body, URL_COLUMNS)


def find(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/reports?correlation_id=``: a source finds its own reports, an operator those of all sources."""
    from chalicelib.ledger import reports
    from chalicelib.reports.reading import MAX_CORRELATION_ID_LENGTH

    of = query(request, "of", needed=False, longest=200)
    day = query(request, "day", needed=False, longest=10)
    if of:
        return _of_source(services, request, of)
    if day:
        raise InputError("day goes with of: name the source whose reports you ask for")
    correlation_id = query(request, "correlation_id", longest=MAX_CORRELATION_ID_LENGTH)
    source = _asking_source(services, request, correlation_id)
    only(request, "correlation_id", "source", "limit", "next_token")
    limit = page_size(request)
    names = [source] if source else sorted(services.sources)
    first, _, after = query(request, "next_token", needed=False, longest=200).rpartition("/")
    body: dict[str, Any] = {"reports": []}
    for name in names:
        if name < first:
            continue
        room = limit - len(body["reports"])
        summaries, more = reports.find(
            services.rows, name, correlation_id, after=after if name == first else "", limit=max(room, 1)
        )
        if summaries and not room:  # the page is full, and this source has a report for the next one
            body["next_token"] = f"{name}/"
            break
        body["reports"] += [_brief(summary, accepted=summary.accepted) for summary in summaries]
        if more:
            body["next_token"] = f"{name}/{more}"
            break
    return listed(request, "reports", body, COLUMNS)


def _of_source(services: Services, request: Request, name: str) -> Response:
    """Answer an operator with the webhook reports of a source on one UTC day."""
    from chalicelib.handlers.callbacks import day_of
    from chalicelib.ledger import reports

    operator(services, request, "reader")
    only(request, "of", "day", "limit", "next_token")
    limit, after = page_size(request), token_like(request, REPORT_ID)
    found, more = reports.of_source(services.rows, name, day_of(request), after=after, limit=limit)
    if not found and name not in services.sources:
        raise NotFound(f"there is no source {name[:100]!r}, and no report of it on that day")
    body: dict[str, Any] = {"reports": [_brief(summary, accepted=summary.accepted) for summary in found]}
    if more:
        body["next_token"] = more
    return listed(request, "reports", body, COLUMNS)


def _asking_source(services: Services, request: Request, asked: str) -> str:
    """Return the name of the source that asks; nothing if an operator asks.

    Raises BadSignature, NotAuthenticated or NotAllowed.
    """
    from chalicelib.reports.signature import authenticate_question, of_nobody

    named = next((value for name, value in request.headers.items() if name.lower() == "x-edgeban-source"), "")
    name = named or query(request, "source", needed=False, longest=200)
    if not name:
        operator(services, request, "reader")
        return ""
    source = services.sources.get(name)
    auth, secrets = (source.auth, source.secrets) if source and source.auth else of_nobody()
    authenticate_question(auth, secrets=secrets, headers=request.headers, asked=asked, now=now())
    if source is None:  # nobody signs with a secret that was drawn a moment ago
        raise BadSignature("the signature does not match: sign with the secret of this source")
    return name


def _brief(report: Report | Summary, *, accepted: int) -> dict[str, Any]:
    brief: dict[str, Any] = {
        "report_id": report.id,
        "source": report.source,
        "received_at": report.received_at.isoformat(),
        "accepted": accepted,
    }
    if report.correlation_id:
        brief["correlation_id"] = report.correlation_id
    if report.test:
        brief["test"] = True
    return brief
