"""Volcengine CDN and BytePlus CDN: block and unblock URLs, follow the tasks by the state of each URL.

Calls: https://www.volcengine.com/docs/6454/79890 (SubmitBlockTask), 79893 (SubmitUnblockTask) and 79906
(DescribeContentBlockTasks). The vendor opens all three for an account on a service ticket. BytePlus has them in its
SDKs (``byteplus-sdk``) and on no page.

A block has no duration: it lasts until it is unblocked. The vendor has no list of the URLs that are blocked now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, ContentRefused
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount, VendorLimits, VendorTask
from chalicelib.vendors.http import VendorHttp, require_endpoint
from chalicelib.vendors.json_body import number_of
from chalicelib.vendors.volcengine.answers import read_answer
from chalicelib.vendors.volcengine.auth import AccessKeyAuth
from chalicelib.vendors.windows import windows

VERSION: Final = "2021-03-01"

ENDPOINTS: Final = {"volcengine": "https://cdn.volcengineapi.com", "byteplus": "https://open.byteplusapi.com"}
REGIONS: Final = {"volcengine": "cn-north-1", "byteplus": "ap-singapore-1"}
"""By the name of the vendor in an account's configuration; from ``cdn/service.py`` of either SDK."""

LIMITS: Final = VendorLimits(
    urls_per_task=100,  # SubmitBlockTask, SubmitUnblockTask: 100 URLs a task
    creates_per_second=20,  # SubmitBlockTask, SubmitUnblockTask: 20 calls a second for each
    lists_per_second=20,  # DescribeContentBlockTasks: 20 calls a second
    task_window=timedelta(days=92),  # DescribeContentBlockTasks: tasks of the last 92 days
    longest_ban=None,  # SubmitBlockTask has no duration
    urls_per_day=3_000,  # SubmitBlockTask: 3,000 URLs a day; more on a ticket
    utc_offset=timedelta(hours=8),  # not documented: the vendor's clock is China's
    unbans_per_day=3_000,  # SubmitUnblockTask: 3,000 URLs a day, counted by themselves
)
URLS_PER_PAGE: Final = 1_000  # DescribeContentBlockTasks: PageSize, 1 to 1,000

SUBMIT: Final[Mapping[Action, str]] = {Action.BAN: "SubmitBlockTask", Action.UNBAN: "SubmitUnblockTask"}
TASK_TYPES: Final[Mapping[Action, str]] = {Action.BAN: "block_url", Action.UNBAN: "unblock_url"}
ACTIONS: Final[Mapping[str, Action]] = {word: action for action, word in TASK_TYPES.items()}

# The states of a URL in DescribeContentBlockTasks. A task with a state that is not listed here stays open.
STATES: Final[Mapping[str, TaskState]] = {
    "running": TaskState.PROCESSING,
    "complete": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
}


_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _UrlRow:
    """One URL of one task, as the vendor's list shows it."""

    task_id: str
    action: Action | None
    url: str
    state: TaskState | None
    created_at: datetime


class VolcengineCdn:
    """One account at Volcengine or BytePlus: a ``BanVendor``. Each call is one request."""

    def __init__(self, endpoint: str, *, auth: AccessKeyAuth, http: VendorHttp, limits: VendorLimits = LIMITS) -> None:
        require_endpoint(endpoint)
        self.limits = limits
        self._endpoint = endpoint.rstrip("/")
        self._auth = auth
        self._http = http

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:  # noqa: ARG002 - no duration
        """Ask for a ban or unban of 1 to 100 URLs; return the vendor's task id. ``ban_days`` means nothing here.

        Raises ``ValueError`` if the count is outside the limits, every class of ``VendorError`` otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a task takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        if any("\n" in url or "\r" in url for url in urls):
            raise ContentRefused("a URL with a line end would be two URLs to the vendor")
        # `Urls`, with line ends between, is the one form that both hosts have: BytePlus's models lack `UrlList`.
        task_id = self._call(SUBMIT[action], {"Urls": "\n".join(urls)}).get("TaskID")
        if not isinstance(task_id, str) or not task_id:
            raise AnswerUnknown("Volcengine CDN: HTTP 200 without a task id")
        return task_id

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        """Look for tasks of exactly these URLs by reading the list of URLs. A window's ids come with its last page."""
        same_urls = frozenset(urls)
        for tasks in self._list_tasks([action], [(since, until)]):
            yield from [task.id for task in tasks if frozenset(task.urls) == same_urls] or [""]

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        """Yield the tasks of the windows that cover these tasks, bans first. A window's come with its last page."""
        return self._list_tasks(list(Action), [(task.since, task.until) for task in tasks])

    def banned(self, url: str = "") -> None:
        """Return ``None``: the vendor has no list of blocked URLs, and its list of tasks ends after 92 days."""

    def _list_tasks(
        self, actions: Sequence[Action], spans: Sequence[tuple[datetime, datetime]]
    ) -> Iterator[list[VendorTask]]:
        """Yield the tasks created in spans of time, a page a call.

        The list has a row for each URL, in an order that is not documented, so a task may be on several pages. A task
        is complete only after the window's last page; pages before that yield nothing.
        """
        for action in actions:
            for start, end in windows(spans, longest=LIMITS.task_window):
                rows: list[_UrlRow] = []  # as many as were read: one that moved while we read is there twice
                for page in count(1):
                    result = self._call(
                        "DescribeContentBlockTasks",
                        {
                            "TaskType": TASK_TYPES[action],
                            "StartTime": int(start.timestamp()),
                            "EndTime": int(end.timestamp()),
                            "PageNum": page,
                            "PageSize": URLS_PER_PAGE,
                        },
                    )
                    page_rows, total = _page(result)
                    rows += page_rows
                    if len(rows) >= total:
                        break
                    if not page_rows:
                        # With rows missing, a URL that failed may be among them: no task of the window is known.
                        raise AnswerUnknown(f"Volcengine CDN: page {page} of the list is empty, and there are more")
                    yield []
                yield _tasks(rows)

    def _call(self, action: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        response = self._http.request(
            "POST",
            f"{self._endpoint}/?Action={action}&Version={VERSION}",
            headers={"Content-Type": "application/json"},
            data=json.dumps(body, separators=(",", ":")).encode(),
            auth=self._auth,
        )
        return read_answer(response)


def connect(account: VendorAccount, *, clock: Callable[[], datetime], http: VendorHttp | None = None) -> VolcengineCdn:
    """Build the client of an account. Opens no connection.

    The credentials are ``access_key`` and ``secret_key``, with ``security_token`` if they are temporary, and ``region``
    if the signature must name another than the vendor's own. Raises ``ConfigurationError`` that names what is missing.
    """
    given = account.credentials
    missing = [key for key in ("access_key", "secret_key") if not given.get(key)]
    if missing:
        raise ConfigurationError(f"account {account.name}: the credentials lack {' and '.join(missing)}")
    for key, value in given.items():
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ConfigurationError(f"account {account.name}: {key} holds a space, line end or other stray character")
    auth = AccessKeyAuth(
        given["access_key"],
        given["secret_key"],
        region=given.get("region") or REGIONS[account.vendor],
        clock=clock,
        security_token=given.get("security_token", ""),
    )
    limits = replace(
        LIMITS,
        urls_per_day=_granted(account, "urls_per_day", LIMITS.urls_per_day),
        unbans_per_day=_granted(account, "unbans_per_day", LIMITS.unbans_per_day),
    )
    endpoint = account.endpoint or ENDPOINTS[account.vendor]
    return VolcengineCdn(endpoint, auth=auth, http=http or VendorHttp(), limits=limits)


def _granted(account: VendorAccount, name: str, default: int) -> int:
    """Read how many URLs a day the vendor has granted this account."""
    text = account.credentials.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigurationError(f"account {account.name}: {name} is not a number of URLs, such as 10000")
    return int(text)


def _page(result: Mapping[str, Any]) -> tuple[list[_UrlRow], int]:
    """Read a page's rows, and the count of rows on all pages. A missing list counts as empty only if the count is 0."""
    try:
        total, data = number_of(result["Total"]), result["Data"]
        if not (isinstance(data, list) or (data is None and total == 0)):
            raise TypeError("not as documented")
        return [_row(row) for row in data or ()], total
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise AnswerUnknown("Volcengine CDN: a list of tasks that is not as documented") from exc


def _row(row: Mapping[str, Any]) -> _UrlRow:
    task_id, url = row["TaskID"], row["Url"]
    if not (isinstance(task_id, str) and task_id and isinstance(url, str) and url):
        raise TypeError("not as documented")
    return _UrlRow(
        task_id=task_id,
        action=ACTIONS.get(str(row.get("TaskType"))),
        url=url,
        state=STATES.get(str(row.get("Status"))),
        created_at=_time(row.get("CreateTime")),
    )


def _time(seconds: object) -> datetime:
    """Read a time; 1970 if it cannot be read: the row may be of a task of others, and the other rows still count."""
    try:
        return datetime.fromtimestamp(number_of(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return _EPOCH


def _tasks(rows: Iterable[_UrlRow]) -> list[VendorTask]:
    """Group rows by task. If the list changes while it is read, a URL may be repeated: its latest state counts."""
    by_task: dict[str, dict[str, _UrlRow]] = {}
    for row in rows:
        by_task.setdefault(row.task_id, {})[row.url] = row
    return [_task(task_id, list(rows_by_url.values())) for task_id, rows_by_url in by_task.items()]


def _task(task_id: str, rows: Sequence[_UrlRow]) -> VendorTask:
    return VendorTask(
        id=task_id,
        action=rows[0].action,
        state=_state({row.state for row in rows}),
        urls=tuple(row.url for row in rows),
        created_at=min(row.created_at for row in rows),
        failed=tuple(row.url for row in rows if row.state is TaskState.FAILED),
        by_url=True,
    )


def _state(states: set[TaskState | None]) -> TaskState | None:
    """Return the state of a task from its URLs' states: it ends when all of these have, and fails if one did."""
    for state in (None, TaskState.PROCESSING, TaskState.FAILED):
        if state in states:
            return state
    return TaskState.SUCCEEDED
