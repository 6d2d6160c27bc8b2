"""The tracker follows tasks to their end in the vendor's list, and repeats those that fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.errors import AccessRefused, AnswerUnknown, QuotaExceeded, Throttled, Unavailable, VendorError
from chalicelib.domain.model import Action, Sent, TaskState, VendorTask
from chalicelib.ledger import control, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.submission.failed_tasks import RETRY_CALLS
from dev.fakes.operations import undo, world_with
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, Clock, World, pages


class Listed(FakeVendor):
    """An account that notes the tasks to follow, and does not show those in ``hidden``."""

    asked: list[Sequence[Sent]]
    hidden: set[str]
    unknown_words = False
    slow_after_first = timedelta(0)
    """Seconds until the vendor answers each list of a test except the first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.asked, self.hidden = [], set()

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        if self.asked:
            self.clock.advance(seconds=self.slow_after_first.total_seconds())  # type: ignore[attr-defined]
        self.asked.append(tasks)
        for page in super().follow(tasks):
            shown = [task for task in page if task.id not in self.hidden]
            yield [replace(task, state=None) for task in shown] if self.unknown_words else shown


def world_of(count: int, *, tasks_of: int = 1_000) -> tuple[World, Listed]:
    """Make a world with ``count`` submitted URLs, in tasks that nobody has followed yet."""
    world = World()
    vendor = Listed(world.clock)
    world.vendor = vendor
    urls = pages(count)
    for start in range(0, count, tasks_of):
        world.queue({"urls": urls[start : start + tasks_of]})
        world.intake()
        world.drain()
        world.clock.advance(seconds=1)
    assert len(vendor.tasks) == -(-count // tasks_of)
    return world, vendor


def processing(world: World) -> list[Task]:
    return [task for task in tasks.live(world.rows, ACCOUNT) if task.state is TaskState.PROCESSING]


# --- windows and pages -----------------------------------------------------------------------------------------------


def test_a_tracker_without_open_tasks_makes_no_call() -> None:
    world, vendor = world_of(0)
    tracked = world.track()

    assert (tracked.succeeded, tracked.open, tracked.why) == (0, 0, "done")
    assert vendor.lists == []


def test_a_task_is_asked_for_in_the_time_in_which_the_vendor_can_have_created_it() -> None:
    world, vendor = world_of(2, tasks_of=1)
    vendor.task_time = None
    vendor.unknown_words = True  # The tasks stay open.
    created = {task.id: task.created_at for task in vendor.tasks.values()}
    world.clock.advance(days=20)
    world.track()

    asked = {sent.id: sent for sent in vendor.asked[0]}
    assert asked.keys() == created.keys()
    for task_id, sent in asked.items():
        assert sent.since < created[task_id] < sent.until
        assert sent.until - sent.since <= timedelta(minutes=41)


def test_the_list_is_read_to_its_last_page() -> None:
    world, vendor = world_of(250, tasks_of=1)
    oldest_first = [task.vendor_task_id for task in processing(world)]
    tracked = world.track()

    assert tracked.succeeded == 250
    assert vendor.lists == ["follow"] * 3
    assert len(set(oldest_first)) == 250
    assert world.states(pages(250)) == {"banned": 250}


def test_reading_stops_where_nothing_is_open_any_more() -> None:
    world, vendor = world_of(150, tasks_of=1)
    world.track()
    vendor.lists.clear()
    world.queue({"urls": ["https://www.example.com/new"]})
    world.intake()
    world.drain()
    world.track()

    assert vendor.lists == ["follow"]


def test_the_pages_are_asked_for_at_less_than_the_vendors_rate() -> None:
    world, _ = world_of(300, tasks_of=1)
    before = world.clock()
    world.track()

    assert world.clock() - before >= timedelta(seconds=2 / 30)


# --- ends ------------------------------------------------------------------------------------------------------------


def test_a_task_that_succeeded_bans_its_urls_and_says_how_long_it_took() -> None:
    world, _ = world_of(3)
    world.clock.advance(seconds=59)
    tracked = world.track()

    assert (tracked.succeeded, tracked.failed, tracked.open) == (1, 0, 0)
    assert world.states(pages(3)) == {"banned": 3}
    (event,) = world.events("task_finished")
    assert (event["state"], event["urls"]) == ("succeeded", 3)
    assert event["seconds"] == pytest.approx(60, abs=0.2)
    assert world.track().succeeded == 0


def test_a_task_that_the_vendor_works_on_stays_open() -> None:
    world, vendor = world_of(3)
    for task in vendor.tasks.values():
        task.state, task.finishes_at = TaskState.PROCESSING, world.clock() + timedelta(hours=3)
    tracked = world.track()

    assert (tracked.open, tracked.failed) == (1, 0)
    assert world.states(pages(3)) == {"processing": 3}
    world.minutes(125)
    assert world.states(pages(3)) == {"processing": 3}  # The task takes long, but is listed: it is not lost.
    world.minutes(60)
    assert world.states(pages(3)) == {"banned": 3}


def test_a_word_of_the_vendor_that_nobody_knows_leaves_the_task_where_it_is() -> None:
    world, vendor = world_of(3)
    vendor.unknown_words = True
    world.minutes(120)
    assert world.states(pages(3)) == {"processing": 3}
    assert len(vendor.calls) == 1

    vendor.unknown_words = False
    world.minutes(1)
    assert world.states(pages(3)) == {"banned": 3}


def test_tasks_of_others_in_the_same_account_are_ignored() -> None:
    world, vendor = world_of(2)
    vendor.create_task(Action.BAN, ["https://www.example.com/theirs"], 7)
    world.track()

    assert world.states(pages(2)) == {"banned": 2}
    assert world.state("https://www.example.com/theirs") == "unknown"


def test_a_task_that_the_list_does_not_show_for_an_hour_is_asked_for_once_more_and_repeated() -> None:
    world, vendor = world_of(3)
    (lost,) = vendor.tasks
    vendor.hidden = {lost}
    world.minutes(55)
    assert len(vendor.calls) == 1
    assert world.states(pages(3)) == {"processing": 3}

    world.minutes(15)
    assert len(vendor.calls) == 2
    assert world.states(pages(3)) == {"banned": 3}
    assert "does not show" in next(task for task in _finished(world) if task.vendor_task_id == lost).reason


def _finished(world: World) -> list[Task]:
    ids = [str(sk).split("#")[-1] for pk, sk in world.rows.rows if pk.startswith("day#") and "#task#" in sk]  # type: ignore[attr-defined]
    return list(tasks.read(world.rows, ids).values())


def test_a_task_that_is_asked_for_once_more_does_not_count_as_lost_when_the_time_is_up() -> None:
    world, vendor = world_of(3)
    vendor.hidden = set(vendor.tasks)
    world.clock.advance(hours=2)
    vendor.slow_after_first = timedelta(seconds=60)
    tracked = world.track()

    assert (tracked.failed, tracked.open) == (0, 1)
    vendor.slow_after_first = timedelta(0)
    assert world.track().failed == 1


@pytest.mark.parametrize(
    "error",
    [Throttled("slower"), Unavailable("refused"), AnswerUnknown("timeout"), AccessRefused("no")],
    ids=lambda error: error.kind,
)
def test_an_error_of_the_list_leaves_every_task_as_it_is(error: VendorError) -> None:
    world, vendor = world_of(3)
    before = tasks.live(world.rows, ACCOUNT)
    vendor.list_errors = [error]
    tracked = world.track()

    assert (tracked.why, tracked.open, tracked.failed) == (error.kind, 1, 0)
    assert tasks.live(world.rows, ACCOUNT) == before
    assert world.events("vendor_error")[0]["kind"] == error.kind
    control.unblock(world.rows, ACCOUNT)
    assert world.track().succeeded == 1


def test_refused_access_blocks_the_account_for_every_caller_and_a_used_up_quota_does_not() -> None:
    world = World()
    world.vendor.task_time = None
    world.queue({"urls": pages(3)})
    world.intake()
    world.drain()
    world.vendor.list_errors = [AccessRefused("wrong signature")] * 100
    lists = len(world.vendor.lists)
    for _ in range(9):
        world.track()
        assert world.drain().why == "blocked"
        world.clock.advance(minutes=1)
    assert len(world.vendor.lists) == lists + 1
    world.clock.advance(minutes=2)
    world.vendor.list_errors = []
    world.queue({"urls": pages(6)[3:]})
    world.intake()
    world.vendor.errors = [QuotaExceeded("used up")]
    assert world.drain().why == "blocked"
    lists = len(world.vendor.lists)
    assert world.track().why == "done"
    assert len(world.vendor.lists) == lists + 1


def test_an_error_on_a_later_page_keeps_what_the_earlier_ones_told() -> None:
    world, vendor = world_of(150, tasks_of=1)
    vendor.list_errors = [None, Unavailable("refused")]
    tracked = world.track()

    assert (tracked.succeeded, tracked.open) == (100, 50)


def test_a_list_that_cannot_be_read_for_hours_makes_no_task_count_as_lost() -> None:
    world, vendor = world_of(3)
    vendor.list_errors = [Unavailable("refused")] * 10_000
    world.minutes(200)
    assert len(vendor.calls) == 1

    vendor.list_errors = []
    world.minutes(1)
    assert world.states(pages(3)) == {"banned": 3}
    assert len(vendor.calls) == 1


# --- failures --------------------------------------------------------------------------------------------------------


def sizes(vendor: FakeVendor) -> list[int]:
    return [len(urls) for _, urls, _ in vendor.calls]


def test_a_failed_task_is_taken_apart_at_once() -> None:
    world, vendor = world_of(8)
    next(iter(vendor.tasks.values())).state = TaskState.FAILED
    world.minutes(1)
    assert world.states(pages(8)) == {"pending": 8}
    world.minutes(1)
    assert sizes(vendor) == [8, *[1] * 8]
    assert world.states(pages(8)) == {"banned": 8}


@pytest.mark.parametrize("bad", [[0], [7], [3, 4], [0, 2, 5, 7]], ids=str)
def test_the_urls_that_the_vendor_cannot_ban_stand_alone_and_are_repeated_once(bad: list[int]) -> None:
    world = World()
    world.vendor.fail = {pages(8)[number] for number in bad}
    world.queue({"urls": pages(8)})
    world.minutes(40)

    assert sizes(world.vendor) == [8, *[1] * 8, *[1] * len(bad)]
    assert world.states(pages(8)) == {"banned": 8 - len(bad), "failed": len(bad)}
    assert {world.state(pages(8)[number]) for number in bad} == {"failed"}


def test_the_neighbours_of_one_url_that_always_fails_are_banned_within_four_minutes() -> None:
    world = World()
    world.vendor.task_time = timedelta(seconds=30)
    world.vendor.fail = {pages(1_000)[123]}
    world.queue({"urls": pages(1_000)})
    world.intake()
    world.seconds(240)

    assert world.states(pages(1_000))["banned"] == 999


def test_a_task_is_followed_within_seconds_of_its_end() -> None:
    world = World()
    world.vendor.task_time = timedelta(seconds=30)
    world.queue({"urls": pages(3)})
    world.intake()
    world.seconds(35)
    assert world.states(pages(3)) == {"banned": 3}
    assert len(world.vendor.lists) <= 15


def test_a_young_task_is_not_looked_for_before_the_vendor_can_show_it_and_an_old_one_is_left_to_the_minute() -> None:
    world = World()
    world.vendor.task_time = None
    world.queue({"urls": pages(3)})
    world.intake()
    world.drain()
    assert world.track_young().again_after == 2
    assert not world.vendor.lists
    world.clock.advance(minutes=1)
    assert world.track_young().again_after == 7
    world.clock.advance(minutes=3)
    assert world.track_young().again_after is None
    assert len(world.vendor.lists) == 1


def test_a_task_is_not_looked_for_before_the_vendor_s_network_has_taken_it_over() -> None:
    world = World()
    world.vendor.task_time = timedelta(seconds=60)
    world.vendor.limits = replace(world.vendor.limits, settles=timedelta(seconds=60))
    world.queue({"urls": pages(3)})
    world.intake()
    world.drain()
    again_after = world.track_young().again_after
    assert again_after is not None
    assert 59 <= again_after <= 60
    assert not world.vendor.lists
    world.clock.advance(seconds=again_after)
    assert world.track_young().again_after is None
    assert world.states(pages(3)) == {"banned": 3}
    assert len(world.vendor.lists) == 1


def test_a_chunk_that_waits_for_a_task_is_woken_when_the_task_has_ended() -> None:
    world = World()
    world.vendor.task_time = timedelta(seconds=30)
    world.queue({"urls": pages(3)})
    world.intake()
    world.drain()
    undo(world, urls=pages(1))
    world.wakes.clear()
    world.clock.advance(seconds=31)
    world.track()
    assert world.wakes


def test_every_url_is_banned_after_the_vendor_failed_every_task_for_some_minutes() -> None:
    world = World()
    world.vendor.fail = set(pages(1_000))
    world.queue({"urls": pages(1_000)})
    world.minutes(4)
    world.vendor.fail = set()
    world.minutes(15)

    assert world.states(pages(1_000)) == {"banned": 1_000}


def test_four_urls_among_a_thousand_are_isolated_within_the_budget() -> None:
    world = World()
    world.vendor.fail = {pages(1_000)[number] for number in (1, 300, 600, 999)}
    world.queue({"urls": pages(1_000)})
    world.minutes(60)

    assert world.states(pages(1_000)) == {"banned": 996, "failed": 4}
    assert len(world.vendor.calls) <= 1 + RETRY_CALLS


def test_the_calls_are_bounded_and_every_url_ends_if_every_task_fails() -> None:
    world = world_with(retry_days=0)
    world.vendor.fail = set(pages(1_000))
    world.queue({"urls": pages(1_000)})
    world.minutes(90)

    assert world.states(pages(1_000)) == {"failed": 1_000}
    assert len(world.vendor.calls) <= 1 + RETRY_CALLS
    assert world.sweep() == {ACCOUNT: 0}
    assert sum(event["given_up"] for event in world.events("task_finished")) == 1_000


@pytest.mark.parametrize("refused", [1, 3])
def test_a_url_that_was_left_alone_by_a_refusal_gets_a_second_try_like_any_other(refused: int) -> None:
    """The vendor refused its neighbours for their content; its own task fails once, and would succeed again."""
    world = World()
    urls = pages(1 + refused)
    world.vendor.refuse = set(urls[:refused])
    world.vendor.fail = {urls[-1]}
    world.queue({"urls": urls})
    world.intake()
    world.drain()
    world.track()
    world.vendor.fail = set()
    world.minutes(5)

    assert world.state(urls[-1]) == "banned"
    assert world.states(urls[:refused]) == {"rejected": refused}


def test_a_url_that_failed_for_good_may_be_reported_again() -> None:
    world = world_with(retry_days=0)
    world.vendor.fail = set(pages(1))
    world.queue({"urls": pages(1)})
    world.minutes(20)
    assert world.states(pages(1)) == {"failed": 1}

    world.vendor.fail = set()
    world.queue({"urls": pages(1)})
    world.minutes(5)
    assert world.states(pages(1)) == {"banned": 1}


def test_a_failure_of_one_task_leaves_the_others_alone() -> None:
    world, vendor = world_of(30, tasks_of=10)
    next(iter(vendor.tasks.values())).state = TaskState.FAILED
    tracked = world.track()

    assert (tracked.succeeded, tracked.failed) == (2, 1)
    assert world.states(pages(30)[10:]) == {"banned": 20}
    world.minutes(5)
    assert sizes(vendor) == [10, 10, 10, *[1] * 10]


def test_a_task_that_the_vendor_never_finishes_is_told_of_after_two_hours() -> None:
    world = World()
    world.vendor.task_time = None
    world.post({"urls": pages(2)})
    world.minutes(60)
    assert not world.events("task_overdue")
    world.clock.advance(minutes=70)
    world.minutes(1)
    (event,) = world.events("task_overdue")
    assert (event["urls"], event["action"]) == (2, "ban")
    assert world.states(pages(2)) == {"processing": 2}


class Puzzling(FakeVendor):
    """A vendor with an unknown word for the state of a task."""

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        for page in super().follow(tasks):
            yield [replace(task, state=None) for task in page]


def test_a_word_of_the_vendor_that_is_not_known_is_told_of() -> None:
    world = World()
    world.vendor = Puzzling(clock=world.clock)
    world.post({"urls": pages(2)})
    world.minutes(2)
    assert world.events("vendor_word_unknown")
    assert world.states(pages(2)) == {"processing": 2}


@pytest.mark.parametrize("minutes", [-14, -6, 6, 14])
def test_a_vendor_whose_clock_is_far_off_has_its_tasks_found_and_none_is_doubled(minutes: int) -> None:
    world = World()
    world.vendor.clock = lambda: world.clock() + timedelta(minutes=minutes)
    urls = pages(3)
    world.queue({"urls": urls})
    world.minutes(30)
    assert world.states(urls) == {"banned": 3}
    world.minutes(60)
    assert world.live_bans(urls[0]) == 1
