"""The words about one URL reach the vendor in their order, whichever of them stay unsent for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.urls import url_key
from chalicelib.ledger import chunks, claims, remaining, waiting_unbans
from chalicelib.pipeline.decisions import ban_by_hand
from chalicelib.pipeline.decisions.by_hand_request import Request
from chalicelib.pipeline.lifecycle import claiming
from dev.fakes.operations import approve, carry_on_all, refuse, undo, world_with
from dev.fakes.vendor import LIMITS
from dev.fakes.world import ACCOUNT, World, pages

(PAGE,) = pages(1)

Word = Callable[[World], object]


def world_of_an_unban_on_its_way() -> World:
    """Return a world whose vendor works on a ban for an hour, while an unban waits for it."""
    world = world_with(sources={"desk": {"trust": "review"}})
    world.vendor.task_time = timedelta(hours=1)
    reported_by_trusted(world)
    world.drain()
    unbanned(world)
    world.clock.advance(seconds=1)
    return world


def reported_by_trusted(world: World) -> None:
    world.queue({"urls": [PAGE]})
    world.intake()


def reported_for_review(world: World) -> None:
    world.post({"urls": [PAGE]})
    world.intake()


def withdrawn_from_review(world: World) -> None:
    world.post({"withdrawn": [{"url": PAGE}]}, webhook_id="back")
    world.intake()


def unbanned(world: World) -> None:
    undo(world, urls=(PAGE,), cool_down_days=0)


def banned_by_hand(world: World) -> None:
    ban_by_hand.ban(world.run(), Request("ben", "ben", "ticket", (PAGE,), sources=tuple(world.sources)))


def approved(world: World) -> None:
    (hold,) = [work for work in remaining.of_account(world.rows, ACCOUNT) if work.state == "held"]
    approve(world, hold.chunk)


def settled(world: World) -> tuple[str, bool]:
    """Let everything end; return the page's state in the ledger, and whether the vendor blocks it."""
    for _ in range(14):
        world.clock.advance(minutes=20)
        carry_on_all(world)
        world.minutes(2)
    world.vendor.settle()
    return world.state(PAGE), PAGE in world.vendor.bans


@pytest.mark.parametrize(
    "words",
    [
        [reported_by_trusted],
        [banned_by_hand],
        [reported_for_review, approved],
        [reported_for_review, reported_by_trusted],
        [reported_for_review, banned_by_hand],
        [reported_for_review, refuse, banned_by_hand],
        [reported_for_review, withdrawn_from_review, reported_by_trusted],
        [reported_for_review, unbanned, reported_by_trusted],
        [reported_for_review, refuse, unbanned, banned_by_hand],
        [reported_by_trusted, unbanned, reported_by_trusted],
        [reported_by_trusted, unbanned, reported_for_review, banned_by_hand],
    ],
    ids=lambda words: ", ".join(word.__name__ for word in words),
)
def test_a_ban_is_sent_after_every_unban_before_it(words: list[Word]) -> None:
    world = world_of_an_unban_on_its_way()
    for word in words:
        word(world)
        world.clock.advance(seconds=1)
        world.drain()
    assert settled(world) == ("banned", True)


@pytest.mark.parametrize("unsent", [[], [refuse], [withdrawn_from_review]], ids=["held", "refused", "withdrawn"])
def test_an_unban_waits_for_the_ban_that_an_unban_before_it_waits_for(unsent: list[Word]) -> None:
    world = world_of_an_unban_on_its_way()
    (first,) = [work for work in remaining.of_account(world.rows, ACCOUNT) if work.action == "unban"]
    for word in (reported_for_review, *unsent, unbanned):
        word(world)
        world.clock.advance(seconds=1)
    (second,) = [work for work in waiting_unbans.read(world.rows, ACCOUNT, now=None) if work.chunk != first.chunk]
    assert {*first.after} <= {*second.after}
    assert settled(world) == ("unbanned", False)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 16))
def test_a_released_ban_waits_for_an_unban_whose_maker_was_killed(at: int, after: bool) -> None:
    world = world_with(sources={"desk": {"trust": "review"}})
    reported_by_trusted(world)
    world.minutes(3)
    (submitted,) = world.events("task_submitted")
    with world.crash(at, after=after):
        undo(world, task=submitted["task_id"], cool_down_days=0)
    for word in (reported_for_review, reported_by_trusted):
        world.clock.advance(seconds=20)
        word(world)
        world.drain()
    state, is_blocked = settled(world)
    assert (state == "banned") == is_blocked


def test_a_claim_forgets_unbans_that_have_ended() -> None:
    world = world_of_an_unban_on_its_way()
    key = url_key(ACCOUNT, PAGE)
    reported_by_trusted(world)
    assert len(claims.read(world.rows, [key])[key].unbans) == 1
    assert settled(world) == ("banned", True)
    for _ in range(2):
        unbanned(world)
        world.minutes(200)
        reported_by_trusted(world)
        (unban,) = claims.read(world.rows, [key])[key].unbans
        (ban,) = remaining.of_account(world.rows, ACCOUNT)
        assert ban.after == (unban,)
        world.minutes(200)
    assert settled(world) == ("banned", True)


def test_a_url_that_was_unbanned_again_since_it_was_read_is_not_claimed() -> None:
    world = world_of_an_unban_on_its_way()
    key = url_key(ACCOUNT, PAGE)
    world.minutes(200)
    claims_by_key = claims.read(world.rows, [key])
    (first,) = chunks.read(world.rows, [claims_by_key[key].chunk]).values()
    unbanned(world)

    later = replace(first, id="", created_at=world.clock(), until=world.clock() + timedelta(days=7))
    assert claiming.begin(world.run(), later, claims_by_key) == set()
    assert settled(world) == ("unbanned", False)


@pytest.mark.parametrize("at", range(8))
def test_a_ban_waits_for_the_lift_that_a_person_s_unban_overtook(at: int) -> None:
    world = World()
    world.vendor.limits = replace(LIMITS, longest_ban=None)
    world.post({"urls": [PAGE], "ban_duration": 1})
    world.minutes(3)
    world.clock.advance(days=1)
    world.vendor.task_time = timedelta(hours=1)
    world.minutes(6)
    assert [action.value for action, _, _ in world.vendor.calls] == ["ban", "unban"]

    world.vendor.task_time = timedelta(0)
    unbanned(world)
    world.minutes(2)
    with world.crash(at, after=True):
        reported_by_trusted(world)
    world.clock.advance(seconds=1)
    assert settled(world) == ("banned", True)


@pytest.mark.parametrize("at", range(1, 16))
def test_a_ban_whose_maker_was_killed_remembers_the_unban_on_its_way(at: int) -> None:
    world = world_of_an_unban_on_its_way()
    with world.crash(at, after=True):
        banned_by_hand(world)
    world.minutes(7)
    claim = claims.read(world.rows, [url_key(ACCOUNT, PAGE)])[url_key(ACCOUNT, PAGE)]
    assert len(claim.all_unbans) == 1
