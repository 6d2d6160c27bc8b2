"""edgeban tries URLs again that a vendor failed or refused for their content, and says so."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, reports
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import ban_by_hand
from chalicelib.pipeline.decisions.by_hand_request import Request
from chalicelib.ports import Update
from dev.fakes.operations import deliver, renew, undo, world_with, world_with_callbacks
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URL, OTHER = pages(2)


def said(world: World, days: int = 7, *, source: str = "queue") -> None:
    world.queue({"urls": [{"url": url, "ban_duration": days} for url in (URL, OTHER)]}, source=source)
    world.minutes(4)


def failing(world: World | None = None) -> World:
    """Let the vendor fail at one of two URLs, also when the URL is repeated at once."""
    world = world or World()
    world.vendor.fail = {URL}
    said(world)
    assert (world.state(URL), world.state(OTHER)) == ("failed", "banned")
    return world


def refused(world: World | None = None) -> World:
    """Let the vendor refuse one of two URLs for its content."""
    world = world or World()
    world.vendor.refuse = {URL}
    said(world)
    assert (world.state(URL), world.state(OTHER)) == ("rejected", "banned")
    return world


def hours(world: World, count: int) -> None:
    for _ in range(count):
        world.clock.advance(minutes=56)
        renew(world)
        world.minutes(4)


def calls_of(world: World) -> int:
    return sum(URL in urls for _, urls, _ in world.vendor.calls)


def claim_of(world: World) -> Claim:
    key = url_key(ACCOUNT, URL)
    return claims.read(world.rows, [key], whole=True)[key]


def given_up(world: World) -> int:
    return sum(event["given_up"] for event in world.events("task_finished"))


# --- failed -------------------------------------------------------------------------------------------------------


def test_a_url_that_the_vendor_failed_is_tried_again_to_its_planned_end() -> None:
    world = failing()
    until = claim_of(world).until
    assert "tries again at" in claim_of(world).reason
    world.vendor.fail = set()
    hours(world, 2)
    assert world.state(URL) == "banned"
    assert claim_of(world).until == until
    assert given_up(world) == 0
    assert world.live_bans(OTHER) == 1


def test_a_failed_ban_is_tried_with_growing_waits_for_the_days_of_the_policy_and_then_fails_with_an_alarm() -> None:
    world = failing(world_with(retry_days=2))
    tries = []
    for hour in range(70):
        before = calls_of(world)
        hours(world, 1)
        if calls_of(world) > before:
            tries.append(hour)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits == sorted(waits)
    assert len(tries) == 5
    assert world.state(URL) == "failed"
    assert "tries again" not in claim_of(world).reason
    assert given_up(world) == 1
    world.vendor.fail = set()
    said(world)  # A new report is a new ban.
    assert world.state(URL) == "banned"


def test_a_url_fails_at_once_without_retry_days_in_the_policy() -> None:
    world = failing(world_with(retry_days=0))
    assert given_up(world) == 1
    hours(world, 30)
    assert world.state(URL) == "failed"


def test_a_report_of_what_failed_is_added_and_moves_its_end_out() -> None:
    world = failing()
    calls = calls_of(world)
    said(world, 20)
    assert calls_of(world) == calls
    world.vendor.fail = set()
    hours(world, 2)
    assert world.state(URL) == "banned"
    assert claim_of(world).until - world.clock().timestamp() > 19 * 86_400


def test_a_failed_url_that_was_withdrawn_is_not_tried_again() -> None:
    world = failing()
    world.queue({"withdrawn": [URL]})
    world.minutes(1)
    world.vendor.fail = set()
    hours(world, 30)
    assert URL not in world.vendor.bans


def test_a_failed_url_that_was_unbanned_is_not_tried_again() -> None:
    world = failing()
    world.vendor.fail = set()
    undo(world, urls=(URL,))
    world.minutes(3)
    hours(world, 30)
    assert world.state(URL) == "unbanned"
    assert URL not in world.vendor.bans


@pytest.mark.parametrize(
    ("changed", "state", "reason"),
    [
        ({"protected": [{"url": URL, "comment": "ours"}]}, "suppressed", "protected"),
        ({"accounts": {ACCOUNT: {"managed_domains": ["shop.example.com"]}}}, "rejected", "host"),
    ],
    ids=["protected", "not managed"],
)
def test_a_failed_url_that_the_policy_forbids_meanwhile_is_not_tried_again_and_ends(
    changed: dict[str, Any], state: str, reason: str
) -> None:
    world = failing()
    policy, world.policy = world.policy, parse_policy({**POLICY, **changed})
    world.vendor.fail = set()
    calls = calls_of(world)
    hours(world, 3)
    assert calls_of(world) == calls
    assert (world.state(URL), world.state(OTHER)) == (state, "banned")
    assert reason in claim_of(world).reason
    world.policy = policy
    hours(world, 3)
    assert world.state(URL) == state, "it has ended"
    said(world)
    assert world.state(URL) == "banned", "a new report is a new ban"


@pytest.mark.parametrize("begin", [failing, refused])
def test_a_person_s_ban_is_tried_at_once(begin: Any) -> None:
    world = begin()
    world.vendor.fail, world.vendor.refuse = set(), set()
    ban_by_hand.ban(world.run(), Request("ana", "ana", "ticket 4711", (URL,), plan=plan_for(9)))
    world.minutes(3)
    assert world.state(URL) == "banned"
    hours(world, 30)
    assert world.live_bans(URL) == 1


def test_a_source_is_told_that_it_failed_and_again_once_it_is_banned() -> None:
    world, receiver = world_with_callbacks()
    world.vendor.fail = {URL}
    world.post({"urls": [URL]})
    world.minutes(4)
    deliver(world, receiver)
    world.vendor.fail = set()
    hours(world, 2)
    world.clock.advance(hours=6)
    deliver(world, receiver)
    assert [body["data"]["urls"][0]["state"] for _, body in receiver.got] == ["failed", "banned"]


@pytest.mark.parametrize("after", [False, True])
def test_a_failure_and_its_retry_killed_at_any_call_are_done_once(after: bool) -> None:
    for at in range(1, 30):
        world = World()
        world.vendor.fail = {URL}
        world.queue({"urls": [URL]})
        world.minutes(1)
        world.clock.advance(minutes=1)
        world.drain()
        with world.crash(at, after=after):
            world.track()
        world.minutes(4)
        world.vendor.fail = set()
        world.clock.advance(hours=2)
        with world.crash(at, after=after):
            renew(world)
        for _ in range(2):
            world.clock.advance(minutes=50)
            renew(world)
            world.minutes(8)
        assert world.state(URL) == "banned", at
        assert world.live_bans(URL) == 1, at


# --- refused for its content ---------------------------------------------------------------------------------------


def test_a_new_word_tries_what_the_vendor_refused_once_more_after_a_day() -> None:
    world = refused()
    calls = calls_of(world)
    world.clock.advance(hours=1)
    world.post({"urls": [URL]})
    world.minutes(3)
    assert calls_of(world) == calls
    world.vendor.refuse = set()
    hours(world, 20)
    assert calls_of(world) == calls
    hours(world, 5)
    assert world.state(URL) == "banned"


def test_a_url_that_is_refused_a_second_time_stays_rejected_with_the_vendor_s_reason() -> None:
    world = refused()
    receipt = world.post({"urls": [URL]})
    world.minutes(3)
    hours(world, 26)
    calls = calls_of(world)
    world.post({"urls": [{"url": URL, "ban_duration": 6}]}, webhook_id="w2")
    world.minutes(3)
    hours(world, 30)
    assert calls_of(world) == calls
    report = reports.read(world.rows, receipt.report_id)
    assert report
    (state,) = url_status.of_report(world.run(), report)
    assert (state.state.value, "FAKE.0001" in state.reason) == ("rejected", True)
    world.clock.advance(days=9)  # The planned end is over, so that a report is a new ban.
    world.vendor.refuse = set()
    said(world)
    assert world.state(URL) == "banned"


def test_the_source_that_repeats_itself_is_no_new_word_and_without_one_nothing_is_tried() -> None:
    world = refused()
    calls = calls_of(world)
    said(world)
    hours(world, 30)
    assert calls_of(world) == calls


def test_a_word_that_only_asks_a_person_tries_nothing() -> None:
    world = refused(world_with(sources={"desk": {"trust": "review"}}))
    calls = calls_of(world)
    world.post({"urls": [URL]})
    hours(world, 30)
    assert calls_of(world) == calls


@pytest.mark.parametrize("after", [False, True])
def test_a_new_word_killed_at_any_call_tries_once(after: bool) -> None:
    for at in range(1, 20):
        world = refused()
        calls = calls_of(world)
        world.post({"urls": [URL]})
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        world.vendor.refuse = set()
        world.clock.advance(days=1, hours=1)
        renew(world)
        world.minutes(4)
        hours(world, 2)
        assert world.state(URL) == "banned", at
        assert calls_of(world) == calls + 1, at


def test_a_claim_that_version_1_refused_is_banned_anew() -> None:
    world = refused()
    world.rows.apply(Update(claims.key_of(url_key(ACCOUNT, URL)), remove=("tries", "failed_since")))
    world.vendor.refuse = set()
    said(world)
    assert world.state(URL) == "banned"
