"""Turn an answer of Volcengine or BytePlus CDN into its result, or into one of our errors.

Codes of the gateway: https://www.volcengine.com/docs/6369/68677 and
https://docs.byteplus.com/byteplus-platform/reference/common-error-codes; codes of CDN:
https://www.volcengine.com/docs/6454/70429 and https://docs.byteplus.com/en/docs/byteplus-cdn/reference-api-error-codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    PermissionRefused,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.vendors.http import VendorResponse, retry_after

THROTTLE_WAIT: Final = 2.0  # seconds: the vendor names no time, and its rates are for one second
MAX_THROTTLE_WAIT: Final = 3_600.0  # seconds: a longer Retry-After is cut to this

ERRORS: Final[Mapping[str, type[VendorError]]] = {
    # The gateway, which refuses before CDN sees the call.
    "MissingParameter": AccessRefused,  # Action or Version: the endpoint is wrong, since the client sends both
    "MissingRequestInfo": AccessRefused,
    "MissingAuthenticationToken": AccessRefused,
    "MissingSignature": AccessRefused,
    "InvalidAuthorization": AccessRefused,
    "InvalidCredential": AccessRefused,  # the region or the service of the signature
    "InvalidAccessKey": AccessRefused,
    "InvalidClientTokenId": AccessRefused,  # the same, on older pages
    "InvalidSecretToken": AccessRefused,  # a temporary key that has ended
    "InvalidTimestamp": AccessRefused,  # more than 15 minutes off
    "SignatureDoesNotMatch": AccessRefused,
    "ServiceNotFound": AccessRefused,
    "InvalidActionOrVersion": AccessRefused,  # also the answer while the ticket for the calls is not granted
    "MethodNotAllowed": AccessRefused,
    "AccessDenied": AccessRefused,
    "LackPolicy": AccessRefused,
    "LackProjectPolicy": PermissionRefused,
    "FlowLimitExceeded": Throttled,
    "AccountFlowLimitExceeded": Throttled,
    "RequestLimitExceeded": Throttled,
    "UndefinedError": AnswerUnknown,
    "InternalError": AnswerUnknown,
    "InternalServiceError": AnswerUnknown,
    "InternalServiceTimeout": AnswerUnknown,
    "FailToConnect": AnswerUnknown,  # between the gateway and CDN: the page does not say that nothing was sent
    "ServiceUnavailableTemp": AnswerUnknown,
    # CDN.
    "NotFound.Domain": ContentRefused,  # a URL of a domain that is not this account's
    "ResourceNotFound": ContentRefused,  # the same, on the page of responses
    "InvalidParameter": ContentRefused,  # our calls differ in their URLs alone
    # CDN's older codes, which the vendor says are used no more.
    "CDN.ResourceNotFound": ContentRefused,
    "CDN.PermissionDenied": PermissionRefused,
    "CDN.InvalidParameters": ContentRefused,
    "CDN.InvalidParam": ContentRefused,
    "CDN.InternalError": AnswerUnknown,
}
"""A code may have a detail after a dot (``InvalidParameter.Urls``): the longest entry before a dot decides."""

_QUOTA: Final = re.compile(r"quota|额度|配额", re.IGNORECASE)
"""Words of an answer that tell of a used-up daily quota: no code for it is documented. Otherwise the answer would count
as a refusal of the content, and every URL would be rejected."""

_OPAQUE: Final = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
"""Text that may be a signature, a key or a token: the gateway quotes these in some messages."""


def read_answer(response: VendorResponse) -> Mapping[str, Any]:
    """Return ``Result`` of a success. An answer with HTTP 200 whose metadata hold an error is a failure.

    Raises every class of ``VendorError`` except ``Unavailable``.
    """
    document = _mapping(_document(response.body))
    metadata, result = _mapping(document.get("ResponseMetadata")), document.get("Result")
    error = metadata.get("Error")
    if response.status == 200 and metadata and error is None and isinstance(result, dict):
        return result
    code = _printable(str(_mapping(error).get("Code") or ""), 60)
    text = _printable(str(_mapping(error).get("Message") or ""), 200)
    kind = _kind(response.status, code, text)
    if _mapping(result).get("TaskID"):
        kind = AnswerUnknown  # an error and a task in one answer: the list of tasks decides
    message = f"Volcengine CDN: HTTP {response.status} {code or 'without an error code'}{': ' if text else ''}{text}"
    request_id = _printable(str(metadata.get("RequestId") or response.headers.get("X-Tt-Logid", "")), 60)
    if kind is Throttled:
        wait = retry_after(response, default=THROTTLE_WAIT, longest=MAX_THROTTLE_WAIT)
        raise Throttled(message, retry_after=wait, code=code, request_id=request_id)
    raise kind(message, code=code, request_id=request_id)


def _kind(status: int, code: str, text: str) -> type[VendorError]:  # noqa: PLR0911 - one reason after the other
    documented = _documented(code)
    if status == 429 or documented is Throttled:
        return Throttled
    if status >= 500:
        return AnswerUnknown
    if documented in (None, ContentRefused) and (_QUOTA.search(code) or _QUOTA.search(text)):
        return QuotaExceeded
    if documented is not None:
        return documented
    if status == 413:
        return ContentRefused  # the body is too long, and half of the URLs make half of the body
    if code and status in (200, 400):
        # All codes of the gateway are in the table. So any other code is CDN's and probably about a URL.
        return UnknownRefusal
    if 400 <= status < 500 and status != 408:
        return AccessRefused  # not an answer of this call: the endpoint or the permission is wrong
    return AnswerUnknown


def _documented(code: str) -> type[VendorError] | None:
    while code not in ERRORS and "." in code:
        code = code.rpartition(".")[0]
    return ERRORS.get(code)


def _document(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _printable(text: str, length: int) -> str:
    shown = _OPAQUE.sub("(…)", text)
    return "".join(sign if sign.isprintable() else " " for sign in shown)[:length]
