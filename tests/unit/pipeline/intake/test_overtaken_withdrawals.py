"""A withdrawal takes back what its source had said by then, and nothing that the source said later (I2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions import holds
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages

(URL,) = pages(1)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LIFTS = {"queue": {"withdrawals": "lift"}}


def _world(sources: dict[str, Any] = LIFTS, **policy: Any) -> World:
    return World(rows=MemoryRows(), policy=parse_policy({**POLICY, "sources": sources, **policy}))


def _report(world: World, days: int, said_at: datetime | None = None) -> None:
    stated = {"reported_at": said_at.isoformat()} if said_at else {}
    world.queue({"urls": [URL], "ban_duration": days, **stated})


def _withdraw(world: World, said_at: datetime | None = None) -> None:
    stated = {"said_at": said_at.isoformat()} if said_at else {}
    world.queue({"withdrawn": [{"url": URL, **stated}]})


def _sources(world: World) -> list[str]:
    key = url_key(ACCOUNT, URL)
    claim = claims.read(world.rows, [key]).get(key)
    return [word.source for word in unpack(claim.words, world.sources)] if claim else []


def _days_left(world: World) -> float:
    key = url_key(ACCOUNT, URL)
    return (claims.read(world.rows, [key])[key].until - world.clock().timestamp()) / DAY.total_seconds()


def _is_blocked(world: World) -> bool:
    world.vendor.settle()
    return URL in world.vendor.bans


@pytest.mark.parametrize("lifts", [{}, LIFTS])
def test_what_the_source_said_after_its_withdrawal_stays_where_the_withdrawal_comes_late(lifts: dict[str, Any]) -> None:
    world = _world(lifts)
    said = world.clock()
    world.clock.advance(hours=1)
    _report(world, 7)
    world.minutes(3)
    _withdraw(world, said)
    world.minutes(3)
    assert (world.state(URL), _is_blocked(world)) == ("banned", True)
    assert not holds.all_held(world.rows, [ACCOUNT])
    assert _sources(world) == ["queue"]


def test_a_queue_message_that_is_delivered_late_withdraws_nothing_that_was_sent_after_it() -> None:
    world = _world()
    _withdraw(world)
    delayed = list(world.queued)
    world.queued.clear()
    world.clock.advance(minutes=10)
    _report(world, 7)
    world.minutes(3)
    world.queued = delayed
    world.minutes(3)
    assert (world.state(URL), _is_blocked(world)) == ("banned", True)


def test_what_was_said_before_its_withdrawal_is_taken_back_also_where_it_was_received_after_that() -> None:
    world = _world()
    said = world.clock()
    world.clock.advance(hours=3)
    _report(world, 7, said)
    world.minutes(3)
    _withdraw(world, said + HOUR)
    world.minutes(3)
    assert (world.state(URL), _is_blocked(world)) == ("unbanned", False)


def test_a_later_end_that_the_source_asked_for_since_stays() -> None:
    world = _world()
    _report(world, 3)
    world.minutes(3)
    withdrawn = world.clock()
    world.clock.advance(hours=5)
    _report(world, 20)
    world.minutes(3)
    _withdraw(world, withdrawn)
    world.minutes(3)
    assert world.state(URL) == "banned"
    assert 19.9 < _days_left(world) <= 20


def test_a_withdrawal_in_time_takes_back_a_word_that_moved_its_end_out() -> None:
    world = _world()
    for days in (3, 20):
        _report(world, days)
        world.minutes(3)
    _withdraw(world)
    world.minutes(3)
    assert (world.state(URL), _is_blocked(world)) == ("unbanned", False)


def test_a_lift_takes_nothing_back_that_arrives_late_and_was_said_after_the_withdrawal() -> None:
    world = _world()
    _report(world, 7)
    world.minutes(3)
    withdrawn = world.clock()
    world.clock.advance(hours=1)
    said = world.clock()
    world.clock.advance(hours=1)
    _withdraw(world, withdrawn)
    world.minutes(3)
    assert world.state(URL) == "unbanned"
    _report(world, 7, said)
    world.minutes(3)
    assert (world.state(URL), _is_blocked(world)) == ("banned", True)


def _held(world: World) -> None:
    world.policy = parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}})


def _failed(world: World) -> None:
    world.vendor.fail = {URL}


def _refused_by_the_vendor(world: World) -> None:
    world.vendor.refuse = {URL}


@pytest.mark.parametrize(
    ("trouble", "state"), [(_held, "held"), (_failed, "failed"), (_refused_by_the_vendor, "rejected")]
)
@pytest.mark.parametrize("overtaken", [True, False])
def test_a_late_withdrawal_takes_back_no_later_word_in_any_state(
    trouble: Callable[[World], None], state: str, overtaken: bool
) -> None:
    world = _world()
    trouble(world)
    said = world.clock()
    world.clock.advance(hours=1)
    _report(world, 7)
    world.minutes(20)
    assert world.state(URL) == state
    _withdraw(world, said if overtaken else None)
    world.minutes(3)
    assert _sources(world) == (["queue"] if overtaken else [])
    assert bool(holds.all_held(world.rows, [ACCOUNT])) == (overtaken and state == "held")


@pytest.mark.parametrize(("overtaken", "state"), [(True, "banned"), (False, "suppressed")])
def test_a_reporter_who_reported_since_counts_still(overtaken: bool, state: str) -> None:
    world = _world({}, categories={"default": {"min_reporters": 2}, "phishing": {"min_reporters": 2}})
    said = world.clock()
    world.clock.advance(hours=1)
    _report(world, 7)
    world.minutes(1)
    _withdraw(world, said if overtaken else None)
    world.minutes(1)
    world.post({"urls": [URL]})
    world.minutes(3)
    assert world.states([URL]) == ({"banned": 1} if overtaken else {"suppressed": 1})


Said = tuple[str, int]
"""The words of a source in their order: days of a ban, or 0 for a withdrawal."""


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("days", [(7, 0, 20), (0, 7, 20), (7, 20, 0)])
def test_reports_and_a_withdrawal_come_to_the_same_in_any_order_and_batching(
    days: tuple[int, ...], order: Sequence[int], batched: bool
) -> None:
    world = _world()
    began = world.clock()
    world.clock.advance(hours=9)
    for place in order:
        said = began + place * HOUR
        if days[place]:
            _report(world, days[place], said)
        else:
            _withdraw(world, said)
        if not batched:
            world.minutes(3)
    world.minutes(3)
    stays = days[-1] != 0
    assert _is_blocked(world) == stays
    assert _sources(world) == (["queue"] if stays else [])
    if stays:
        assert 19.9 < _days_left(world) <= 20


@pytest.mark.parametrize("reversed_", [False, True])
def test_a_source_that_asks_again_in_the_batch_of_its_withdrawal_has_a_ban_of_its_own_length(reversed_: bool) -> None:
    world = _world()
    _report(world, 30)
    world.minutes(3)
    _withdraw(world)
    world.clock.advance(seconds=2)
    _report(world, 5)
    if reversed_:
        world.queued.reverse()
    world.minutes(5)
    assert (world.state(URL), _is_blocked(world)) == ("banned", True)
    assert 4.9 < _days_left(world) <= 5
