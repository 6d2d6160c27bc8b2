"""The client of Alibaba Cloud CDN: exports of the URLs that the vendor blocked by itself. It only reads.

Calls: CreateIllegalUrlExportTask (https://help.aliyun.com/document_detail/156492.html) and DescribeIllegalUrlExportTask
(https://help.aliyun.com/document_detail/156506.html), version 2018-05-10. The vendor's newer clients
lack both calls, so an account that has lost them must be told apart from an outage: see ``InvalidApi.NotFound`` below.

The HTTP status of an error differs between pages of the documentation, so the client goes by ``Code``, in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import urlencode

from requests.auth import AuthBase

from chalicelib.domain.errors import AnswerUnknown
from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.domain.model import VendorAccount
from chalicelib.ports import ExportLimits, ExportRow, ExportStatus, RejectedRow
from chalicelib.vendors.alibaba import export_rows, reasons
from chalicelib.vendors.alibaba.answers import MAX_ANSWER, Answer, Remedies, read_answer
from chalicelib.vendors.alibaba.auth import random_nonce, request_auth
from chalicelib.vendors.alibaba.export_rows import CHINA
from chalicelib.vendors.http import VendorHttp

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

_REMEDIES: Final = Remedies(
    no_permission=(
        "allow cdn:CreateIllegalUrlExportTask and cdn:DescribeIllegalUrlExportTask to the owner of the access key"
    ),
    not_offered="the vendor does not offer illegal-URL exports to this account: open a ticket with the vendor",
    not_open="CDN is not opened for this account, or is suspended: see the vendor's console",
)


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

    def _call(self, action: str, **params: str) -> Answer:
        # Both calls are sent as the vendor's own client sends them: POST, all parameters in the query, no body.
        query = urlencode({"Action": action, "Version": VERSION, **params})
        response = self._http.request("POST", f"{self._endpoint}/?{query}", auth=self._auth)
        return read_answer(response, where=f"account {self._account}: {action}", remedies=_REMEDIES)

    def _field(self, answer: Answer, name: str) -> str:
        value = answer.fields.get(name)
        if isinstance(value, str) and value:
            return value
        raise AnswerUnknown(
            f"account {self._account}: the vendor's answer has no {name}: is the endpoint the vendor's?",
            request_id=answer.request_id,
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
    auth = request_auth(account, clock=clock, nonce=nonce)
    return AlibabaExports(account.name, account.endpoint, auth=auth, http=http or VendorHttp(max_bytes=MAX_ANSWER))
