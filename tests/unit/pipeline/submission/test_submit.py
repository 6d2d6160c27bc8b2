"""A drain sends full calls within the vendor's rate, handles each refusal and outage, and loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.model import Action, ChunkState
from chalicelib.ledger import control, remaining, tasks, waiting_unbans
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.ports import Key, Update, Value
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import Meanwhile

SECOND = timedelta(seconds=1)


class Paced:
    """An account whose creates take ``seconds`` each by the fake clock, and that notes when each begins."""

    def __init__(self, world: World, *, seconds: float = 0.0) -> None:
        self.vendor, self.clock, self.seconds = world.vendor, world.clock, seconds
        self.limits = world.vendor.limits
        self.times: list[datetime] = []

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        self.times.append(self.clock())
        self.clock.sleep(self.seconds)
        return self.vendor.create_task(action, urls, ban_days)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vendor, name)

    @property
    def most_in_a_second(self) -> int:
        return max(sum(start <= at < start + SECOND for at in self.times) for start in self.times)


def paced(world: World, *, seconds: float = 0.0) -> Paced:
    vendor = Paced(world, seconds=seconds)
    world.vendor = vendor  # type: ignore[assignment]
    return vendor


def around(world: World, happens: Callable[[], object]) -> None:
    """Let something happen during the next create."""
    world.vendor = Meanwhile(world.vendor, "create_task", happens)  # type: ignore[assignment]


def queued(urls: Sequence[str], **world: Any) -> World:
    queued_world = World(**world)
    queued_world.queue({"urls": list(urls)})
    queued_world.intake()
    return queued_world


def backlog(count: int, **world: Any) -> World:
    """Claim ``count`` URLs, 2,300 at a time: their chunks do not fit tasks evenly."""
    busy_world = World(**world)
    urls = pages(count)
    for start in range(0, count, 2_300):
        busy_world.queue({"urls": urls[start : start + 2_300]})
        busy_world.intake()
        busy_world.clock.advance(seconds=1)
    return busy_world


def sent(world: World) -> list[str]:
    """Return the URLs of all tasks that the vendor made; a URL of two tasks is there twice."""
    return sorted(url for task in world.vendor.tasks.values() for url in task.urls)


def bans(world: World) -> list[str]:
    """Return the URLs of all ban tasks that did not fail; a URL of two tasks is there twice."""
    tasks_there = world.vendor.tasks.values()
    standing = [task for task in tasks_there if task.action is Action.BAN and task.state.value != "failed"]
    return [url for task in standing for url in task.urls]


def waiting(world: World) -> int:
    """Return the URLs that wait in the ledger, in chunks or in tasks that the vendor does not have."""
    unsent = [task for task in tasks.live(world.rows, ACCOUNT) if task.state.value == "submitting"]
    in_chunks = sum(work.count - work.next - len(work.excluded) for work in remaining.of_account(world.rows, ACCOUNT))
    return in_chunks + sum(task.count for task in unsent)


def settled(world: World, urls: Sequence[str], **states: int) -> None:
    world.minutes(15)
    assert world.states(urls) == (states or {"banned": len(urls)})
    assert len(bans(world)) == len(set(bans(world)))


# --- packing and pacing ----------------------------------------------------------------------------------------------


def test_a_backlog_goes_out_in_full_calls_at_the_vendors_rate() -> None:
    world = backlog(40_000)
    vendor = paced(world)
    drained = world.drain()

    sizes = [len(urls) for _, urls, _ in world.vendor.calls]
    assert sum(sizes) / len(sizes) >= 950
    assert max(sizes) <= 1_000
    assert (drained.why, drained.urls, drained.tasks) == ("done", 40_000, len(sizes))
    assert vendor.most_in_a_second <= 10
    span = (vendor.times[-1] - vendor.times[0]).total_seconds()
    assert (len(sizes) - 1) / span >= 9.5
    assert sent(world) == sorted(pages(40_000))


@pytest.mark.parametrize("seconds", [0.01, 0.09, 0.11, 0.5, 3])
def test_no_second_sees_more_than_ten_creates_however_slow_the_vendor_is(seconds: float) -> None:
    world = backlog(22_000)
    vendor = paced(world, seconds=seconds)
    world.drain()

    assert len(vendor.times) == 22
    assert vendor.most_in_a_second <= 10


def test_a_drain_right_after_another_keeps_to_the_rate_across_the_change() -> None:
    world = backlog(12_000)
    vendor = paced(world)
    for _ in range(3):
        world.drain(seconds=0.8)
    world.drain()

    assert len(vendor.times) == 12
    assert vendor.most_in_a_second <= 10


def test_a_drain_soon_after_a_single_call_waits_half_a_second_and_no_full_one() -> None:
    world = backlog(1)
    vendor = paced(world)
    world.drain()
    world.queue({"urls": pages(2)[1:]})
    world.intake()
    world.drain()

    assert timedelta(seconds=0.4) < vendor.times[1] - vendor.times[0] < timedelta(seconds=0.7)


def test_a_drain_that_follows_one_of_version_1_keeps_away_from_its_last_second() -> None:
    world = backlog(1)
    vendor = paced(world)
    world.drain()
    world.rows.apply(Update((f"account#{ACCOUNT}", "control"), remove=("last_calls",)))
    world.queue({"urls": pages(2)[1:]})
    world.intake()
    world.drain()

    assert vendor.times[1] - vendor.times[0] > timedelta(seconds=1)


def test_durations_and_actions_are_never_mixed_in_a_call() -> None:
    world = World()
    for number, days in enumerate([1, 7, 30, 7, 1]):
        urls = pages(5, host=f"h{number}.example.com")
        world.queue({"urls": urls, "ban_duration": days})
        world.intake()
        world.clock.advance(seconds=1)
    _unban(world, pages(3, host="h0.example.com"))
    world.drain()

    assert sorted((action.value, days, len(urls)) for action, urls, days in world.vendor.calls) == [
        ("ban", 1, 10),
        ("ban", 7, 10),
        ("ban", 30, 5),
        ("unban", 7, 3),
    ]


def _unban(world: World, urls: list[str]) -> None:
    """Put a chunk of unbans into the ledger, of URLs that nobody claimed."""
    keys = tuple(f"key-{number}" for number in range(len(urls)))
    now = world.clock()
    chunk = Chunk(
        id="20260115T083059.000000Z-unban",
        account=ACCOUNT,
        action=Action.UNBAN,
        ban_days=7,
        rule="",
        urls=tuple(urls),
        keys=keys,
        origins=(Origin("", "operator:a", "a", ""),) * len(urls),
        created_at=now,
        received_at=now,
        until=now,
    )
    remaining.open_chunk(world.rows, chunk, then=ChunkState.WAITING)
    remaining.seal(world.rows, chunk, set(keys), then=ChunkState.WAITING)


def test_many_chunks_of_one_url_fill_tasks() -> None:
    world = World()
    for url in pages(1_500):
        world.queue({"urls": [url]})
        world.intake()
        world.clock.advance(seconds=1)
    drained = world.drain()

    assert sorted(len(urls) for _, urls, _ in world.vendor.calls) == [500, 1_000]
    assert drained.urls == 1_500
    settled(world, pages(1_500))


def test_a_chunk_is_cut_where_a_task_is_full_and_carried_on_in_the_next() -> None:
    world = World()
    for start in (0, 700, 1_400):
        world.queue({"urls": pages(2_100)[start : start + 700]})
        world.intake()
        world.clock.advance(seconds=1)
    world.drain()

    assert [len(urls) for _, urls, _ in world.vendor.calls] == [1_000, 1_000, 100]
    assert [url for _, urls, _ in world.vendor.calls for url in urls] == pages(2_100)


def test_urls_that_come_during_a_drain_are_sent_in_it_once_they_fill_a_call() -> None:
    world = queued(pages(1_000))
    late = pages(2_400, "img.example.com")

    def report() -> None:
        world.queue({"urls": late})
        world.intake()

    around(world, report)
    world.drain()

    assert [len(urls) for _, urls, _ in world.vendor.calls][:3] == [1_000, 1_000, 1_000]
    settled(world, [*pages(1_000), *late])


def test_held_chunks_do_not_keep_those_behind_them_from_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.pipeline.submission.backlog.WORK_AT_ONCE", 5)
    world = World()
    for number in range(12):
        world.queue({"urls": [f"https://h{number}.example.com/"]})  # The policy holds the root of a host.
        world.intake()
        world.clock.advance(seconds=1)
    world.queue({"urls": pages(3)})
    world.intake()
    world.drain()

    assert sent(world) == pages(3)
    assert waiting(world) == 12


def test_more_chunks_than_are_read_at_once_are_all_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.pipeline.submission.backlog.WORK_AT_ONCE", 3)
    world = World()
    for start in range(0, 4_000, 400):
        world.queue({"urls": pages(4_000)[start : start + 400]})
        world.intake()
        world.clock.advance(seconds=1)
    settled(world, pages(4_000))
    assert len(sent(world)) == 4_000


def test_a_drain_without_waiting_chunks_makes_no_call() -> None:
    world = World()

    assert world.drain().why == "done"
    assert not world.vendor.calls
    assert not world.vendor.lists


# --- content --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "poison",
    [[0], [999], [0, 999], [7, 8], [1, 250, 500, 750], list(range(100, 110))],
    ids=lambda positions: f"{len(positions)} of 1,000",
)
def test_refused_urls_are_isolated_and_the_rest_is_banned(poison: list[int]) -> None:
    urls = pages(1_000)
    world = queued(urls)
    world.vendor.refuse = {urls[number] for number in poison}
    world.drain()
    good = [url for url in urls if url not in world.vendor.refuse]

    assert sent(world) == sorted(good)
    assert len(world.vendor.calls) <= 1 + 2 * 11 * len(poison)
    settled(world, urls, banned=len(good), rejected=len(poison))
    assert {event["code"] for event in world.events("url_refused")} == {"FAKE.0001"}


def test_a_task_that_is_refused_whole_ends_with_a_reason_for_each_url() -> None:
    world = queued(pages(5))
    world.vendor.refuse = set(pages(5))
    settled(world, pages(5), rejected=5)

    claim = next(row for (_, sk), row in _rows(world).items() if sk == "claim")
    assert claim["reason"] == "FAKE.0001 the fake vendor refuses a URL"


def test_bisection_goes_on_in_the_next_drain_where_one_ran_out_of_time() -> None:
    urls = pages(1_000)
    world = queued(urls)
    world.vendor.refuse = {urls[3], urls[777]}
    for _ in range(30):
        world.drain(seconds=0.5)
        world.clock.advance(seconds=2)

    assert sent(world) == sorted(set(urls) - world.vendor.refuse)
    settled(world, urls, banned=998, rejected=2)


def _rows(world: World) -> dict[Key, dict[str, Value]]:
    assert isinstance(world.rows, MemoryRows)
    return world.rows.rows


def test_new_urls_do_not_wait_for_the_parts_of_a_task_that_is_refused_whole() -> None:
    world = backlog(4_000)
    bad = pages(1_000)
    world.vendor.refuse = set(bad)
    world.drain(seconds=2)
    sizes = [len(urls) for _, urls, _ in world.vendor.calls]
    assert [size for size in sizes if size == 1_000] == [1_000] * 4
    assert max(index for index, size in enumerate(sizes) if size == 1_000) <= 8
    settled(world, pages(4_000), rejected=1_000, banned=3_000)


# --- access, quota, outage --------------------------------------------------------------------------------------------

BLOCKING: list[tuple[VendorError, float]] = [
    (AccessRefused("no such key", code="APIGW.0301"), 10),
    (QuotaExceeded("used up", code="CDN.0106"), 15),
]


@pytest.mark.parametrize(("error", "minutes"), BLOCKING, ids=["access", "quota"])
def test_refused_access_and_used_up_quota_stop_after_one_call_and_block_the_account(
    error: VendorError, minutes: float
) -> None:
    world = backlog(5_000)
    world.vendor.errors = [error] * 100
    assert world.drain().why == "blocked"
    assert len(world.vendor.calls) == 1
    assert waiting(world) == 5_000

    for _ in range(8):  # The sweep wakes the submitter every minute.
        world.clock.advance(minutes=1)
        world.sweep()
        assert world.drain().why == "blocked"
    assert len(world.vendor.calls) == 1

    world.clock.advance(minutes=minutes - 8)
    world.vendor.errors = []
    world.drain()
    assert sent(world) == sorted(pages(5_000))
    assert "find_task" not in world.vendor.lists  # The refused calls had no effect.


@pytest.mark.parametrize(("error", "minutes"), BLOCKING, ids=["access", "quota"])
def test_a_refusal_of_the_list_blocks_the_account_like_one_of_a_create(error: VendorError, minutes: float) -> None:
    world = queued(pages(3))
    world.vendor.errors = [AnswerUnknown("no answer")]
    world.drain()
    world.clock.advance(minutes=2)
    world.vendor.list_errors = [error] * 100
    lists = len(world.vendor.lists)
    for _ in range(8):
        assert world.drain().why == "blocked"
        world.clock.advance(minutes=1)
    assert len(world.vendor.lists) == lists + 1
    world.vendor.list_errors = []
    world.clock.advance(minutes=minutes)
    assert world.drain().why == "done"
    assert world.live_bans(pages(3)[0]) == 1


def test_a_lost_answer_is_found_after_a_pause_longer_than_the_vendors_longest_query() -> None:
    world = queued(pages(3))
    world.vendor.lose_answer = True
    world.vendor.list_errors = [Unavailable("down")] * 9
    world.drain(seconds=20)
    control.set_paused(world.rows, ACCOUNT, actor="a", reason="r", now=world.clock())
    world.clock.advance(days=9)
    world.vendor.list_errors = []
    control.resume(world.rows, ACCOUNT, actor="a", now=world.clock())
    world.drain()

    assert len(world.vendor.calls) == 1
    assert world.events("task_adopted")


def test_a_look_up_that_the_deadline_cuts_short_proves_nothing() -> None:
    world = queued(pages(3))
    world.vendor.lose_answer = True
    world.vendor.list_errors = [Unavailable("down")] * 9
    world.drain(seconds=20)
    world.clock.advance(minutes=2)
    world.vendor.list_errors = []
    calls = len(world.vendor.calls)
    too_late = Meanwhile(world.vendor, "find_task", lambda: world.clock.advance(seconds=30))
    world.vendor = too_late  # type: ignore[assignment]
    world.drain(seconds=20)
    assert len(world.vendor.calls) == calls

    world.clock.advance(minutes=2)
    world.drain()
    assert len(world.vendor.calls) == calls
    assert world.events("task_adopted")


def test_no_more_calls_are_under_way_than_the_vendor_allows() -> None:
    world = threaded(8_000)
    counting = _Counting(world.vendor)
    world.vendor = counting  # type: ignore[assignment]
    counting.limits = replace(world.vendor.limits, parallel=2)
    world.drain()

    assert counting.most == 2
    assert sent(world) == sorted(pages(8_000))


def test_a_key_that_stays_refused_is_tried_once_in_ten_minutes_and_never_locked() -> None:
    world = backlog(5_000)
    world.vendor.errors = [AccessRefused("no")] * 1_000
    world.minutes(60)

    assert len(world.vendor.calls) <= 6
    assert waiting(world) == 5_000


def test_a_person_ends_a_block_before_its_time() -> None:
    world = queued(pages(3))
    world.vendor.errors = [AccessRefused("no")]
    world.drain()
    control.resume(world.rows, ACCOUNT, actor="a", now=world.clock())
    world.drain()

    assert sent(world) == pages(3)


OUTAGES: dict[str, Callable[[], VendorError]] = {
    "no connection": lambda: Unavailable("refused"),
    "no answer": lambda: AnswerUnknown("timeout"),
    "throttled": lambda: Throttled("slower", retry_after=2),
}


@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_of_three_hours_makes_no_storm_and_loses_nothing(kind: str) -> None:
    urls = pages(3_000)
    world = backlog(3_000)
    world.vendor.errors = [OUTAGES[kind]() for _ in range(10_000)]
    world.vendor.list_errors = [OUTAGES[kind]() for _ in range(10_000)]
    tried = []
    for _ in range(180):
        before = len(world.vendor.calls) + len(world.vendor.lists)
        world.minutes(1)
        tried.append(len(world.vendor.calls) + len(world.vendor.lists) - before)

    assert max(tried) <= 12
    assert waiting(world) == 3_000
    assert world.states(urls) == {"pending": 3_000}
    assert world.queued == []

    world.vendor.errors, world.vendor.list_errors = [], []
    settled(world, urls)
    assert sent(world) == sorted(urls)


def test_urls_that_are_reported_during_an_outage_wait_in_the_ledger_and_go_out_together() -> None:
    world = World()
    world.vendor.errors = [Unavailable("refused")] * 1_000
    urls = pages(400)
    for start in range(0, 400, 10):
        world.queue({"urls": urls[start : start + 10]})
        world.minutes(1)
    world.vendor.errors, before = [], len(world.vendor.calls)
    settled(world, urls)

    assert len(world.vendor.calls) - before <= 3


@pytest.mark.parametrize("error", [Throttled("slower", retry_after=5), Unavailable("refused")])
def test_after_an_error_without_effect_the_drain_waits_and_goes_on(error: VendorError) -> None:
    world = backlog(3_000)
    world.vendor.errors = [None, error]
    vendor = paced(world)

    assert world.drain().why == "done"
    assert vendor.times[2] - vendor.times[1] >= (5 if isinstance(error, Throttled) else 1) * SECOND
    assert sent(world) == sorted(pages(3_000))


def test_throttling_waits_longer_each_time() -> None:
    world = queued(pages(1))
    world.vendor.errors = [Throttled("slower", retry_after=1)] * 4
    vendor = paced(world)
    world.drain()

    gaps = [round((b - a).total_seconds(), 3) for a, b in zip(vendor.times, vendor.times[1:], strict=False)]
    assert gaps == [1, 2, 4, 8]
    assert sent(world) == pages(1)


def test_a_content_error_after_the_vendor_worked_is_no_outage() -> None:
    world = backlog(8_000)
    world.vendor.errors = [ContentRefused("no", code="X")] * 5 + [None] * 100
    assert world.drain().why == "done"

    assert sent(world) == sorted(pages(8_000))


# --- pause and deadline -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", [ACCOUNT, control.EVERYWHERE])
def test_a_paused_account_is_not_called_and_loses_nothing(switch: str) -> None:
    world = backlog(3_000)
    control.set_paused(world.rows, switch, actor="a", reason="r", now=world.clock())
    world.minutes(5)
    assert world.drain().why == "paused"
    assert world.vendor.calls == []
    assert waiting(world) == 3_000

    control.resume(world.rows, switch, actor="a", now=world.clock())
    settled(world, pages(3_000))


def test_a_pause_stops_a_running_drain_within_a_minute() -> None:
    world = backlog(40_000)
    vendor = paced(world, seconds=1)
    around(world, lambda: control.set_paused(world.rows, ACCOUNT, actor="a", reason="r", now=world.clock()))

    assert world.drain().why == "paused"
    assert vendor.times[-1] - vendor.times[0] <= timedelta(seconds=15)
    assert len(sent(world)) + waiting(world) == 40_000


@pytest.mark.parametrize("seconds", [0, 0.05, 1.0, 3.3])
def test_no_call_begins_after_the_deadline(seconds: float) -> None:
    count = int(seconds * 11_000) + 1_000
    world = backlog(count)
    vendor = paced(world)
    deadline = world.clock() + timedelta(seconds=seconds)
    drained = world.drain(seconds=seconds)

    assert drained.why == "deadline"
    assert all(at < deadline for at in vendor.times)
    assert len(sent(world)) + waiting(world) == count
    assert len(vendor.times) >= 9.5 * seconds - 1


def test_a_drain_does_not_wait_past_its_deadline_for_a_task_that_comes_due_later() -> None:
    world = queued(pages(1))
    world.vendor.errors = [AnswerUnknown("timeout")]
    deadline = world.clock() + timedelta(seconds=2)
    world.drain(seconds=2)

    assert world.clock() <= deadline + timedelta(seconds=2)
    settled(world, pages(1))


# --- answers and logs ----------------------------------------------------------------------------------------------


def test_each_submitted_task_is_emitted_with_how_long_its_oldest_report_waited() -> None:
    world = World()
    world.queue({"urls": pages(2)})
    world.clock.advance(seconds=42)
    world.intake()
    world.drain()

    (event,) = world.events("task_submitted")
    assert (event["urls"], event["seconds"], event["action"]) == (2, 42, "ban")


def test_each_vendor_error_is_emitted_with_its_kind() -> None:
    world = queued(pages(1))
    world.vendor.errors = [Throttled("slower", code="APIGW.0308", request_id="q-1"), None]
    world.drain()

    (event,) = world.events("vendor_error")
    assert (event["kind"], event["code"], event["vendor_request_id"]) == ("throttled", "APIGW.0308", "q-1")


def test_a_chunk_that_excludes_some_of_its_urls_sends_the_others_only() -> None:
    world = World()
    now = world.clock()
    keys = tuple(f"key-{number}" for number in range(5))
    chunk = Chunk(
        id="c",
        account=ACCOUNT,
        action=Action.BAN,
        ban_days=7,
        rule="",
        urls=tuple(pages(5)),
        keys=keys,
        origins=(Origin("r", "queue", "", ""),) * 5,
        created_at=now,
        received_at=now,
        until=now + timedelta(days=7),
    )
    claiming.begin(world.run(), chunk, {})
    waiting_unbans.withdraw(world.rows, remaining.of_account(world.rows, ACCOUNT)[0], [0, 3])
    world.drain()

    assert sent(world) == [pages(5)[1], pages(5)[2], pages(5)[4]]


# --- calls at once -------------------------------------------------------------------------------------------------


class Threaded(World):
    """A paced account with real threads: eight calls may be under way."""

    def __post_init__(self) -> None:
        self.workers = 8
        super().__post_init__()
        self.vendor = _locked(self.vendor)


class _Counting:
    """Counts the creates that are under way at once."""

    def __init__(self, vendor: Any) -> None:
        self.vendor, self.limits = vendor, vendor.limits
        self.now = self.most = 0
        self.lock = threading.Lock()

    def create_task(self, *args: Any) -> Any:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self.lock:
            self.now -= 1
        return self.vendor.create_task(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vendor, name)


def _locked(vendor: Any) -> Any:
    """Answer one thread after the other, since the fake is not safe for two at once."""
    lock = threading.Lock()
    create = vendor.create_task

    def create_task(*args: Any) -> Any:
        with lock:
            return create(*args)

    vendor.create_task = create_task
    return vendor


def threaded(count: int) -> World:
    world = Threaded()
    for start in range(0, count, 2_300):
        world.queue({"urls": pages(count)[start : start + 2_300]})
        world.intake()
        world.clock.advance(seconds=1)
    return world


def test_calls_that_overlap_lose_and_double_nothing() -> None:
    world = threaded(14_000)
    world.vendor.errors = [*[None] * 7, Throttled("slower"), None, Unavailable("refused")]
    assert world.drain().why == "done"

    assert sent(world) == sorted(pages(14_000))
    world.minutes(3)
    assert world.states(pages(14_000)[::100]) == {"banned": 140}


def test_a_first_call_goes_alone_until_the_vendor_has_answered_well() -> None:
    world = threaded(5_000)
    world.vendor.errors = [AccessRefused("no")] * 100

    assert world.drain().why == "blocked"
    assert len(world.vendor.calls) == 1


def test_calls_under_way_when_access_ends_are_the_last() -> None:
    world = threaded(14_000)
    world.vendor.errors = [None] * 5 + [AccessRefused("no")] * 100
    world.drain()

    assert 6 <= len(world.vendor.calls) <= 5 + 8
    assert len(sent(world)) + waiting(world) == 14_000
    world.vendor.errors = []
    world.clock.advance(minutes=11)
    world.drain()
    assert sent(world) == sorted(pages(14_000))


def test_overlapping_calls_isolate_refused_urls_all_the_same() -> None:
    world = threaded(4_000)
    world.vendor.refuse = {pages(4_000)[number] for number in (5, 1_500, 3_999)}
    world.drain()

    assert sent(world) == sorted(set(pages(4_000)) - world.vendor.refuse)
