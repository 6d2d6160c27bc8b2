"""Huawei Cloud CDN: ban and unban URLs, list the tasks and the banned URLs.

Calls: https://support.huaweicloud.com/api-cdn/CreateAccessControlTask.html, ListAccessControlTask.html and
ListBanUrl.html. The vendor opens all three for an account on a service ticket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from chalicelib.domain.errors import AnswerUnknown, ContentRefused
from chalicelib.domain.model import Action, Sent, VendorAccount, VendorLimits, VendorTask
from chalicelib.vendors.http import VendorHttp, require_endpoint
from chalicelib.vendors.huawei.answers import milliseconds, read_answer, require_rows, rows_of, task_of, text_of
from chalicelib.vendors.huawei.auth import AkSkAuth, TokenAuth, auth_of
from chalicelib.vendors.json_body import number_of
from chalicelib.vendors.windows import windows

ENDPOINT: Final = "https://cdn.myhuaweicloud.com"

LONGEST_BAN: Final = timedelta(days=30)  # CreateAccessControlTask: ban_duration, 1 to 30 days, 7 if absent
LIMITS: Final = VendorLimits(
    urls_per_task=1_000,  # CreateAccessControlTask: urls, 1 to 1,000
    creates_per_second=10,  # CreateAccessControlTask: 10 calls a second per tenant
    lists_per_second=30,  # ListAccessControlTask, ListBanUrl: 30 calls a second per tenant
    task_window=timedelta(days=7),  # ListAccessControlTask: start_time and end_time at most 7 days apart
    longest_ban=LONGEST_BAN,
)
TASKS_PER_PAGE: Final = 100  # ListAccessControlTask: limit; the SDK says 10,000, the page 100, and 100 suits both
BANNED_PER_PAGE: Final = 50  # ListBanUrl: page_size
MAX_PAGE: Final = 65_535  # ListBanUrl: page_number
MAX_BODY: Final = 12 * 1024 * 1024  # bytes with an access key: devg-apisign, "API signing", limits


class HuaweiCdn:
    """One Huawei Cloud account: a ``BanVendor``. Each call is one request, or two around the renewal of a token."""

    limits = LIMITS

    def __init__(self, endpoint: str, *, auth: AkSkAuth | TokenAuth, http: VendorHttp) -> None:
        require_endpoint(endpoint)
        self._endpoint = endpoint.rstrip("/")
        self._auth = auth
        self._http = http

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Ask for a ban or unban of 1 to 1,000 URLs, a ban for 1 to 30 days; return the vendor's task id.

        An unban does not send ``ban_days``: the vendor gives it no meaning there. Raises ``ValueError`` if the count or
        the duration is outside the limits, every class of ``VendorError`` otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a task takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        fields: dict[str, object] = {"urls": list(urls)}
        if action is Action.BAN:
            if not timedelta(days=1) <= timedelta(days=ban_days) <= LONGEST_BAN:
                raise ValueError(f"a ban lasts 1 to {LONGEST_BAN.days} days, not {ban_days}")
            fields["ban_duration"] = ban_days
        data = json.dumps({"access_control_urls": fields}, separators=(",", ":")).encode()
        if len(data) > MAX_BODY:
            raise ContentRefused(f"these {len(urls)} URLs make a body of more than {MAX_BODY} bytes")
        answer = self._call("POST", f"/v1.0/cdn/content/access-control-urls/{action.value}", data=data)
        task_id = answer.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            raise AnswerUnknown("Huawei Cloud CDN: HTTP 200 without a task id")
        return task_id

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        """Look in the task list for tasks of exactly these URLs: the list names neither our id nor a finish time."""
        same_urls = frozenset(urls)
        for tasks in self._list_tasks([(since, until)]):
            ids = [task.id for task in tasks if task.action is action and frozenset(task.urls) == same_urls]
            yield from ids or [""]

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        """Yield the pages of the task list that cover these tasks."""
        return self._list_tasks([(task.since, task.until) for task in tasks])

    def banned(self, url: str = "") -> Iterator[Sequence[str]]:
        """Yield the pages of the list of banned URLs; ``url`` asks for one of them."""
        read = 0
        for page in range(1, MAX_PAGE + 1):
            query = {"page_size": str(BANNED_PER_PAGE), "page_number": str(page)}
            answer = self._call("GET", "/v1.0/cdn/content/ban-urls", query | ({"url": url} if url else {}))
            try:
                urls = [text_of(row["url"]) for row in rows_of(answer, "ban_urls")]
                total = number_of(answer["total"])
            except (KeyError, TypeError) as exc:
                raise AnswerUnknown("Huawei Cloud CDN: a list of banned URLs that is not as documented") from exc
            yield urls
            read += len(urls)
            if read >= total:
                return
            require_rows(urls, more=True)
        raise AnswerUnknown(f"Huawei Cloud CDN: the list of banned URLs ends at page {MAX_PAGE}, and there are more")

    def _list_tasks(self, spans: Sequence[tuple[datetime, datetime]]) -> Iterator[list[VendorTask]]:
        """Yield the tasks created in spans of time, a page a call."""
        for start, end in windows(spans, longest=LIMITS.task_window):
            offset, total = 0, 1
            while offset < total:
                query = {
                    "start_time": str(milliseconds(start)),
                    "end_time": str(milliseconds(end)),
                    "offset": str(offset),
                    "limit": str(TASKS_PER_PAGE),
                }
                answer = self._call("GET", "/v1.0/cdn/content/access-control-tasks", query)
                try:
                    tasks = [task_of(row) for row in rows_of(answer, "access_control_tasks")]
                    total = number_of(answer["total"])
                except (KeyError, TypeError, AttributeError, OverflowError) as exc:
                    raise AnswerUnknown("Huawei Cloud CDN: a list of tasks that is not as documented") from exc
                yield tasks
                offset += len(tasks)
                require_rows(tasks, more=offset < total)

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, data: bytes = b""
    ) -> Mapping[str, Any]:
        url = self._endpoint + path + ("?" + urlencode(query, quote_via=quote, safe="~") if query else "")
        headers = {"Content-Type": "application/json"}
        response = self._http.request(method, url, headers=headers, data=data, auth=self._auth)
        if response.status == 401 and isinstance(self._auth, TokenAuth):
            # A token can end early, and a refused call has done nothing: it is sent again with a new token. An access
            # key gets no second call, since the vendor locks it after a few refusals.
            self._auth.forget()
            response = self._http.request(method, url, headers=headers, data=data, auth=self._auth)
        return read_answer(response)


def connect(account: VendorAccount, *, clock: Callable[[], datetime], http: VendorHttp | None = None) -> HuaweiCdn:
    """Build the client of an account. Opens no connection. Raises ``ConfigurationError`` if a credential is missing."""
    http = http or VendorHttp()
    return HuaweiCdn(account.endpoint or ENDPOINT, auth=auth_of(account, clock=clock, http=http), http=http)
