"""Our client and both official SDKs keep the contract of ``BanVendor`` against the simulator.

If our client and an SDK agree, neither relies on our reading of a page alone.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.errors import AnswerUnknown, ContentRefused, QuotaExceeded, Throttled
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount, VendorTask
from chalicelib.ports import BanVendor
from chalicelib.vendors import registry
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.volcengine.client import LIMITS, REGIONS, VolcengineCdn, connect
from dev.simulators.volcengine import VolcengineSimulator
from dev.simulators.volcengine_gate import Identity

ROOT = Path(__file__).parents[2]
SDK_PYTHON = ROOT / ".venv-sdk-volcengine" / "bin" / "python"
TASK_SECONDS = 60.0
DAY = 86_400.0
ONE, TWO = "https://www.example.com/1.jpg", "http://www.example.com/2.jpg"
ODD_URLS = (
    "https://www.example.com/a%20b/%E4%B8%AD.txt?x=1&y=~z&z=%2F+",
    'http://www.example.com/"quoted"\\and{braced}',
    "https://www.example.com:8443/?",
    "https://xn--fiq228c.example/中/é\u2028",
)


class Sdk:
    """An official SDK in a process of its own, as a ``BanVendor``. ``name`` is the SDK's vendor."""

    limits = LIMITS

    def __init__(self, process: subprocess.Popen[str], simulator: VolcengineSimulator, name: str) -> None:
        self.process = process
        self.name = name
        identity = simulator.identity
        keys = {"access_key": identity.access_key, "secret_key": identity.secret_key}
        self.ask("connect", sdk=name, host=simulator.url.removeprefix("http://"), **keys)

    def ask(self, do: str, **given: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **given}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        if "exception" in answer:
            error = json.loads(answer["exception"])["ResponseMetadata"]["Error"]
            raise ContentRefused(error["Message"], code=error["Code"])
        result: dict[str, Any] = answer.get("Result", {})
        return result

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        # Each SDK has its own form: that of the page for Volcengine, that of BytePlus's examples for BytePlus.
        body = {"UrlList": list(urls), "Type": "url"} if self.name == "volcengine" else {"Urls": "\n".join(urls)}
        do = {Action.BAN: "submit_block_task", Action.UNBAN: "submit_unblock_task"}[action]
        return str(self.ask(do, body=body)["TaskID"])

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        for task in self._tasks(action, since, until):
            yield task.id if set(task.urls) == set(urls) else ""

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        for task in tasks:
            for action in Action:
                yield self._tasks(action, task.since, task.until)

    def banned(self, url: str = "") -> None:
        return None

    def _tasks(self, action: Action, since: datetime, until: datetime) -> list[VendorTask]:
        words = {Action.BAN: "block_url", Action.UNBAN: "unblock_url"}
        times = {"StartTime": int(since.timestamp()), "EndTime": int(until.timestamp())}
        by_id: dict[str, list[dict[str, Any]]] = {}
        for page in count(1):
            body = {"TaskType": words[action], **times, "PageNum": page, "PageSize": 100}
            result = self.ask("describe_content_block_tasks", body=body)
            for row in result["Data"]:
                by_id.setdefault(row["TaskID"], []).append(row)
            if page * 100 >= result["Total"]:
                break
        return [sdk_task(action, task_id, rows) for task_id, rows in by_id.items()]


def sdk_task(action: Action, task_id: str, rows: list[dict[str, Any]]) -> VendorTask:
    statuses = {row["Status"] for row in rows}
    state = TaskState.PROCESSING if "running" in statuses else TaskState.SUCCEEDED
    if statuses <= {"failed", "complete"} and "failed" in statuses:
        state = TaskState.FAILED
    failed = tuple(row["Url"] for row in rows if row["Status"] == "failed")
    created_at = datetime.fromtimestamp(rows[0]["CreateTime"], UTC)
    return VendorTask(task_id, action, state, tuple(row["Url"] for row in rows), created_at, failed)


class World:
    """A simulator and a client of it."""

    def __init__(self, simulator: VolcengineSimulator, vendor: BanVendor) -> None:
        self.simulator = simulator
        self.vendor = vendor

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now(), UTC)

    def ban(self, *urls: str) -> str:
        return self.vendor.create_task(Action.BAN, urls, 7)

    def unban(self, *urls: str) -> str:
        return self.vendor.create_task(Action.UNBAN, urls, 7)

    def between(self, since: datetime, until: datetime) -> list[VendorTask]:
        return [task for page in self.vendor.follow([Sent("", since, until)]) for task in page]

    def tasks(self) -> list[VendorTask]:
        return self.between(self.now() - timedelta(days=1), self.now() + timedelta(minutes=1))

    def find(self, action: Action, *urls: str) -> list[str]:
        since, until = self.now() - timedelta(minutes=5), self.now() + timedelta(minutes=5)
        return [task_id for task_id in self.vendor.find_task(action, urls, since, until) if task_id]

    def edge(self, *urls: str) -> list[int]:
        return [self.simulator.edge_status(url) for url in urls]


@pytest.fixture(scope="module")
def sdk_process() -> Iterator[subprocess.Popen[str]]:
    if not SDK_PYTHON.exists():
        pytest.skip("no official SDKs: make .venv-sdk-volcengine/.ready")
    driver = str(Path(__file__).with_name("volcengine_sdk_driver.py"))
    with subprocess.Popen([SDK_PYTHON, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def connected(simulator: VolcengineSimulator, name: str, http: VendorHttp, **changes: str) -> VolcengineCdn:
    credentials = {**simulator.credentials, **changes}
    account = VendorAccount("main", name, simulator.url, credentials)
    return connect(account, clock=lambda: datetime.now(UTC), http=http)


@pytest.fixture(params=["ours-volcengine", "ours-byteplus", "sdk-volcengine", "sdk-byteplus"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    who, name = request.param.split("-")
    identity = Identity(region=REGIONS[name])
    with VolcengineSimulator(identity=identity, task_seconds=TASK_SECONDS, rates=False) as simulator:
        if who == "sdk":
            yield World(simulator, Sdk(request.getfixturevalue("sdk_process"), simulator, name))
            return
        http = VendorHttp()
        yield World(simulator, connected(simulator, name, http))
        http.close()


@pytest.fixture
def ours() -> Iterator[World]:
    with VolcengineSimulator(task_seconds=TASK_SECONDS, rates=False) as simulator:
        http = VendorHttp()
        yield World(simulator, connected(simulator, "volcengine", http))
        http.close()


def test_a_ban_is_listed_as_the_task_that_it_made(world: World) -> None:
    before = world.now()

    task_id = world.ban(ONE, TWO)

    (task,) = world.tasks()
    assert task.id == task_id
    assert task.action is Action.BAN
    assert task.state is TaskState.PROCESSING
    assert (task.urls, task.failed) == ((ONE, TWO), ())
    assert before - timedelta(seconds=1) <= task.created_at <= world.now()


def test_a_task_that_succeeds_bans_its_urls_until_they_are_unbanned(world: World) -> None:
    world.ban(ONE, TWO)
    assert world.edge(ONE, TWO) == [200, 200]
    world.simulator.advance(TASK_SECONDS)
    assert world.tasks()[0].state is TaskState.SUCCEEDED
    assert world.edge(ONE, TWO) == [403, 403]

    world.simulator.advance(400 * DAY)
    assert world.edge(ONE, TWO) == [403, 403]
    task_id = world.unban(ONE)
    world.simulator.advance(TASK_SECONDS)

    assert world.edge(ONE, TWO) == [200, 403]
    assert [(task.id, task.action, task.state) for task in world.tasks()] == [
        (task_id, Action.UNBAN, TaskState.SUCCEEDED)
    ]


def test_a_url_that_fails_is_named_and_the_others_are_banned(world: World) -> None:
    world.simulator.poison(TWO, "fail_url")
    world.ban(ONE, TWO)
    assert [(task.state, task.failed) for task in world.tasks()] == [(TaskState.PROCESSING, ())]

    world.simulator.advance(TASK_SECONDS)

    assert [(task.state, task.failed) for task in world.tasks()] == [(TaskState.FAILED, (TWO,))]
    assert world.edge(ONE, TWO) == [403, 200]


def test_a_refused_call_makes_no_task(world: World) -> None:
    world.simulator.poison("bad", "refuse")

    with pytest.raises(ContentRefused) as caught:
        world.ban(ONE, ONE + "?bad")

    assert caught.value.code == "InvalidParameter.Urls"
    assert world.tasks() == []


@pytest.mark.parametrize("url", ODD_URLS)
def test_a_url_comes_back_to_the_letter(world: World, url: str) -> None:
    task_id = world.ban(url, ONE)
    world.simulator.advance(TASK_SECONDS)

    assert world.tasks()[0].urls == (url, ONE)
    assert world.find(Action.BAN, ONE, url) == [task_id]
    assert world.edge(url) == [403]


def test_tasks_come_in_pages_that_miss_none_and_cut_none(world: World) -> None:
    urls_by_id = {}
    for n in range(23):  # 23 times 95 URLs: a page of 1,000 or 100 rows ends in the middle of a task
        urls = tuple(f"https://www.example.com/{n}/{m}" for m in range(95))
        urls_by_id[world.ban(*urls)] = urls

    assert {task.id: task.urls for task in world.tasks()} == urls_by_id


def test_a_window_shows_the_tasks_created_in_it(world: World) -> None:
    world.ban(ONE)
    world.simulator.advance(60)
    start = world.now()
    within = world.ban(ONE)
    end = world.now()
    world.simulator.advance(60)
    world.ban(ONE)

    assert [task.id for task in world.between(start, end)] == [within]
    assert len(world.tasks()) == 3


def test_the_longest_window_is_92_days_and_older_tasks_are_out_of_sight(world: World) -> None:
    world.ban(ONE)
    world.simulator.advance(92 * DAY - 60)
    until = world.now() + timedelta(seconds=30)
    assert len(world.between(until - timedelta(days=92), until)) == 1

    world.simulator.advance(120)

    assert world.between(until - timedelta(days=92), until) == []


def test_a_task_is_found_by_its_action_and_its_urls_in_any_order(world: World) -> None:
    task_id = world.ban(TWO, ONE)
    unban_id = world.unban(ONE, TWO)
    world.ban(ONE, TWO, ONE + "?3")

    assert world.find(Action.BAN, ONE, TWO) == [task_id]
    assert world.find(Action.UNBAN, TWO, ONE) == [unban_id]
    assert world.find(Action.BAN, ONE) == []


def test_there_is_no_list_of_bans(world: World) -> None:
    assert world.vendor.banned() is None
    assert world.vendor.banned(ONE) is None


# --- our client alone ------------------------------------------------------------------------------------------------


def test_either_name_is_registered_and_reaches_its_own_host_and_region() -> None:
    keys = {"access_key": "AK", "secret_key": "SK"}
    for name, region in REGIONS.items():
        with VolcengineSimulator(identity=Identity("AK", "SK", region=region)) as simulator:
            account = registry.parse_accounts({"main": {"vendor": name, "endpoint": simulator.url, **keys}})["main"]
            vendor = registry.connect(account, clock=lambda: datetime.now(UTC))
            assert vendor.create_task(Action.BAN, [ONE], 7) == simulator.tasks()[0]["id"]


def test_a_list_makes_one_call_a_step_and_none_before_the_first(ours: World) -> None:
    for n in range(21):  # 2,100 rows of bans: three pages; one page of unbans
        ours.ban(*(f"https://www.example.com/{n}/{m}" for m in range(100)))
    since, until = ours.now() - timedelta(days=1), ours.now() + timedelta(minutes=1)
    follow = ours.vendor.follow([Sent("", since, until)])
    find = ours.vendor.find_task(Action.BAN, [ONE], since, until)

    def calls() -> int:
        return sum(call["endpoint"] == "list_tasks" for call in ours.simulator.calls())

    assert calls() == 0
    assert [(len(page), calls()) for page in follow] == [(0, 1), (0, 2), (21, 3), (0, 4)]
    assert [(step, calls()) for step in find] == [("", 5), ("", 6), ("", 7)]


@pytest.mark.parametrize("action", Action)
def test_a_lost_answer_is_looked_up_and_found_once(ours: World, action: Action) -> None:
    ours.simulator.add_faults({"match": "create", "kind": "reset_after"})

    with pytest.raises(AnswerUnknown):
        ours.vendor.create_task(action, [ONE, TWO], 7)

    assert ours.find(action, TWO, ONE) == [ours.simulator.tasks()[0]["id"]]
    ours.simulator.reset()
    ours.simulator.add_faults({"match": "create", "kind": "reset_before"})
    with pytest.raises(AnswerUnknown):
        ours.vendor.create_task(action, [ONE, TWO], 7)
    assert ours.find(action, TWO, ONE) == []


def test_a_days_quota_is_counted_for_each_action_and_ends_with_the_day(ours: World) -> None:
    for n in range(30):
        ours.ban(*(f"https://www.example.com/{n}/{m}" for m in range(100)))

    with pytest.raises(QuotaExceeded):
        ours.ban(ONE)

    assert LIMITS.urls_per_day == LIMITS.unbans_per_day == 3_000
    ours.unban(ONE)
    ours.simulator.advance(DAY)
    ours.ban(ONE)


@pytest.mark.parametrize("urls", [0, 101])
def test_a_task_takes_one_to_a_hundred_urls(ours: World, urls: int) -> None:
    with pytest.raises(ValueError, match="URLs"):
        ours.ban(*[ONE] * urls)
    assert ours.simulator.calls() == []


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_url_with_a_line_end_is_not_sent_as_two(ours: World, end: str) -> None:
    with pytest.raises(ContentRefused):
        ours.ban(ONE, f"{ONE}{end}{TWO}")
    assert ours.simulator.calls() == []


def test_the_21st_call_of_an_action_in_a_second_is_throttled() -> None:
    start = datetime.now(UTC).timestamp()
    moment = start
    with VolcengineSimulator(clock=lambda: moment) as simulator:
        http = VendorHttp()
        world = World(simulator, connected(simulator, "volcengine", http))
        for _ in range(20):
            world.ban(ONE)
            world.unban(ONE)
            list(world.vendor.find_task(Action.BAN, [ONE], world.now(), world.now()))
        for call in (world.ban, world.unban):
            with pytest.raises(Throttled) as caught:
                call(ONE)
            assert caught.value.code == "FlowLimitExceeded"
        with pytest.raises(Throttled):
            world.find(Action.BAN, ONE)
        moment = start + 1
        world.ban(ONE)
        assert simulator.stats()["throttled"] == 3
        http.close()


def test_a_domain_that_is_not_the_accounts_is_content(ours: World) -> None:
    with VolcengineSimulator(domains=["www.example.com", "*.example.org"]) as simulator:
        http = VendorHttp()
        world = World(simulator, connected(simulator, "byteplus", http, region="cn-north-1"))
        world.ban(ONE, "https://a.b.example.org/")
        for url in ("https://example.com/", "https://example.org/", "https://www.example.com.evil.example/"):
            with pytest.raises(ContentRefused) as caught:
                world.ban(ONE, url)
            assert caught.value.code == "NotFound.Domain"
        http.close()


# --- the SDKs alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGIONS)
def test_an_sdk_reads_the_days_quota(sdk_process: subprocess.Popen[str], name: str) -> None:
    with VolcengineSimulator(identity=Identity(region=REGIONS[name])) as simulator:
        sdk = Sdk(sdk_process, simulator, name)
        sdk.create_task(Action.BAN, [ONE, TWO], 7)

        quota = sdk.ask("describe_content_quota", body={})

        assert (quota["BlockRemain"], quota["BlockLimit"], quota["UnblockRemain"]) == (2_998, 100, 3_000)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": "other"}, "SignatureDoesNotMatch"),
        ({"access_key": "other"}, "InvalidAccessKey"),
        ({"region": "cn-south-1"}, "InvalidCredential"),
        ({"security_token": "other"}, "InvalidSecretToken"),
    ],
)
def test_an_sdk_with_wrong_credentials_is_refused(
    sdk_process: subprocess.Popen[str], changes: dict[str, str], code: str
) -> None:
    with VolcengineSimulator() as simulator:
        sdk = Sdk(sdk_process, simulator, "volcengine")
        simulator.identity = Identity(**changes)

        with pytest.raises(ContentRefused) as caught:
            sdk.create_task(Action.BAN, [ONE], 7)

        assert caught.value.code == code


def test_an_sdk_signs_a_temporary_key_as_we_do(sdk_process: subprocess.Popen[str]) -> None:
    with VolcengineSimulator(identity=Identity(security_token="STStemporary")) as simulator:
        Sdk(sdk_process, simulator, "volcengine").ask(
            "connect", sdk="volcengine", host=simulator.url.removeprefix("http://"), **simulator.credentials
        )
        sdk = object.__new__(Sdk)
        sdk.process, sdk.name = sdk_process, "volcengine"
        http = VendorHttp()
        for vendor in (sdk, connected(simulator, "volcengine", http)):
            assert vendor.create_task(Action.BAN, [ONE], 7)
        http.close()
