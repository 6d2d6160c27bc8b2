"""Calls stay apart far enough for the vendor, and close enough for a backlog (I3)."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.pacing import SHARE, Pace

START = datetime(2026, 1, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Clock:
    def __init__(self, *, overslept: float = 0) -> None:
        self.now = START
        self.overslept = overslept

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += timedelta(seconds=seconds + self.overslept)


def paced(rate: float = 10, *, last: datetime | None = None) -> tuple[Pace, Clock]:
    clock = Clock()
    return Pace(rate, clock=clock, sleep=clock.sleep, last=last), clock


def most_in_a_second(times: list[datetime]) -> int:
    return max(sum(start <= at < start + SECOND for at in times) for start in times)


@pytest.mark.parametrize("rate", [1, 10, 18, 30])
def test_a_backlog_uses_at_least_95_percent_of_the_rate_and_never_more_than_all_of_it(rate: int) -> None:
    pace, _ = paced(rate)
    times = [pace.wait() for _ in range(rate * 20)]

    used = (len(times) - 1) / (times[-1] - times[0]).total_seconds()
    assert 0.95 * rate <= used <= rate
    assert most_in_a_second(times) <= rate


def test_the_share_leaves_room_for_jitter_and_pays_what_a_backlog_is_owed() -> None:
    assert 0.95 <= SHARE < 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 39)), min_size=30, max_size=60))
def test_no_second_sees_more_calls_than_the_rate_however_long_each_takes_and_travels(
    delays: list[tuple[int, int]],
) -> None:
    pace, clock = paced(10)
    arrivals = []
    for busy, way in delays:
        arrivals.append(pace.wait() + timedelta(milliseconds=way))
        clock.now += timedelta(milliseconds=busy)

    assert most_in_a_second(arrivals) <= 10


def test_a_call_that_woke_late_and_travels_long_is_not_crowded_by_the_ten_behind_it() -> None:
    pace, clock = paced(10)
    pace.wait()
    clock.overslept = 0.026
    arrivals = [pace.wait() + timedelta(milliseconds=39)]
    clock.overslept = 0
    arrivals += [pace.wait() for _ in range(10)]

    assert most_in_a_second(arrivals) <= 10


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 39)), min_size=30, max_size=60))
def test_a_call_that_leaves_long_after_it_was_permitted_is_not_crowded_either(delays: list[tuple[int, int]]) -> None:
    pace, clock = paced(10)
    arrivals = []
    for late, way in delays:
        permitted = pace.wait()
        clock.now += timedelta(milliseconds=late)
        pace.departs(permitted)
        arrivals.append(clock.now + timedelta(milliseconds=way))

    assert most_in_a_second(arrivals) <= 10


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 4)), min_size=30, max_size=60))
def test_calls_that_leave_after_later_ones_were_permitted_are_not_crowded_either(
    stalls: list[tuple[int, int]],
) -> None:
    """After a stall of the process, the next call may be permitted before the thread of the last one runs."""
    pace, clock = paced(10)
    waiting: list[datetime] = []
    departures = []
    for stall, threads_late in stalls:
        waiting.append(pace.wait())
        if stall > 1_000:
            clock.now += timedelta(milliseconds=stall - 1_000)
        while len(waiting) > threads_late:
            pace.departs(waiting.pop(0))
            departures.append(clock())
    assert most_in_a_second(departures) <= 10


@pytest.mark.parametrize("overslept", [0.001, 0.005, 0.012])
def test_waking_late_costs_a_backlog_none_of_its_rate(overslept: float) -> None:
    clock = Clock(overslept=overslept)
    pace = Pace(10, clock=clock, sleep=clock.sleep)
    times = [pace.wait() for _ in range(200)]

    assert 199 / (times[-1] - times[0]).total_seconds() >= 9.5
    assert most_in_a_second(times) <= 10


@pytest.mark.parametrize("stall", [0.12, 0.36, 0.6])
def test_a_backlog_makes_up_what_a_slow_ledger_cost_and_keeps_the_rate(stall: float) -> None:
    pace, clock = paced(10)
    times = [pace.wait() for _ in range(30)]
    clock.now += timedelta(seconds=stall)
    times += [pace.wait() for _ in range(70)]

    assert 99 / (times[-1] - times[0]).total_seconds() >= 9.58
    assert most_in_a_second(times) <= 10
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= timedelta(milliseconds=52)


@pytest.mark.parametrize("last", [None, START - timedelta(seconds=0.5)])
def test_the_time_before_a_runs_first_call_is_not_made_up(last: datetime | None) -> None:
    pace, clock = paced(10, last=last)
    clock.now += timedelta(seconds=0.9)
    times = [pace.wait() for _ in range(11)]

    assert min(later - earlier for earlier, later in itertools.pairwise(times)) > timedelta(milliseconds=103)


def test_an_idle_while_is_not_made_up_for_by_a_burst() -> None:
    pace, clock = paced(10)
    pace.wait()
    clock.now += timedelta(minutes=1)
    times = [pace.wait() for _ in range(11)]

    assert times[1] - times[0] >= timedelta(milliseconds=104)
    assert most_in_a_second(times) <= 10


def test_whoever_follows_an_unknown_number_of_calls_keeps_away_from_their_second() -> None:
    pace, _ = paced(10, last=START - timedelta(milliseconds=1))

    assert pace.wait() - START > timedelta(milliseconds=999)


def test_whoever_follows_a_single_call_waits_for_one_gap() -> None:
    clock = Clock()
    pace = Pace(10, clock=clock, sleep=clock.sleep, last=START, last_calls=1)

    assert timedelta(milliseconds=100) < pace.wait() - START < timedelta(milliseconds=110)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 14), st.integers(0, 1500)), min_size=2, max_size=12))
def test_no_second_sees_more_calls_than_the_rate_when_one_run_follows_another(runs: list[tuple[int, int]]) -> None:
    clock = Clock()
    pace = Pace(10, clock=clock, sleep=clock.sleep)
    times: list[datetime] = []
    for calls, pause in runs:
        times += [pace.wait() for _ in range(calls)]
        clock.now += timedelta(milliseconds=pause)
        pace = Pace(10, clock=clock, sleep=clock.sleep, last=pace.last, last_calls=pace.last_calls)

    assert most_in_a_second(times) <= 10


def test_whoever_follows_long_after_the_last_call_goes_at_once() -> None:
    pace, _ = paced(10, last=START - timedelta(minutes=5))

    assert pace.wait() == START


def test_a_hold_keeps_all_calls_back_and_never_shortens_the_wait() -> None:
    pace, _ = paced(10)
    pace.wait()
    pace.hold(30)
    pace.hold(1)

    assert pace.due == START + timedelta(seconds=30)
    assert pace.wait() == START + timedelta(seconds=30)
