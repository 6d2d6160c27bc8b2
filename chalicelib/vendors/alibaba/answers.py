"""Read an answer of Alibaba Cloud's APIs, or raise what its error code means to the caller."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Final, NamedTuple

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


class Remedies(NamedTuple):
    """What a person must do if a product refuses an account."""

    no_permission: str
    not_offered: str
    not_open: str


MAX_ANSWER: Final = 1024 * 1024
"""The most bytes of an answer. Real ones have a few hundred."""

RETRY_AFTER: Final = 2.0
"""Seconds to wait after a throttled answer that does not say how long."""

MAX_RETRY_AFTER: Final = 3600.0
"""Longest wait, in seconds, that we accept from ``x-acs-retry-after``."""

# What an error code means: its beginning in lower case, the error, and the remedy or the name of one of ``Remedies``.
# The first match counts. Codes: https://www.alibabacloud.com/help/en/cdn/developer-reference/api-error-center
_CODES: Final[tuple[tuple[str, type[VendorError], str], ...]] = (
    ("throttling", Throttled, ""),
    ("toomanyrequests", Throttled, ""),
    # Every nonce is new, so something between us and the vendor repeated the request: the first one may have worked.
    ("signaturenonceused", AnswerUnknown, "the vendor has seen this very request before"),
    ("signature", AccessRefused, "check the secret key and the kind of signature"),
    ("incompletesignature", AccessRefused, "check the secret key and the kind of signature"),
    ("invalidtimestamp", AccessRefused, "the clock is more than 15 minutes off"),
    ("invalidaccesskeyid", AccessRefused, "the access key does not exist or is disabled: check it"),
    ("invalidsecuritytoken", AccessRefused, "the security token is wrong or over: get new temporary keys"),
    ("forbidden", AccessRefused, "no_permission"),
    ("nopermission", AccessRefused, "no_permission"),
    ("operationdenied", AccessRefused, "not_open"),
    ("invalidapi.notfound", AccessRefused, "not_offered"),
    ("invalidaction.notfound", AccessRefused, "not_offered"),
    ("nosuchversion", AccessRefused, "not_offered"),
    ("quotaexceeded", QuotaExceeded, ""),
    ("missing", ContentRefused, ""),
    ("unsupportedparameter", ContentRefused, ""),
    ("internalerror", AnswerUnknown, ""),
    ("serviceunavailable", AnswerUnknown, ""),
    ("servicebusy", AnswerUnknown, ""),
    ("invalidparameter", ContentRefused, ""),
    ("invalidtimepoint", ContentRefused, ""),
)

_XML_FIELD = re.compile(r"<(Code|Message|RequestId)>([^<]{0,2000})</\1>")


class Answer(NamedTuple):
    """The fields of an answer's body; empty if it lacks them."""

    fields: dict[str, object]
    code: str
    message: str
    request_id: str


def read_answer(response: VendorResponse, *, where: str, remedies: Remedies) -> Answer:
    """Return the fields of a success. Raises every class of ``VendorError`` except ``Unavailable``."""
    answer = _read(response.body)
    if 200 <= response.status < 300 and not answer.code:
        return answer
    code = answer.code.lower()
    matches = ((error, remedy) for start, error, remedy in _CODES if code.startswith(start))
    error, remedy = next(matches, None) or _by_status(response.status, has_code=bool(code))
    remedy = remedies._asdict().get(remedy, remedy)
    # The vendor's message about a signature repeats what was signed, and with it the security token.
    words = "" if "signature" in code else answer.message[:300]
    about = "; ".join(text for text in (words, remedy) if text)
    message = f"{where}: {answer.code or f'HTTP {response.status}'}" + (f": {about}" if about else "")
    if error is Throttled:
        raise Throttled(message, retry_after=_retry_after(response), code=answer.code, request_id=answer.request_id)
    raise error(message, code=answer.code, request_id=answer.request_id)


def _by_status(status: int, *, has_code: bool) -> tuple[type[VendorError], str]:
    """Judge an answer without a code, or with an unknown one, by its status."""
    if status == 429:
        return Throttled, ""
    if status in (401, 403):
        return AccessRefused, "see what the vendor says"
    if 400 <= status < 500 and status != 408:
        if has_code:
            return UnknownRefusal, ""
        return AccessRefused, "the answer is not the vendor's: check the endpoint"
    return AnswerUnknown, ""


def _retry_after(response: VendorResponse) -> float:
    """Return the seconds to wait. The vendor's own client reads ``x-acs-retry-after`` in milliseconds.

    What stands before the vendor may answer with the ``Retry-After`` of HTTP.
    """
    text = response.headers.get("x-acs-retry-after", "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        return retry_after(response, default=RETRY_AFTER, longest=MAX_RETRY_AFTER)
    return min(int(text) / 1000, MAX_RETRY_AFTER)


def _read(body: bytes) -> Answer:
    """Read JSON, or the fields of an XML error. The gateway answers in XML, and the vendor does without ``Format``."""
    text = body.decode("utf-8", "replace")
    fields: dict[str, object] = {}
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        fields = {name: unescape(value) for name, value in _XML_FIELD.findall(text)}
    else:
        if isinstance(parsed, dict):
            fields = parsed

    def word(*names: str) -> str:
        return next((value for name in names if isinstance(value := fields.get(name), str)), "")

    return Answer(
        fields=fields,
        code=word("Code", "code")[:100],
        message=word("Message", "message"),
        request_id=word("RequestId", "requestId")[:100],
    )
