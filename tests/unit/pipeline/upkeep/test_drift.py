"""Drift: bans that the vendor lost are restored, invented ones are reported, lingering ones are seen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import AccessRefused, AnswerUnknown, QuotaExceeded, Unavailable, VendorError
from chalicelib.domain.model import UrlState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claim_ends, claims
from chalicelib.pipeline.decisions import holds
from chalicelib.pipeline.upkeep.drift import REBAN_AT_MOST
from dev.fakes.objects import MemoryObjects
from dev.fakes.operations import banned, compare, renew, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeBan
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Meanwhile

URLS = pages(120)


def drifted() -> World:
    world = banned(URLS)
    world.clock.advance(hours=2)
    return world


def invent(world: World, url: str) -> None:
    now = world.clock()
    world.vendor.bans[url] = FakeBan(now, now, now + timedelta(days=3))


def test_a_comparison_without_drift_says_so() -> None:
    world = drifted()
    found = compare(world)
    assert (found.banned_there, found.missing, found.unknown, found.lingering) == (120, [], [], [])


def test_bans_that_the_vendor_lost_are_banned_again() -> None:
    world = drifted()
    for url in URLS[:7]:
        del world.vendor.bans[url]
    found = compare(world)
    assert sorted(found.missing) == sorted(URLS[:7])
    assert found.rebanned == 7
    world.minutes(3)
    assert set(world.vendor.bans) == set(URLS)
    assert world.states(URLS) == {"banned": 120}
    assert compare(world).missing == []


def test_more_missing_bans_than_the_cap_are_held_for_a_person_and_not_called_in_force() -> None:
    urls = pages(REBAN_AT_MOST + 50)
    world = banned(urls)
    ends_at = until(world, urls[0])
    world.clock.advance(hours=2)
    world.vendor.bans.clear()
    found = compare(world)
    assert len(found.missing) == found.held == len(urls)
    assert found.rebanned == 0
    assert world.states(urls) == {"held": len(urls)}
    world.minutes(3)
    assert not world.vendor.bans
    for hold in holds.all_held(world.rows, [ACCOUNT]):
        holds.approve(world.run(), hold.chunk, actor="ana", reason="the vendor lost them")
        if hold.count > world.policy.approvals.two_above:
            holds.approve(world.run(), hold.chunk, actor="ben", reason="indeed")
    world.minutes(3)
    assert world.states(urls) == {"banned": len(urls)}
    assert set(world.vendor.bans) == set(urls)
    claim = claims.read(world.rows, [url_key(ACCOUNT, urls[0])])[url_key(ACCOUNT, urls[0])]
    assert claim.until == ends_at, "the planned end stands, however long the hold waited"


def until(world: World, url: str) -> int:
    key = url_key(ACCOUNT, url)
    return claims.read(world.rows, [key])[key].until


def test_a_ban_restored_two_hours_before_its_end_is_lifted_at_its_end() -> None:
    url = URLS[0]
    world = banned([url])
    ends_at = datetime.fromtimestamp(until(world, url), tz=UTC)
    world.clock.now = ends_at - timedelta(hours=2)
    world.vendor.bans.clear()
    assert compare(world).rebanned == 1
    world.minutes(115)
    assert url in world.vendor.bans
    world.minutes(10)
    assert url not in world.vendor.bans
    assert world.state(url) == "expired"


def test_no_ban_is_missing_that_the_list_holds_however_many_there_are() -> None:
    world = banned(pages(REBAN_AT_MOST + 50))
    world.clock.advance(hours=2)
    assert compare(world).missing == []


def test_bans_that_nobody_here_asked_for_are_reported_and_can_be_unbanned() -> None:
    world, shelf = drifted(), MemoryObjects()
    invent(world, "https://www.example.com/invented")
    found = compare(world, shelf)
    assert found.unknown == ["https://www.example.com/invented"]
    report = json.loads(shelf.objects[found.key])
    assert report["unknown"] == {"urls": 1, "first": ["https://www.example.com/invented"]}
    calls = len(world.vendor.calls)
    undo(world, urls=tuple(found.unknown))
    world.minutes(3)
    assert len(world.vendor.calls) == calls + 1
    assert "https://www.example.com/invented" not in world.vendor.bans


def test_an_unban_that_did_not_take_is_seen() -> None:
    world = drifted()
    undo(world, urls=tuple(URLS[:1]))
    world.minutes(3)
    invent(world, URLS[0])
    assert compare(world).lingering == URLS[:1]


def test_young_bans_are_not_taken_for_missing() -> None:
    world = banned(URLS)
    world.vendor.bans.clear()
    assert compare(world).missing == []


def test_a_list_that_could_not_be_read_to_its_end_makes_nothing_missing() -> None:
    world = drifted()
    world.vendor.list_errors = [None, Unavailable("down")]
    found = compare(world)
    assert not found.complete
    assert found.missing == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(None, ""), (AnswerUnknown("not as documented"), "not as documented"), (AccessRefused("no"), "")],
    ids=["all read", "unreadable", "refused, which is told by itself"],
)
def test_a_list_that_is_not_read_to_its_end_is_told_of(error: VendorError | None, told: str) -> None:
    world = drifted()
    world.vendor.list_errors = [None, error]
    compare(world)
    (event,) = world.events("drift_detected")
    assert (event["cut_short"], event["problem"]) == (int(bool(told)), told)


def test_a_list_that_is_longer_than_one_run_reads_is_told_of() -> None:
    world = drifted()
    compare(world, minutes=0)
    assert world.events("drift_detected")[0]["cut_short"] == 1


def test_a_vendor_that_fails_while_it_is_asked_for_what_is_missing_still_gets_its_report() -> None:
    world, shelf = drifted(), MemoryObjects()
    del world.vendor.bans[URLS[0]]
    world.vendor.list_errors = [None, None, None, Unavailable("down")]  # Three pages succeed, then the question fails.
    found = compare(world, shelf)
    assert not found.complete
    assert (found.missing, found.rebanned) == ([], 0)
    assert json.loads(shelf.objects[found.key])["complete"] is False


def test_refused_access_blocks_the_account_and_drift_heeds_a_block() -> None:
    world = drifted()
    world.vendor.list_errors = [AccessRefused("no such key")]
    assert not compare(world).complete
    assert world.events("vendor_error")[0]["kind"] == "access_refused"
    lists = len(world.vendor.lists)

    world.queue({"urls": pages(1, "new.example.com")})
    world.intake()
    assert world.drain().why == "blocked"
    again = compare(world)
    assert (again.complete, again.missing) == (False, [])
    assert len(world.vendor.lists) == lists
    world.clock.advance(minutes=11)
    assert compare(world).complete


def test_a_used_up_quota_does_not_keep_drift_from_reading_the_list() -> None:
    world = drifted()
    world.queue({"urls": pages(1, "new.example.com")})
    world.intake()
    world.vendor.errors = [QuotaExceeded("used up")]
    assert world.drain().why == "blocked"
    assert compare(world).complete


def test_nothing_is_called_missing_at_a_vendor_without_a_list() -> None:
    world = drifted()
    world.vendor.has_list = False
    world.vendor.bans.clear()
    found = compare(world)
    assert (found.complete, found.missing, found.rebanned) == (False, [], 0)


def test_a_lost_ban_that_was_held_for_weeks_before_is_found() -> None:
    world = World()
    root = "https://www.example.com/"
    world.queue({"urls": [root], "ban_duration": 30})
    world.intake()
    world.clock.advance(days=5)
    world.approve()
    world.minutes(3)
    world.clock.advance(days=29)
    world.vendor.settle()
    world.vendor.bans.clear()
    assert compare(world).missing == [root]


@pytest.mark.parametrize("outcome", [UrlState.REJECTED, UrlState.SUPPRESSED, UrlState.FAILED])
def test_a_ban_in_force_of_what_ended_without_one_is_unknown(outcome: UrlState) -> None:
    world = drifted()
    key = url_key(ACCOUNT, URLS[0])
    claim = claims.read(world.rows, [key])[key]
    claim_ends.end(world.rows, [key], chunk=claim.chunk, outcome=outcome, reason="said so")
    world.vendor.settle()
    assert URLS[0] in world.vendor.bans
    assert URLS[0] in compare(world).unknown


def test_when_the_time_is_over_the_tasks_that_are_left_are_not_looked_at() -> None:
    world = World()
    world.vendor.limits = replace(world.vendor.limits, urls_per_task=2)
    for part in range(60):
        world.queue({"urls": pages(1, f"h{part}.example.com")})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(5)
    world.clock.advance(hours=2)
    world.vendor.bans.clear()
    rows, world.rows = world.rows, Meanwhile(world.rows, "query", lambda: world.clock.advance(minutes=2))
    found = compare(world, minutes=1)
    world.rows = rows
    assert not found.complete
    assert len(found.missing) == 20
    whole = compare(world)
    assert whole.complete
    assert len(whole.missing) == 40


def test_chunks_are_read_many_at_a_time_and_nothing_more_where_nothing_is_missing() -> None:
    world = World()
    for part in range(40):
        world.queue({"urls": pages(1, f"h{part}.example.com")})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(5)
    world.clock.advance(hours=2)
    assert isinstance(world.rows, MemoryRows)
    before, lists = world.rows.calls.copy(), len(world.vendor.lists)
    compare(world)
    calls = world.rows.calls - before
    # The reads are: the control row; the claims of a page of the list; the task and its chunks.
    assert calls["get"] == 1 + 1 + 2
    assert calls["query"] == 32
    assert len(world.vendor.lists) == lists + 1


def test_a_restored_ban_without_an_end_is_renewed_like_the_ban_that_it_replaces() -> None:
    world = World(policy=parse({**POLICY, "categories": {"phishing": {"until": "unbanned"}}}))
    world.queue({"urls": URLS[:1], "category": "phishing"})
    world.minutes(5)
    world.clock.advance(hours=5)
    world.vendor.bans.clear()
    assert compare(world).rebanned == 1
    world.minutes(5)
    for _ in range(40):
        world.clock.advance(days=1)
        renew(world)
        world.minutes(3)
        world.vendor.settle()
        assert URLS[0] in world.vendor.bans


def test_the_list_is_read_below_the_vendor_s_rate() -> None:
    world = drifted()
    before = world.clock()
    compare(world)
    seconds = (world.clock() - before).total_seconds()
    assert len(world.vendor.lists) / max(seconds, 1) <= 30
