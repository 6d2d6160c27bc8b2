"""Turn an answer of Huawei Cloud CDN into a document, or into one of our errors, and read its rows.

Codes: https://support.huaweicloud.com/api-cdn/ErrorCode.html (CDN.*) and
https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-errorcode.html (APIGW.*, of its gateway).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    HostNotReady,
    NotBanned,
    PermissionRefused,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action, TaskState, VendorTask
from chalicelib.vendors.http import VendorResponse, retry_after
from chalicelib.vendors.json_body import number_of, object_in

THROTTLE_WAIT: Final = 2.0  # seconds: the vendor advises to try again 2 to 5 seconds after APIGW.0308
MAX_THROTTLE_WAIT: Final = 3_600.0  # seconds: a longer Retry-After is cut to this

# The vendor documents most CDN.* codes under HTTP 200, so the code decides and not the status.
ERRORS: Final[Mapping[str, type[VendorError]]] = {
    "CDN.0000": AnswerUnknown,  # internal error
    "CDN.0001": ContentRefused,  # parameter missing or malformed: only the URLs differ from call to call
    "CDN.0002": AccessRefused,  # not authenticated
    "CDN.0003": NotBanned,  # object does not exist; we take it to be a URL that is not banned
    "CDN.0004": PermissionRefused,  # insufficient permission
    "CDN.0005": QuotaExceeded,  # upper limit exceeded
    "CDN.0020": PermissionRefused,  # not authorised for the enterprise project
    "CDN.0021": PermissionRefused,  # fine-grained authorisation failed
    "CDN.0105": ContentRefused,  # domain does not exist
    "CDN.0106": HostNotReady,  # the domain's state does not allow it
    "CDN.0108": ContentRefused,  # URL of a domain that is not this tenant's
    "CDN.0110": ContentRefused,  # too many URLs
    "CDN.0114": AccessRefused,  # CDN is not enabled
    "CDN.0115": ContentRefused,  # domain prohibited
    "CDN.0116": HostNotReady,  # domain locked
    "CDN.0127": ContentRefused,  # malformed domain
    "CDN.0145": HostNotReady,  # only for enabled domains
    "APIGW.0301": AccessRefused,  # wrong signature, unknown key; more than five in a row lock the key for 5 minutes
    "APIGW.0302": AccessRefused,  # permission denied
    "APIGW.0303": AccessRefused,  # wrong signature or app
    "APIGW.0306": AccessRefused,  # permission denied
    "APIGW.0307": AccessRefused,  # the token must be updated
    "APIGW.0308": Throttled,
}

_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
"""Text that may be a signature, key or token. None of these is shorter; the vendor may quote a refused signature."""

# The states of AccessControlTask. A task whose state is not listed here stays open.
STATES: Final[Mapping[str, TaskState]] = {
    "processing": TaskState.PROCESSING,
    "succeed": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
}
ACTIONS: Final[Mapping[str, Action]] = {"ban": Action.BAN, "unban": Action.UNBAN}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def read_answer(response: VendorResponse) -> Mapping[str, Any]:
    """Return the document of a success. An answer with HTTP 200 whose body holds an error is a failure.

    Raises every class of ``VendorError`` except ``Unavailable``.
    """
    document = object_in(response.body)
    code, text = _error_in(document)
    if response.status == 200 and document is not None and not code:
        return document
    request_id = response.headers.get("X-Request-Id") or str((document or {}).get("request_id") or "")
    message = f"Huawei Cloud CDN: HTTP {response.status} {code or 'without an error code'}{': ' if text else ''}{text}"
    kind = _kind(response.status, code)
    if document and document.get("task_id"):
        kind = AnswerUnknown  # an error and a task id in one answer: the list of tasks decides
    if kind is Throttled:
        # The vendor documents no Retry-After; if one comes, it is respected.
        wait = retry_after(response, default=THROTTLE_WAIT, longest=MAX_THROTTLE_WAIT)
        raise Throttled(message, retry_after=wait, code=code, request_id=request_id)
    raise kind(message, code=code, request_id=request_id)


def _kind(status: int, code: str) -> type[VendorError]:
    # 413: the body is too long, and half of the URLs make half of the body.
    documented = ERRORS.get(code, ContentRefused if status == 413 else None)
    if status == 429 or documented is Throttled:
        return Throttled
    if status >= 500:
        return AnswerUnknown
    if documented is not None:
        return documented
    if status in (200, 400) and code.startswith("CDN."):
        # Our calls differ only in their URLs, and CDN does not document its limits on URLs (length, characters). So a
        # code that is not in the table is probably about a URL, and halving the task finds it.
        return UnknownRefusal
    if 400 <= status < 500 and status != 408:
        # The gateway refused before CDN saw a URL: a wrong endpoint, or an API that is not opened for the account.
        # Halving would reject every URL for something that a person has to correct, so the URLs wait.
        return AccessRefused
    return AnswerUnknown


def _error_in(document: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return code and text of an error: nested in ``error`` (creating a task) or flat (lists, gateway)."""
    if document is None:
        return "", ""
    nested = document.get("error")
    source = nested if isinstance(nested, dict) else document
    code = str(source.get("error_code") or source.get("errorCode") or "")
    text = str(source.get("error_msg") or source.get("errorMsg") or "")
    if code.startswith("APIG."):
        code = "APIGW." + code.removeprefix("APIG.")
    return _printable(code, 40), _printable(text, 200)


def _printable(text: str, length: int) -> str:
    shown = _OPAQUE.sub("(…)", text)
    return "".join(sign if sign.isprintable() else " " for sign in shown)[:length]


def rows_of(answer: Mapping[str, Any], name: str) -> list[Any]:
    """Read a list of rows. A missing list counts as empty only if the total is 0: a task must not seem unknown."""
    rows = answer[name]
    if rows is None and answer["total"] == 0:
        return []
    if not isinstance(rows, list):
        raise TypeError("not a list")
    return rows


def require_rows(page: Sequence[object], *, more: bool) -> None:
    """Raise ``AnswerUnknown`` if a page of a list is empty although the list has more rows.

    A task that is on no page may be at the vendor all the same: it must not be sent again.
    """
    if more and not page:
        raise AnswerUnknown("Huawei Cloud CDN: a page of a list is empty, and the list has more rows")


def task_of(row: Mapping[str, Any]) -> VendorTask:
    """Read a row of the task list. Raises ``TypeError`` or ``KeyError`` if it is not as documented."""
    return VendorTask(
        id=text_of(row["id"]),
        action=ACTIONS.get(str(row.get("action"))),
        state=STATES.get(str(row.get("status"))),
        urls=tuple(text_of(url) for url in row.get("urls") or ()),
        created_at=_time(row.get("create_time")),
    )


def milliseconds(at: datetime) -> int:
    """Return a time as the vendor writes it."""
    return (at - _EPOCH) // _MILLISECOND


def _time(milliseconds: object) -> datetime:
    """Read a time; 1970 if it cannot be read: the row may be of a task of others, and the other rows still count."""
    try:
        return _EPOCH + number_of(milliseconds) * _MILLISECOND
    except (TypeError, OverflowError):
        return _EPOCH


def text_of(value: object) -> str:
    """Return a text of an answer. Raises ``TypeError`` if it is no text, or empty."""
    if not isinstance(value, str) or not value:
        raise TypeError("not a text")
    return value
