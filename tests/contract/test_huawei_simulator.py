"""The simulator follows the vendor's pages: limits, rates, signatures, windows; and its own controls work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from requests.auth import AuthBase

from chalicelib.vendors.http import VendorHttp, VendorResponse
from chalicelib.vendors.huawei.auth import AkSkAuth, canonical_query
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.huawei_gate import Identity

BAN = "/v1.0/cdn/content/access-control-urls/ban"
UNBAN = "/v1.0/cdn/content/access-control-urls/unban"
TASKS = "/v1.0/cdn/content/access-control-tasks"
BANNED = "/v1.0/cdn/content/ban-urls"
URL = "https://www.example.com/1.txt"


class Wall:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)

    def __call__(self) -> float:
        return self.now.timestamp()

    def milliseconds(self) -> int:
        return int(self.now.timestamp() * 1000)


class Caller:
    """Signed calls, right or wrong, without a client's own checks."""

    def __init__(self, simulator: HuaweiSimulator, wall: Wall) -> None:
        self.simulator = simulator
        self.wall = wall
        self.http = VendorHttp()
        self.auth: AuthBase | None = self.key()

    def key(self, secret_key: str = "", skew: timedelta = timedelta(0)) -> AkSkAuth:
        identity = self.simulator.identity
        return AkSkAuth(identity.access_key, secret_key or identity.secret_key, clock=lambda: self.wall.now + skew)

    def call(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        answer = self.raw(method, target, b"" if body is None else json.dumps(body).encode())
        return answer.status, json.loads(answer.body)

    def raw(self, method: str, target: str, body: bytes = b"") -> VendorResponse:
        headers = {"Content-Type": "application/json"}
        return self.http.request(method, self.simulator.url + target, headers=headers, data=body, auth=self.auth)

    def ban(self, *urls: str, **fields: Any) -> tuple[int, Any]:
        return self.call("POST", BAN, {"access_control_urls": {"urls": list(urls or [URL]), **fields}})

    def list_tasks(self, **query: Any) -> tuple[int, Any]:
        return self.call("GET", TASKS + "?" + "&".join(f"{name}={value}" for name, value in query.items()))

    def list_banned(self, **query: Any) -> tuple[int, Any]:
        return self.call("GET", BANNED + "?" + "&".join(f"{name}={value}" for name, value in query.items()))


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def caller(wall: Wall) -> Iterator[Caller]:
    with HuaweiSimulator(clock=wall, domains=["www.example.com", "*.example.org"]) as simulator:
        caller = Caller(simulator, wall)
        yield caller
        caller.http.close()


def flat(document: Any) -> str:
    return str(document["error_code"])


def nested(document: Any) -> str:
    return str(document["error"]["error_code"])


# --- creating tasks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"access_control_urls": []},
        {"access_control_urls": {}},
        {"access_control_urls": {"urls": []}},
        {"access_control_urls": {"urls": [URL] * 1001}},
        {"access_control_urls": {"urls": URL}},
        {"access_control_urls": {"urls": [7]}},
        {"access_control_urls": {"urls": ["www.example.com/1.txt"]}},
        {"access_control_urls": {"urls": ["ftp://www.example.com/1.txt"]}},
        {"access_control_urls": {"urls": ["https:///1.txt"]}},
        {"access_control_urls": {"urls": [URL], "ban_duration": 0}},
        {"access_control_urls": {"urls": [URL], "ban_duration": 31}},
        {"access_control_urls": {"urls": [URL], "ban_duration": "7"}},
        {"access_control_urls": {"urls": [URL], "ban_duration": True}},
        {"access_control_urls": {"urls": [URL], "ban_days": 7}},
        {"access_control_urls": {"urls": [URL]}, "urls": [URL]},
    ],
)
def test_a_create_outside_the_limits_is_refused_in_the_nested_shape(caller: Caller, body: Any) -> None:
    status, document = caller.call("POST", BAN, body)

    assert (status, nested(document)) == (400, "CDN.0001")
    assert caller.simulator.tasks() == []


@pytest.mark.parametrize(("fields", "days"), [({}, 7), ({"ban_duration": 1}, 1), ({"ban_duration": 30}, 30)])
def test_a_ban_lasts_its_days_by_the_simulators_clock(
    caller: Caller, wall: Wall, fields: dict[str, int], days: int
) -> None:
    assert caller.ban(**fields)[0] == 200
    assert caller.simulator.banned() == {URL: wall() + days * 86400}

    caller.simulator.advance(days * 86400 - 1)
    assert caller.simulator.edge_status(URL) == 403
    caller.simulator.advance(1)
    assert caller.simulator.edge_status(URL) == 200
    assert caller.list_banned()[1] == {"total": 0, "ban_urls": []}


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://www.example.com", True),
        ("https://WWW.example.com:8443/?q", True),
        ("https://a.example.org/", True),
        ("https://a.b.example.org/", True),
        ("https://example.org/", False),
        ("https://badexample.org/", False),
        ("https://example.com/", False),
        ("https://www.example.com.evil.net/", False),
    ],
)
def test_a_foreign_domain_is_refused_under_http_200(caller: Caller, url: str, ours: bool) -> None:
    status, document = caller.ban(URL, url)

    assert status == 200
    assert ("task_id" in document) is ours
    if not ours:
        assert nested(document) == "CDN.0108"
        assert caller.simulator.tasks() == []


def test_a_task_takes_its_time(wall: Wall) -> None:
    with HuaweiSimulator(clock=wall, task_seconds=5) as simulator:
        caller = Caller(simulator, wall)
        caller.ban()
        simulator.advance(4.9)
        assert [task["state"] for task in simulator.tasks()] == ["processing"]
        assert simulator.banned() == {}
        simulator.advance(0.1)
        assert [task["state"] for task in simulator.tasks()] == ["succeed"]
        assert list(simulator.banned()) == [URL]
        caller.http.close()


# --- lists -----------------------------------------------------------------------------------------------------

WEEK = 7 * 86_400_000


@pytest.mark.parametrize(
    "query",
    [
        {"start_time": 0},
        {"end_time": 0},
        {"start_time": 0, "end_time": WEEK + 1},
        {"start_time": 1, "end_time": 0},
        {"start_time": "yesterday", "end_time": 0},
        {"limit": 0},
        {"limit": 101},
        {"offset": -1},
        {"status": "done"},
        {"task_id": "7"},
    ],
)
def test_a_task_list_outside_the_limits_is_refused_in_the_flat_shape(caller: Caller, query: dict[str, Any]) -> None:
    status, document = caller.list_tasks(**query)

    assert (status, flat(document)) == (400, "CDN.0001")


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": 10},
        {"page_number": 1},
        {"page_size": 51, "page_number": 1},
        {"page_size": 0, "page_number": 1},
        {"page_size": 10, "page_number": 0},
        {"page_size": 10, "page_number": 65536},
        {"start_time": 0},
        {"offset": 0},
    ],
)
def test_a_list_of_bans_outside_the_limits_is_refused_in_the_flat_shape(caller: Caller, query: dict[str, Any]) -> None:
    status, document = caller.list_banned(**query)

    assert (status, flat(document)) == (400, "CDN.0001")


def test_a_task_list_has_ten_of_the_last_three_days_unless_told_otherwise(caller: Caller, wall: Wall) -> None:
    caller.ban()
    wall.now += timedelta(days=3, seconds=1)
    for _ in range(12):
        caller.ban()
        wall.now += timedelta(seconds=1)

    _, document = caller.list_tasks()
    assert (document["total"], len(document["access_control_tasks"])) == (12, 10)
    _, document = caller.list_tasks(limit=100, offset=11)
    assert (document["total"], len(document["access_control_tasks"])) == (12, 1)
    now = wall.milliseconds()
    assert caller.list_tasks(start_time=now - WEEK, end_time=now)[1]["total"] == 13


def test_a_task_list_filters_by_status_and_is_as_documented(caller: Caller, wall: Wall) -> None:
    caller.simulator.poison("bad", "fail_task")
    task_id = caller.ban(URL + "?bad")[1]["task_id"]
    caller.ban()

    _, document = caller.list_tasks(status="failed")

    assert document == {
        "total": 1,
        "access_control_tasks": [
            {
                "id": task_id,
                "urls": [URL + "?bad"],
                "status": "failed",
                "action": "ban",
                "create_time": wall.milliseconds(),
            }
        ],
    }
    assert caller.list_tasks(status="succeed")[1]["total"] == 1
    assert caller.list_tasks(status="processing")[1]["total"] == 0


def test_a_list_of_bans_is_as_documented(caller: Caller, wall: Wall) -> None:
    caller.ban(URL, URL + "?2")

    _, document = caller.list_banned(url=URL)

    at = wall.milliseconds()
    assert document == {
        "total": 1,
        "ban_urls": [{"type": "static", "url": URL, "create_time": at, "modify_time": at}],
    }
    assert caller.list_banned(start_time=at + 1, end_time=at + 2)[1]["total"] == 0


# --- rates -------------------------------------------------------------------------------------------------------


def test_the_eleventh_create_in_a_second_is_throttled(caller: Caller, wall: Wall) -> None:
    start = wall.now
    for n in range(10):
        wall.now = start + timedelta(milliseconds=90 * n)
        assert caller.ban()[0] == 200
    wall.now = start + timedelta(milliseconds=999)
    status, document = caller.ban()
    assert (status, flat(document)) == (429, "APIGW.0308")
    assert "limit:10,time:1 second" in document["error_msg"]
    assert document["request_id"]

    wall.now = start + timedelta(seconds=1)
    assert caller.ban()[0] == 200
    assert caller.ban()[0] == 429

    stats = caller.simulator.stats()
    assert (stats["creates"], stats["throttled"], stats["tasks"]) == (11, 2, 11)
    assert stats["max_creates_per_second"] == 12  # The log has every call that arrived, throttled or not.
    assert [call["status"] for call in caller.simulator.calls()].count(429) == 2


def test_each_list_has_a_rate_of_its_own(caller: Caller) -> None:
    for _ in range(30):
        assert caller.list_tasks()[0] == 200
        assert caller.list_banned()[0] == 200

    assert caller.list_tasks()[0] == 429
    assert caller.list_banned()[0] == 429
    assert caller.ban()[0] == 200
    assert caller.simulator.stats()["max_lists_per_second"] == 31


def test_rates_can_be_switched_off(wall: Wall) -> None:
    with HuaweiSimulator(clock=wall, rates=False) as simulator:
        caller = Caller(simulator, wall)
        assert {caller.ban(f"{URL}?{n}")[0] for n in range(25)} == {200}
        assert simulator.stats()["max_creates_per_second"] == 25
        caller.http.close()


# --- who may call --------------------------------------------------------------------------------------------------


def test_six_failures_in_a_row_lock_the_key_for_five_minutes(caller: Caller, wall: Wall) -> None:
    caller.auth = caller.key(secret_key="wrong")
    texts = []
    for _ in range(6):
        status, document = caller.ban()
        assert (status, flat(document)) == (401, "APIGW.0301")
        texts.append(document["error_msg"])
    assert ["forbidden" in text for text in texts] == [False] * 5 + [True]

    caller.auth = caller.key()
    status, document = caller.ban()
    assert (status, flat(document)) == (401, "APIGW.0301")
    assert "AK access failed to reach the limit,forbidden" in document["error_msg"]

    wall.now += timedelta(minutes=5)
    assert caller.ban()[0] == 200


def test_a_success_between_failures_keeps_the_key_open(caller: Caller) -> None:
    right, wrong = caller.key(), caller.key(secret_key="wrong")
    for _ in range(3):
        caller.auth = wrong
        assert [caller.list_tasks()[0] for _ in range(5)] == [401] * 5
        caller.auth = right
        assert caller.list_tasks()[0] == 200


@pytest.mark.parametrize(("minutes", "status"), [(-15, 200), (15, 200), (-16, 401), (16, 401)])
def test_a_signature_is_good_for_fifteen_minutes_either_way(caller: Caller, minutes: int, status: int) -> None:
    caller.auth = caller.key(skew=timedelta(minutes=minutes))

    assert caller.ban()[0] == status


def test_a_client_that_was_not_advanced_along_can_still_call(caller: Caller) -> None:
    caller.simulator.advance(86400)

    assert caller.ban()[0] == 200


class Tamper(AuthBase):
    """Sign, then change the request on its way."""

    def __init__(self, auth: AkSkAuth, **changes: Any) -> None:
        self.auth = auth
        self.changes = changes

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = self.auth(request)
        for name, value in self.changes.items():
            if name == "header":
                signed.headers.update(value)
            else:
                setattr(signed, name, value)
        return signed


def test_what_was_signed_must_be_what_arrives(caller: Caller) -> None:
    key = caller.key()
    other = json.dumps({"access_control_urls": {"urls": [URL + "?other"]}}).encode()
    right = json.dumps({"access_control_urls": {"urls": [URL]}}).encode()
    for changes in (
        {"body": other},
        {"url": caller.simulator.url + UNBAN},
        {"url": caller.simulator.url + BAN + "?x=1"},
        {"header": {"Content-Type": "application/json; charset=utf8"}},
        {"header": {"Authorization": "SDK-HMAC-SHA256 nothing"}},
    ):
        caller.auth = Tamper(key, **changes)
        assert caller.raw("POST", BAN, right).status == 401
    assert caller.simulator.tasks() == []
    caller.auth = Tamper(key, header={"User-Agent": "not signed"})
    assert caller.raw("POST", BAN, right + b" " * (len(other) - len(right))).status == 200


def test_a_token_needs_the_scope_of_the_account_and_ends(wall: Wall) -> None:
    identity = Identity(token_seconds=60)
    with HuaweiSimulator(clock=wall, identity=identity) as simulator:
        caller = Caller(simulator, wall)
        caller.auth = None
        user = {"name": identity.user, "password": identity.password, "domain": {"name": identity.domain}}
        who = {"methods": ["password"], "password": {"user": user}}
        scope = {"domain": {"name": identity.domain}}
        target = "/v3/auth/tokens?nocatalog=1"
        project = {"project": {"name": "cn-north-1"}}
        for auth, expected in (
            ({"identity": who}, 400),
            ({"identity": who, "scope": project}, 400),
            ({"identity": who, "scope": {"domain": {"name": "another"}}}, 403),
            ({"identity": {**who, "password": {"user": {**user, "password": "wrong"}}}, "scope": scope}, 401),
        ):
            assert caller.call("POST", target, {"auth": auth})[0] == expected
        answer = caller.raw("POST", target, json.dumps({"auth": {"identity": who, "scope": scope}}).encode())
        assert answer.status == 201
        assert json.loads(answer.body)["token"]["expires_at"] == "2026-01-15T08:31:00.000000Z"

        headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
        listing = simulator.url + TASKS
        assert caller.http.request("GET", listing, headers=headers).status == 200
        simulator.advance(60)
        late = caller.http.request("GET", listing, headers=headers)
        assert (late.status, flat(json.loads(late.body))) == (401, "APIGW.0307")
        caller.http.close()


def test_an_api_that_does_not_exist_is_named_by_the_gateway(caller: Caller) -> None:
    status, document = caller.call("GET", "/v1.0/cdn/content/refresh-tasks")

    assert (status, flat(document)) == (404, "APIGW.0101")


# --- control -----------------------------------------------------------------------------------------------------


def control(caller: Caller, name: str, body: Any = None) -> tuple[int, Any]:
    caller.auth = None
    try:
        return caller.call("GET" if body is None else "POST", f"/_sim/{name}", body)
    finally:
        caller.auth = caller.key()


def test_faults_come_in_order_and_end(caller: Caller) -> None:
    faults = [
        {"match": "create", "kind": "500", "times": 2},
        {"match": "any", "kind": "error_200", "code": "CDN.0005"},
    ]
    assert control(caller, "faults", faults)[0] == 200

    assert [caller.ban()[0] for _ in range(4)] == [500, 500, 200, 200]
    assert [call["code"] for call in control(caller, "calls")[1]] == ["CDN.0000", "CDN.0000", "CDN.0005", ""]
    assert len(caller.simulator.tasks()) == 1


def test_a_fault_by_chance_is_the_same_for_the_same_seed(caller: Caller, wall: Wall) -> None:
    runs = []
    for _ in range(2):
        control(caller, "reset", {})
        control(caller, "faults", [{"match": "create", "kind": "500", "probability": 0.5, "seed": 3}])
        statuses = []
        for n in range(20):
            wall.now += timedelta(seconds=1)
            statuses.append(caller.ban(f"{URL}?{n}")[0])
        runs.append(statuses)

    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


def test_a_ban_of_what_is_banned_already_is_a_double(caller: Caller) -> None:
    other = URL + "?other"
    caller.ban(URL, URL)
    assert caller.simulator.stats()["doubles"] == 0
    caller.ban(URL, other)
    assert caller.simulator.stats()["double_urls"] == [URL]

    caller.call("POST", UNBAN, {"access_control_urls": {"urls": [other]}})
    caller.ban(other)
    assert caller.simulator.stats()["doubles"] == 1


def test_a_ban_of_what_is_still_processing_is_a_double_but_not_of_what_failed(wall: Wall) -> None:
    with HuaweiSimulator(clock=wall, task_seconds=5) as simulator:
        caller = Caller(simulator, wall)
        simulator.poison("failing", "fail_task")
        caller.ban(URL)
        caller.ban(URL + "?failing")
        simulator.advance(1)
        caller.ban(URL)
        assert simulator.stats()["double_urls"] == [URL]
        simulator.advance(5)
        caller.ban(URL + "?failing")
        assert simulator.stats()["double_urls"] == [URL]
        caller.http.close()


def test_bans_are_lost_and_invented_and_tasks_forgotten_on_demand(caller: Caller) -> None:
    task_id = caller.ban()[1]["task_id"]
    assert control(caller, "edge?url=" + URL) == (403, {"url": URL, "banned": True})

    control(caller, "lose_ban", {"url": URL})
    control(caller, "invent_ban", {"url": URL + "?invented"})
    control(caller, "forget_task", {"task_id": task_id})

    assert control(caller, "edge?url=" + URL)[0] == 200
    assert list(control(caller, "banned")[1]) == [URL + "?invented"]
    assert control(caller, "tasks?urls=1") == (200, [])


def test_an_outage_ends_by_itself(caller: Caller) -> None:
    control(caller, "outage", {"seconds": 60})
    assert caller.raw("GET", TASKS).status == 503
    control(caller, "advance", {"seconds": 60})
    assert caller.raw("GET", TASKS).status == 200


def test_poison_refuses_a_whole_create_until_it_is_taken_back(caller: Caller) -> None:
    control(caller, "poison", {"url_contains": "bad", "mode": "refuse", "code": "CDN.0127"})
    status, document = caller.ban(URL, URL + "?bad")
    assert (status, nested(document)) == (400, "CDN.0127")
    control(caller, "poison", {"mode": "none"})
    assert caller.ban(URL, URL + "?bad")[0] == 200


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("faults", [{"match": "create", "kind": "no such kind"}]),
        ("faults", [{"kind": "500"}]),
        ("poison", {"mode": "refuse"}),
        ("outage", {"kind": "fire"}),
        ("advance", {"minutes": 1}),
    ],
)
def test_a_control_that_makes_no_sense_is_refused(caller: Caller, name: str, body: Any) -> None:
    assert control(caller, name, body)[0] == 400


def test_the_log_is_read_in_pages(caller: Caller) -> None:
    for n in range(5):
        caller.ban(f"{URL}?{n}")

    _, first = control(caller, "calls?limit=3")
    _, second = control(caller, f"calls?after={first[-1]['n']}")

    assert [call["n"] for call in first + second] == [1, 2, 3, 4, 5]
    assert second[0]["endpoint"] == "create"
    assert second[0]["action"] == "ban"
    assert second[0]["urls"] == 1
    assert second[0]["task_id"] == caller.simulator.tasks()[3]["id"]


def test_the_simulator_runs_from_a_shell() -> None:
    command = [sys.executable, "-m", "dev.simulators.huawei", "--port", "0", "--access-key", "AK", "--domains", "a,b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        http = VendorHttp()
        assert json.loads(http.request("GET", url + "/_sim/stats").body)["tasks"] == 0
        http.close()
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_plus_sign_in_a_query_is_sent_so_that_it_cannot_be_read_as_a_space(caller: Caller) -> None:
    url = "https://www.example.com/a+b c"
    caller.ban(url)

    _, document = caller.call("GET", BANNED + "?" + canonical_query("url=https://www.example.com/a%2Bb+c"))

    assert document["total"] == 1
