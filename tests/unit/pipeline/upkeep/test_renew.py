"""Successive tasks carry bans that outlast the vendor's longest, without a gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import ContentRefused
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.urls import url_key
from chalicelib.domain.words.word import Kind, Word, added
from chalicelib.ledger import claim_words, claims
from chalicelib.ledger.packed_words import pack, unpack
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import ban_by_hand
from chalicelib.pipeline.decisions.by_hand_request import Request
from chalicelib.pipeline.upkeep.renew import renew_bans
from chalicelib.ports import Rows
from dev.fakes.killing import killed_at_each_call
from dev.fakes.operations import ROOTS, lasting, renew, undo, world_with
from dev.fakes.world import ACCOUNT, POLICY, START, World, pages
from dev.fakes.wrappers import Meanwhile

URLS = pages(40)


def live_on(world: World, days: int, *, watch: str = URLS[0]) -> list[bool]:
    """Let days pass, and run what is due each hour; return whether the vendor banned the URL at each."""
    banned = []
    for _ in range(days * 24):
        world.clock.advance(minutes=57)
        renew(world)
        world.minutes(3)
        world.vendor.settle()
        banned.append(watch in world.vendor.bans)
    return banned


def test_a_ninety_day_ban_is_carried_by_successive_tasks_without_a_gap() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    banned = live_on(world, 92)
    assert all(banned[: 90 * 24])
    assert not any(banned[91 * 24 :])  # A vendor's bans last whole days.
    assert [(task.days, len(task.urls)) for task in world.vendor.tasks.values()] == [(30, 40)] * 3 + [(3, 40)]
    assert world.states(URLS) == {"expired": 40}


def test_a_ban_until_unbanned_goes_on_until_it_is() -> None:
    world = lasting(until="unbanned")
    world.post({"urls": URLS})
    world.minutes(3)
    assert all(live_on(world, 65))
    undo(world, urls=tuple(URLS[:1]))
    world.minutes(3)
    assert not any(live_on(world, 40))
    assert URLS[1] in world.vendor.bans


def test_a_ban_whose_unban_failed_is_not_renewed_and_says_when_it_ends() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS[:2]})
    world.minutes(3)
    world.vendor.errors = [ContentRefused("no", code="X")]
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    assert world.state(URLS[0]) == "banned"
    assert any(live_on(world, 31))
    assert URLS[0] not in world.vendor.bans
    assert URLS[1] in world.vendor.bans
    assert world.state(URLS[0]) == "expired"
    (event,) = world.events("bans_not_renewed")
    assert (event["urls"], event["rule"]) == (1, "unban")


def test_renewals_of_many_chunks_are_packed_into_full_tasks() -> None:
    world = lasting(ban_for_days=60)
    for part in range(10):
        world.post({"urls": pages(150, f"h{part}.example.com")}, webhook_id=f"w{part}")
        world.intake()
    world.minutes(3)
    calls = len(world.vendor.calls)
    world.clock.advance(days=29, hours=1)
    assert renew(world) == 1500
    world.minutes(3)
    assert sorted(len(urls) for _, urls, _ in world.vendor.calls[calls:]) == [500, 1000]


def test_a_renewal_asks_for_no_more_days_than_are_planned() -> None:
    world = lasting(ban_for_days=40)
    world.post({"urls": URLS})
    world.minutes(3)
    live_on(world, 41)
    assert [days for _, _, days in world.vendor.calls] == [30, 11]


def test_a_refused_or_failed_url_is_not_renewed() -> None:
    world = lasting(ban_for_days=60)
    world.vendor.refuse = {URLS[3]}
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    assert renew(world) == 39


def test_a_report_during_a_long_ban_is_a_duplicate() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=31)
    world.post({"urls": URLS}, webhook_id="w2")
    assert world.intake().verdicts["duplicate"] == 40


@pytest.mark.parametrize("after", [False, True])
def test_a_renewal_killed_at_any_call_is_done_once(after: bool) -> None:
    def prepare() -> World:
        world = lasting(ban_for_days=60)
        world.post({"urls": URLS})
        world.minutes(3)
        world.clock.advance(days=29, hours=1)
        return world

    at = 0
    for at, world in killed_at_each_call(prepare, renew, after=after):
        for _ in range(3):
            world.minutes(7)
            renew(world)
        assert world.states(URLS) == {"banned": 40}
        assert {world.live_bans(url) for url in URLS} == {2}, at  # One is the first task, the other its renewal.
        world.clock.now = START + timedelta(days=59)
        world.vendor.settle()
        assert len(world.vendor.bans) == 40
    assert at >= 8


@pytest.mark.parametrize("first", ["renew", "unban"])
def test_an_unban_and_a_renewal_at_the_same_moment_end_in_the_unban(first: str) -> None:
    world = lasting(ban_for_days=60)
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    if first == "renew":
        renew(world)
        undo(world, urls=tuple(URLS))
    else:
        undo(world, urls=tuple(URLS))
        renew(world)
    world.minutes(8)
    world.vendor.settle()
    assert not world.vendor.bans
    assert world.states(URLS) == {"unbanned": 40}


# --- bans that are not renewed ----------------------------------------------------------------------------------------


def _protect(world: World, urls: list[str]) -> None:
    protected = [{"url": url, "comment": "a customer"} for url in urls]
    world.policy = parse({**POLICY, "categories": {"phishing": {"ban_for_days": 90}}, "protected": protected})


def _until(world: World, url: str) -> timedelta:
    """Return the end that the record shows for the ban of a URL."""
    (said,) = url_status.of_url(world.run(), url)
    assert said.state.value == "banned"
    assert said.until is not None
    return said.until - world.clock()


def test_a_ban_that_the_policy_forbids_to_renew_ends_with_the_vendors_days() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    _protect(world, URLS[:2])
    live_on(world, 29)
    world.clock.advance(hours=2)
    renew(world)
    world.minutes(3)
    assert timedelta(0) < _until(world, URLS[0]) < timedelta(days=1)
    assert _until(world, URLS[2]) > timedelta(days=50)
    live_on(world, 2)
    assert world.states(URLS) == {"banned": 38, "expired": 2}


def test_a_root_that_a_person_banned_is_renewed_where_reports_of_roots_are_rejected() -> None:
    root, reported = ROOTS[:2]
    categories = {"phishing": {"ban_for_days": 90}}
    world = world_with(categories=categories, bare_hosts="ban")
    world.post({"urls": [reported]})
    ban_by_hand.ban(world.run(), Request("ana", "ana", "ticket 4711", (root,), plan=plan_for(90)))
    world.minutes(3)
    world.policy = world_with(categories=categories, bare_hosts="reject").policy
    world.clock.advance(days=29, hours=1)
    assert renew(world) == 1
    world.minutes(3)
    assert _until(world, root) > timedelta(days=50)
    assert _until(world, reported) < timedelta(days=1)


def test_a_root_that_a_person_banned_is_not_renewed_once_it_is_protected() -> None:
    world = world_with(categories={"phishing": {"ban_for_days": 90}}, bare_hosts="reject")
    ban_by_hand.ban(world.run(), Request("ana", "ana", "ticket 4711", (ROOTS[0],), plan=plan_for(90)))
    world.minutes(3)
    _protect(world, ROOTS[:1])
    world.clock.advance(days=29, hours=1)
    assert renew(world) == 0
    assert _until(world, ROOTS[0]) < timedelta(days=1)


def test_a_root_that_a_person_approved_is_renewed_where_reports_of_roots_are_rejected() -> None:
    categories = {"phishing": {"ban_for_days": 90}}
    world = world_with(categories=categories, bare_hosts="hold")
    world.post({"urls": ROOTS[:1]})
    world.minutes(1)
    world.approve()
    world.minutes(3)
    world.policy = world_with(categories=categories, bare_hosts="reject").policy
    for _ in range(2):  # One is the renewal, the other the renewal of that.
        world.clock.advance(days=29, hours=1)
        assert renew(world) == 1
        world.minutes(3)


def test_a_root_is_renewed_by_the_rule_of_the_source_that_reported_it() -> None:
    categories = {"phishing": {"ban_for_days": 90}}
    world = world_with(categories=categories, bare_hosts="reject", sources={"desk": {"bare_hosts": "ban"}})
    world.post({"urls": ROOTS[:1]})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    assert renew(world) == 1


def test_each_url_is_renewed_before_its_own_ban_ends_at_the_vendor() -> None:
    world = lasting(ban_for_days=90)
    world.vendor.fail = {URLS[0]}
    world.vendor.names_failed = True
    world.post({"urls": URLS[:2]})
    world.minutes(1)
    assert set(world.vendor.bans) == {URLS[1]}
    world.vendor.fail = set()
    # Nothing runs for three days, so that the repetition begins three days after its neighbour's ban.
    world.clock.advance(days=3)
    world.minutes(3)
    assert all(live_on(world, 88, watch=URLS[1])[: 86 * 24])


@pytest.mark.parametrize("by", ["a report", "a person"])
def test_a_ban_that_is_extended_shortly_before_its_end_is_renewed_at_once(by: str) -> None:
    world = World()
    world.queue({"urls": [{"url": URLS[0], "ban_duration": 2}]})
    world.minutes(3)
    world.clock.advance(days=1, hours=23, minutes=50)
    if by == "a report":
        world.queue({"urls": [{"url": URLS[0], "ban_duration": 20}]})
    else:
        ban_by_hand.ban(world.run(), Request("ana", "ana", "ticket 4711", (URLS[0],), plan=plan_for(20)))
    world.minutes(3)
    assert [days for _, _, days in world.vendor.calls] == [2, 20]
    renew(world)
    world.minutes(3)
    assert len(world.vendor.calls) == 2


def test_a_ban_of_a_day_that_is_extended_while_the_vendor_works_on_it_has_no_gap() -> None:
    world = World()
    world.vendor.task_time = timedelta(minutes=2)
    world.queue({"urls": [{"url": URLS[0], "ban_duration": 1}]})
    world.minutes(1)
    world.queue({"urls": [{"url": URLS[0], "ban_duration": 9}]})
    world.intake()
    renew(world)
    world.minutes(5)
    world.clock.advance(hours=1)
    renew(world)
    world.minutes(3)
    assert [days for _, _, days in world.vendor.calls] == [1, 9]


@pytest.mark.parametrize("after", [False, True])
def test_a_renewal_at_once_killed_at_any_call_is_done_once(after: bool) -> None:
    for at in range(1, 26):
        world = World()
        world.queue({"urls": [{"url": URLS[0], "ban_duration": 2}]})
        world.minutes(3)
        world.clock.advance(days=1, hours=20)
        world.queue({"urls": [{"url": URLS[0], "ban_duration": 20}]})
        with world.crash(at, after=after):
            world.intake()
        for _ in range(3):
            world.minutes(8)
            renew(world)
        world.minutes(3)
        assert [days for _, _, days in world.vendor.calls][:1] == [2]
        assert world.live_bans(URLS[0]) == 2, at


def test_a_word_that_comes_while_its_ban_is_renewed_stands() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS[:2]})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    claim = claims.read(world.rows, [key := url_key(ACCOUNT, URLS[0])])[key]

    def said() -> None:
        word = Word(Kind.BAN, world.clock(), "isp", world.clock() + timedelta(days=300))
        words = pack(added(unpack(claim.words, ["desk"]), word))
        assert not claim_words.change(world.rows, [(claim, words, word.until)], now=world.clock())

    rows = Meanwhile(world.rows, "write", said, before=True)
    renew_bans(replace(world.run(), rows=cast("Rows", rows)).at(ACCOUNT))
    assert claims.read(world.rows, [key])[key].until - claim.until > 200 * 86_400
    live_on(world, 1)
    assert world.live_bans(URLS[0]) == 2


@pytest.mark.parametrize("forbidden_by", ["policy", "vendor"])
def test_a_renewal_that_fails_on_the_way_leaves_the_ban_that_is_in_force(forbidden_by: str) -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29)
    assert renew(world) == 40
    if forbidden_by == "policy":
        _protect(world, URLS[:2])
    else:
        world.vendor.refuse = set(URLS[:2])
    world.minutes(5)
    assert timedelta(0) < _until(world, URLS[0]) < timedelta(days=1)
    assert _until(world, URLS[2]) > timedelta(days=50)
    world.vendor.refuse = set()
    undo(world, urls=tuple(URLS[:1]))
    world.minutes(5)
    assert URLS[0] not in world.vendor.bans
    world.clock.advance(days=1)
    assert world.states(URLS) == {"unbanned": 1, "expired": 1, "banned": 38}
    world.policy = lasting(ban_for_days=90).policy
    world.post({"urls": URLS[1:2]}, webhook_id="again")
    world.minutes(3)
    assert world.state(URLS[1]) == "banned"


# --- failed renewals --------------------------------------------------------------------------------------------------


def _failing_renewal(**policy: Any) -> World:
    """Return a world in which the vendor fails to renew a ban of 60 days, a day before its own 30 are over."""
    world = world_with(categories={"phishing": {"ban_for_days": 60}}, **policy)
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29)
    world.vendor.fail = {URLS[0]}
    assert renew(world) == 40
    world.minutes(9)
    return world


def test_a_renewal_that_the_vendor_fails_is_sent_again_and_the_ban_has_no_gap() -> None:
    world = _failing_renewal()
    ends_at = _until(world, URLS[0])
    assert world.state(URLS[0]) == "banned"
    assert ends_at > timedelta(days=30)
    assert [event["urls"] for event in world.events("bans_tried_again")] == [1]
    assert not sum(event["given_up"] for event in world.events("task_finished"))
    banned = hours_on(world, 9)
    world.vendor.fail = set()
    banned += hours_on(world, 32 * 24)  # A vendor's bans last whole days.
    assert all(banned[: 30 * 24])
    assert world.states(URLS) == {"expired": 40}
    assert not world.events("bans_not_renewed")


def hours_on(world: World, hours: int) -> list[bool]:
    """Let hours pass; return whether the vendor banned the first URL at each."""
    banned = []
    for _ in range(hours):
        world.clock.advance(minutes=50)
        renew(world)
        world.minutes(10)
        world.vendor.settle()
        banned.append(URLS[0] in world.vendor.bans)
    return banned


def test_a_failed_renewal_is_tried_with_growing_waits_until_the_vendor_s_ban_ends_and_then_as_any_failed_ban() -> None:
    world = _failing_renewal()
    tried = []
    for hour in range(1, 24):
        before = len(world.vendor.calls)
        hours_on(world, 1)
        if any(URLS[0] in urls for _, urls, _ in world.vendor.calls[before:]):
            tried.append(hour)
    assert len(tried) == 4
    assert world.state(URLS[0]) == "banned"
    told = len(world.events("bans_tried_again"))
    assert told == 1 + len(tried)
    hours_on(world, 3)
    assert world.state(URLS[0]) == "failed"
    world.vendor.fail = set()
    hours_on(world, 3)
    assert world.state(URLS[0]) == "banned"
    assert _until(world, URLS[0]) > timedelta(days=29)
    assert world.live_bans(URLS[0]) == 2


@pytest.mark.parametrize("cause", ["no days to try", "refused"])
def test_a_ban_that_is_not_renewed_ends_with_the_vendor_s_says_so_and_is_told_before(cause: str) -> None:
    world = _failing_renewal(**({"retry_days": 0} if cause == "no days to try" else {}))
    if cause == "refused":
        world.vendor.fail, world.vendor.refuse = set(), {URLS[0]}
        hours_on(world, 2)
    (event,) = world.events("bans_not_renewed")
    assert event["urls"] == 1
    assert timedelta(0) < datetime.fromisoformat(event["ends_at"]) - world.clock() <= timedelta(days=1)
    assert timedelta(0) < _until(world, URLS[0]) <= timedelta(days=1)
    hours_on(world, 26)
    assert world.state(URLS[0]) == "expired"


@pytest.mark.parametrize("after", [False, True])
def test_a_renewal_that_fails_and_is_killed_at_any_call_is_sent_again_once(after: bool) -> None:
    for at in range(1, 30, 2):
        world = world_with(categories={"phishing": {"ban_for_days": 60}})
        world.post({"urls": URLS[:1]})
        world.minutes(3)
        world.clock.advance(days=29)
        world.vendor.fail = {URLS[0]}
        renew(world)
        world.drain()
        world.minutes(1)
        with world.crash(at, after=after):
            world.track()
        world.minutes(9)
        assert world.state(URLS[0]) == "banned", at
        world.vendor.fail = set()
        assert all(hours_on(world, 30)), at
        assert world.live_bans(URLS[0]) == 2, at


def test_a_ban_that_was_withdrawn_while_its_renewal_failed_is_not_renewed_again() -> None:
    world = _failing_renewal(sources={"desk": {"withdrawals": "lift"}})
    world.post({"withdrawn": [{"url": URLS[0]}]}, webhook_id="back")
    world.vendor.fail = set()
    hours_on(world, 30)
    assert world.states(URLS) == {"unbanned": 1, "banned": 39}
    assert URLS[0] not in world.vendor.bans


def test_renewals_for_which_there_was_no_time_are_told_of() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    renew_bans(world.run(seconds=-1).at(ACCOUNT))
    assert [event["left"] for event in world.events("bans_renewed")] == [1]
    renew(world)
    assert [event["left"] for event in world.events("bans_renewed")] == [1, 0]
