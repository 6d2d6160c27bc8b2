"""Our client, the vendor's own SDK and the fake of other tests keep the contract of ``BanVendor``.

Client and SDK talk to the simulator. If they agree, neither relies on our reading of a page alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import pytest
from huaweicloudsdkcdn.v2 import (
    AccessControlUrls,
    CdnClient,
    CreateAccessControlTaskRequest,
    ListAccessControlTaskRequest,
    ListBanUrlRequest,
    UrlAccessControlTaskRequestBody,
)
from huaweicloudsdkcore.auth.credentials import GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from chalicelib.domain.errors import AnswerUnknown, ContentRefused, Throttled
from chalicelib.domain.model import (
    Action,
    Sent,
    TaskState,
    VendorAccount,
    VendorLimits,
    VendorTask,
)
from chalicelib.ports import BanVendor
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.huawei.client import LIMITS, connect
from dev.fakes import vendor
from dev.fakes.vendor import FakeVendor
from dev.simulators.huawei import HuaweiSimulator

DOMAIN_ID = "0123456789abcdef0123456789abcdef"
TASK_SECONDS = 60.0
ODD_URLS = (
    "https://www.example.com/a%20b/%E4%B8%AD.txt?x=1&y=~z&z=%2F+",
    'http://www.example.com/"quoted"\\and{braced}',
    "https://www.example.com:8443/?",
    "https://xn--fiq228c.example/中/é\u2028",
)


class Sdk:
    """The vendor's own client, as a ``BanVendor``."""

    limits: VendorLimits = LIMITS

    def __init__(self, simulator: HuaweiSimulator, *, domain_id: str = "") -> None:
        credentials = GlobalCredentials(simulator.identity.access_key, simulator.identity.secret_key, domain_id)
        self.client: Any = CdnClient.new_builder().with_credentials(credentials).with_endpoint(simulator.url).build()

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        body = UrlAccessControlTaskRequestBody(AccessControlUrls(list(urls), ban_days))
        try:
            answer = self.client.create_access_control_task(CreateAccessControlTaskRequest(action.value, body))
        except ClientRequestException as exc:
            if exc.error_code != "CDN.0001":
                raise
            raise ContentRefused("refused", code=exc.error_code) from exc
        assert isinstance(answer.task_id, str)
        return answer.task_id

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        for task in self._tasks(since, until):
            yield task.id if task.action is action and set(task.urls) == set(urls) else ""

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        for task in tasks:
            yield self._tasks(task.since, task.until)

    def banned(self, url: str = "") -> Iterator[Sequence[str]]:
        for page in count(1):
            answer = self.client.list_ban_url(ListBanUrlRequest(page_size=50, page_number=page, url=url or None))
            yield [row.url for row in answer.ban_urls]
            if page * 50 >= answer.total:
                return

    def _tasks(self, since: datetime, until: datetime) -> list[VendorTask]:
        """Read the tasks of seven days at most."""
        first, last = (int(at.timestamp() * 1000) for at in (max(since, until - timedelta(days=7)), until))
        states = {"processing": TaskState.PROCESSING, "succeed": TaskState.SUCCEEDED, "failed": TaskState.FAILED}
        tasks: list[VendorTask] = []
        total = 1
        while len(tasks) < total:
            request = ListAccessControlTaskRequest(first, last, len(tasks), 100)
            answer = self.client.list_access_control_task(request)
            tasks += [
                VendorTask(row.id, Action(row.action), states[row.status], tuple(row.urls), moment(row.create_time))
                for row in answer.access_control_tasks
            ]
            total = answer.total
        return tasks


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class World(Protocol):
    """A vendor, and what a test may do to its surroundings."""

    vendor: BanVendor

    def advance(self, seconds: float) -> None: ...
    def now(self) -> datetime: ...
    def refuse(self, url: str) -> None: ...
    def fail(self, url: str) -> None: ...


class SimulatedWorld:
    def __init__(self, simulator: HuaweiSimulator, vendor: BanVendor) -> None:
        self.simulator = simulator
        self.vendor = vendor

    def advance(self, seconds: float) -> None:
        self.simulator.advance(seconds)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now(), UTC)

    def refuse(self, url: str) -> None:
        self.simulator.poison(url, "refuse")

    def fail(self, url: str) -> None:
        self.simulator.poison(url, "fail_task")


class FakeWorld:
    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self.fake = FakeVendor(clock=self.now, task_time=timedelta(seconds=TASK_SECONDS))
        self.vendor: BanVendor = self.fake

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def refuse(self, url: str) -> None:
        self.fake.refuse.add(url)

    def fail(self, url: str) -> None:
        self.fake.fail.add(url)


@pytest.fixture(params=["ours with a key", "ours with a temporary key", "ours with a token", "the SDK", "the fake"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "the fake":
        yield FakeWorld()
        return
    with HuaweiSimulator(task_seconds=TASK_SECONDS, rates=False) as simulator:
        if request.param == "the SDK":
            sdk = Sdk(simulator, domain_id=DOMAIN_ID)
            yield SimulatedWorld(simulator, sdk)
            sdk.client.close()
            return
        credentials = dict(simulator.credentials)
        if "temporary" in request.param:
            # This simulator expects no token, but it checks the signature, of which the token is a part.
            credentials |= {"security_token": "temporary-token==", "domain_id": DOMAIN_ID}
        if "with a token" in request.param:
            credentials = simulator.token_credentials
        http = VendorHttp()
        yield SimulatedWorld(simulator, connected(simulator, credentials, http))
        http.close()


def connected(simulator: HuaweiSimulator, credentials: dict[str, str], http: VendorHttp) -> BanVendor:
    account = VendorAccount("main", "huawei", simulator.url, credentials)
    return connect(account, clock=lambda: datetime.now(UTC), http=http)


def tasks_between(world: World, since: datetime, until: datetime) -> list[VendorTask]:
    return [task for page in world.vendor.follow([Sent("", since, until)]) for task in page]


def all_tasks(world: World) -> list[VendorTask]:
    return tasks_between(world, world.now() - timedelta(days=6), world.now() + timedelta(minutes=1))


def banned(world: World, url: str = "") -> list[str]:
    pages = world.vendor.banned(url)
    assert pages is not None
    return [name for page in pages for name in page]


def ban(world: World, *urls: str, days: int = 7) -> str:
    return world.vendor.create_task(Action.BAN, urls, days)


def test_a_ban_is_listed_as_the_task_that_it_made(world: World) -> None:
    before = world.now()

    task_id = ban(world, "https://www.example.com/1.txt", "http://www.example.com/2.txt")

    (task,) = all_tasks(world)
    assert task.id == task_id
    assert task.action is Action.BAN
    assert task.state is TaskState.PROCESSING
    assert task.urls == ("https://www.example.com/1.txt", "http://www.example.com/2.txt")
    assert before - timedelta(milliseconds=1) <= task.created_at <= world.now()


def test_a_task_that_succeeds_bans_its_urls(world: World) -> None:
    ban(world, "https://www.example.com/1.txt")
    assert banned(world) == []

    world.advance(TASK_SECONDS)

    assert all_tasks(world)[0].state is TaskState.SUCCEEDED
    assert banned(world) == ["https://www.example.com/1.txt"]


def test_a_task_that_fails_bans_nothing(world: World) -> None:
    world.fail("https://www.example.com/bad")
    ban(world, "https://www.example.com/bad", "https://www.example.com/good")

    world.advance(TASK_SECONDS)

    assert all_tasks(world)[0].state is TaskState.FAILED
    assert banned(world) == []


def test_a_refused_call_makes_no_task(world: World) -> None:
    world.refuse("https://www.example.com/bad")

    with pytest.raises(ContentRefused):
        ban(world, "https://www.example.com/good", "https://www.example.com/bad")

    assert all_tasks(world) == []


def test_an_unban_lifts_a_ban(world: World) -> None:
    ban(world, "https://www.example.com/1.txt", "https://www.example.com/2.txt")
    world.advance(TASK_SECONDS)

    task_id = world.vendor.create_task(Action.UNBAN, ["https://www.example.com/1.txt"], 7)
    assert len(banned(world)) == 2
    world.advance(TASK_SECONDS)

    assert banned(world) == ["https://www.example.com/2.txt"]
    (task,) = [task for task in all_tasks(world) if task.id == task_id]
    assert task.action is Action.UNBAN
    assert task.state is TaskState.SUCCEEDED


def test_a_ban_ends_after_its_days(world: World) -> None:
    ban(world, "https://www.example.com/short", days=1)
    ban(world, "https://www.example.com/long", days=30)
    world.advance(TASK_SECONDS)
    assert len(banned(world)) == 2

    world.advance(timedelta(days=1).total_seconds())

    assert banned(world) == ["https://www.example.com/long"]


def test_a_renewed_ban_ends_later(world: World) -> None:
    ban(world, "https://www.example.com/1.txt", days=2)
    world.advance(TASK_SECONDS)
    ban(world, "https://www.example.com/1.txt", days=3)
    world.advance(timedelta(days=2).total_seconds())

    assert banned(world) == ["https://www.example.com/1.txt"]
    world.advance(timedelta(days=1).total_seconds() + TASK_SECONDS)
    assert banned(world) == []


@pytest.mark.parametrize("url", ODD_URLS)
def test_a_url_comes_back_to_the_letter(world: World, url: str) -> None:
    ban(world, url, "https://www.example.com/other")
    world.advance(TASK_SECONDS)

    assert all_tasks(world)[0].urls[0] == url
    assert banned(world, url) == [url]


def test_a_thousand_urls_go_into_one_task(world: World) -> None:
    urls = [f"https://www.example.com/{n}" for n in range(1000)]

    ban(world, *urls)

    assert all_tasks(world)[0].urls == tuple(urls)


def test_banned_urls_come_in_pages_that_miss_none(world: World) -> None:
    urls = [f"https://www.example.com/{n}" for n in range(120)]
    ban(world, *urls)
    world.advance(TASK_SECONDS)

    assert sorted(banned(world)) == sorted(urls)


def test_tasks_come_in_pages_that_miss_none(world: World) -> None:
    task_ids = [ban(world, f"https://www.example.com/{n}") for n in range(103)]
    assert sorted(task.id for task in all_tasks(world)) == sorted(task_ids)


def test_a_window_shows_the_tasks_created_in_it(world: World) -> None:
    ban(world, "https://www.example.com/before")
    world.advance(60)
    start = world.now()
    time.sleep(0.002)
    task_id = ban(world, "https://www.example.com/within")
    time.sleep(0.002)
    end = world.now()
    world.advance(60)
    ban(world, "https://www.example.com/after")

    assert [task.id for task in tasks_between(world, start, end)] == [task_id]
    assert len(all_tasks(world)) == 3


def test_the_longest_window_is_seven_days(world: World) -> None:
    ban(world, "https://www.example.com/1.txt")
    end = world.now() + timedelta(seconds=1)

    assert len(tasks_between(world, end - timedelta(days=7), end)) == 1


def test_a_task_is_found_by_its_action_and_its_urls_in_any_order(world: World) -> None:
    one, two, three = (f"https://www.example.com/{n}" for n in range(3))
    task_id = ban(world, two, one)
    ban(world, one, two, three)
    world.vendor.create_task(Action.UNBAN, [one, two], 7)

    assert find(world, one, two) == [task_id]
    assert find(world, one) == []


def find(world: World, *urls: str) -> list[str]:
    since, until = world.now() - timedelta(minutes=5), world.now() + timedelta(minutes=5)
    return [task_id for task_id in world.vendor.find_task(Action.BAN, urls, since, until) if task_id]


class TestOurClientsOwnLimits:
    """Our client refuses these calls before it sends anything. The SDK leaves that to the vendor."""

    @pytest.fixture(params=["ours", "the fake"])
    def strict(self, request: pytest.FixtureRequest) -> Iterator[World]:
        if request.param == "the fake":
            yield FakeWorld()
            return
        with HuaweiSimulator() as simulator:
            http = VendorHttp()
            yield SimulatedWorld(simulator, connected(simulator, simulator.credentials, http))
            http.close()
            assert simulator.calls() == []

    @pytest.mark.parametrize("count", [0, 1001])
    def test_a_task_takes_one_to_a_thousand_urls(self, strict: World, count: int) -> None:
        with pytest.raises(ValueError, match="URLs"):
            strict.vendor.create_task(Action.BAN, ["https://www.example.com/"] * count, 7)

    @pytest.mark.parametrize("days", [0, 31, -1])
    def test_a_ban_lasts_one_to_thirty_days(self, strict: World, days: int) -> None:
        with pytest.raises(ValueError, match="days"):
            strict.vendor.create_task(Action.BAN, ["https://www.example.com/"], days)


class Counted:
    """Our client or the fake, and the calls that it makes to its vendor."""

    def __init__(self, world: World, calls: Callable[[], int]) -> None:
        self.world, self.vendor, self.calls = world, world.vendor, calls


@pytest.fixture(params=["ours", "the fake"])
def counted(request: pytest.FixtureRequest) -> Iterator[Counted]:
    if request.param == "the fake":
        fake = FakeWorld()
        yield Counted(fake, lambda: len(fake.fake.lists))
        return
    with HuaweiSimulator(task_seconds=TASK_SECONDS, rates=False) as simulator:
        http = VendorHttp()
        ours = SimulatedWorld(simulator, connected(simulator, simulator.credentials, http))
        yield Counted(ours, lambda: sum(call["endpoint"] != "create" for call in simulator.calls()))
        http.close()


def test_a_list_makes_one_call_a_step_and_none_before_the_first(counted: Counted) -> None:
    urls = [f"https://www.example.com/{n}" for n in range(130)]
    for url in urls:
        ban(counted.world, url)
    counted.world.advance(TASK_SECONDS)
    since, until = counted.world.now() - timedelta(days=1), counted.world.now() + timedelta(minutes=1)
    follow = counted.vendor.follow([Sent("", since, until)])
    find = counted.vendor.find_task(Action.BAN, ["https://www.example.com/none"], since, until)
    bans = counted.vendor.banned()
    assert bans is not None
    assert counted.calls() == 0

    assert [counted.calls() for _ in follow] == [1, 2]
    assert [(step, counted.calls()) for step in find] == [("", 3), ("", 4)]
    assert [(len(page), counted.calls()) for page in bans] == [(50, 5), (50, 6), (30, 7)]


def test_a_span_of_more_than_the_vendors_seven_days_is_asked_for_in_windows(counted: Counted) -> None:
    early = ban(counted.world, "https://www.example.com/early")
    begun = counted.world.now() - timedelta(minutes=1)
    counted.world.advance(timedelta(days=20).total_seconds())
    late = ban(counted.world, "https://www.example.com/late")
    until = counted.world.now() + timedelta(minutes=1)

    pages = list(counted.vendor.follow([Sent(early, begun, until)]))
    assert {task.id for page in pages for task in page} == {early, late}
    assert counted.calls() == len(pages) == 3
    found_early = counted.vendor.find_task(Action.BAN, ["https://www.example.com/early"], begun, until)
    assert [step for step in found_early if step] == [early]


def test_the_fake_has_the_limits_of_the_vendor() -> None:
    assert vendor.LIMITS == LIMITS


def test_the_fake_raises_what_it_is_told_once_and_loses_one_answer() -> None:
    fake = FakeVendor(clock=lambda: datetime(2026, 1, 15, tzinfo=UTC), errors=[Throttled("slowly"), None])
    urls = ["https://www.example.com/1.txt"]

    with pytest.raises(Throttled):
        fake.create_task(Action.BAN, urls, 7)
    assert fake.tasks == {}
    assert fake.create_task(Action.BAN, urls, 7) in fake.tasks
    fake.lose_answer = True
    with pytest.raises(AnswerUnknown):
        fake.create_task(Action.UNBAN, urls, 7)
    fake.list_errors = [Throttled("slowly")]
    with pytest.raises(Throttled):
        list(fake.follow([Sent("", fake.clock(), fake.clock())]))

    assert len(fake.calls) == 3
    assert [task.action for task in fake.tasks.values()] == [Action.BAN, Action.UNBAN]
    assert fake.bans == {}
    assert fake.lists == ["follow"]
