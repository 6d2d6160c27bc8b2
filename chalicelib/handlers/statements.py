"""The route for statements of reasons, for the people whom a ban affects and for the Commission's database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.domain.urls import MAX_URL_LENGTH
from chalicelib.handlers.http import QUESTION_TIME, REPORT_ID, choice, listed, only, operator
from chalicelib.web import answer, first_position, moment, page_size, position, query

if TYPE_CHECKING:
    from chalicelib.pipeline.answers.statements import Place, Statement
    from chalicelib.pipeline.run import Run

LONGEST_SPAN: Final = timedelta(days=31)
"""The journal of older days is archived."""

JOURNAL: Final = timedelta(days=39)
"""So far back the journal is certainly complete."""

PAGE: Final = 100
"""The most statements in one answer: as many as the Commission's database takes in one call."""

SHAPES: Final = ("full", "dsa")

COLUMNS: Final = (
    "puid",
    "url",
    "account",
    "report_id",
    "chunk_id",
    "decision",
    "rule",
    "decided_at",
    "applied_at",
    "until",
    "decided_until",
    "territorial_scope",
    "facts",
    "notified_at",
    "notice",
    "automated_detection",
    "automated_decision",
    "category",
    "ground",
    "basis",
    "explanation",
    "dsa_category",
    "redress",
    "words_since",
    "missing",
)


def list_statements(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/statements``: of a URL, of a report, or of the bans of a span, oldest first."""
    from chalicelib.pipeline.answers import as_json
    from chalicelib.pipeline.answers.dsa import shaped

    operator(services, request, "reader")
    only(request, "url", "report_id", "from", "to", "shape", "limit", "next_token")
    shape = choice(request, "shape", SHAPES, default=SHAPES[0])
    statements, token = _find(services, request)
    body: dict[str, Any] = {}
    if shape == "dsa":
        batch = [document for statement in statements if (document := shaped(statement))]
        body = {"statements": batch, "left_out": len(statements) - len(batch)}
    else:
        body = {"statements": [as_json.statement(statement) for statement in statements]}
    if token:
        body["next_token"] = token
    return answer(200, body) if shape == "dsa" else listed(request, "statements", body, COLUMNS)


def _find(services: Services, request: Request) -> tuple[list[Statement], str]:
    """Return one page of the statements that are asked for, and the token of the next page."""
    url = query(request, "url", needed=False, longest=MAX_URL_LENGTH)
    report = query(request, "report_id", needed=False, longest=200)
    first, last = (query(request, name, needed=False, longest=40) for name in ("from", "to"))
    token = query(request, "next_token", needed=False, longest=300)
    limit = page_size(request, default=PAGE, most=PAGE)
    if [bool(url), bool(report), bool(first)].count(True) != 1:
        raise InputError("name one of url=, report_id= and from=: they select the statements")
    if last and not first:
        raise InputError("to goes with from")
    run = services.run().at("", deadline=now() + QUESTION_TIME)
    if first:
        span = (moment("from", first) or now(), moment("to", last) or now())
        return _of_span(run, token, limit, span)
    return _of_url(run, url, request, limit) if url else _of_report(run, report, token, limit)


def _of_url(run: Run, asked: str, request: Request, limit: int) -> tuple[list[Statement], str]:
    from chalicelib.domain.errors import UnusableUrl
    from chalicelib.domain.urls import canonical_url
    from chalicelib.pipeline.answers import statements

    start = first_position(request)
    try:
        url = canonical_url(asked)
    except UnusableUrl as error:
        raise InputError(f"url: {error.reason}") from error
    found = statements.of_url(run, url)
    return found[start : start + limit], str(start + limit) if start + limit < len(found) else ""


def _of_report(run: Run, report_id: str, token: str, limit: int) -> tuple[list[Statement], str]:
    """Return the statements of a report: by its row or, if it came by the queue, from the journal.

    Raises NotFound if nothing is known of the report.
    """
    from chalicelib.ledger import reports
    from chalicelib.ledger.row import stamp
    from chalicelib.pipeline.answers import statements

    report = reports.read(run.rows, report_id) if REPORT_ID.fullmatch(report_id) else None
    if report is not None:
        found, following = statements.of_report(run, report, start=position(token), limit=limit)
        return found, "" if following is None else str(following)
    place = _place(token) or statements.Place(stamp(now() - JOURNAL))
    found, place_after = statements.of_span(run, place, until=now(), limit=limit, report=report_id)
    if not (found or place_after or token):
        raise NotFound("no ban of the last 39 days began with this report_id, and no report of that id is on record")
    return found, _token(place_after)


def _of_span(run: Run, token: str, limit: int, span: tuple[datetime, datetime]) -> tuple[list[Statement], str]:
    from chalicelib.ledger.row import stamp
    from chalicelib.pipeline.answers import statements

    since, until = span
    if since >= until:
        raise InputError("from must be earlier than to; without to, it is now")
    if until - since > LONGEST_SPAN:
        raise InputError(f"from and to must be a span of at most {LONGEST_SPAN.days} days")
    if now() - since > LONGEST_SPAN + timedelta(days=7):
        raise InputError("from is too long ago: the journal of those days is archived")
    place = _place(token) or statements.Place(stamp(since))
    found, following = statements.of_span(run, place, until=until, limit=limit)
    return found, _token(following)


def _token(place: Place | None) -> str:
    return f"{place.skip}.{place.event}" if place else ""


def _place(token: str) -> Place | None:
    """Read the token of a page of a span. Raises InputError if it is no such token."""
    from chalicelib.pipeline.answers.statements import Place

    if not token:
        return None
    skip, _, event = token.partition(".")
    try:
        datetime.strptime(event[:8], "%Y%m%d")  # noqa: DTZ007, a UTC day
        readable = event[8:9] == "T" and token.isascii() and token.isprintable() and len(skip) <= 6 and skip.isdigit()
    except ValueError:
        readable = False
    if not readable:
        raise InputError("next_token must be the one of the page before")
    return Place(event, int(skip))
