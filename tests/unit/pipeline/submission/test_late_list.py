"""A vendor's list of tasks is minutes late: edgeban does not take a missing task for a call without effect (I2)."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.domain.errors import AnswerUnknown
from dev.fakes.world import World, pages

FIRST, SECOND, THIRD = pages(9)[:3], pages(9)[3:6], pages(9)[6:]


def late_world(lag: timedelta) -> World:
    """Return a world whose vendor's list is late and that has submitted the first URLs."""
    world = World()
    world.vendor.list_lags = lag
    world.queue({"urls": FIRST})
    world.intake()
    world.drain()
    return world


def lose(world: World, urls: list[str]) -> None:
    """Submit URLs, and lose the vendor's answer."""
    world.queue({"urls": urls})
    world.intake()
    world.vendor.lose_answer = True
    world.drain(seconds=20)


def test_a_call_is_not_repeated_while_the_list_lacks_another_task_that_was_accepted() -> None:
    world = late_world(timedelta(minutes=6))
    lose(world, SECOND)
    world.minutes(10)

    assert world.states(FIRST + SECOND) == {"banned": 6}
    assert world.live_bans(SECOND[0]) == 1
    assert world.events("vendor_list_lags")


def test_a_call_is_not_repeated_soon_after_the_list_has_shown_ends_late() -> None:
    world = late_world(timedelta(minutes=6))
    world.minutes(8)
    assert world.states(FIRST) == {"banned": 3}
    lose(world, SECOND)  # No other task is under way that could show whether the list is late.
    world.minutes(10)

    assert world.states(SECOND) == {"banned": 3}
    assert world.live_bans(SECOND[0]) == 1


def test_a_list_that_was_late_hours_ago_delays_no_repetition() -> None:
    world = late_world(timedelta(minutes=6))
    world.minutes(8)
    world.vendor.list_lags = timedelta(0)
    world.clock.advance(hours=2)
    world.vendor.errors = [AnswerUnknown("lost")]
    world.queue({"urls": SECOND})
    world.minutes(4)
    assert world.states(SECOND) == {"banned": 3}


def test_a_list_that_shows_a_later_task_proves_that_a_call_had_no_effect() -> None:
    world = late_world(timedelta(minutes=6))
    world.minutes(8)  # The ledger knows that the list was late.
    world.vendor.list_lags, world.vendor.task_time = timedelta(0), timedelta(minutes=3)
    world.vendor.errors = [AnswerUnknown("lost")]
    world.queue({"urls": SECOND})
    world.intake()
    world.drain(seconds=20)
    world.queue({"urls": THIRD})
    world.minutes(2)
    world.drain()

    assert [urls for _, urls, _ in world.vendor.calls].count(tuple(SECOND)) == 2


def test_a_list_that_stays_late_delays_a_repetition_for_an_hour_at_the_most() -> None:
    world = late_world(timedelta(days=1))
    world.vendor.errors = [AnswerUnknown("lost")]
    world.queue({"urls": SECOND})
    world.minutes(55)
    assert [urls for _, urls, _ in world.vendor.calls].count(tuple(SECOND)) == 1
    world.minutes(10)
    assert [urls for _, urls, _ in world.vendor.calls].count(tuple(SECOND)) == 2
