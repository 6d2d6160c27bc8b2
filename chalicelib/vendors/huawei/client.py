"""Huawei Cloud CDN: ban and unban URLs, list the tasks and the banned URLs.

Calls: https://support.huaweicloud.com/api-cdn/CreateAccessControlTask.html, ListAccessControlTask.html and
ListBanUrl.html. All three are opened for an account by service ticket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, ContentRefused
from chalicelib.domain.model import (
    Action,
    BannedUrl,
    BannedUrlPage,
    TaskState,
    VendorAccount,
    VendorLimits,
    VendorTask,
    VendorTaskPage,
)
from chalicelib.vendors.http import VendorHttp, require_endpoint
from chalicelib.vendors.huawei.answers import read_answer
from chalicelib.vendors.huawei.auth import IAM_ENDPOINT, AkSkAuth, TokenAuth

ENDPOINT: Final = "https://cdn.myhuaweicloud.com"

LIMITS: Final = VendorLimits(
    urls_per_task=1_000,  # CreateAccessControlTask: urls, 1 to 1,000
    creates_per_second=10,  # CreateAccessControlTask: 10 calls a second per tenant
    ban_days_min=1,  # CreateAccessControlTask: ban_duration, 1 to 30 days, 7 if absent
    ban_days_max=30,
    task_window=timedelta(days=7),  # ListAccessControlTask: start_time and end_time at most 7 days apart
    tasks_per_page=100,  # ListAccessControlTask: limit; the SDK says 10,000, the page 100, and 100 suits both
    banned_urls_per_page=50,  # ListBanUrl: page_size
)
MAX_PAGE: Final = 65_535  # ListBanUrl: page_number
MAX_BODY: Final = 12 * 1024 * 1024  # bytes with an access key: devg-apisign, "API signing", limits

# The words of AccessControlTask. A word that is not here leaves a task where it is.
STATES: Final[Mapping[str, TaskState]] = {
    "processing": TaskState.PROCESSING,
    "succeed": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
}
ACTIONS: Final[Mapping[str, Action]] = {"ban": Action.BAN, "unban": Action.UNBAN}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class HuaweiCdn:
    """One Huawei Cloud account: a ``BanVendor``. Each method is one call, or two around the renewal of a token."""

    limits = LIMITS

    def __init__(self, endpoint: str, *, auth: AkSkAuth | TokenAuth, http: VendorHttp) -> None:
        require_endpoint(endpoint)
        self._endpoint = endpoint.rstrip("/")
        self._auth = auth
        self._http = http

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Ask for a ban or unban of 1 to 1,000 URLs, a ban for 1 to 30 days; return the vendor's task id.

        An unban does not send ``ban_days``: the vendor gives it no meaning there. Raises ``ValueError`` on a count or
        duration outside the limits, every class of ``VendorError`` otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a task takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        fields: dict[str, object] = {"urls": list(urls)}
        if action is Action.BAN:
            if not LIMITS.ban_days_min <= ban_days <= LIMITS.ban_days_max:
                raise ValueError(f"a ban lasts {LIMITS.ban_days_min} to {LIMITS.ban_days_max} days, not {ban_days}")
            fields["ban_duration"] = ban_days
        data = json.dumps({"access_control_urls": fields}, separators=(",", ":")).encode()
        if len(data) > MAX_BODY:
            raise ContentRefused(f"these {len(urls)} URLs make a body of more than {MAX_BODY} bytes")
        answer = self._call("POST", f"/v1.0/cdn/content/access-control-urls/{action.value}", data=data)
        task_id = answer.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            raise AnswerUnknown("Huawei Cloud CDN: HTTP 200 without a task id")
        return task_id

    def list_tasks(self, start: datetime, end: datetime, offset: int) -> VendorTaskPage:
        """Read up to 100 of the tasks created in ``[start, end]``, times aware and at most 7 days apart.

        Raises ``ValueError`` on other windows, every class of ``VendorError`` but ``ContentRefused`` in practice.
        """
        if not timedelta(0) <= end - start <= LIMITS.task_window or offset < 0:
            raise ValueError("a window of tasks lies between start and end, is at most 7 days long, offset from 0")
        answer = self._call(
            "GET",
            "/v1.0/cdn/content/access-control-tasks",
            {
                "start_time": str(_milliseconds(start)),
                "end_time": str(_milliseconds(end)),
                "offset": str(offset),
                "limit": str(LIMITS.tasks_per_page),
            },
        )
        try:
            tasks = tuple(
                VendorTask(
                    id=_text(task["id"]),
                    action=ACTIONS.get(str(task.get("action"))),
                    state=STATES.get(str(task.get("status"))),
                    urls=tuple(_text(url) for url in task.get("urls") or ()),
                    created_at=_time(task["create_time"]),
                )
                for task in _rows(answer, "access_control_tasks")
            )
            return VendorTaskPage(total=_number(answer["total"]), tasks=tasks)
        except (KeyError, TypeError, AttributeError, OverflowError) as exc:
            raise AnswerUnknown("Huawei Cloud CDN: a list of tasks that is not as documented") from exc

    def list_banned_urls(self, page: int, url: str = "") -> BannedUrlPage:
        """Read page ``page`` (1 to 65,535) of the URLs banned now, 50 a page; ``url`` asks for one of them.

        Raises ``ValueError`` on other pages, every class of ``VendorError`` but ``ContentRefused`` in practice.
        """
        if not 1 <= page <= MAX_PAGE:
            raise ValueError(f"pages count from 1 to {MAX_PAGE}")
        query = {"page_size": str(LIMITS.banned_urls_per_page), "page_number": str(page)}
        answer = self._call("GET", "/v1.0/cdn/content/ban-urls", query | ({"url": url} if url else {}))
        try:
            urls = tuple(
                BannedUrl(
                    url=_text(row["url"]),
                    created_at=_time(row["create_time"]),
                    modified_at=_time(row.get("modify_time") or row["create_time"]),
                )
                for row in _rows(answer, "ban_urls")
            )
            return BannedUrlPage(total=_number(answer["total"]), urls=urls)
        except (KeyError, TypeError, AttributeError, OverflowError) as exc:
            raise AnswerUnknown("Huawei Cloud CDN: a list of banned URLs that is not as documented") from exc

    def _call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, data: bytes = b""
    ) -> Mapping[str, Any]:
        url = self._endpoint + path + ("?" + urlencode(query, quote_via=quote, safe="~") if query else "")
        headers = {"Content-Type": "application/json"}
        response = self._http.request(method, url, headers=headers, data=data, auth=self._auth)
        if response.status == 401 and isinstance(self._auth, TokenAuth):
            # A token can end before its time, and a refused call has done nothing. An access key gets no second try:
            # its failures are counted.
            self._auth.forget()
            response = self._http.request(method, url, headers=headers, data=data, auth=self._auth)
        return read_answer(response)


def connect(account: VendorAccount, *, clock: Callable[[], datetime], http: VendorHttp | None = None) -> HuaweiCdn:
    """Build the client of an account. Opens no connection.

    Credentials are either ``access_key`` and ``secret_key`` (with ``security_token`` if they are temporary, and
    ``domain_id`` to sign the account's id), or ``user``, ``password`` and ``domain`` (the account's name) of an IAM
    user, with ``iam_endpoint`` to ask another IAM for tokens. Raises ``ConfigurationError`` naming what is missing.
    """
    http = http or VendorHttp()
    given = account.credentials
    if given.get("access_key") or given.get("secret_key"):
        _require(account, "access_key", "secret_key")
        for key in ("access_key", "secret_key", "security_token", "domain_id"):
            value = given.get(key, "")
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise ConfigurationError(f"account {account.name}: {key} holds a space, line end or other stray sign")
        auth: AkSkAuth | TokenAuth = AkSkAuth(
            given["access_key"],
            given["secret_key"],
            clock=clock,
            domain_id=given.get("domain_id", ""),
            security_token=given.get("security_token", ""),
        )
    elif given.get("user") or given.get("password") or given.get("domain"):
        _require(account, "user", "password", "domain")
        iam = given.get("iam_endpoint") or IAM_ENDPOINT
        require_endpoint(iam)
        auth = TokenAuth(given["user"], given["password"], given["domain"], http=http, clock=clock, endpoint=iam)
    else:
        raise ConfigurationError(
            f"account {account.name}: the credentials need access_key and secret_key, or user, password and domain"
        )
    return HuaweiCdn(account.endpoint or ENDPOINT, auth=auth, http=http)


def _require(account: VendorAccount, *keys: str) -> None:
    missing = [key for key in keys if not account.credentials.get(key)]
    if missing:
        raise ConfigurationError(f"account {account.name}: the credentials lack {' and '.join(missing)}")


def _rows(answer: Mapping[str, Any], name: str) -> list[Any]:
    """A list; no list is an empty one only where the total agrees. An empty page must not pass for "no such task"."""
    rows = answer[name]
    if rows is None and answer["total"] == 0:
        return []
    if not isinstance(rows, list):
        raise TypeError("not a list")
    return rows


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def _time(milliseconds: object) -> datetime:
    return _EPOCH + _number(milliseconds) * _MILLISECOND


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("not a text")
    return value
