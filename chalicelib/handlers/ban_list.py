"""Routes for the bans in force: list them, search among them, count them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError
from chalicelib.domain.model import Rule
from chalicelib.handlers.http import QUESTION_TIME, account_served, choice, host, listed, only, operator
from chalicelib.web import moment, page_size, query

if TYPE_CHECKING:
    from chalicelib.domain.ban_index import Ban, Wanted

MOST = 5_000
"""The most bans in one answer; an answer has fewer if their URLs are long."""

PAGE_BYTES = 2 * 1024 * 1024
"""Most bytes of lines of the index in one answer: Lambda answers 6 MB at most."""

COLUMNS = (
    "url",
    "account",
    "source",
    "reporter",
    "category",
    "rule",
    "report_id",
    "chunk_id",
    "task_id",
    "banned_at",
    "until",
    "planned_until",
)
FILTERS = ("account", "source", "category", "rule", "host", "q", "since", "ends_before")


def list_bans(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/bans``: the bans in force, newest first."""
    from chalicelib.domain.ban_index import ORDERS, Ban

    operator(services, request, "reader")
    only(request, *FILTERS, "sort", "limit", "next_token")
    sort = choice(request, "sort", ORDERS, default="-at")
    limit = page_size(request, most=MOST)
    token = query(request, "next_token", needed=False, longest=200)
    found, as_of = _select(services, request)
    order = ORDERS[sort]
    try:
        following = order.page(found, token)
    except ValueError:
        raise InputError("next_token must be the one of the page before") from None
    shown: list[str] = []
    size = 0
    for line in following[:limit]:
        size += len(line)
        if shown and size > PAGE_BYTES:
            break
        shown.append(line)
    body: dict[str, Any] = {
        "bans": [_show(Ban.of(line)) for line in shown],
        "total": len(found),
        "as_of": as_of.isoformat(),
    }
    if len(shown) < len(following):
        body["next_token"] = order.token_of(shown[-1])
    return listed(request, "bans", body, COLUMNS)


def count_bans(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/bans/counts?by=``: how many of the bans in force have which value."""
    from chalicelib.domain.ban_index import DIMENSIONS, counted

    operator(services, request, "reader")
    only(request, *FILTERS, "by", "limit")
    by = choice(request, "by", DIMENSIONS, needed=True)
    limit = page_size(request, default=MOST, most=MOST)
    found, as_of = _select(services, request)
    counts = [{"value": value, "bans": count} for value, count in counted(found, by)[:limit]]
    body = {"counts": counts, "total": len(found), "as_of": as_of.isoformat()}
    return listed(request, "counts", body, ("value", "bans"))


def _select(services: Services, request: Request) -> tuple[list[str], datetime]:
    """Return the lines of the bans in force that the request asks for, and the moment for which this is true."""
    from chalicelib.pipeline.answers.ban_index import up_to_now

    wanted = _wanted(request)
    index, as_of = up_to_now(services.run().at("", deadline=now() + QUESTION_TIME), services.bans)
    found = wanted.select(index, now=as_of)
    if not found:  # an account that the policy no longer names, or a rule of version 1, may still have bans in force
        choice(request, "rule", Rule)
        account_served(services, request)
    return found, as_of


def _text(request: Request) -> str:
    """Read the part of a URL that is looked for. Raises InputError if no URL can have it."""
    text = query(request, "q", needed=False, longest=2_000)
    if not text.isascii():
        raise InputError(
            "q is compared with URLs as they are banned, in ASCII: write xn--… in a host, %C3%BC in a path"
        )
    return text


def _wanted(request: Request) -> Wanted:
    from chalicelib.domain.ban_index import Wanted

    return Wanted(
        account=query(request, "account", needed=False, longest=100),
        source=query(request, "source", needed=False, longest=200),
        category=query(request, "category", needed=False, longest=200),
        rule=query(request, "rule", needed=False, longest=100),
        host=host(query(request, "host", needed=False, longest=300)),
        q=_text(request),
        since=moment("since", query(request, "since", needed=False, longest=40)),
        ends_before=moment("ends_before", query(request, "ends_before", needed=False, longest=40)),
    )


def _show(ban: Ban) -> dict[str, Any]:
    return {
        "url": ban.url,
        "account": ban.account,
        "source": ban.source,
        "reporter": ban.reporter,
        "category": ban.category,
        "rule": ban.rule,
        "report_id": ban.report,
        "chunk_id": ban.chunk,
        "task_id": ban.task,
        "banned_at": _time(ban.banned_at),
        "until": _time(ban.until),
        "planned_until": None if ban.planned_until is None else _time(ban.planned_until),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()
