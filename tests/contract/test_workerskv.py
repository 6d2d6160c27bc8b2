"""The client of Workers KV keeps the contract of ``BanVendor``, and the official SDK sees the same namespace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.errors import ContentRefused, UrlsFailed
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.workerskv.client import LIMITS, WorkersKv, connect, key_of
from dev.simulators.workerskv import WorkersKvSimulator
from dev.simulators.workerskv_state import Pair

ROOT = Path(__file__).resolve().parents[2]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
ONE, TWO = "https://www.example.com/1.txt", "http://www.example.com/2.txt?x=1&y=%2F"
LONG = "https://www.example.com/" + "a" * 600
DAY = timedelta(days=1)


class World:
    """A simulator, our client of it, and their common clock."""

    def __init__(self, simulator: WorkersKvSimulator, http: VendorHttp) -> None:
        self.simulator = simulator
        account = VendorAccount("main", "workerskv", simulator.url, simulator.credentials)
        self.vendor: WorkersKv = connect(account, clock=self.now, http=http)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now(), UTC)

    def advance(self, span: timedelta) -> None:
        self.simulator.advance(span.total_seconds())

    def ban(self, *urls: str, days: int = 7) -> str:
        return self.vendor.create_task(Action.BAN, urls, days)

    def unban(self, *urls: str) -> str:
        return self.vendor.create_task(Action.UNBAN, urls, 7)

    def banned(self, url: str = "") -> list[str]:
        return [name for page in self.vendor.banned(url) for name in page]

    def state(self, task_id: str) -> TaskState | None:
        ((task,),) = self.vendor.follow([Sent(task_id, self.now() - DAY, self.now())])
        assert task.id == task_id
        return task.state

    def endpoints(self) -> list[str]:
        return [call["endpoint"] for call in self.simulator.calls()]


@pytest.fixture
def world() -> Iterator[World]:
    with WorkersKvSimulator(rates=False, settle_seconds=LIMITS.settles.total_seconds()) as simulator:
        http = VendorHttp()
        yield World(simulator, http)
        http.close()


def test_a_ban_stands_at_the_edge_when_its_task_has_succeeded(world: World) -> None:
    task_id = world.ban(ONE, TWO)
    assert world.state(task_id) is TaskState.PROCESSING
    assert world.simulator.edge_status(ONE) == 200

    world.advance(LIMITS.settles + timedelta(seconds=1))

    assert world.state(task_id) is TaskState.SUCCEEDED
    assert [world.simulator.edge_status(url) for url in (ONE, TWO, ONE + "?")] == [403, 403, 200]


def test_an_unban_lifts_the_ban_of_its_urls_alone(world: World) -> None:
    world.ban(ONE, TWO, LONG)

    task_id = world.unban(ONE, LONG)
    world.advance(timedelta(minutes=2))

    assert world.state(task_id) is TaskState.SUCCEEDED
    assert [world.simulator.edge_status(url) for url in (ONE, TWO, LONG)] == [200, 403, 200]
    assert world.banned() == [TWO]


def test_a_url_that_is_not_banned_can_be_unbanned(world: World) -> None:
    world.unban(ONE)
    assert world.banned() == []


def test_a_ban_ends_after_its_days_without_another_call(world: World) -> None:
    world.ban(ONE, days=1)
    world.ban(TWO, days=30)
    calls = len(world.endpoints())

    world.advance(DAY + timedelta(minutes=2))

    assert len(world.endpoints()) == calls
    assert world.banned() == [TWO]
    assert [world.simulator.edge_status(url) for url in (ONE, TWO)] == [200, 403]


def test_a_repeated_ban_does_no_harm_and_ends_later(world: World) -> None:
    first = world.ban(ONE, days=2)
    world.advance(DAY)
    assert world.ban(ONE, days=2) != first
    world.advance(DAY + timedelta(minutes=2))
    assert world.banned() == [ONE]


def test_a_url_that_is_longer_than_a_key_is_banned_and_comes_back_whole(world: World) -> None:
    world.ban(LONG)
    world.advance(timedelta(minutes=2))

    assert world.simulator.edge_status(LONG) == 403
    assert world.simulator.edge_status(LONG + "a") == 200
    assert world.banned() == world.banned(LONG) == [LONG]


def test_one_url_is_looked_up_with_one_call(world: World) -> None:
    world.ban(ONE, ONE + "x")
    assert world.banned(ONE) == [ONE]
    assert world.banned(TWO) == []
    assert world.endpoints() == ["write", "read", "read"]


def test_the_list_makes_one_call_a_step_and_misses_none(world: World) -> None:
    urls = [f"https://www.example.com/{n}" for n in range(1_010)] + [f"{LONG}{n}" for n in range(150)]
    world.ban(*urls[:1_000])
    world.ban(*urls[1_000:])
    before = len(world.endpoints())

    pages = world.vendor.banned()
    assert len(world.endpoints()) == before
    seen = [(list(page), len(world.endpoints()) - before) for page in pages]

    assert [calls for _, calls in seen] == list(range(1, len(seen) + 1))
    assert sorted(url for page, _ in seen for url in page) == sorted(urls)
    assert world.endpoints()[before:] == ["list", "list", "read", "read"]


def test_keys_of_others_in_the_namespace_are_no_bans(world: World) -> None:
    world.ban(ONE)
    world.simulator.namespace.put("somebody-elses", Pair("x", None), world.simulator.now())
    assert world.banned() == [ONE]


def test_a_thousand_urls_are_one_call(world: World) -> None:
    world.ban(*(f"https://www.example.com/{n}" for n in range(1_000)))
    assert world.endpoints() == ["write"]
    assert len(world.simulator.banned()) == 1_000


def test_a_thousand_of_the_longest_urls_fit_one_call(world: World) -> None:
    urls = [f"https://www.example.com/{n:04}/".ljust(8_192, "a") for n in range(1_000)]
    world.ban(*urls)
    assert world.simulator.banned().keys() == set(urls)


@pytest.mark.parametrize("result", ["null", "{}", '{"unsuccessful_keys": null}'])
def test_a_success_whose_result_is_left_out_is_a_success(world: World, result: str) -> None:
    body = f'{{"success": true, "result": {result}}}'
    world.simulator.add_faults({"match": "delete", "kind": "body", "message": body})
    assert world.state(world.unban(ONE)) is TaskState.PROCESSING


def test_keys_that_the_vendor_names_as_unsuccessful_are_named_as_urls(world: World) -> None:
    world.simulator.fail_keys("bad")
    with pytest.raises(UrlsFailed) as caught:
        world.ban(ONE, "https://www.example.com/bad")
    assert caught.value.failed == {"https://www.example.com/bad"}
    assert world.banned() == [ONE]
    assert world.state(caught.value.task_id) is TaskState.PROCESSING  # The edge settles on the other keys.
    world.advance(LIMITS.settles)
    assert world.state(caught.value.task_id) is TaskState.FAILED

    world.simulator.fail_keys("")
    assert world.state(world.ban(ONE, "https://www.example.com/bad")) is TaskState.PROCESSING
    assert len(world.banned()) == 2


def test_following_makes_no_call_and_knows_only_its_own_ids(world: World) -> None:
    assert list(world.vendor.follow([])) == []
    assert world.state("a-task-of-another-vendor") is None
    assert list(world.vendor.find_task(Action.BAN, [ONE], world.now() - DAY, world.now())) == []
    assert world.endpoints() == []


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_task_takes_one_to_a_thousand_urls(world: World, count: int) -> None:
    with pytest.raises(ValueError, match="URLs"):
        world.ban(*[ONE] * count)
    assert world.endpoints() == []


@pytest.mark.parametrize("days", [0, -1, 36_501])
def test_a_ban_lasts_at_least_a_day(world: World, days: int) -> None:
    with pytest.raises(ValueError, match="days"):
        world.ban(ONE, days=days)
    assert world.endpoints() == []


@pytest.mark.parametrize("url", ["https://www.example.com/a b", "https://www.example.com/a\u2028"])
def test_a_key_that_the_vendor_does_not_take_is_refused_as_content(world: World, url: str) -> None:
    with pytest.raises(ContentRefused, match="10022"):
        world.ban(ONE, url)
    assert world.banned() == []


# --- the official SDK ------------------------------------------------------------------------------------------------


class Sdk:
    """The official SDK in a process of its own, at the namespace of a simulator."""

    def __init__(self, process: subprocess.Popen[str], simulator: WorkersKvSimulator, **changes: str) -> None:
        self.process = process
        self.ask(do="connect", endpoint=simulator.url, **{**simulator.credentials, **changes})

    def ask(self, **given: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def sdk_process() -> Iterator[subprocess.Popen[str]]:
    if not SDK_PYTHON.exists():
        pytest.skip(
            "no official SDK: python3.11 -m venv .venv-sdk && .venv-sdk/bin/pip install -r requirements-sdk.txt"
        )
    driver = str(Path(__file__).with_name("workerskv_sdk_driver.py"))
    with subprocess.Popen([SDK_PYTHON, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def sdk(world: World, sdk_process: subprocess.Popen[str]) -> Sdk:
    return Sdk(sdk_process, world.simulator)


def test_the_sdk_sees_what_our_client_bans_and_unbans(world: World, sdk: Sdk) -> None:
    urls = [f"https://www.example.com/{n}" for n in range(25)]
    world.ban(*urls, LONG, days=3)
    ends_at = (world.now() + timedelta(days=3)).timestamp()

    keys = sdk.ask(do="list")["keys"]
    assert [name for name, _ in keys] == sorted(map(key_of, [*urls, LONG]))
    assert all(abs(end - ends_at) < 30 for _, end in keys)
    assert sdk.ask(do="read", keys=[key_of(LONG), urls[0], TWO])["values"] == {
        key_of(LONG): LONG,
        urls[0]: urls[0],
        TWO: None,
    }

    world.unban(*urls)
    assert [name for name, _ in sdk.ask(do="list")["keys"]] == [key_of(LONG)]


def test_our_client_sees_what_the_sdk_writes_and_deletes(world: World, sdk: Sdk) -> None:
    ends_at = int((world.now() + DAY).timestamp())
    pairs = [{"key": key_of(url), "value": url, "expiration": ends_at} for url in (ONE, LONG)]
    assert sdk.ask(do="write", pairs=pairs) == {"successful": 2, "unsuccessful": []}
    assert sorted(world.banned()) == sorted([ONE, LONG])

    assert sdk.ask(do="delete", keys=[key_of(LONG)]) == {"successful": 1, "unsuccessful": []}
    assert world.banned() == [ONE]
    world.simulator.fail_keys("1.txt")
    assert sdk.ask(do="delete", keys=[ONE]) == {"successful": 0, "unsuccessful": [ONE]}


def test_the_sdk_reads_the_errors_that_our_client_reads(
    world: World, sdk: Sdk, sdk_process: subprocess.Popen[str]
) -> None:
    refused = [{"key": "a" * 513, "value": "x"}]
    assert sdk.ask(do="write", pairs=refused) == {"status": 400, "codes": [10022]}
    too_soon = [{"key": "a", "value": "x", "expiration": int(world.now().timestamp()) + 30}]
    assert sdk.ask(do="write", pairs=too_soon)["status"] == 400
    assert sdk.ask(do="read", keys=[str(n) for n in range(101)]) == {"status": 400, "codes": [10029]}
    elsewhere = Sdk(sdk_process, world.simulator, namespace_id="0" * 32)
    assert elsewhere.ask(do="list") == {"status": 404, "codes": [10013]}
    stranger = Sdk(sdk_process, world.simulator, api_token="x" * 40)
    assert stranger.ask(do="list") == {"status": 401, "codes": [10000]}
