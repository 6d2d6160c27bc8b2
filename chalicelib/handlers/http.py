"""What all routes share: turn errors into answers, find the operator who asks, cut a list into pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.bootstrap import Services
from chalicelib.domain.errors import ConfigurationError, InputError, NotAllowed, NotFound
from chalicelib.domain.urls import HostPatterns
from chalicelib.web import answer, authenticate, csv_answer, query, refusal, wants_csv, within_bytes

if TYPE_CHECKING:
    from chalicelib.config.operators import Operator

View = Callable[..., Response]
"""A function that answers a route: it takes the services, the named parts of the path, and the request."""

T = TypeVar("T")


QUESTION_TIME = timedelta(seconds=15)
"""How long a question may read the journal. API Gateway ends a request after 29 s."""

LONGEST_ID = 200
"""The most bytes of an id in a path. No id of ours is longer, and DynamoDB limits the length of keys."""


def served(view: View, current: Services, parts: Mapping[str, str], request: Request) -> Response:
    """Return the answer of a view to a request; ``parts`` are the named parts of its path.

    API Gateway passes these percent-encoded, as they are in the path. An InputError becomes its answer. Every other
    error becomes a 500 that shows only the request's id.
    """
    try:
        parts = {name: unquote(value) for name, value in parts.items()}
        if any(len(value.encode("utf-8", "replace")) > LONGEST_ID for name, value in parts.items() if name != "source"):
            raise NotFound("nothing has so long a name: check it")
        return view(current, *parts.values(), request)
    except InputError as error:
        current.emit("request_refused", code=error.code, problem=str(error)[:300])
        return refusal(error, current.request_id)
    except Exception as error:  # the caller must not see a stack trace
        current.logger.exception("request_failed")
        problem = "the service is misconfigured" if isinstance(error, ConfigurationError) else "try again"
        message = f"something went wrong on our side: {problem}; quote the request_id to the operators"
        return answer(500, {"error": {"code": "internal", "message": message, "request_id": current.request_id}})


def operator(current: Services, request: Request, role: str) -> Operator:
    """Return the operator who asks. Raises NotAuthenticated, and NotAllowed if the role does not suffice."""
    asking = authenticate(request.headers, current.operators)
    if not asking.may(role):
        raise NotAllowed(f"the token of {asking.name} has the role {asking.role}; this needs {role}")
    return asking


def decision_token(request: Request) -> str:
    """Return the ``next_token`` of a list of decisions, which begins with a day; nothing if there is none.

    Raises InputError if it is no such place.
    """
    token = query(request, "next_token", needed=False, longest=200)
    if not token:
        return ""
    try:
        datetime.strptime(token[:8], "%Y%m%d")  # noqa: DTZ007, a UTC day
    except ValueError:
        raise InputError("next_token must be the one of the page before") from None
    if not token.isascii() or token[8:9] != "T" or not token.isprintable():
        raise InputError("next_token must be the one of the page before")
    return token


LONGEST_HOST = 254
"""The most characters of a host, with the dot before it."""


def host(text: str) -> str:
    """Read a host in its canonical form; empty if there is none. With a dot before it, it stands for all hosts below.

    Raises InputError for a host that no URL can have: it would find nothing, as if nothing were banned.
    """
    name = text.removeprefix(".")
    try:
        canonical = next(iter(HostPatterns([name]).names)) if text else ""
    except ConfigurationError:
        canonical = "*"
    if "*" in name + canonical or len(text) > LONGEST_HOST:
        raise InputError("host must be a host such as shop.example.com, or .example.com for it and all below it")
    return f".{canonical}" if text.startswith(".") else canonical


def token_like(request: Request, pattern: re.Pattern[str]) -> str:
    """Return the ``next_token``, nothing if there is none. Raises InputError if it is a token of another list."""
    token = query(request, "next_token", needed=False, longest=200)
    if token and not pattern.fullmatch(token):
        raise InputError("next_token must be the one of the page before")
    return token


OURS = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{12}", re.ASCII)
"""The form of the ids of chunks and tasks."""

REPORT_ID = re.compile("r-[a-z2-7]{26}")


def page(
    name: str, items: Sequence[T], limit: int, *, show: Callable[[T], Any], token: Callable[[T], str]
) -> dict[str, Any]:
    """Return the first items as a page, with the token of the last one shown if there are more.

    A page has at most ``limit`` items, and no more than an answer has room for.
    """
    shown = within_bytes(show(item) for item in items[:limit])
    body: dict[str, Any] = {name: shown}
    if len(items) > len(shown):
        body["next_token"] = token(items[len(shown) - 1])
    return body


LONGEST_CHOICE = 100
"""Characters of a parameter that has one of a few values."""


def choice(request: Request, name: str, values: Iterable[str], *, default: str = "", needed: bool = False) -> str:
    """Read a parameter that has one of a few values. Raises InputError that names them."""
    given = query(request, name, needed=needed, longest=LONGEST_CHOICE) or default
    _check(name, given, values, ", or left out" if not needed else "")
    return given


def choices(request: Request, name: str, values: Iterable[str]) -> set[str]:
    """Read a parameter that lists some of a few values, separated by commas. Raises InputError that names them."""
    given = set(filter(None, query(request, name, needed=False, longest=2 * LONGEST_CHOICE).split(",")))
    for each in sorted(given):
        _check(name, each, values, ", separated by commas, or left out")
    return given


def account_served(services: Services, request: Request) -> str:
    """Read the name of a vendor account. Raises InputError that names the accounts of the policy."""
    return choice(request, "account", services.policy.accounts)


def _check(name: str, given: str, values: Iterable[str], how: str) -> None:
    if given and given not in {*values}:
        raise InputError(f"{name} must be one of {', '.join(values)}{how}")


def only(request: Request, *names: str) -> None:
    """Refuse a query parameter that the route does not know: otherwise a misspelt filter would simply be missing."""
    unknown = sorted((request.query_params or {}).keys() - set(names))
    if (twice := next((name for name in names if len(_values(request, name)) > 1), None)) is not None:
        raise InputError(f"the query parameter {twice} stands twice: give it once")
    if unknown:
        known = f"known are {', '.join(sorted(names))}" if names else "there are none"
        raise InputError(f"unknown query parameter {unknown[0][:40]!r}; {known}")


def _values(request: Request, name: str) -> list[str]:
    parameters = request.query_params
    return parameters.getlist(name) if parameters and name in parameters else []


def listed(request: Request, name: str, body: Mapping[str, Any], columns: Sequence[str]) -> Response:
    """Answer a list as JSON, or as CSV if the request's ``Accept`` asks for it."""
    if wants_csv(request):
        return csv_answer(columns, body[name], next_token=str(body.get("next_token", "")))
    return answer(200, body)
