"""An approval and any decision at the same moment end in one state, and no URL is lost or doubled (I1, I2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.packing import Work
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger import holds as steps
from chalicelib.pipeline.decisions import holds
from dev.fakes.operations import carry_on_all, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import AtCall

URLS = pages(4)
REVIEW = parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}, "desk": {"withdrawals": "lift"}}})

Act = Callable[[World, str], object]


def approved(world: World, hold: str, *, excepted: tuple[str, ...] = ()) -> None:
    with suppress(Conflict, NotFound):
        holds.approve(world.run(), hold, actor="ana", reason="seen", excepted=excepted)


def approved_in_part(world: World, hold: str) -> None:
    approved(world, hold, excepted=(URLS[3],))


def approved_by_another(world: World, hold: str) -> None:
    with suppress(Conflict, NotFound):
        holds.approve(world.run(), hold, actor="ben", reason="seen too")


def refused(world: World, hold: str) -> None:
    with suppress(Conflict, NotFound):
        holds.refuse(world.run(), hold, actor="ben", reason="clean")


def approved_and_submitted(world: World, hold: str) -> None:
    approved(world, hold)
    world.drain()


def released(world: World, _hold: str) -> None:
    world.post({"urls": URLS[:2]}, webhook_id="trusted")
    world.intake()


def withdrawn(world: World, _hold: str) -> None:
    world.queue({"withdrawn": [{"url": url} for url in URLS[:2]]})
    world.intake()


def unbanned(world: World, _hold: str) -> None:
    undo(world, urls=tuple(URLS[:2]))
    world.drain()


def swept(world: World, _hold: str) -> None:
    world.sweep()


def held_for_review(world: World) -> str:
    world.queue({"urls": URLS})
    world.minutes(2)
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    return work.chunk


def held_since_a_person_decided(world: World) -> str:
    world.queue({"urls": URLS})
    world.minutes(2)
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    holds.refuse(world.run(), work.chunk, actor="eva", reason="clean")
    world.clock.advance(hours=1)
    world.post({"urls": URLS}, webhook_id="again")
    world.minutes(2)
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    return work.chunk


def assert_one_end(world: World) -> None:
    """Assert that each URL has one end, and that the vendor, the claim and the holds agree about it."""
    for _ in range(2):
        world.clock.advance(minutes=3)
        carry_on_all(world)
        world.minutes(6)
    world.vendor.settle()
    assert not world.queued
    held = [work for work in holds.all_held(world.rows, [ACCOUNT]) if work.rule != "withdrawn"]  # These are banned.
    waiting = {url for work in held for url in urls_of(world, work.chunk)}
    found = claims.read(world.rows, [url_key(ACCOUNT, url) for url in URLS], whole=True)
    for url in URLS:
        claim, state = found[url_key(ACCOUNT, url)], world.state(url)
        assert state in {"banned", "held", "rejected", "suppressed", "unbanned"}, url
        assert (state == "banned") == (url in world.vendor.bans), (url, state)
        assert (state == "held") == bool(claim.held and not claim.outcome) == (url in waiting), (url, state)
        assert world.live_bans(url) <= 1
        if state in {"rejected", "unbanned"}:
            assert claim.cool_until, "the decision stands for a time"


def urls_of(world: World, hold: str) -> list[str]:
    found = holds.read_hold(world.rows, hold)
    return [found.chunk.urls[position] for position in found.positions]


@pytest.mark.parametrize("held", [held_for_review, held_since_a_person_decided])
@pytest.mark.parametrize("act", [approved_by_another, refused, released, withdrawn, unbanned, swept])
@pytest.mark.parametrize("approves", [approved, approved_in_part])
def test_what_is_decided_at_any_moment_of_an_approval_has_one_end(
    held: Callable[[World], str], act: Act, approves: Act
) -> None:
    call, done = 0, False
    while not done:
        call += 1
        rows = MemoryRows()
        other = World(rows=rows, policy=REVIEW)
        hold = held(other)
        moment = AtCall(rows, call, partial(act, other, hold))
        approves(World(rows=moment, clock=other.clock, policy=REVIEW), hold)
        done = moment.calls < call
        other.wakes.append(ACCOUNT)
        assert_one_end(other)
    assert call > 5


def test_an_approval_that_is_submitted_at_any_moment_of_a_release_bans_each_url_once() -> None:
    call, done = 0, False
    while not done:
        call += 1
        rows = MemoryRows()
        other = World(rows=rows, policy=REVIEW)
        moment = AtCall(rows, call, partial(approved_and_submitted, other, held_for_review(other)))
        trusted = World(rows=moment, clock=other.clock, policy=REVIEW)
        trusted.post({"urls": URLS}, webhook_id="trusted")
        trusted.intake()
        other.queued += trusted.queued
        done = moment.calls < call
        other.wakes.append(ACCOUNT)
        assert_one_end(other)
        created = [url for _, urls, _ in other.vendor.calls for url in urls]
        assert sorted(created) == sorted(URLS), call
    assert call > 5


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("act", [approved_by_another, refused, released, withdrawn, unbanned, swept])
def test_what_is_decided_after_a_killed_approval_has_one_end(act: Act, after: bool) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        world = World(rows=MemoryRows(), policy=REVIEW)
        hold = held_for_review(world)
        with world.crash(at, after=after):
            approved_in_part(world, hold)
            killed = False
        act(world, hold)
        assert_one_end(world)
    assert at > 5


def test_an_approval_that_was_killed_once_it_was_recorded_is_carried_out_by_the_sweep() -> None:
    world = World(rows=MemoryRows(), policy=REVIEW)
    hold = held_for_review(world)
    assert steps.begin_release(world.rows, holds.read_hold(world.rows, hold).work, "ana\nseen", [3])
    assert not holds.all_held(world.rows, [ACCOUNT])
    with pytest.raises(NotFound):
        holds.refuse(world.run(), hold, actor="ben", reason="clean")
    world.minutes(4)
    assert world.states(URLS) == {"banned": 3, "rejected": 1}
    assert [event["actor"] for event in world.events("hold_approved")] == ["ana"]


def asked_whether_to_lift(rows: MemoryRows) -> tuple[World, Work]:
    """Return a world whose bans their source has taken back, and the hold that asks a person about them."""
    world = World(rows=rows)
    world.queue({"urls": URLS})
    world.minutes(3)
    world.queue({"withdrawn": [{"url": url} for url in URLS]})
    world.minutes(3)
    (work,) = holds.all_held(rows, [ACCOUNT])
    return world, work


@pytest.mark.parametrize("decide", [approved_by_another, refused])
def test_one_of_two_answers_whether_to_lift_a_ban_is_carried_out(decide: Act) -> None:
    call, done = 0, False
    while not done:
        call += 1
        rows = MemoryRows()
        other, work = asked_whether_to_lift(rows)
        moment, told = AtCall(rows, call, partial(decide, other, work.chunk)), []
        with suppress(Conflict, NotFound):
            person = World(rows=moment, clock=other.clock)
            told.append(holds.approve(person.run(), work.chunk, actor="ana", reason="seen").approved)
        done = moment.calls < call
        other.wakes.append(ACCOUNT)
        other.minutes(5)
        other.vendor.settle()
        lifted = other.states(URLS) == {"unbanned": 4}
        assert lifted or other.states(URLS) == {"banned": 4}
        assert lifted == (not other.vendor.bans)
        assert lifted or not told or not told[0], "who is told that bans are lifted is told the truth"
    assert call > 4


def test_an_approval_that_the_sweep_carries_out_at_any_moment_is_told_once() -> None:
    call, done = 0, False
    while not done:
        call += 1
        rows = MemoryRows()
        other, work = asked_whether_to_lift(rows)
        moment = AtCall(rows, call, partial(swept, other, work.chunk))
        person = World(rows=moment, clock=other.clock)
        approved(person, work.chunk)
        done = moment.calls < call
        told = person.events("unban_carried_out") + other.events("unban_carried_out")
        assert len(told) == 1, call
    assert call > 4
