"""Scheduled work that is killed at any call and begun again ends as if unharmed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.errors import QuotaExceeded
from chalicelib.ledger import control
from chalicelib.pipeline.decisions import ban_by_hand, holds
from chalicelib.pipeline.decisions.by_hand_request import Request
from dev.fakes.killing import WAYS, Step, Way, judge_killed, said, say, take_back, world_of_sources
from dev.fakes.operations import carry_on_all, compare, renew, undo
from dev.fakes.world import ACCOUNT, World, pages

URLS = pages(4)
SOME = URLS[:2]


def _due_for_renewal() -> World:
    world = world_of_sources()
    said(world, "desk", URLS, category="malware")
    said(world, "isp", SOME, 30)
    world.clock.advance(days=29, hours=2)
    return world


def _renewed_by_their_own_ends() -> World:
    """Return a world in which some URLs of one chunk end soon, and were extended."""
    world = world_of_sources()
    said(world, "desk", URLS, 3)
    said(world, "isp", SOME, 20)
    world.clock.advance(days=2, hours=3)
    return world


def _failed() -> World:
    """Return a world in which the vendor has failed a URL, whose task no tracker has seen yet."""
    world = world_of_sources()
    world.vendor.fail = {URLS[0]}
    say(world, "desk", URLS[:1], 9)
    world.intake()
    world.minutes(1)
    world.clock.advance(minutes=1)
    world.drain()
    return world


def _to_be_sent_again() -> World:
    world = _failed()
    world.minutes(4)
    world.vendor.fail = set()
    world.clock.advance(hours=2)
    return world


def _at_a_person_s_end() -> World:
    world = world_of_sources()
    said(world, "desk", URLS, 9)
    end = world.clock() + timedelta(hours=30)
    request = Request("ana", "ana", "a ticket", tuple(SOME), end=end, only_in_force=True)
    ban_by_hand.ban(world.run(), request)
    world.clock.now = end + timedelta(minutes=1)
    return world


def _at_the_end_that_is_left() -> World:
    world = world_of_sources()
    said(world, "desk", URLS, 2)
    said(world, "isp", SOME, 20)
    world.clock.advance(days=1, hours=6)
    renew(world)
    world.minutes(3)
    take_back(world, "isp", SOME)
    world.minutes(3)
    world.clock.advance(hours=19)
    return world


def _lost_by_the_vendor() -> World:
    world = world_of_sources()
    said(world, "desk", URLS, 9)
    world.clock.advance(hours=2)
    world.vendor.settle()
    for url in SOME:
        del world.vendor.bans[url]
    return world


def _an_unban_before_bans() -> World:
    """Return a world in which an unban and new bans wait for the submitter."""
    world = world_of_sources()
    said(world, "desk", SOME, 9)
    say(world, "desk", URLS[2:], 9)
    world.intake()
    undo(world, urls=tuple(SOME))
    return world


def _an_unban_beside_a_used_up_quota() -> World:
    world = _an_unban_before_bans()
    until = world.clock() + timedelta(minutes=4)
    control.block(world.rows, ACCOUNT, until=until, error=QuotaExceeded("used up"), subject="bans")
    return world


def _under_way() -> World:
    world = _an_unban_before_bans()
    world.drain()
    return world


def _approved_all(world: World) -> None:
    for work in holds.all_held(world.rows, [ACCOUNT]):
        world.approve(work.chunk)


STEPS = {
    "renew": Step(_due_for_renewal, renew),
    "renew by their own ends": Step(_renewed_by_their_own_ends, renew),
    "give up what the vendor failed": Step(_failed, World.track),
    "send again what the vendor failed": Step(_to_be_sent_again, renew),
    "lift at a person's end": Step(_at_a_person_s_end, carry_on_all),
    "lift at the end that is left": Step(_at_the_end_that_is_left, carry_on_all),
    "ban again what the vendor lost": Step(_lost_by_the_vendor, compare),
    "submit an unban and bans": Step(_an_unban_before_bans, World.drain),
    "submit an unban beside a used up quota": Step(_an_unban_beside_a_used_up_quota, World.drain),
    "track": Step(_under_way, World.track),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_what_a_schedule_does_comes_to_the_same_wherever_it_was_killed(step: Step, way: Way) -> None:
    judge_killed(step, way)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_lost_bans_above_the_cap_are_held_and_banned_once(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.pipeline.upkeep.drift.REBAN_AT_MOST", 1)
    judge_killed(Step(_lost_by_the_vendor, compare, afterwards=_approved_all), way)
