"""A function may be killed between any two of its calls: nothing is lost and nothing is done twice (I1, I2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.domain.errors import AnswerUnknown, Throttled, Unavailable
from dev.fakes.world import World, pages

URLS = pages(30)


def _calls_of(run: Callable[[World], object], prepare: Callable[[World], object]) -> int:
    world = World()
    prepare(world)
    world.crasher.calls = 0
    run(world)
    return world.crasher.calls


def _finish(world: World) -> None:
    """Redeliver, sweep and track until everything is done."""
    world.minutes(12)
    assert not world.queued
    assert world.states(URLS) == {"banned": len(URLS)}
    assert {world.live_bans(url) for url in URLS} == {1}
    assert world.sweep() == {"huawei-main": 0}


def _posted(world: World) -> None:
    world.post({"urls": URLS})


def _queued_in_parts(world: World) -> None:
    for start in range(0, 30, 10):
        world.queue({"urls": URLS[start : start + 10] + URLS[:3]})


def _taken(world: World) -> None:
    _queued_in_parts(world)
    world.intake(limit=2)
    world.intake()


def _submitted(world: World) -> None:
    _taken(world)
    world.drain()


@pytest.mark.parametrize("after", [False, True])
def test_a_report_that_was_not_answered_is_sent_again_and_counts_once(after: bool) -> None:
    for at in range(1, _calls_of(_posted, lambda world: None) + 1):
        world = World()
        with world.crash(at, after=after):
            _posted(world)
        world.clock.advance(seconds=30)
        again = world.post({"urls": URLS})  # The sender saw no 202.
        assert again.accepted == len(URLS)
        _finish(world)
        assert set(world.report_states(again.report_id).values()) == {"banned"}


@pytest.mark.parametrize("after", [False, True])
def test_intake_killed_at_any_call_loses_and_doubles_nothing(after: bool) -> None:
    calls = _calls_of(World.intake, _queued_in_parts)
    assert calls >= 6
    for at in range(1, calls + 1):
        world = World()
        _queued_in_parts(world)
        with world.crash(at, after=after):
            world.intake()
        _finish(world)


@pytest.mark.parametrize("after", [False, True])
def test_intake_killed_twice_in_a_row_loses_and_doubles_nothing(after: bool) -> None:
    calls = _calls_of(World.intake, _queued_in_parts)
    for first in range(1, calls + 1):
        for second in range(1, calls + 1):
            world = World()
            _queued_in_parts(world)
            with world.crash(first, after=after):
                world.intake()
            world.clock.advance(seconds=30)
            with world.crash(second, after=not after):
                world.intake(limit=2)  # The message is redelivered beside other messages.
            _finish(world)


@pytest.mark.parametrize("after", [False, True])
def test_a_submitter_killed_at_any_call_loses_and_doubles_nothing(after: bool) -> None:
    calls = _calls_of(World.drain, _taken)
    assert calls >= 9
    for at in range(1, calls + 1):
        world = World()
        _taken(world)
        with world.crash(at, after=after):
            world.drain()
        _finish(world)


@pytest.mark.parametrize("run", [World.intake, World.drain, World.track])
def test_a_function_killed_between_any_two_rows_of_one_write_loses_and_doubles_nothing(
    run: Callable[[World], object],
) -> None:
    def prepare() -> World:
        world = World()
        (_queued_in_parts if run is World.intake else _taken if run is World.drain else _submitted)(world)
        world.crasher.tears = True
        return world

    world = prepare()
    world.crasher.calls = 0
    run(world)
    for at in range(1, world.crasher.calls + 1):
        world = prepare()
        with world.crash(at, after=False):
            run(world)
        world.crasher.tears = False
        _finish(world)


@pytest.mark.parametrize("after", [False, True])
def test_a_submitter_that_bisects_may_be_killed_at_any_call(after: bool) -> None:
    def prepare(world: World) -> None:
        _taken(world)
        world.vendor.refuse = {URLS[7]}

    good = [url for url in URLS if url != URLS[7]]
    for at in range(1, _calls_of(World.drain, prepare) + 1):
        world = World()
        prepare(world)
        with world.crash(at, after=after):
            world.drain()
        world.minutes(12)
        assert world.states(good) == {"banned": len(good)}
        assert world.state(URLS[7]) == "rejected"
        assert {world.live_bans(url) for url in good} == {1}


@pytest.mark.parametrize("after", [False, True])
def test_a_tracker_killed_at_any_call_loses_and_doubles_nothing(after: bool) -> None:
    for at in range(1, _calls_of(World.track, _submitted) + 1):
        world = World()
        _submitted(world)
        with world.crash(at, after=after):
            world.track()
        _finish(world)


@pytest.mark.parametrize("after", [False, True])
def test_a_tracker_killed_over_a_failed_task_carries_its_urls_on(after: bool) -> None:
    def prepare(world: World) -> None:
        world.vendor.fail = {URLS[3]}
        _submitted(world)

    good = [url for url in URLS if url != URLS[3]]
    for at in range(1, _calls_of(World.track, prepare) + 1):
        world = World()
        prepare(world)
        with world.crash(at, after=after):
            world.track()
        world.minutes(20)
        assert world.states(good) == {"banned": len(good)}
        assert world.state(URLS[3]) == "failed"
        assert {world.live_bans(url) for url in good} == {1}


@pytest.mark.parametrize("after", [False, True])
def test_a_sweep_killed_over_an_open_chunk_is_finished_by_the_next(after: bool) -> None:
    def prepare(world: World) -> None:
        _queued_in_parts(world)
        with world.crash(4, after=True):
            world.intake()
        world.queued.clear()  # The messages are gone, so that only the open chunk knows of the URLs.
        world.clock.advance(minutes=6)

    calls = _calls_of(World.sweep, prepare)
    assert calls >= 5
    for at in range(1, calls + 1):
        world = World()
        prepare(world)
        with world.crash(at, after=after):
            world.sweep()
        _finish(world)


def test_a_lost_answer_is_looked_up_and_adopted() -> None:
    world = World()
    _taken(world)
    world.vendor.lose_answer = True
    world.drain()
    _finish(world)
    assert len(world.vendor.calls) == 1
    assert len(world.events("task_adopted")) == 1


def test_an_unknown_answer_is_submitted_again_only_once_the_vendor_had_time_to_show_it() -> None:
    world = World()
    _taken(world)
    world.vendor.errors = [AnswerUnknown("timeout")]
    world.drain()
    assert len(world.vendor.calls) == 1  # The task is looked up and is not there; it is too early to call again.
    world.clock.advance(seconds=61)
    world.sweep()
    assert world.wakes
    world.drain()
    assert len(world.vendor.calls) == 2
    _finish(world)


def test_an_answer_that_comes_to_light_late_is_adopted_and_not_doubled() -> None:
    world = World()
    _taken(world)
    world.vendor.lose_answer = True
    world.vendor.list_errors = [Unavailable("down")] * 20
    world.drain()
    world.clock.advance(minutes=30)
    world.vendor.list_errors = []
    _finish(world)
    assert len(world.vendor.calls) == 1


def test_throttling_and_no_connection_are_no_reason_to_look_up() -> None:
    world = World()
    _taken(world)
    world.vendor.errors = [Throttled("slow down"), Unavailable("refused"), None]
    world.drain()
    assert "find_task" not in world.vendor.lists
    assert len(world.vendor.tasks) == 1
    _finish(world)


def test_a_second_submitter_stops_the_first_before_its_next_task() -> None:
    world = World()
    world.queue({"urls": pages(2500)})
    world.intake()

    class Overtaken:
        limits = world.vendor.limits
        calls = 0

        def create_task(self, *args: object) -> str:
            self.calls += 1
            if self.calls == 1:
                World.drain(world)  # The queue takes the first one for dead.
            return world.vendor.create_task(*args)  # type: ignore[arg-type]

    first = World(rows=world.rows, clock=world.clock)
    first.vendor = Overtaken()  # type: ignore[assignment]
    assert first.drain().why == "stale"
    assert first.vendor.calls == 1  # type: ignore[comparison-overlap]
    world.minutes(3)
    assert {world.live_bans(url) for url in pages(2500)[1000:]} == {1}
