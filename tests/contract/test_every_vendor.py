"""Every vendor's client at its simulator keeps the same contract, and so does the pipeline with all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import AccessRefused, AnswerUnknown, ConfigurationError
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount
from chalicelib.ledger import reports
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.track import track_tasks
from chalicelib.pipeline.upkeep.renew import renew_bans
from chalicelib.pipeline.upkeep.verify import verify_bans
from chalicelib.ports import BanVendor
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.registry import VENDORS, connect
from dev import vendors
from dev.fakes.exports import ExportWorld
from dev.fakes.operations import DESK, Receiver, deliver, undo
from dev.fakes.world import POLICY, SOURCES, World
from dev.package import ROOT
from dev.simulators.huawei import HuaweiSimulator
from dev.vendors import NAMES, Behaviour, SimulatedAccount, connected, simulated

ONE, TWO = "https://www.example.com/login?id=1&x=%2F", "http://www.example.com/2"
LONG = "https://www.example.com/" + "a" * 700
NEIGHBOURS = [
    ONE + "2",
    "http://www.example.com/login?id=1&x=%2F",
    "https://www.example.com/login",
    TWO + "/",
    LONG + "a",
]
DAY = timedelta(days=1)
PAGE = (ROOT / "docs" / "vendors.md").read_text()
TITLES = {
    "huawei": "Huawei Cloud CDN",
    "volcengine": "Volcengine, BytePlus",
    "byteplus": "Volcengine, BytePlus",
    "workerskv": "Cloudflare Workers KV",
    "cloudfrontkvs": "CloudFront KeyValueStore",
    "alibaba-esa": "Alibaba Cloud ESA",
}


class Clock:
    """One clock for the client and the simulators."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


@dataclass
class Place:
    """One vendor: the simulated account, our client, and their clock."""

    account: SimulatedAccount
    vendor: BanVendor
    clock: Clock
    http: VendorHttp

    def create(self, action: Action, *urls: str, days: int = 7) -> str:
        self.clock.now += timedelta(seconds=2)  # No test here is about rates.
        return self.vendor.create_task(action, urls, days)

    def settled(self, task_id: str) -> TaskState | None:
        """Wait until the vendor has finished a task; return its state."""
        since = self.clock()
        self.clock.now += max(self.vendor.limits.settles, timedelta(seconds=60))
        sent = Sent(task_id, since - timedelta(minutes=1), since + timedelta(minutes=1))
        return next(task.state for page in self.vendor.follow([sent]) for task in page if task.id == task_id)

    def edge(self, *urls: str) -> list[int]:
        return [self.account.simulator.edge_status(url) for url in urls]


@pytest.fixture(params=NAMES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    clock, http = Clock(), VendorHttp()
    (account,) = simulated([request.param], Behaviour(5, clock.seconds, settles=True))
    account.simulator.start()
    yield Place(account, connected(account, clock, http), clock, http)
    account.simulator.stop()
    http.close()


def test_a_ban_blocks_exactly_its_urls_when_its_task_has_succeeded_and_an_unban_opens_them(place: Place) -> None:
    task_id = place.create(Action.BAN, ONE, TWO, LONG)
    assert place.edge(ONE, TWO, LONG) == [200] * 3
    assert place.settled(task_id) is TaskState.SUCCEEDED
    assert place.edge(ONE, TWO, LONG) == [403] * 3
    assert set(place.edge(*NEIGHBOURS)) == {200}

    assert place.settled(place.create(Action.UNBAN, ONE, LONG)) is TaskState.SUCCEEDED
    assert place.edge(ONE, TWO, LONG) == [200, 403, 200]


def test_a_ban_ends_by_itself_just_where_the_limits_say_so(place: Place) -> None:
    place.settled(place.create(Action.BAN, ONE, days=1))
    place.clock.now += timedelta(days=1, minutes=10)
    assert place.edge(ONE) == ([403] if place.vendor.limits.longest_ban is None else [200])


def test_the_limits_are_kept_without_a_call(place: Place) -> None:
    limits = place.vendor.limits
    too_many = [f"https://www.example.com/{number}" for number in range(limits.urls_per_task + 1)]
    for urls in ([], too_many):
        with pytest.raises(ValueError, match=r"1 to"):
            place.create(Action.BAN, *urls)
    if limits.longest_ban:
        with pytest.raises(ValueError, match="a ban lasts"):
            place.create(Action.BAN, ONE, days=limits.longest_ban.days + 1)
    assert place.account.simulator.calls() == []

    urls = too_many[1:]
    place.settled(place.create(Action.BAN, *urls))
    assert set(place.edge(*urls)) == {403}


def test_after_a_lost_answer_the_task_is_found_or_the_call_repeated(place: Place) -> None:
    since = place.clock()
    place.account.simulator.add_faults(place.account.lost_answer)
    with pytest.raises(AnswerUnknown):
        place.create(Action.BAN, ONE)
    if place.vendor.limits.declarative:
        place.settled(place.create(Action.BAN, ONE))
    else:
        found = place.vendor.find_task(Action.BAN, [ONE], since - DAY, place.clock() + timedelta(minutes=1))
        (task_id,) = [name for name in found if name]
        assert place.settled(task_id) is TaskState.SUCCEEDED
    assert place.edge(ONE) == [403]
    assert sum(call.get("status") == 200 for call in place.account.simulator.calls()) >= 1


def test_an_unban_of_what_is_not_banned_harms_nothing(place: Place) -> None:
    try:
        place.settled(place.create(Action.UNBAN, ONE))
    except Exception as error:  # noqa: BLE001, a vendor may say that there is no ban
        assert type(error).__name__ in {"NotBanned", "ContentRefused"}  # noqa: PT017, it may also not raise
    assert place.edge(ONE) == [200]


def test_the_list_of_bans_shows_them_if_there_is_one(place: Place) -> None:
    place.settled(place.create(Action.BAN, ONE, TWO, LONG))
    pages = place.vendor.banned()
    if pages is not None:
        assert {url for page in pages for url in page} == {ONE, TWO, LONG}
        assert [url for page in place.vendor.banned(ONE) or () for url in page] == [ONE]


def test_wrong_credentials_are_refused_access_and_never_shown(place: Place) -> None:
    true = place.account.configuration[place.account.secret]
    wrong = connected(place.account, place.clock, place.http, **{place.account.secret: "x" + true[1:]})
    with pytest.raises(AccessRefused) as caught:
        wrong.create_task(Action.BAN, [ONE], 7)
    assert true not in f"{caught.value!r} {caught.value}"
    assert place.edge(ONE) == [200]


def test_an_account_that_lacks_a_credential_is_told_which(place: Place) -> None:
    configuration = {name: value for name, value in place.account.configuration.items() if name != place.account.secret}
    configured = VendorAccount("x", place.account.vendor, configuration.pop("endpoint"), configuration)
    with pytest.raises(ConfigurationError, match=place.account.secret):
        connect(configured, clock=place.clock)


def test_the_page_of_the_vendors_says_what_the_limits_say(place: Place) -> None:
    row = next(row for row in PAGE.splitlines() if row.startswith(f"| {TITLES[place.account.vendor]}"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    limits = place.vendor.limits
    assert cells[2] == f"{limits.urls_per_task:,}"
    assert cells[3].partition(",")[0] == str(1_000 // limits.urls_per_task)
    a_second = f"{limits.creates_per_second * limits.urls_per_task:,.0f}"
    assert cells[4] == (f"{a_second}, {limits.urls_per_day:,} a day" if limits.urls_per_day else a_second)
    assert cells[5] == ("repeated" if limits.declarative else "found in the task list")
    assert cells[6].startswith("no: edgeban lifts it" if limits.longest_ban is None else "yes")
    assert cells[7] == ("no" if place.vendor.banned() is None else "yes")
    assert cells[8]


def test_every_vendor_that_is_registered_is_in_the_table() -> None:
    assert set(VENDORS) == vendors.VENDORS


# --- one report, every CDN -------------------------------------------------------------------------------------------


class EveryCdn:
    """A world whose one host all vendors serve."""

    def __init__(self) -> None:
        self.world, self.http = World(), VendorHttp()
        clock = self.world.clock
        self.accounts = simulated(behaviour=Behaviour(20, lambda: clock().timestamp(), settles=True))
        self.vendors: dict[str, BanVendor] = {}
        for account in self.accounts:
            account.simulator.start()
            self.vendors[account.name] = connected(account, clock, self.http)
        domains = {"managed_domains": ["example.com", "*.example.com"]}
        self.world.policy = parse_policy({**POLICY, "accounts": dict.fromkeys(self.vendors, domains)})

    def minutes(self, count: int) -> None:
        """Let that many minutes pass, with everything that runs every minute."""
        for _ in range(count):
            self.world.clock.advance(minutes=1)
            if self.world.queued:
                self.world.intake()
            self.world.sweep()
            woken, self.world.wakes = dict.fromkeys(self.world.wakes), []
            for name in woken:
                submit_tasks(self.world.run(seconds=140).at(name), self.vendors[name], workers=0)
            for name, vendor in self.vendors.items():
                track_tasks(self.world.run(seconds=40).at(name), vendor)

    def edges(self, url: str) -> dict[str, int]:
        return {account.name: account.simulator.edge_status(url) for account in self.accounts}

    def states(self, url: str) -> dict[str, str]:
        return {status.account: status.state.value for status in url_status.of_url(self.world.run(), url)}


@pytest.fixture
def every() -> Iterator[EveryCdn]:
    every = EveryCdn()
    yield every
    for account in every.accounts:
        account.simulator.stop()
    every.http.close()


def test_one_report_is_banned_at_every_cdn_and_its_answer_says_what_each_did(every: EveryCdn) -> None:
    receipt = every.world.post({"urls": [ONE, LONG], "ban_duration": 1})
    every.minutes(8)
    assert every.edges(ONE) == every.edges(LONG) == dict.fromkeys(NAMES, 403)
    assert every.states(ONE) == dict.fromkeys(NAMES, "banned")
    report = reports.read(every.world.rows, receipt.report_id)
    assert report
    told = url_status.of_report(every.world.run(), report)
    assert sorted((state.url, state.account) for state in told) == sorted((u, n) for u in (ONE, LONG) for n in NAMES)

    every.world.clock.advance(days=1)
    every.minutes(10)

    assert every.edges(ONE) == every.edges(LONG) == dict.fromkeys(NAMES, 200)
    assert every.states(ONE) == dict.fromkeys(NAMES, "expired")


def test_a_longer_ban_outlasts_what_each_vendor_grants_and_ends_everywhere(every: EveryCdn) -> None:
    world = every.world
    policy = {**POLICY, "accounts": {name: {"managed_domains": ["*.example.com"]} for name in NAMES}}
    world.policy = parse_policy({**policy, "categories": {"phishing": {"ban_for_days": 35}}})
    world.post({"urls": [ONE], "category": "phishing"})
    every.minutes(8)
    began = world.clock()
    while world.clock() < began + timedelta(days=34):
        world.clock.advance(hours=11, minutes=50)
        for name in NAMES:
            renew_bans(replace(world.run(), account=name))
        every.minutes(10)
        assert every.edges(ONE) == dict.fromkeys(NAMES, 403), world.clock()

    world.clock.now = began + timedelta(days=36)
    every.minutes(10)
    assert every.edges(ONE) == dict.fromkeys(NAMES, 200)


def test_vendors_that_are_down_delay_no_other_and_ban_when_they_are_back(every: EveryCdn) -> None:
    for account in every.accounts[1::2]:
        account.simulator.stop()
    every.world.post({"urls": [ONE]})
    every.minutes(8)
    up, down = NAMES[::2], NAMES[1::2]
    assert {name: every.states(ONE)[name] for name in up} == dict.fromkeys(up, "banned")
    assert {every.states(ONE)[name] for name in down} == {"pending"}


def test_an_unban_lifts_the_ban_everywhere(every: EveryCdn) -> None:
    every.world.post({"urls": [ONE, TWO]})
    every.minutes(8)
    undo(every.world, urls=(ONE,))
    every.minutes(8)
    assert every.edges(ONE) == dict.fromkeys(NAMES, 200)
    assert every.edges(TWO) == dict.fromkeys(NAMES, 403)
    assert every.states(ONE) == dict.fromkeys(NAMES, "unbanned")


def test_an_unban_does_not_wait_until_the_edge_of_a_declarative_vendor_has_settled(every: EveryCdn) -> None:
    every.world.post({"urls": [ONE, TWO]})
    every.minutes(1)
    undo(every.world, urls=(ONE,))
    every.world.clock.advance(seconds=2)
    for name, vendor in every.vendors.items():
        submit_tasks(every.world.run(seconds=140).at(name), vendor, workers=0)
    for account in every.accounts:
        done = [call for call in account.simulator.calls() if call["status"] == 200]
        if every.vendors[account.name].limits.declarative:
            assert done[-1]["time"] > done[0]["time"] + 1, account.name

    every.minutes(8)
    assert every.edges(ONE) == dict.fromkeys(NAMES, 200)
    assert every.edges(TWO) == dict.fromkeys(NAMES, 403)
    assert every.states(ONE) == dict.fromkeys(NAMES, "unbanned")


def test_an_archived_day_of_illegal_urls_is_banned_at_every_account_that_serves_the_host(every: EveryCdn) -> None:
    exports, day = ExportWorld(), date(2026, 1, 14)
    exports.only(day)
    exports.runs(2)
    every.world.sources = parse_sources({"alibaba-export": {"auth": "none", "format": "native"}})
    domains = {name: ["www.example.com"] for name in NAMES} | {"huawei-main": ["else.example.net"]}
    accounts = {name: {"managed_domains": hosts} for name, hosts in domains.items()}
    every.world.policy = parse_policy({**POLICY, "accounts": accounts})
    every.world.send(exports.sent)
    every.minutes(8)

    serving = [name for name in NAMES if name != "huawei-main"]
    for number in range(5):
        url = f"https://www.example.com/{day}/{number}"
        assert every.states(url) == dict.fromkeys(serving, "banned")
        assert every.edges(url) == dict.fromkeys(serving, 403) | {"huawei-main": 200}


def test_a_callback_says_what_each_account_did_once_all_have(every: EveryCdn) -> None:
    every.world.sources = parse_sources({**SOURCES, "desk": DESK})
    huawei = every.accounts[0].simulator
    assert isinstance(huawei, HuaweiSimulator)
    huawei.poison(TWO, "refuse", "CDN.0105")
    every.world.post({"urls": [ONE, TWO]})
    receiver = Receiver(every.world)
    every.minutes(1)
    deliver(every.world, receiver)
    assert receiver.got == []  # The edges of some vendors have not settled yet.

    every.minutes(8)
    deliver(every.world, receiver)
    ((_, said),) = receiver.got
    told = {(entry["url"], entry["account"]): entry for entry in said["data"]["urls"]}
    assert {name: told[ONE, name]["state"] for name in NAMES} == dict.fromkeys(NAMES, "banned")
    assert {name: told[TWO, name]["state"] for name in NAMES} == {
        **dict.fromkeys(NAMES, "banned"),
        "huawei-main": "rejected",
    }
    assert "CDN.0105" in told[TWO, "huawei-main"]["reason"]
    assert said["data"]["counts"] == {"banned": 11, "rejected": 1}


def test_each_account_is_verified_at_its_own_edge_which_answers_in_its_own_way(every: EveryCdn) -> None:
    world = every.world
    accounts = {
        name: {"managed_domains": ["*.example.com"], "edge_host": f"{name}.edge.example.net", "edge_expect": [status]}
        for name, status in zip(NAMES, (403, 404, 410, 451, 403, 418), strict=True)
    }
    world.policy = parse_policy({**POLICY, "accounts": accounts, "verification": {"sample": 1}})
    world.post({"urls": [ONE]})
    every.minutes(15)
    asked: list[tuple[str, str]] = []

    def probe(url: str, *, edge: str = "") -> int:
        asked.append((url, edge))
        return 403

    for name in NAMES:
        verify_bans(world.run().at(name), probe)
    assert sorted(asked) == sorted((ONE, f"{name}.edge.example.net") for name in NAMES)
    is_open = {fields["account"]: fields["open"] for fields in world.events("bans_verified")}
    assert is_open == dict(zip(NAMES, (0, 1, 1, 1, 0, 1), strict=True))
