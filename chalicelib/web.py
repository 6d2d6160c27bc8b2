"""HTTP in and out: read requests, tell operators apart, and answer every error in one shape."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.domain.errors import InputError, NotAuthenticated, TooLarge, TooManyRequests

if TYPE_CHECKING:
    from chalicelib.config.operators import Operator

REPORT_CONTENT_TYPES = ["*/*"]
"""Chalice passes every content type on, so that our code refuses unknown ones in the shape of our errors."""

ANSWER_BYTES = 2 * 1024 * 1024
"""The most bytes of a list in an answer: Lambda returns at most 6 MB, in which the JSON is escaped once more."""

MAX_JSON = 512 * 1024
"""Most bytes of an operator's request."""


def authenticate(headers: Mapping[str, str], operators: Mapping[str, Operator]) -> Operator:
    """Find the operator of ``Authorization: Bearer``. Raises NotAuthenticated.

    Every hash is compared, in constant time, so that the time of the answer tells nothing about the hashes.
    """
    header = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    kind, _, token = header.partition(" ")
    token = token.strip()
    digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
    matching = [operator for known, operator in operators.items() if hmac.compare_digest(known, digest)]
    if kind.lower() != "bearer" or not token:
        raise NotAuthenticated("no token was sent: send the header Authorization: Bearer and an operator's token")
    if not matching:
        raise NotAuthenticated("nobody has this token: send the header Authorization: Bearer and an operator's token")
    return matching[0]


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Make a JSON answer."""
    return Response(
        body=dict(body), status_code=status, headers={"Content-Type": "application/json", **(headers or {})}
    )


def within_bytes(items: Iterable[Any]) -> list[Any]:
    """Take as many of the first items as fit into ``ANSWER_BYTES`` in an answer's JSON, and at least one."""
    taken: list[Any] = []
    size = 0
    for item in items:
        size += len(json.dumps(item)) + 2
        if taken and size > ANSWER_BYTES:
            break
        taken.append(item)
    return taken


def refusal(error: InputError, request_id: str) -> Response:
    """Make the answer that refuses a request."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyRequests) else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": {"code": error.code, "message": str(error), "request_id": request_id}}
    return answer(error.status, body, headers)


CHALICE_CODES = {405: "method_not_allowed", 415: "unknown_format"}
"""Error codes by status, for requests that Chalice refuses before any of our code runs."""


def in_our_shape(response: Any, request_id: str) -> Any:
    """Give an answer that Chalice itself made the shape of our errors; return every other answer unchanged."""
    if not isinstance(response, Response) or not isinstance(response.body, dict) or "Code" not in response.body:
        return response
    code = CHALICE_CODES.get(response.status_code, "bad_request" if response.status_code < 500 else "internal")
    error = {"code": code, "message": str(response.body.get("Message", "")), "request_id": request_id}
    return answer(response.status_code, {"error": error})


def query(request: Request, name: str, *, needed: bool = True, longest: int = 70_000) -> str:
    """Read a query parameter. Raises InputError if it is too long, or needed and missing."""
    parameters: Mapping[str, str] = request.query_params or {}
    value = parameters.get(name, "")
    if needed and not value:
        raise InputError(f"the query parameter {name} is missing: add ?{name}=…")
    if len(value) > longest:
        raise InputError(f"the query parameter {name} is longer than {longest:,} characters")
    return value


def raw_body(request: Request) -> bytes:
    """Return the body byte for byte as it was sent: signatures are checked over it."""
    body = request.raw_body
    return body.encode() if isinstance(body, str) else body


def json_body(request: Request, known: Mapping[str, type]) -> dict[str, Any]:
    """Read an operator's JSON object. Raises InputError that names a field that is unknown or of the wrong type."""
    body = raw_body(request)
    if len(body) > MAX_JSON:
        raise TooLarge(f"the body has {len(body):,} bytes: send at most {MAX_JSON:,}")
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise InputError("the body must be a JSON object")
    for name, value in document.items():
        if name not in known:
            raise InputError(f"unknown field {name[:40]!r}; known are {', '.join(sorted(known))}")
        if not _is_text(value):
            raise InputError(f"{name} holds half of a surrogate pair, which is no character: write it anew")
        if type(value) is not known[name]:
            raise InputError(f"{name} must be of type {known[name].__name__}")
    return document


def _is_text(value: object) -> bool:
    """Whether every text in a JSON value can be written down."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def text_field(document: Mapping[str, Any], name: str, *, longest: int = 500) -> str:
    """Read a string that is recorded with a decision. Raises InputError if it is missing or too long."""
    value = str(document.get(name, "")).strip()
    if not value:
        raise InputError(f"{name} is missing: it is recorded with the decision")
    if len(value) > longest:
        raise InputError(f"{name} is longer than {longest} characters")
    return value


def page_size(request: Request, *, default: int = 100, most: int = 1_000) -> int:
    """Read ``limit``. Raises InputError unless it is a whole number from 1 to ``most``."""
    limit = query(request, "limit", needed=False, longest=6)
    if not limit:
        return default
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= most:
        raise InputError(f"limit must be a whole number from 1 to {most}")
    return int(limit)


def texts_field(document: Mapping[str, Any], name: str, *, most: int) -> tuple[str, ...]:
    """Read a list of strings; empty if it is left out. Raises InputError that names the wrong element."""
    values = document.get(name, [])
    if not isinstance(values, list):
        raise InputError(f"{name} must be a list of strings")
    if len(values) > most:
        raise InputError(f"{name} holds {len(values):,}: name at most {most:,}")
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise InputError(f"{name}[{index}] must be a string")
    return tuple(values)


def moment(name: str, text: str) -> datetime | None:
    """Read a time or a UTC day; a time without a zone is in UTC. Raises InputError."""
    if not text:
        return None
    try:
        if len(text) == len("2026-01-15"):
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{name} must be a time such as 2026-01-15T08:30:00Z, or a UTC day") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


# --- CSV --------------------------------------------------------------------------------------------------------------

NEXT_PAGE = "Edgeban-Next-Token"
"""The header that carries ``next_token`` if the body is CSV."""


def wants_csv(request: Request) -> bool:
    """Tell whether the request's ``Accept`` names CSV, and JSON not before it."""
    accept = next((value for name, value in request.headers.items() if name.lower() == "accept"), "").lower()
    return "text/csv" in accept.partition("application/json")[0]


def _value(item: Mapping[str, Any], column: str) -> Any:
    """Return what a column shows: a field, or with ``a.b`` a field of a field."""
    value: Any = item
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def csv_answer(columns: Sequence[str], items: Iterable[Mapping[str, Any]], *, next_token: str = "") -> Response:
    """Make a CSV answer with a header line. A spreadsheet takes no cell for a formula."""
    import csv

    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_cell(_value(item, column)) for column in columns] for item in items)
    headers: dict[str, str | list[str]] = {"Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store"}
    if next_token:
        headers[NEXT_PAGE] = next_token
    return Response(body=written.getvalue(), status_code=200, headers=headers)


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _cell("; ".join(map(_plain, value)))
    text = _plain(value)
    is_number = isinstance(value, (int, float))
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} and not is_number else text


def _plain(value: Any) -> str:
    """Write a value as text; an object with a value and a count is written as both."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return " ".join(_plain(each) for each in value.values())
    return str(value)


LONGEST_POSITION = 6
"""Digits of a position in a list."""


def first_position(request: Request) -> int:
    """Read the ``next_token`` of a page that begins at a position. Raises InputError."""
    return position(query(request, "next_token", needed=False, longest=LONGEST_POSITION))


def position(token: str) -> int:
    """Read a position that is the token of a page; 0 if there is none. Raises InputError."""
    token = token or "0"
    if len(token) > LONGEST_POSITION or not token.isascii() or not token.isdigit():
        raise InputError("next_token must be the one of the page before")
    return int(token)
