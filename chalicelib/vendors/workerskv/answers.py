"""Turn an answer of Cloudflare's API into its result, or into one of our errors.

The envelope is ``{"result", "success", "errors": [{"code", "message"}], "messages", "result_info"}``, see
https://developers.cloudflare.com/api/. No page lists the codes of Workers KV any more. Those below are from
Cloudflare's own command line tool (wrangler, ``kv_help``) and from messages that its users quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.vendors.http import VendorResponse, retry_after
from chalicelib.vendors.json_body import number_of, object_in

THROTTLE_WAIT: Final = 5.0  # seconds, where the answer names no Retry-After
MAX_THROTTLE_WAIT: Final = 3_600.0  # seconds: a longer Retry-After is cut to this; the vendor blocks for 5 minutes

ERRORS: Final[Mapping[int, type[VendorError]]] = {
    971: Throttled,  # "please wait and consider throttling your request speed"
    6003: AccessRefused,  # invalid request headers: the token is malformed. HTTP 400
    7000: AccessRefused,  # no route: the endpoint or the account id is wrong. HTTP 400
    7003: AccessRefused,  # no route: the account id is no id. HTTP 400
    9109: AccessRefused,  # invalid access token
    10000: AccessRefused,  # authentication error: the token lacks the permission
    10011: AccessRefused,  # namespace id missing or malformed. HTTP 400
    10013: AccessRefused,  # namespace not found
    10017: AccessRefused,  # the account has no Workers KV
    10018: AccessRefused,  # namespace not found in this account
    10026: AccessRefused,  # the account has no Workers KV
    10022: ContentRefused,  # a limit of the store: a key or a value is too long
    10024: ContentRefused,  # a limit of the store
    10029: ContentRefused,  # too many keys in one call
    10030: ContentRefused,  # a limit of the store
    10048: QuotaExceeded,  # the free plan's operations of the day are used up
}

_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
"""Text that may be a token: no token is shorter."""


def read_answer(response: VendorResponse) -> Mapping[str, Any]:
    """Return the envelope of a success. Raises every class of ``VendorError`` except ``Unavailable``."""
    document = object_in(response.body)
    succeeded = response.status == 200 and document is not None and document.get("success") is True
    if succeeded and document is not None and not document.get("errors"):
        return document
    code, text = _first_error(document)
    kind = AnswerUnknown if succeeded else _kind(response.status, code)
    shown_code = str(code) if code else ""
    request_id = response.headers.get("cf-ray") or ""
    message = f"Cloudflare: HTTP {response.status} {shown_code or 'without an error code'}{': ' if text else ''}{text}"
    if kind is Throttled:
        wait = retry_after(response, default=THROTTLE_WAIT, longest=MAX_THROTTLE_WAIT)
        raise Throttled(message, retry_after=wait, code=shown_code, request_id=request_id)
    raise kind(message, code=shown_code, request_id=request_id)


def _kind(status: int, code: int) -> type[VendorError]:
    # 413: half of the URLs make half of the body.
    documented = ERRORS.get(code, ContentRefused if status == 413 else None)
    if status >= 500:
        return AnswerUnknown
    if documented is not None:
        return documented
    if status == 429:
        return Throttled
    if status == 400 and code:
        return UnknownRefusal
    if 400 <= status < 500 and status != 408:
        return AccessRefused  # a wrong endpoint, account, namespace or token: no URL is to blame, a person must act
    return AnswerUnknown


def _first_error(document: Mapping[str, Any] | None) -> tuple[int, str]:
    """Return code and text of the first error whose code we know, else of the first one."""
    errors = (document or {}).get("errors")
    if not isinstance(errors, list) or not errors or not isinstance(errors[0], dict):
        return 0, ""
    named = next((error for error in errors if isinstance(error, dict) and _code_of(error) in ERRORS), errors[0])
    text = named.get("message")
    shown = _OPAQUE.sub("(…)", text if isinstance(text, str) else "")
    shown = "".join(sign if sign.isprintable() else " " for sign in shown)[:200]
    return _code_of(named), shown


def _code_of(error: Mapping[str, Any]) -> int:
    try:
        return number_of(error.get("code"))
    except TypeError:
        return 0
