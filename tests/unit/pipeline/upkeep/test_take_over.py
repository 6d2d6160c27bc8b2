"""Bans that the vendor had before edgeban become edgeban's, and their ends are known after their renewal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.model import UrlState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import audit, claims
from chalicelib.pipeline.answers.url_status import of_url
from chalicelib.pipeline.lifecycle.explaining import UrlStatus
from chalicelib.pipeline.upkeep.take_over import UNKNOWN_END, Request, TakenOver, take_over
from dev.fakes.operations import compare, renew, undo, world_with
from dev.fakes.vendor import FakeBan
from dev.fakes.world import ACCOUNT, World, pages

URLS = pages(230)
REQUEST = Request("ana", "we begin to use edgeban", 60)


def newcomer(world: World | None = None) -> World:
    """Return a world with an empty ledger, whose vendor bans these URLs, each with its own end."""
    world = world or World()
    now = world.clock()
    for position, url in enumerate(URLS):
        world.vendor.bans[url] = FakeBan(now, now, now + timedelta(days=1 + position % 29))
    return world


def take(world: World, request: Request = REQUEST, *, seconds: float = 600) -> TakenOver:
    return take_over(world.run(seconds=seconds).at(ACCOUNT), world.crasher.wrap(world.vendor), request)


def status(world: World, url: str) -> UrlStatus:
    (found,) = of_url(world.run(), url)
    return found


def test_what_the_vendor_has_banned_is_taken_over_with_ends_that_are_not_known_and_then_are() -> None:
    world = newcomer()
    assert take(world) == TakenOver(taken=230, complete=True)
    found = status(world, URLS[0])
    assert (found.state, found.until, found.reason) == (UrlState.BANNED, None, UNKNOWN_END)
    ((_, decision),) = audit.about(world.rows, f"account:{ACCOUNT}")
    assert (decision.actor, decision.action) == ("ana", "take_over")

    assert renew(world) == 230
    world.minutes(3)
    found = status(world, URLS[0])
    assert found.state is UrlState.BANNED
    assert found.until
    assert abs(found.until - world.clock() - timedelta(days=60)) < timedelta(hours=1)
    for _ in range(45):
        world.clock.advance(days=1)
        renew(world)
        world.minutes(3)
    world.vendor.settle()
    assert set(world.vendor.bans) == set(URLS)
    assert compare(world).unknown == []


def test_a_take_over_leaves_urls_that_are_not_ours_protected_or_decided() -> None:
    protected = [{"url": URLS[1], "comment": "a customer"}]
    world = newcomer(world_with(protected=protected))
    world.vendor.bans["https://elsewhere.example.org/x"] = world.vendor.bans[URLS[0]]
    undo(world, urls=(URLS[2],))
    world.minutes(3)
    world.vendor.bans[URLS[2]] = world.vendor.bans[URLS[0]]
    world.post({"urls": [URLS[3]]})
    world.minutes(3)
    assert take(world) == TakenOver(taken=227, known=1, not_ours=1, not_to_be_banned=2, complete=True)
    assert world.state(URLS[2]) == "unbanned"


def test_a_root_is_taken_over_where_reports_of_roots_are_rejected_since_a_person_decides() -> None:
    world = world_with(bare_hosts="reject")
    now = world.clock()
    world.vendor.bans["https://www.example.com/"] = FakeBan(now, now, now + timedelta(days=9))
    assert take(world) == TakenOver(taken=1, complete=True)
    assert renew(world) == 1


def test_a_taken_over_url_can_be_unbanned_before_it_is_renewed() -> None:
    world = newcomer()
    take(world)
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    assert world.state(URLS[0]) == "unbanned"
    assert URLS[0] not in world.vendor.bans
    assert renew(world) == 229


@pytest.mark.parametrize("after", [False, True])
def test_a_take_over_that_is_killed_is_finished_by_the_same_command(after: bool) -> None:
    for at in (1, 2, 3, 5, 8, 13, 17, 18):
        world = newcomer()
        with world.crash(at, after=after):
            take(world)
        assert take(world).complete
        keys = [url_key(ACCOUNT, url) for url in URLS]
        assert len(claims.read(world.rows, keys)) == 230
        renew(world)
        world.minutes(3)
        assert world.states(URLS) == {"banned": 230}
        assert all(world.live_bans(url) == 1 for url in URLS)


def test_a_run_out_of_time_says_so_and_the_next_takes_the_rest() -> None:
    world = newcomer()
    first = take(world, seconds=0.15)
    assert not first.complete
    assert 0 < first.taken < 230
    second = take(world)
    assert second == TakenOver(taken=230 - first.taken, known=first.taken, complete=True)
