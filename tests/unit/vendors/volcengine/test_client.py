"""Lists that no simulator gives: unknown words, rows that moved or are missing, wrong shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from requests.auth import AuthBase

from chalicelib.domain.errors import AnswerUnknown
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount, VendorTask
from chalicelib.vendors.http import VendorHttp, VendorResponse
from chalicelib.vendors.volcengine.client import VolcengineCdn, connect

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
A, B = "https://www.example.com/a", "https://www.example.com/b"


class Canned(VendorHttp):
    """A vendor that answers every call with the next result, and keeps the requests' bodies."""

    def __init__(self, *results: object) -> None:
        super().__init__()
        self.results = list(results)
        self.bodies: list[dict[str, Any]] = []

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes = b"",
        auth: AuthBase | None = None,
    ) -> VendorResponse:
        self.bodies.append(json.loads(data))
        document = {"ResponseMetadata": {"RequestId": "1"}, "Result": self.results.pop(0)}
        return VendorResponse(200, {}, json.dumps(document).encode())


def client(http: VendorHttp) -> VolcengineCdn:
    account = VendorAccount("main", "volcengine", "", {"access_key": "AK", "secret_key": "SK"})
    return connect(account, clock=lambda: NOW, http=http)


def row(url: str, status: object = "complete", **more: object) -> dict[str, object]:
    return {"TaskID": "t", "TaskType": "block_url", "Url": url, "Status": status, "CreateTime": 1_768_465_800} | more


def follow(*results: object) -> list[VendorTask]:
    vendor = client(Canned(*results, {"Total": 0, "Data": None}))
    return [task for page in vendor.follow([Sent("t", NOW - timedelta(hours=1), NOW)]) for task in page]


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (("complete", "complete"), TaskState.SUCCEEDED),
        (("complete", "failed"), TaskState.FAILED),
        (("running", "failed"), TaskState.PROCESSING),
        (("complete", "running"), TaskState.PROCESSING),
        (("complete", "paused"), None),
        (("failed", ["running"]), None),
    ],
)
def test_a_task_is_over_when_all_its_urls_are(statuses: tuple[object, object], state: TaskState | None) -> None:
    (task,) = follow({"Total": 2, "Data": [row(A, statuses[0]), row(B, statuses[1])]})

    assert task.state is state
    assert task.urls == (A, B)
    assert task.created_at == NOW


def test_a_vendor_that_serves_shorter_pages_than_asked_is_read_to_the_end() -> None:
    pages = [{"Total": 3, "Data": [row(f"{A}/{n}")]} for n in range(3)]

    (task,) = follow(*pages)

    assert task.urls == (f"{A}/0", f"{A}/1", f"{A}/2")


def test_an_action_that_is_not_known_stays_open() -> None:
    (task,) = follow({"Total": 1, "Data": [row(A, TaskType="purge")]})
    assert task.action is None


def test_a_row_that_moved_to_the_next_page_counts_once_with_its_latest_state() -> None:
    first = [row(f"{A}/{n}", "running") for n in range(1_000)]

    (task,) = follow({"Total": 1_001, "Data": first}, {"Total": 1_002, "Data": [row(f"{A}/999"), row(B)]})

    assert len(task.urls) == 1_001
    assert task.state is TaskState.PROCESSING


def test_a_page_that_is_missing_leaves_every_task_of_the_window_unknown() -> None:
    with pytest.raises(AnswerUnknown):
        follow({"Total": 1_500, "Data": [row(A)]}, {"Total": 1_500, "Data": []})


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"Total": 1},
        {"Total": 1, "Data": None},
        {"Total": "1", "Data": []},
        {"Total": 1, "Data": [7]},
        {"Total": 1, "Data": ["x"]},
        {"Total": 1, "Data": [{"TaskID": "t"}]},
        {"Total": 1, "Data": [row("")]},
        {"Total": 1, "Data": [row(A, TaskID="")]},
        {"Total": "1x", "Data": [row(A)]},
    ],
)
def test_a_list_that_is_not_as_documented_is_no_list(result: object) -> None:
    with pytest.raises(AnswerUnknown):
        follow(result)


@pytest.mark.parametrize("time", ["yesterday", 10**20, None])
def test_a_time_that_cannot_be_read_costs_no_other_row(time: object) -> None:
    of_others, ours = follow(
        {"Total": "2", "Data": [row(A, TaskID="of others", CreateTime=time), row(A, CreateTime="1768465800")]}
    )
    assert of_others.created_at.year == 1970
    assert ours.created_at == datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("result", [{}, {"TaskID": ""}, {"TaskID": 7}])
def test_a_create_without_a_task_id_never_succeeds(result: object) -> None:
    with pytest.raises(AnswerUnknown):
        client(Canned(result)).create_task(Action.BAN, [A], 7)


def test_a_list_is_asked_for_in_seconds_and_windows_of_92_days() -> None:
    empty = {"Total": 0, "Data": None}
    http = Canned(*[empty] * 4)

    assert list(client(http).find_task(Action.UNBAN, [A], NOW - timedelta(days=100), NOW)) == ["", ""]

    start, middle, end = (int((NOW - timedelta(days=days)).timestamp()) for days in (100, 8, 0))
    fixed = {"TaskType": "unblock_url", "PageNum": 1, "PageSize": 1_000}
    assert http.bodies == [
        {**fixed, "StartTime": start, "EndTime": middle},
        {**fixed, "StartTime": middle, "EndTime": end},
    ]


@pytest.mark.parametrize("call", [lambda cdn: cdn.banned(), lambda cdn: cdn.banned(A)])
def test_asking_for_what_is_banned_makes_no_call(call: Callable[[VolcengineCdn], object]) -> None:
    assert call(client(Canned())) is None
