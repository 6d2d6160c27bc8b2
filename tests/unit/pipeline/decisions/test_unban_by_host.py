"""Unbans by host, category, decision and time find exactly their bans, in the index and on their way."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.domain.model import Action
from chalicelib.ledger import unban_jobs
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.answers.ban_index import Reader, index_bans, up_to_now
from dev.fakes.operations import banned, carry_on_all, held, lasting, renew, undo, world_with
from dev.fakes.world import World, pages

SHOP, DEEP, OTHER = pages(3, "shop.example.com"), pages(2, "a.shop.example.com"), pages(2, "www.example.com")


def several() -> World:
    """Return a world in which URLs of three hosts are banned."""
    return banned([*SHOP, *DEEP, *OTHER])


def selecting(world: World, **selection: Any) -> World:
    """Undo a selection by host, category or source, and let the vendor lift it."""
    undo(world, **selection)
    world.minutes(3)
    return world


def test_a_host_is_undone_and_no_host_beside_it() -> None:
    world = selecting(several(), host="shop.example.com")
    assert set(world.vendor.bans) == {*DEEP, *OTHER}


def test_a_host_with_a_dot_is_undone_with_all_below_it() -> None:
    world = selecting(several(), host=".shop.example.com")
    assert set(world.vendor.bans) == set(OTHER)


@pytest.mark.parametrize("indexed", [False, True])
def test_what_the_view_holds_and_what_came_since_are_both_found(indexed: bool) -> None:
    world = banned(SHOP)
    if indexed:
        world.clock.advance(minutes=11)
        index_bans(world.run(), Reader(world.views))
    world.post({"urls": DEEP}, webhook_id="later")
    world.minutes(3)
    assert not selecting(world, host=".example.com").vendor.bans


def test_a_waiting_or_held_url_is_undone_before_any_vendor_has_it() -> None:
    world = World()
    world.post({"urls": [*SHOP, "https://shop.example.com/"]})
    world.intake()
    undo(world, host="shop.example.com")
    world.minutes(3)
    assert world.states([*SHOP, "https://shop.example.com/"]) == {"unbanned": 4}
    assert not world.vendor.bans


def test_a_host_is_undone_whoever_asked_and_its_reports_are_suppressed() -> None:
    world = banned(SHOP)
    world.queue({"urls": SHOP})
    world.minutes(1)
    selecting(world, host="shop.example.com")
    assert not world.vendor.bans
    world.queue({"urls": SHOP})
    world.minutes(3)
    assert not world.vendor.bans


def test_a_source_is_undone_at_one_host_alone_and_the_word_of_others_stands() -> None:
    world = several()
    world.queue({"urls": SHOP[:1]})
    world.minutes(1)
    selecting(world, host="shop.example.com", source="desk")
    assert set(world.vendor.bans) == {SHOP[0], *DEEP, *OTHER}


def test_a_source_that_joined_a_ban_of_another_is_taken_out_of_it_at_that_host() -> None:
    world = banned(SHOP)
    world.queue({"urls": SHOP})
    world.minutes(1)
    undo(world, host="shop.example.com", source="queue")
    selecting(world, source="desk")
    assert not world.vendor.bans


def test_a_category_is_undone_where_nobody_else_asked() -> None:
    world = World()
    world.post({"urls": [{"url": url, "category": "spam"} for url in SHOP]})
    world.post({"urls": [{"url": url, "category": "malware"} for url in DEEP]}, webhook_id="w2")
    world.queue({"urls": SHOP[:1]})
    world.minutes(3)
    selecting(world, category="Spam")
    assert set(world.vendor.bans) == {SHOP[0], *DEEP}


def test_a_decision_is_undone_with_what_carries_it_on() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": SHOP})
    world.minutes(3)
    world.post({"urls": OTHER}, webhook_id="w2")
    world.minutes(3)
    index, _ = up_to_now(world.run(), Reader(world.views))
    chunk = next(ban.chunk for ban in index.bans() if ban.url in SHOP)
    world.clock.advance(days=29, hours=12)
    renew(world)
    world.minutes(3)
    selecting(world, chunk=chunk)
    assert set(world.vendor.bans) == set(OTHER)


def test_an_approved_hold_is_undone_by_its_own_name() -> None:
    world, hold = held()
    world.approve()
    world.minutes(3)
    assert world.vendor.bans
    assert not selecting(world, chunk=hold).vendor.bans


@pytest.mark.parametrize("by", [{"host": ".example.com"}, {"source": "desk"}])
def test_only_what_was_banned_in_a_span_is_undone(by: dict[str, str]) -> None:
    world = banned(SHOP)
    world.clock.advance(hours=1)
    since = world.clock()
    world.post({"urls": DEEP}, webhook_id="w2")
    world.minutes(3)
    world.clock.advance(hours=1)
    until = world.clock()
    world.post({"urls": OTHER}, webhook_id="w3")
    world.minutes(3)
    place = stamp(since) if "source" in by else ""
    selecting(world, since=since, until_time=until, place=place, **by)
    assert set(world.vendor.bans) == {*SHOP, *OTHER}


def test_a_ban_of_a_span_is_undone_also_after_its_renewal() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": SHOP})
    world.minutes(3)
    until = world.clock()
    world.clock.advance(days=29, hours=12)
    renew(world)
    world.post({"urls": OTHER}, webhook_id="w2")
    world.minutes(3)
    selecting(world, source="desk", until_time=until)
    assert set(world.vendor.bans) == set(OTHER)


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_it_goes_on_and_sends_nothing_twice(after: bool) -> None:
    for at in range(1, 60):
        world = several()
        world.clock.advance(minutes=11)
        index_bans(world.run(), Reader(world.views))
        undo(world, host=".shop.example.com", seconds=-1)
        with world.crash(at, after=after):
            carry_on_all(world)
        done = world.crasher.calls < at
        carry_on_all(world)
        world.minutes(8)  # The sweep takes up what was left open when its lease has ended.
        assert set(world.vendor.bans) == set(OTHER)
        assert not unban_jobs.unfinished(world.rows)
        unbans = [url for task in world.vendor.tasks.values() if task.action is Action.UNBAN for url in task.urls]
        assert sorted(unbans) == sorted([*SHOP, *DEEP])
        if done:
            return
    raise AssertionError("it makes more calls than this test kills")


def test_a_request_whose_time_runs_out_goes_on_from_its_place() -> None:
    world = several()
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(world.views))
    job = undo(world, host=".shop.example.com", seconds=-1)
    assert set(world.vendor.bans) == {*SHOP, *DEEP, *OTHER}
    assert [each.id for each in unban_jobs.unfinished(world.rows)] == [job.id]
    carry_on_all(world)
    world.minutes(3)
    assert set(world.vendor.bans) == set(OTHER)
    assert unban_jobs.undone(world.rows, [job.id]) == {job.id: 5}


def test_version_1_does_not_take_up_a_request_that_it_would_misread() -> None:
    world = several()
    job = undo(world, host="nobody.example.com", seconds=-1)
    assert job.id.startswith("s-")
    assert not world.rows.query("jobs", prefix="u-")


def test_version_1_finds_a_job_of_the_kind_that_it_knows() -> None:
    world = several()
    undo(world, source="nobody", seconds=-1)
    (row,) = world.rows.query("jobs", prefix="u-")
    assert {"chunk", "host", "category", "until_time"}.isdisjoint(row)


def test_an_unban_of_a_host_that_is_not_ours_makes_no_job() -> None:
    world = world_with()
    undo(world, host="elsewhere.org")
    assert not unban_jobs.unfinished(world.rows)
