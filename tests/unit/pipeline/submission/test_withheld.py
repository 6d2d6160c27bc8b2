"""A URL that the policy forbids at the time of the call is not sent, whoever decided before to ban it (I5)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import AnswerUnknown, Unavailable
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.urls import canonical_url, url_key
from chalicelib.ledger import claims
from chalicelib.pipeline.answers import as_json, history
from chalicelib.pipeline.archive.ledger_events import LedgerEvents
from chalicelib.pipeline.lifecycle.explaining import Explainer, UrlStatus
from dev.fakes.operations import carry_on_all, undo
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Meanwhile

URLS = pages(6)
SHOP = URLS[2:4]
"""Two URLs that a person protects after they have been claimed."""


def protecting(*entries: dict[str, str]) -> Policy:
    return parse({**deepcopy(POLICY), "protected": [{**entry, "comment": "a shop"} for entry in entries]})


PROTECTED = protecting(*({"url": url} for url in SHOP))


def waiting(urls: list[str] = URLS) -> World:
    world = World()
    world.queue({"urls": urls})
    world.intake()
    return world


def sent(world: World) -> set[str]:
    return {url for _, urls, _ in world.vendor.calls for url in urls}


def status_of(world: World, url: str) -> UrlStatus:
    claims_by_key = claims.read(world.rows, [url_key(ACCOUNT, canonical_url(url))], consistent=True, whole=True)
    (one,) = Explainer(world.rows, now=world.clock()).explain(claims_by_key.values())
    return one


def test_a_url_that_was_protected_while_it_waited_is_not_sent_and_says_why() -> None:
    world = waiting()
    world.policy = PROTECTED
    world.minutes(3)
    assert sent(world) == set(URLS) - set(SHOP)
    assert world.states(URLS) == {"banned": 4, "suppressed": 2}
    assert "protected" in status_of(world, SHOP[0]).reason
    assert [fields["urls"] for fields in world.events("urls_withheld")] == [2]


def test_a_host_that_left_the_account_while_its_urls_waited_gets_none_of_them() -> None:
    world = waiting([*URLS, "https://shop.example.net/x"])
    hosts = ["example.com", "*.example.com"]
    world.policy = parse({**deepcopy(POLICY), "accounts": {ACCOUNT: {"managed_domains": hosts}}})
    world.minutes(3)
    assert sent(world) == set(URLS)
    assert world.state("https://shop.example.net/x") == "rejected"


def test_nothing_is_called_where_all_is_protected() -> None:
    world = waiting()
    world.policy = protecting({"host": "*.example.com"})
    world.minutes(3)
    assert not world.vendor.calls
    assert world.states(URLS) == {"suppressed": 6}


def test_a_task_names_only_what_it_carried() -> None:
    world = waiting()
    world.policy = PROTECTED
    world.minutes(3)
    (banned,), (withheld,) = status_of(world, URLS[0]).tasks, status_of(world, SHOP[0]).tasks
    assert (banned.count, banned.state.value, withheld.count, withheld.state.value) == (4, "succeeded", 2, "failed")
    assert not withheld.vendor_task_id
    for url, task in ((URLS[0], banned), (SHOP[0], withheld)):
        (decision,) = history.of_status(world.rows, status_of(world, url))
        assert decision.tasks == (task.id,)
    assert (as_json.task(banned)["withheld"], as_json.task(withheld)["withheld"]) == (None, "suppressed")


def test_a_change_of_the_policy_counts_from_the_next_task_on() -> None:
    world = waiting()
    world.vendor.limits = replace(world.vendor.limits, urls_per_task=2)

    def protect() -> None:
        world.policy = PROTECTED

    world.vendor = Meanwhile(world.vendor, "create_task", protect)  # type: ignore[assignment]
    world.drain()
    assert sent(world) == set(URLS) - set(SHOP)


def test_a_task_that_an_outage_kept_from_the_vendor_is_asked_about_again() -> None:
    world = waiting()
    world.vendor.errors = [Unavailable("down")] * 3
    world.drain()
    world.vendor.calls.clear()
    world.policy = PROTECTED
    world.minutes(4)
    assert sent(world) == set(URLS) - set(SHOP)
    assert world.states(URLS) == {"banned": 4, "suppressed": 2}


def test_a_task_that_is_not_at_the_vendor_after_all_is_asked_about_before_it_is_sent_again() -> None:
    world = waiting()
    world.vendor.errors = [AnswerUnknown("reset")]
    world.drain(seconds=1)
    world.vendor.calls.clear()
    world.policy = PROTECTED
    world.minutes(5)
    assert sent(world) == set(URLS) - set(SHOP)
    assert world.states(URLS) == {"banned": 4, "suppressed": 2}


def test_a_task_that_is_at_the_vendor_is_adopted_with_what_is_protected_by_now() -> None:
    world = waiting()
    world.vendor.lose_answer = True
    world.drain(seconds=1)
    world.policy = PROTECTED
    world.minutes(5)
    assert world.states(URLS) == {"banned": 6}
    assert len(world.vendor.calls) == 1


def test_a_url_that_was_withheld_may_be_reported_again_once_it_is_allowed() -> None:
    world = waiting()
    world.policy, allowing = PROTECTED, world.policy
    world.minutes(3)
    world.policy = allowing
    world.queue({"urls": SHOP})
    world.minutes(3)
    assert world.states(URLS) == {"banned": 6}
    events = LedgerEvents(world.rows, {ACCOUNT: "huawei"}, world.clock()).of_day(world.clock().date(), workers=0)
    states = [event["state"] for event in events if event["event"] == "ban" and event["url"] == SHOP[0]]
    assert states == ["suppressed", "banned"]


def test_a_refused_unban_of_what_was_withheld_leaves_it_to_be_reported_again() -> None:

    world = waiting()
    world.vendor.errors = [Unavailable("down")] * 3
    world.drain()
    world.policy, allowing = PROTECTED, world.policy
    undo(world, urls=tuple(SHOP))
    world.vendor.refuse = set(SHOP)  # The vendor refuses to unban what it never had.
    world.minutes(8)
    assert world.states(SHOP) == {"unbanned": 2}
    world.policy, world.vendor.refuse = allowing, set()
    world.clock.advance(days=8)
    world.queue({"urls": SHOP})
    world.minutes(4)
    assert world.states(SHOP) == {"banned": 2}


def test_an_unban_of_what_is_protected_goes_to_the_vendor() -> None:

    world = waiting()
    world.minutes(3)
    world.policy = PROTECTED
    undo(world, urls=tuple(SHOP))
    world.minutes(3)
    assert world.states(URLS) == {"banned": 4, "unbanned": 2}
    assert set(world.vendor.bans) == set(URLS) - set(SHOP)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("outage", [False, True])
def test_whatever_crashes_and_however_the_policy_changes_the_record_says_what_was_sent(
    after: bool, outage: bool
) -> None:
    def prepare() -> World:
        world = waiting()
        if outage:
            world.vendor.errors = [Unavailable("down")] * 3
            world.drain()
            world.clock.advance(minutes=2)
        world.policy = PROTECTED
        world.crasher.calls = 0
        return world

    world = prepare()
    world.drain()
    calls = world.crasher.calls
    assert calls > 10
    for at in range(1, calls + 1):
        world = prepare()
        with world.crash(at, after=after):
            world.drain()
        world.policy = parse(POLICY)  # They were protected by mistake.
        world.minutes(5)
        world.queue({"urls": SHOP})
        world.minutes(5)
        assert world.states(URLS) == {"banned": 6}, f"killed at call {at}"
        assert {world.live_bans(url) for url in URLS} == {1}, f"killed at call {at}"


def test_an_approved_hold_ends_what_is_protected_by_now() -> None:
    roots = ["https://a.example.com/", "https://b.example.com/"]
    world = waiting(roots)
    world.policy = protecting({"host": "a.example.com"})
    world.clock.advance(minutes=1)
    world.approve()
    world.minutes(3)
    assert [world.state(url) for url in roots] == ["suppressed", "banned"]


def banned_without_an_answer() -> World:
    """Return a world in which a declarative vendor has banned ``URLS``, and its answer was lost."""
    world = World()
    world.vendor.limits = replace(world.vendor.limits, declarative=True, longest_ban=None)
    world.queue({"urls": URLS})
    world.intake()
    world.vendor.lose_answer = True
    world.drain(seconds=2)
    assert set(world.vendor.bans) == set(URLS)
    return world


@pytest.mark.parametrize("after", [False, True])
def test_a_ban_that_may_be_in_force_is_lifted_when_the_policy_forbids_it_before_its_call_is_repeated(
    *, after: bool
) -> None:
    """A declarative vendor shows no tasks: nobody can look up a call whose answer was lost."""
    for killed_at in (0, *range(1, 12)):
        world = banned_without_an_answer()
        world.policy = PROTECTED
        with world.crash(killed_at, after=after):
            world.drain()
        world.minutes(2)
        carry_on_all(world)
        world.minutes(3)

        assert set(world.vendor.bans) == set(URLS) - set(SHOP), killed_at
        assert all(world.state(url) in {"unbanned", "suppressed"} for url in SHOP), killed_at


def test_a_ban_that_may_be_in_force_is_lifted_when_its_host_moves_to_another_account_and_there_alone() -> None:
    world = banned_without_an_answer()
    moved = {ACCOUNT: {"managed_domains": ["*.example.net"]}, "second": {"managed_domains": ["*.example.com"]}}
    world.policy = parse({**POLICY, "accounts": moved})
    world.queue({"urls": URLS[:3]})
    world.intake()
    world.drain()
    for _ in range(3):
        world.minutes(2)
        carry_on_all(world)

    assert not world.vendor.bans
    at_second = claims.read(world.rows, [url_key("second", url) for url in URLS], whole=True)
    assert sorted(claim.url for claim in at_second.values() if not claim.outcome) == URLS[:3]
    assert len(at_second) == 3
