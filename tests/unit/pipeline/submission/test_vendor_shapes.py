"""Vendors differ by ``VendorLimits`` alone: named failed URLs, URLs a day, no list of bans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from chalicelib.domain.errors import AnswerUnknown, QuotaExceeded, Throttled
from chalicelib.domain.model import Action, TaskState, VendorLimits
from chalicelib.domain.series import Series
from chalicelib.ledger import audit, control, failed_unbans
from chalicelib.pipeline.answers import stats
from dev.fakes.killing import killed_at_each_call
from dev.fakes.operations import compare, undo
from dev.fakes.vendor import LIMITS, FakeVendor
from dev.fakes.world import ACCOUNT, START, World, pages

URLS = pages(100)
BAD = {URLS[7], URLS[42]}


def world_at(limits: VendorLimits) -> World:
    world = World()
    world.vendor.limits = limits
    return world


def called(world: World, action: Action = Action.BAN) -> list[int]:
    return [len(urls) for each, urls, _ in world.vendor.calls if each is action]


# --- URLs that the vendor names --------------------------------------------------------------------------------------


def test_urls_that_the_vendor_names_are_repeated_once_and_the_others_are_banned_at_once() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed, world.vendor.fail = True, set(BAD)
    world.post({"urls": URLS})
    world.minutes(1)
    assert world.states(URLS) == {"banned": 98, "pending": 2}

    world.minutes(4)

    assert world.states(URLS) == {"banned": 98, "failed": 2}
    assert called(world) == [100, 2]


def test_a_task_of_which_the_list_shows_only_some_urls_has_not_ended_yet() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed, world.vendor.not_shown = True, set(URLS[50:])
    world.post({"urls": URLS})
    world.minutes(5)
    assert world.states(URLS) == {"processing": 100}

    world.vendor.not_shown.clear()
    world.minutes(1)
    assert world.states(URLS) == {"banned": 100}


def test_urls_that_the_vendor_never_shows_of_a_task_are_sent_again_and_the_others_are_banned() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed, world.vendor.not_shown = True, set(BAD)
    world.post({"urls": URLS})
    world.minutes(11)
    assert world.states(URLS) == {"banned": 98, "pending": 2}

    world.vendor.not_shown.clear()
    world.minutes(3)
    assert world.states(URLS) == {"banned": 100}
    assert called(world) == [100, 2]


def test_an_unban_of_one_url_for_two_requests_is_shown_once_and_ends() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed = True
    world.post({"urls": URLS[:2]})
    world.minutes(2)
    undo(world, urls=(URLS[0],))
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    assert world.states(URLS[:2]) == {"unbanned": 1, "banned": 1}


def test_urls_that_work_the_second_time_are_banned() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed, world.vendor.fail = True, set(BAD)
    world.post({"urls": URLS})
    world.minutes(1)
    world.vendor.fail = {URLS[7]}
    world.minutes(4)

    assert world.states(URLS) == {"banned": 99, "failed": 1}
    assert called(world) == [100, 2]


def test_bans_and_unbans_count_for_their_source_but_for_the_urls_that_the_vendor_names() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed, world.vendor.fail = True, set(BAD)
    world.post({"urls": URLS})
    world.minutes(1)
    world.vendor.fail = {URLS[7]}  # One URL succeeds the second time.
    world.minutes(4)
    world.vendor.fail = {URLS[3]}
    undo(world, urls=tuple(URLS[:5]))
    world.minutes(5)
    series = Series("source", "day")
    assert stats.read(world.run(), series, since=START, until=world.clock())
    assert (series.counted()["desk"]["banned"], series.counted()["desk"]["undone"]) == (99, 4)


def test_an_unban_that_fails_for_some_urls_leaves_those_banned() -> None:
    world = world_at(LIMITS)
    world.vendor.names_failed = True
    world.post({"urls": URLS})
    world.minutes(2)
    world.vendor.fail = set(BAD)
    undo(world, urls=tuple(URLS))
    world.minutes(5)

    assert world.states(URLS) == {"unbanned": 98, "banned": 2}
    assert set(world.vendor.bans) == BAD
    assert sum(event["urls"] for event in world.events("unban_failed")) == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_tracker_killed_at_any_call_loses_no_named_url(after: bool) -> None:
    def prepare(minutes: int) -> World:
        world = world_at(LIMITS)
        world.vendor.names_failed, world.vendor.fail = True, set(BAD)
        world.post({"urls": URLS})
        world.intake()
        world.drain()
        if minutes:
            world.track()
            world.clock.advance(seconds=40)
            world.drain()
        return world

    for minutes in (0, 1):
        for at, world in killed_at_each_call(partial(prepare, minutes), World.track, after=after):
            world.minutes(6)
            assert world.states(URLS) == {"banned": 98, "failed": 2}, (minutes, at)
            assert called(world) == [100, 2], (minutes, at)


@pytest.mark.parametrize("after", [False, True])
def test_a_request_to_unban_knows_how_many_urls_failed_wherever_the_tracker_was_killed(after: bool) -> None:
    def prepare() -> World:
        world = world_at(LIMITS)
        world.vendor.names_failed = True
        world.post({"urls": URLS})
        world.minutes(2)
        world.vendor.fail = set(BAD)
        undo(world, urls=tuple(URLS[:50]))
        world.clock.advance(seconds=1)
        undo(world, urls=tuple(URLS[50:]))
        world.drain()
        world.clock.advance(minutes=1)
        world.track()
        world.clock.advance(seconds=40)
        world.drain()
        world.clock.advance(minutes=1)
        return world

    for at, world in killed_at_each_call(prepare, World.track, after=after):
        world.minutes(6)
        decisions = [decision for _, decision in audit.of_actor(world.rows, "ana")]
        failed = failed_unbans.read(world.rows, decisions)
        assert [failed.get(decision.after) for decision in decisions] == [None, 2], at


# --- URLs a day ------------------------------------------------------------------------------------------------------

DAILY = replace(LIMITS, urls_per_task=10, urls_per_day=50, unbans_per_day=40, utc_offset=timedelta(hours=8))


def test_no_call_is_made_beyond_the_days_urls_and_the_next_day_begins_by_the_vendors_clock() -> None:
    world = world_at(DAILY)  # It is 08:30 UTC; the vendor's day ends at 16:00 UTC.
    world.post({"urls": URLS})
    world.minutes(30)
    assert called(world) == [10] * 5
    assert world.states(URLS) == {"banned": 50, "pending": 50}
    block = control.read(world.rows, [ACCOUNT])[ACCOUNT].blocks["ban"]
    assert (block.until.hour, block.kind) == (16, "quota_exceeded")

    world.clock.now = block.until
    world.minutes(3)
    assert called(world) == [10] * 10
    assert world.states(URLS) == {"banned": 100}


def test_the_days_urls_count_over_drains() -> None:
    world = world_at(DAILY)
    for part in range(10):
        world.post({"urls": URLS[part * 10 : part * 10 + 10]}, webhook_id=f"w{part}")
        world.minutes(1)
    assert sum(called(world)) == 50


def test_unbans_go_on_when_the_days_bans_are_used_up() -> None:
    world = world_at(DAILY)
    world.post({"urls": URLS})
    world.minutes(3)
    undo(world, urls=tuple(URLS[:5]))
    world.minutes(2)
    assert called(world, Action.UNBAN) == [5]


def test_lifts_at_the_end_of_bans_leave_a_tenth_of_the_days_unbans_to_people() -> None:
    world = world_at(replace(DAILY, longest_ban=None, urls_per_day=0))
    world.post({"urls": URLS, "ban_duration": 1})
    world.minutes(3)
    world.clock.advance(days=1)
    world.minutes(5)
    assert called(world, Action.UNBAN) == [10] * 3  # 40 a day, of which 36 are for lifts.
    undo(world, urls=tuple(URLS[90:]))
    world.minutes(3)
    assert sum(called(world, Action.UNBAN)) == 40
    assert not set(URLS[90:]) & set(world.vendor.bans)

    world.clock.advance(days=1)
    world.minutes(5)
    world.clock.advance(days=1)
    world.minutes(5)
    world.clock.advance(days=1)
    world.minutes(5)
    assert world.vendor.bans == {}


def test_a_task_of_more_urls_than_a_day_takes_goes_out_in_parts() -> None:
    world = world_at(replace(DAILY, urls_per_task=100, urls_per_day=30, unbans_per_day=30, longest_ban=None))
    world.post({"urls": URLS, "ban_duration": 4})
    for _ in range(4):
        world.minutes(3)
        world.clock.advance(days=1)
    assert called(world) == [25] * 4
    assert world.states(URLS) == {"banned": 100}

    for _ in range(5):
        world.minutes(3)
        world.clock.advance(days=1)
    assert world.vendor.bans == {}


def test_a_lift_whose_answer_was_lost_takes_no_room_from_people() -> None:
    world = world_at(replace(DAILY, longest_ban=None, urls_per_day=0))
    world.post({"urls": URLS, "ban_duration": 1})
    world.minutes(3)
    world.clock.advance(days=1)
    world.vendor.errors = [AnswerUnknown("lost on its way to the vendor")]
    world.minutes(5)
    undo(world, urls=tuple(URLS[90:]))
    world.minutes(3)

    assert not set(URLS[90:]) & set(world.vendor.bans)


# --- no list of bans -------------------------------------------------------------------------------------------------


def test_an_account_without_a_list_of_bans_is_compared_with_nothing_and_repeats_nothing() -> None:
    world = world_at(LIMITS)
    world.vendor.has_list = False
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(hours=3)
    found = compare(world)

    assert (found.missing, found.rebanned, found.complete) == ([], 0, False)
    assert len(world.vendor.calls) == 1


# --- a store that fills ----------------------------------------------------------------------------------------------


def test_a_store_that_holds_nine_tenths_of_what_it_takes_is_told() -> None:
    for capacity, nearly_full in ((0, 0), (1_000, 0), (112, 0), (111, 1), (90, 1)):
        world = world_at(replace(LIMITS, capacity=capacity))
        world.post({"urls": URLS})
        world.minutes(3)
        compare(world)
        assert world.events("drift_detected")[0]["nearly_full"] == nearly_full, capacity


def test_a_full_store_keeps_bans_waiting_and_lets_unbans_through() -> None:
    world = world_at(replace(LIMITS, urls_per_task=10))
    world.vendor.errors = [None] * 5 + [QuotaExceeded("full")] * 50
    world.post({"urls": URLS})
    world.minutes(3)
    assert world.states(URLS) == {"banned": 50, "pending": 50}
    world.vendor.errors = []
    undo(world, urls=tuple(URLS[:10]))
    world.minutes(2)
    assert called(world, Action.UNBAN) == [10]

    world.minutes(20)
    assert world.states(URLS) == {"banned": 90, "unbanned": 10}


# --- an asynchronous operation, one at a time ------------------------------------------------------------------------


class OneOperationAtATime(FakeVendor):
    """An account where a call begins an operation, and a further call is refused until that has ended.

    Cloudflare's lists work like this: the call answers with the operation's id, and an account may have one pending.
    """

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        self.settle()
        if any(task.state is TaskState.PROCESSING for task in self.tasks.values()):
            self.refused += 1
            raise Throttled("an operation is pending", retry_after=1)
        return super().create_task(action, urls, ban_days)

    refused: int = 0


def test_operations_one_at_a_time_are_all_done_and_a_refused_call_is_made_again() -> None:
    world = World()
    world.vendor = vendor = OneOperationAtATime(clock=world.clock, task_time=timedelta(seconds=20))
    vendor.limits = replace(LIMITS, urls_per_task=10, parallel=1)
    world.post({"urls": URLS})
    world.minutes(15)

    assert world.states(URLS) == {"banned": 100}
    assert called(world) == [10] * 10
    assert vendor.refused < 120
