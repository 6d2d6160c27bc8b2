"""Every way in which a call can fail, the error that our client raises, and whether the vendor acted."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    PermissionRefused,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.model import Action, Sent, VendorAccount
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.volcengine.client import VolcengineCdn, connect
from dev.simulators.volcengine import VolcengineSimulator
from dev.simulators.volcengine_gate import Identity

URL = "https://www.example.com/1.jpg"
KEYS = {"access_key": "AK", "secret_key": "SK"}


def now() -> datetime:
    return datetime.now(UTC)


def client(simulator: VolcengineSimulator, http: VendorHttp, **changes: str) -> VolcengineCdn:
    credentials = {**simulator.credentials, **changes}
    return connect(VendorAccount("main", "volcengine", simulator.url, credentials), clock=now, http=http)


@pytest.fixture
def simulator() -> Iterator[VolcengineSimulator]:
    with VolcengineSimulator(rates=False) as simulator:
        yield simulator


@pytest.fixture
def http() -> Iterator[VendorHttp]:
    http = VendorHttp(connect_timeout=2, read_timeout=2)
    yield http
    http.close()


@pytest.fixture
def cdn(simulator: VolcengineSimulator, http: VendorHttp) -> VolcengineCdn:
    return client(simulator, http)


def create(cdn: VolcengineCdn) -> str:
    return cdn.create_task(Action.BAN, [URL], 7)


def list_tasks(cdn: VolcengineCdn) -> object:
    return list(cdn.follow([Sent("", now() - timedelta(days=1), now() + timedelta(minutes=1))]))


CALLS: dict[str, Callable[[VolcengineCdn], object]] = {"create": create, "list_tasks": list_tasks}
FAULTS: list[tuple[dict[str, Any], type[VendorError], int]] = [
    # Fault, error, and the tasks that exist afterwards if the call was a create.
    ({"kind": "429"}, Throttled, 0),
    ({"kind": "500"}, AnswerUnknown, 0),
    ({"kind": "500_after_effect"}, AnswerUnknown, 1),
    ({"kind": "slow", "seconds": 2.4}, AnswerUnknown, 1),
    ({"kind": "slow_after", "seconds": 2.4}, AnswerUnknown, 1),
    ({"kind": "reset_before"}, AnswerUnknown, 0),
    ({"kind": "reset_after"}, AnswerUnknown, 1),
    ({"kind": "truncate"}, AnswerUnknown, 1),
    ({"kind": "html"}, AnswerUnknown, 0),
    ({"kind": "html", "status": 502}, AnswerUnknown, 0),
    ({"kind": "html", "status": 302}, AnswerUnknown, 0),
    ({"kind": "html", "status": 408}, AnswerUnknown, 0),
    ({"kind": "html", "status": 404}, AccessRefused, 0),
    ({"kind": "html", "status": 413}, ContentRefused, 0),
    ({"kind": "html", "status": 429}, Throttled, 0),
    ({"kind": "error_200", "code": "NotFound.Domain"}, ContentRefused, 0),
    ({"kind": "error_200", "code": "FlowLimitExceeded"}, Throttled, 0),
    ({"kind": "error", "status": 403, "code": "AccessDenied.IAMUnauthorized"}, AccessRefused, 0),
    ({"kind": "error", "status": 403, "code": "LackProjectPolicy"}, PermissionRefused, 0),
    ({"kind": "error", "status": 403, "code": "CDN.PermissionDenied"}, PermissionRefused, 0),
    ({"kind": "error", "status": 504, "code": "InternalServiceTimeout"}, AnswerUnknown, 0),
]


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_a_fault_becomes_the_error_that_says_what_may_have_happened(
    simulator: VolcengineSimulator,
    cdn: VolcengineCdn,
    endpoint: str,
    case: tuple[dict[str, Any], type[VendorError], int],
) -> None:
    fault, error, tasks = case
    simulator.add_faults({"match": endpoint, **fault})

    with pytest.raises(VendorError) as caught:
        CALLS[endpoint](cdn)

    assert type(caught.value) is error
    if fault["kind"] == "slow":
        wait_for(lambda: simulator.calls()[0]["status"] == 200)
    assert len(simulator.tasks()) == (tasks if endpoint == "create" else 0)
    CALLS[endpoint](cdn)  # After the fault, its effects on the connection are over too.


def wait_for(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(200):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("it did not happen within 4 seconds")


def test_an_outage_leaves_open_what_happened(simulator: VolcengineSimulator, cdn: VolcengineCdn) -> None:
    for kind in ("503", "reset"):
        simulator.outage(on=True, kind=kind)
        with pytest.raises(AnswerUnknown):
            create(cdn)
    simulator.outage(on=False)

    assert create(cdn) == simulator.tasks()[0]["id"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "https://no-such-host.invalid"])
def test_without_a_connection_nothing_happened(http: VendorHttp, endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    account = VendorAccount("main", "volcengine", endpoint.format(port=port), KEYS)

    with pytest.raises(Unavailable):
        create(connect(account, clock=now, http=http))


# --- credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key": "wrong"}, "InvalidAccessKey"),
        ({"region": "ap-singapore-1"}, "InvalidCredential"),
    ],
)
def test_wrong_credentials_are_refused_and_tried_once(
    simulator: VolcengineSimulator, http: VendorHttp, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(AccessRefused) as caught:
        create(client(simulator, http, **changes))

    assert caught.value.code == code
    assert len(simulator.calls()) == 1


def test_a_temporary_key_needs_its_own_token(http: VendorHttp) -> None:
    with VolcengineSimulator(identity=Identity(security_token="STStemporary")) as simulator:
        create(client(simulator, http))
        with pytest.raises(AccessRefused) as caught:
            create(client(simulator, http, security_token="STSother"))
    assert caught.value.code == "InvalidSecretToken"


@pytest.mark.parametrize(("minutes", "is_accepted"), [(14, True), (-14, True), (16, False), (-16, False)])
def test_a_signature_is_good_for_fifteen_minutes_either_way(
    simulator: VolcengineSimulator, http: VendorHttp, minutes: int, is_accepted: bool
) -> None:
    account = VendorAccount("main", "volcengine", simulator.url, simulator.credentials)
    cdn = connect(account, clock=lambda: now() + timedelta(minutes=minutes), http=http)

    if is_accepted:
        create(cdn)
        return
    with pytest.raises(AccessRefused) as caught:
        create(cdn)
    assert caught.value.code == "InvalidTimestamp"


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        ({}, "access_key and secret_key"),
        ({"access_key": "AK"}, "secret_key"),
        ({**KEYS, "security_token": "a b"}, "security_token"),
        ({**KEYS, "region": "cn\n"}, "region"),
        ({"access_key": "AK", "secret_key": "é"}, "secret_key"),
    ],
)
def test_credentials_that_cannot_work_are_named_and_never_shown(credentials: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        connect(VendorAccount("main", "volcengine", "https://cdn.volcengineapi.com", credentials), clock=now)

    assert "é" not in str(caught.value)


def test_an_endpoint_must_be_https() -> None:
    with pytest.raises(ConfigurationError):
        connect(VendorAccount("main", "volcengine", "http://cdn.volcengineapi.com", KEYS), clock=now)


# --- the simulator's own rules ---------------------------------------------------------------------------------------


def send(cdn: VolcengineCdn, action: str, body: object) -> VendorError | None:
    """Make a call that our client would not make; return its result."""
    try:
        cdn._call(action, body)  # type: ignore[arg-type]
    except VendorError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("SubmitBlockTask", {"Urls": ""}, "InvalidParameter.Urls"),
        ("SubmitBlockTask", {"UrlList": []}, "InvalidParameter.Urls"),
        ("SubmitBlockTask", {"UrlList": [URL] * 101}, "InvalidParameter.Urls"),
        ("SubmitBlockTask", {"Urls": "www.example.com/1.jpg"}, "InvalidParameter.Urls"),
        ("SubmitBlockTask", {"Urls": "https://*.example.com/1.jpg"}, "InvalidParameter.Urls"),
        ("SubmitBlockTask", {"Urls": URL, "Type": "regex"}, "InvalidParameter.Type"),
        ("SubmitBlockTask", {"Urls": URL, "Duration": 7}, "InvalidParameter.Type"),
        ("SubmitUnblockTask", {"Urls": URL, "BlockRegion": "chinese_mainland"}, "InvalidParameter.Type"),
        ("SubmitBlockTask", ["x"], "InvalidParameter.Body"),
        ("DescribeContentBlockTasks", {"StartTime": 1}, "InvalidParameter.StartTime"),
        ("DescribeContentBlockTasks", {"StartTime": 1, "EndTime": 0}, "InvalidParameter.StartTime"),
        ("DescribeContentBlockTasks", {"StartTime": 0, "EndTime": 92 * 86_400 + 1}, "InvalidParameter.StartTime"),
        ("DescribeContentBlockTasks", {"PageSize": 1_001}, "InvalidParameter.PageSize"),
        ("DescribeContentBlockTasks", {"PageNum": 0}, "InvalidParameter.PageSize"),
        ("DescribeContentBlockTasks", {"Status": "done"}, "InvalidParameter.Status"),
        ("DescribeContentBlockTasks", {"TaskType": "block"}, "InvalidParameter.TaskType"),
        ("DescribeContentBlockTasks", {"TaskId": "x"}, "InvalidParameter.TaskId"),
        ("DescribeBlockTasks", {}, "InvalidActionOrVersion"),
    ],
)
def test_the_simulator_refuses_what_the_pages_do_not_allow(
    cdn: VolcengineCdn, simulator: VolcengineSimulator, action: str, body: object, code: str
) -> None:
    error = send(cdn, action, body)

    assert error is not None
    assert error.code == code
    assert simulator.tasks() == []


def test_the_simulator_filters_rows_by_every_documented_field(
    cdn: VolcengineCdn, simulator: VolcengineSimulator
) -> None:
    simulator.poison("bad", "fail_url")
    other = "https://other.example.com/bad"
    task_id = cdn.create_task(Action.BAN, [URL, other], 7)
    cdn.create_task(Action.UNBAN, [URL], 7)

    def rows(**wanted: object) -> list[tuple[str, str]]:
        data = cdn._call("DescribeContentBlockTasks", wanted)["Data"]
        return [(row["Url"], row["Status"]) for row in data]

    assert rows() == [(URL, "complete"), (URL, "complete"), (other, "failed")]
    assert rows(TaskID=task_id, PageSize=100) == [(URL, "complete"), (other, "failed")]
    assert rows(TaskType="unblock_url") == rows(TaskType="block_url", Status="complete") == [(URL, "complete")]
    assert rows(DomainName="other.example.com") == rows(URL=other) == [(other, "failed")]
    assert rows(PageNum=2, PageSize=2) == [(other, "failed")]


def test_a_ban_of_what_is_banned_already_is_a_double(cdn: VolcengineCdn, simulator: VolcengineSimulator) -> None:
    create(cdn)
    assert simulator.stats()["doubles"] == 0
    create(cdn)
    assert simulator.stats()["double_urls"] == [URL]


def test_bans_are_lost_and_invented_and_tasks_forgotten_on_demand(
    cdn: VolcengineCdn, simulator: VolcengineSimulator
) -> None:
    task_id = create(cdn)
    simulator.lose_ban(URL)
    simulator.invent_ban(URL + "?invented")
    simulator.forget_task(task_id)

    assert [simulator.edge_status(url) for url in (URL, URL + "?invented")] == [200, 403]
    assert list_tasks(cdn) == [[], []]


def test_the_simulator_runs_from_a_shell_and_is_controlled_over_http(http: VendorHttp) -> None:
    command = [sys.executable, "-m", "dev.simulators.volcengine", "--port", "0", "--access-key", "AK"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()

        def control(name: str, body: object = None) -> tuple[int, Any]:
            method, data = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
            answer = http.request(method, f"{url}/_sim/{name}", data=data)
            return answer.status, json.loads(answer.body)

        assert control("invent_ban", {"url": URL}) == (200, {})
        assert control(f"edge?url={URL}") == (403, {"url": URL, "banned": True})
        assert control("faults", [{"match": "create", "kind": "500"}])[0] == 200
        assert control("poison", {"mode": "refuse"})[0] == 400
        assert control("nothing", {})[0] == control("nothing")[0] == 404
        assert control("stats")[1]["blocked"] == 1
        assert list(control("banned")[1]) == [URL]
        assert control("tasks")[1] == control("calls")[1] == []
        process.terminate()
        assert process.wait(timeout=10) == 0
