"""Turn an answer of the KeyValueStore into its document, or into one of our errors.

The errors are those of the service's model in botocore (2022-07-26): the name of the error stands in the header
``x-amzn-ErrorType``, or in ``__type`` or ``code`` of the body.
"""

from __future__ import annotations

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
from chalicelib.vendors.json_body import object_in

CONFLICT_WAIT: Final = 0.2  # seconds: the store has another version by now, and the next call reads it first
THROTTLE_WAIT: Final = 2.0  # seconds, where the answer names no Retry-After
MAX_THROTTLE_WAIT: Final = 3_600.0

ERRORS: Final[Mapping[str, type[VendorError]]] = {
    "ConflictException": Throttled,  # 409: the ETag is an old one, and nothing was written
    "ServiceQuotaExceededException": QuotaExceeded,  # 402: the store is full
    "ValidationException": ContentRefused,  # 400
    "ResourceNotFoundException": AccessRefused,  # 404: no such store
    "AccessDeniedException": AccessRefused,  # 403
    "InternalServerException": AnswerUnknown,  # 500
    # of AWS in general, https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
    "Throttling": Throttled,
    "SlowDown": Throttled,
    "AccessDenied": AccessRefused,
    "ExpiredToken": AccessRefused,
    "InvalidClientTokenId": AccessRefused,
    "IncompleteSignature": AccessRefused,
    "MissingAuthenticationToken": AccessRefused,
    "NotAuthorized": AccessRefused,
    "OptInRequired": AccessRefused,
    "RequestExpired": AccessRefused,
    "RequestTimeTooSkewed": AccessRefused,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "UnrecognizedClientException": AccessRefused,
    "InvalidSignatureException": AccessRefused,
    "SignatureDoesNotMatch": AccessRefused,
    "MissingAuthenticationTokenException": AccessRefused,
    "ExpiredTokenException": AccessRefused,
    "IncompleteSignatureException": AccessRefused,
}


def read_answer(response: VendorResponse) -> Mapping[str, Any]:
    """Return the document of a success. Raises every class of ``VendorError`` except ``Unavailable``."""
    document = object_in(response.body)
    if response.status == 200 and document is not None and "__type" not in document:
        return document
    fields = document or {}
    named = response.headers.get("x-amzn-ErrorType") or fields.get("__type") or fields.get("code")
    code = str(named or "").partition(":")[0].rpartition("#")[2][:100]
    text = fields.get("Message") or fields.get("message")
    shown = "".join(sign if sign.isprintable() else " " for sign in text)[:200] if isinstance(text, str) else ""
    kind = ERRORS.get(code) or _by_status(response.status)
    if "ignature" in code or kind is AccessRefused:
        shown = ""  # what is said of a signature repeats what was signed
    request_id = response.headers.get("x-amzn-RequestId") or ""
    message = f"CloudFront KeyValueStore: HTTP {response.status} {code}{': ' if shown else ''}{shown}"
    if kind is Throttled:
        wait = CONFLICT_WAIT if response.status == 409 else THROTTLE_WAIT
        seconds = retry_after(response, default=wait, longest=MAX_THROTTLE_WAIT)
        raise Throttled(message, retry_after=seconds, code=code, request_id=request_id)
    raise kind(message, code=code, request_id=request_id)


def _by_status(status: int) -> type[VendorError]:
    if status in (409, 429):
        return Throttled
    if status == 402:
        return QuotaExceeded
    if status == 413:
        return ContentRefused  # half of the URLs make half of the body
    if status == 400:
        return UnknownRefusal
    if 401 <= status < 500 and status != 408:
        return AccessRefused
    return AnswerUnknown
