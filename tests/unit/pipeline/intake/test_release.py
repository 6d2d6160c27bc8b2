"""A report that is banned by itself takes a URL out of its hold, whoever reported it first (I2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions import holds
from chalicelib.ports import Update
from dev.fakes.operations import approve, refuse, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import AtCall

URLS = pages(4)
ASKED_AGAIN = {"held": 2}
"""The report of another source came right after the refusal."""
REVIEW = parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}})


def _held(rows: MemoryRows | None = None, urls: list[str] = URLS) -> World:
    """Return a world in which a source that may not ban by itself has reported URLs."""
    world = World(rows=rows or MemoryRows(), policy=REVIEW)
    world.queue({"urls": urls})
    world.minutes(2)
    assert world.states(urls) == {"held": len(urls)}
    return world


def _trusted(world: World, urls: list[str]) -> str:
    return world.post({"urls": urls}, webhook_id=f"{world.clock()}").report_id


def _version_1(world: World) -> None:
    """Remove from the claims what version 1 did not write."""
    for url in URLS:
        key = claims.key_of(url_key(ACCOUNT, url))
        world.rows.apply(Update(key, remove=("words", "held")))


def _same(_: World) -> None:
    pass


@pytest.mark.parametrize("prepare", [_same, _version_1])
@pytest.mark.parametrize("days", [0, 60])
@pytest.mark.parametrize("count", [1, 4])
def test_a_trusted_report_bans_what_a_weak_source_parked(
    prepare: Callable[[World], None], days: int, count: int
) -> None:
    world = _held()
    prepare(world)
    world.policy = parse_policy(
        {**POLICY, "categories": {"phishing": {"ban_for_days": 20}}, "sources": {"queue": {"trust": "review"}}}
    )
    world.clock.advance(days=days)
    report = _trusted(world, URLS[:count])
    world.minutes(3)
    assert world.states(URLS) == {"banned": count} | ({"held": 4 - count} if count < 4 else {})
    assert set(world.report_states(report).values()) == {"banned"}
    assert [world.live_bans(url) for url in URLS] == [1] * count + [0] * (4 - count)
    remaining = holds.all_held(world.rows, [ACCOUNT])
    assert [len(holds.read_hold(world.rows, work.chunk).positions) for work in remaining] == ([] if count == 4 else [3])


def test_the_words_of_both_sources_are_kept() -> None:
    world = _held()
    _trusted(world, URLS[:1])
    world.intake()
    key = url_key(ACCOUNT, URLS[0])
    words = unpack(claims.read(world.rows, [key])[key].words, world.sources)
    assert {word.source: word.bans for word in words} == {"desk": True, "queue": False}


def test_the_trusted_report_in_one_batch_bans_whatever_the_order() -> None:
    for trusted_first in (True, False):
        world = World(policy=REVIEW)
        if trusted_first:
            _trusted(world, URLS)
        world.queue({"urls": URLS})
        if not trusted_first:
            _trusted(world, URLS)
        world.minutes(3)
        assert world.states(URLS) == {"banned": 4}


def test_what_is_left_of_a_hold_is_approved_or_refused_and_what_left_is_not_decided_again() -> None:
    for decide, state in ((approve, "banned"), (refuse, "rejected")):
        world = _held()
        _trusted(world, URLS[:2])
        world.minutes(1)
        (work,) = holds.all_held(world.rows, [ACCOUNT])
        decide(world, work.chunk)
        world.minutes(5)
        assert world.states(URLS[:2]) == {"banned": 2}
        assert world.states(URLS[2:]) == {state: 2}
        assert max(world.live_bans(url) for url in URLS) == 1


def test_a_hold_by_a_source_s_own_cap_is_not_left_by_that_source() -> None:
    world = World(policy=parse_policy({**POLICY, "sources": {"queue": {"max_per_hour": 1}}}))
    world.queue({"urls": URLS})
    world.minutes(2)
    world.clock.advance(hours=2)
    world.queue({"urls": URLS[1:2]})
    world.minutes(2)
    assert world.states(URLS) == {"banned": 1, "held": 3}
    _trusted(world, URLS)
    world.minutes(2)
    assert world.states(URLS) == {"banned": 4}


def test_a_weak_source_that_repeats_itself_releases_nothing_and_writes_nothing_but_counts() -> None:
    rows = MemoryRows()
    world = _held(rows)
    world.queue({"urls": URLS})
    written = rows.units["written"]
    world.intake()
    assert rows.units["written"] == written + 1
    assert world.states(URLS) == {"held": 4}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("count", [2, 4])
def test_a_release_killed_at_any_call_bans_each_url_once(after: bool, count: int) -> None:
    for at in range(1, 20):
        world = _held()
        _trusted(world, URLS[:count])
        world.crasher.tears = True
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        assert world.states(URLS[:count]) == {"banned": count}
        assert [world.live_bans(url) for url in URLS] == [1] * count + [0] * (4 - count)
        for work in holds.all_held(world.rows, [ACCOUNT]):
            approve(world, work.chunk)
        world.minutes(3)
        assert [world.live_bans(url) for url in URLS] == [1] * 4


@pytest.mark.parametrize("after", [False, True])
def test_a_release_that_is_never_delivered_again_is_finished_by_the_sweep(after: bool) -> None:
    for at in range(1, 20):
        world = _held()
        _trusted(world, URLS[:2])
        with world.crash(at, after=after):
            world.intake()
        world.queued.clear()
        world.minutes(8)
        states = world.states(URLS[:2])
        assert states in ({"banned": 2}, {"held": 2})
        for work in holds.all_held(world.rows, [ACCOUNT]):
            approve(world, work.chunk)
        world.minutes(3)
        assert [world.live_bans(url) for url in URLS] == [1] * 4


@pytest.mark.parametrize("decide", [approve, refuse])
@pytest.mark.parametrize("call", range(1, 25))
def test_each_url_has_one_end_after_a_decision_and_a_release_at_one_moment(
    decide: Callable[[World, str], object], call: int
) -> None:
    """The person decides right before the n-th call of an intake that releases two of the URLs."""
    rows = MemoryRows()
    person = _held(rows)
    (work,) = holds.all_held(rows, [ACCOUNT])
    _trusted(person, URLS[:2])

    def decides() -> None:
        with suppress(Conflict, NotFound):
            decide(person, work.chunk)

    intake = World(rows=AtCall(rows, call, decides), clock=person.clock, policy=REVIEW, queued=person.queued)
    intake.intake()
    person.queued = intake.queued
    person.wakes.append(ACCOUNT)
    person.minutes(8)
    assert max(person.live_bans(url) for url in URLS) <= 1
    states = person.states(URLS[:2])
    assert states in ({"banned": 2}, {"rejected": 2}, ASKED_AGAIN) if decide is refuse else states == {"banned": 2}
    assert sum(person.states(URLS[2:])[state] for state in ("banned", "held", "rejected")) == 2
    assert not person.queued


def test_a_released_url_may_be_unbanned() -> None:
    world = _held()
    _trusted(world, URLS)
    world.intake()
    undo(world, urls=tuple(URLS))
    world.minutes(5)
    assert world.states(URLS) == {"unbanned": 4}
    world.vendor.settle()
    assert not world.vendor.bans


def test_a_release_that_the_vendor_refuses_ends_as_rejected() -> None:
    world = _held()
    world.vendor.refuse = {URLS[0]}
    _trusted(world, URLS)
    world.minutes(20)
    assert world.states(URLS) == {"banned": 3, "rejected": 1}


@pytest.mark.parametrize("decide", [approve, refuse])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_release_at_any_moment_of_a_decision_bans_no_url_twice(
    decide: Callable[[World, str], object], call: int
) -> None:
    """The intake releases two of the URLs right before the n-th call of the person's decision."""
    rows = MemoryRows()
    intake = _held(rows)
    (work,) = holds.all_held(rows, [ACCOUNT])
    _trusted(intake, URLS[:2])
    person = World(rows=AtCall(rows, call, intake.intake), clock=intake.clock, policy=REVIEW)
    with suppress(Conflict, NotFound):
        decide(person, work.chunk)
    intake.minutes(8)
    assert max(sum(sent.count(url) for _, sent, _ in intake.vendor.calls) for url in URLS) <= 1
    states = intake.states(URLS[:2])
    assert states in ({"banned": 2}, {"rejected": 2}, ASKED_AGAIN) if decide is refuse else states == {"banned": 2}
    assert not intake.queued
