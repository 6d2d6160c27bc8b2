"""The client of Alibaba Cloud CDN: exports of the URLs that the vendor blocked by itself. It only reads.

Calls: CreateIllegalUrlExportTask (https://help.aliyun.com/document_detail/156492.html) and DescribeIllegalUrlExportTask
(https://help.aliyun.com/document_detail/156506.html), version 2018-05-10. The vendor's newer clients
lack both calls, so an account that has lost them must be told apart from an outage: see ``InvalidApi.NotFound`` below.

The HTTP status of an error differs between pages of the documentation, so the client goes by ``Code``, in any case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import urlencode

from requests.auth import AuthBase

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    VendorError,
)
from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.domain.model import VendorAccount
from chalicelib.ports import ExportLimits, ExportRow, ExportStatus, RejectedRow
from chalicelib.vendors.alibaba import export_rows, reasons
from chalicelib.vendors.alibaba.auth import AccessKey, Acs3Auth, RpcAuth, random_nonce
from chalicelib.vendors.alibaba.export_rows import CHINA
from chalicelib.vendors.http import VendorHttp, VendorResponse

VERSION: Final = "2018-05-10"

COMPLETE: Final = "complete"
"""The only documented status. Any other means "not yet"."""

LIMITS: Final = ExportLimits(
    creates_per_second=1,  # "each user can call this operation once per second", on both pages
    describes_per_second=1,
)

CALENDAR: Final = ExportCalendar(
    zone=CHINA,
    window_days=31,  # "within the last 31 days", granularity one day, on the page of the create
)

DOWNLOAD_HOSTS: Final[tuple[str, ...]] = ("*.aliyuncs.com",)
"""The vendor's object storage, which serves the files. Other customers fill it too."""

SIGNATURES: Final[dict[str, type[Acs3Auth | RpcAuth]]] = {"acs3": Acs3Auth, "rpc": RpcAuth}

MAX_ANSWER: Final = 1024 * 1024
"""Most bytes of an answer. Real ones have a few hundred."""

RETRY_AFTER: Final = 2.0
"""Seconds to wait after a throttled answer that does not say how long."""

MAX_RETRY_AFTER: Final = 3600.0
"""Longest wait, in seconds, that we accept from ``x-acs-retry-after``."""

_NO_PERMISSION: Final = (
    "allow cdn:CreateIllegalUrlExportTask and cdn:DescribeIllegalUrlExportTask to the owner of the access key"
)
_NOT_OFFERED: Final = "the vendor does not offer illegal-URL exports to this account: open a ticket with the vendor"

# What an error code means to the caller: the beginning of the code in lower case, the error, and the remedy. The first
# match counts. Codes and their causes: https://www.alibabacloud.com/help/en/cdn/developer-reference/api-error-center
_CODES: Final[tuple[tuple[str, type[VendorError], str], ...]] = (
    ("throttling", Throttled, ""),
    # Every nonce is new, so something between us and the vendor repeated the request: the first one may have worked.
    ("signaturenonceused", AnswerUnknown, "the vendor has seen this very request before"),
    ("signature", AccessRefused, "check the secret key and the kind of signature"),
    ("incompletesignature", AccessRefused, "check the secret key and the kind of signature"),
    ("invalidtimestamp", AccessRefused, "the clock is more than 15 minutes off"),
    ("invalidaccesskeyid", AccessRefused, "the access key does not exist or is disabled: check it"),
    ("invalidsecuritytoken", AccessRefused, "the security token is wrong or over: get new temporary keys"),
    ("forbidden", AccessRefused, _NO_PERMISSION),
    ("nopermission", AccessRefused, _NO_PERMISSION),
    ("operationdenied", AccessRefused, "CDN is not opened for this account, or is suspended: see the vendor's console"),
    ("invalidapi.notfound", AccessRefused, _NOT_OFFERED),
    ("invalidaction.notfound", AccessRefused, _NOT_OFFERED),
    ("nosuchversion", AccessRefused, _NOT_OFFERED),
    ("quotaexceeded", QuotaExceeded, ""),
    ("missing", ContentRefused, ""),
    ("unsupportedparameter", ContentRefused, ""),
    ("internalerror", AnswerUnknown, ""),
    ("serviceunavailable", AnswerUnknown, ""),
    ("servicebusy", AnswerUnknown, ""),
    ("invalid", ContentRefused, ""),
)

_XML_FIELD = re.compile(r"<(Code|Message|RequestId)>([^<]{0,2000})</\1>")


class _Answer(NamedTuple):
    """The fields of an answer's body; empty if it lacks them."""

    fields: dict[str, object]
    code: str
    message: str
    request_id: str


class AlibabaExports:
    """The exports of one account. Every call has a timeout and is made once."""

    limits = LIMITS
    calendar = CALENDAR
    download_hosts = DOWNLOAD_HOSTS

    def __init__(self, account: str, endpoint: str, *, auth: AuthBase, http: VendorHttp) -> None:
        self._account = account
        self._endpoint = endpoint.rstrip("/")
        self._auth = auth
        self._http = http

    def task_name(self, day: date, attempt: int, task: int) -> str:
        """See ``ExportVendor.task_name``. The name is for people who look into the vendor's console."""
        return f"edgeban-{day:%Y%m%d}-{attempt}-{task}"

    def create_export(self, task_name: str, day_start: datetime) -> str:
        """Ask for the export of the day that begins at ``day_start``; return the vendor's task id (``tu_…``).

        ``day_start`` is aware and is sent in UTC. Asking twice costs a call and a task, nothing more. Raises every
        class of ``VendorError``; ``ContentRefused`` means that the vendor does not take the day or the name.
        """
        if day_start.tzinfo is None:
            raise ValueError("day_start must say its time zone")
        time_point = day_start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = self._call("CreateIllegalUrlExportTask", TaskName=task_name, TimePoint=time_point)
        return self._field(answer, "TaskId")

    def describe_export(self, task_id: str) -> ExportStatus:
        """Ask how far an export is. The vendor takes about five minutes. Raises what ``create_export`` raises."""
        answer = self._call("DescribeIllegalUrlExportTask", TaskId=task_id)
        status = self._field(answer, "Status")
        url = answer.fields.get("DownloadUrl")
        url = url if isinstance(url, str) else ""
        complete = status.strip().lower() == COMPLETE and bool(url)
        return ExportStatus(status=status[:100], complete=complete, download_url=url if complete else "")

    def read_rows(self, blocks: Iterable[bytes]) -> Iterator[ExportRow | RejectedRow]:
        """See ``ExportVendor.read_rows``."""
        return export_rows.read_rows(blocks)

    def reason_in_words(self, code: str) -> tuple[str, str]:
        """See ``ExportVendor.reason_in_words``."""
        return reasons.reason_in_words(code)

    def _call(self, action: str, **params: str) -> _Answer:
        # Both calls are sent as the vendor's own client sends them: POST, all parameters in the query, no body.
        query = urlencode({"Action": action, "Version": VERSION, **params})
        response = self._http.request("POST", f"{self._endpoint}/?{query}", auth=self._auth)
        answer = _read(response.body)
        if 200 <= response.status < 300 and not answer.code:
            return answer
        raise self._error(action, response, answer)

    def _field(self, answer: _Answer, name: str) -> str:
        value = answer.fields.get(name)
        if isinstance(value, str) and value:
            return value
        raise AnswerUnknown(
            f"account {self._account}: the vendor's answer has no {name}: is the endpoint the vendor's?",
            request_id=answer.request_id,
        )

    def _error(self, action: str, response: VendorResponse, answer: _Answer) -> VendorError:
        code = answer.code.lower()
        matches = ((error, remedy) for start, error, remedy in _CODES if code.startswith(start))
        error, remedy = next(matches, None) or _by_status(response.status, has_code=bool(code))
        # The vendor's message about a signature repeats what was signed, and with it the security token.
        words = "" if "signature" in code else answer.message[:300]
        about = "; ".join(text for text in (words, remedy) if text)
        message = f"account {self._account}: {action}: {answer.code or f'HTTP {response.status}'}"
        if about:
            message += f": {about}"
        if error is Throttled:
            wait = _retry_after(response)
            return Throttled(message, retry_after=wait, code=answer.code, request_id=answer.request_id)
        return error(message, code=answer.code, request_id=answer.request_id)


def _by_status(status: int, *, has_code: bool) -> tuple[type[VendorError], str]:
    """Judge an answer that has no code, or an unknown one, by its status."""
    if status == 429:
        return Throttled, ""
    if status in (401, 403):
        return AccessRefused, "see what the vendor says"
    if 400 <= status < 500 and status != 408:
        if has_code:
            return ContentRefused, ""
        return AccessRefused, "the answer is not the vendor's: check the endpoint"
    return AnswerUnknown, ""


def _retry_after(response: VendorResponse) -> float:
    """Return the seconds to wait. The vendor's own client reads ``x-acs-retry-after`` in milliseconds."""
    text = response.headers.get("x-acs-retry-after", "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        return RETRY_AFTER
    return min(int(text) / 1000, MAX_RETRY_AFTER)


def _read(body: bytes) -> _Answer:
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

    return _Answer(
        fields=fields,
        code=word("Code", "code")[:100],
        message=word("Message", "message"),
        request_id=word("RequestId", "requestId")[:100],
    )


def connect(
    account: VendorAccount,
    *,
    clock: Callable[[], datetime],
    http: VendorHttp | None = None,
    nonce: Callable[[], str] = random_nonce,
) -> AlibabaExports:
    """Make the client of an account from its credentials. It opens no connection before the first call.

    Credentials: ``access_key``, ``secret_key``, optionally ``security_token`` (temporary keys) and ``signature``
    (``acs3``, the default, or ``rpc``). Raises ``ConfigurationError`` if they cannot be used.
    """
    given = account.credentials
    missing = [name for name in ("access_key", "secret_key") if not given.get(name)]
    if missing:
        raise ConfigurationError(f"account {account.name}: credentials lack {' and '.join(missing)}")
    form = SIGNATURES.get(given.get("signature") or "acs3")
    if form is None:
        raise ConfigurationError(f"account {account.name}: signature must be one of {', '.join(SIGNATURES)}")
    key = AccessKey(given["access_key"], given["secret_key"], given.get("security_token", ""))
    return AlibabaExports(
        account.name,
        account.endpoint,
        auth=form(key, clock=clock, nonce=nonce),
        http=http or VendorHttp(max_bytes=MAX_ANSWER),
    )
