"""Reports, deliveries, URLs and policies come again, in unexpected orders (I1, I6, I7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.policy.usage import Usage
from chalicelib.ledger import ban_counts, reports
from chalicelib.pipeline.answers import as_json, url_status
from chalicelib.pipeline.decisions import holds
from dev.fakes.archive import LedgerWorld
from dev.fakes.operations import NO_CAPS, compare, deliver, refuse, undo, world_with, world_with_callbacks
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, Clock, World, pages

A, B = pages(2)
VARIANT = A.replace("https://", "http://")
ROOT = "https://www.example.com/"
PROTECTED = {"protected": [{"url": B, "comment": "a customer"}]}
BOTH = {name: {"managed_domains": ["*.example.com"]} for name in (ACCOUNT, "huawei-asia")}


def told(world: World, report_id: str) -> list[dict[str, Any]]:
    report = reports.read(world.rows, report_id)
    assert report
    return [as_json.reported_state(status) for status in url_status.of_report(world.run(), report)]


class Between:
    """Rows around which something else happens once, after the first read of a row with this name."""

    def __init__(self, world: World, name: str, happens: Any) -> None:
        self._world, self._name, self._happens = world, name, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.rows, name)

    def get(self, keys: Any, **options: Any) -> Any:
        found = self._world.rows.get(keys, **options)
        if self._happens and any(sk == self._name for _, sk in keys):
            happens, self._happens = self._happens, None
            happens()
        return found


# --- the same report, under another policy ----------------------------------------------------------------------------


def test_what_a_repeated_report_was_answered_first_stands_though_the_policy_allows_more_by_now() -> None:
    world = world_with(**PROTECTED)
    first = world.post({"urls": [A, B]})
    world.minutes(3)
    world.policy = parse(POLICY)
    again = world.post({"urls": [A, B]})
    world.minutes(3)
    assert (again.accepted, again.refusals) == (first.accepted, first.refusals)
    assert world.report_states(first.report_id) == {A: "banned", B: "suppressed"}
    assert set(world.vendor.bans) == {A}


def test_what_a_repeated_report_was_answered_first_stands_though_the_policy_forbids_it_by_now() -> None:
    world = world_with()
    report = world.post({"urls": [A, B]}).report_id
    world.minutes(3)
    world.policy = parse({**POLICY, **PROTECTED})
    assert world.post({"urls": [A, B]}).accepted == 2
    world.minutes(3)
    assert world.report_states(report) == {A: "banned", B: "banned"}
    undo(world, report=report)
    world.minutes(3)
    assert not world.vendor.bans


def test_a_report_that_comes_again_after_a_dry_run_says_what_is_true() -> None:
    world = world_with(dry_run=True)
    report = world.post({"urls": [A]}).report_id
    world.minutes(3)
    assert world.report_states(report) == {A: "suppressed"}
    world.policy = parse(POLICY)
    world.post({"urls": [A]})
    world.minutes(3)
    assert [each["state"] for each in told(world, report)] == ["banned"]


def test_a_url_that_was_refused_twice_is_told_once() -> None:
    world = world_with(dry_run=True)
    report = world.post({"urls": [A]}).report_id
    world.minutes(1)
    world.policy = parse({**POLICY, "sources": {"desk": {"dry_run": True}}})
    world.queue({"urls": [A]})
    world.minutes(2)
    world.post({"urls": [A]})
    world.minutes(1)
    assert len(told(world, report)) == 1


def test_a_report_tells_of_accounts_that_came_or_went_since() -> None:
    world, receiver = world_with_callbacks()
    report = world.post({"urls": [A]}).report_id
    world.intake()
    world.policy = parse({**POLICY, "accounts": BOTH})
    world.minutes(3)
    deliver(world, receiver)
    assert [said["data"]["counts"] for _, said in receiver.got] == [{"banned": 1}]
    world.policy = parse({**POLICY, "accounts": {"other": {"managed_domains": ["example.org"]}}})
    assert world.report_states(report) == {A: "banned"}


# --- one URL, several reports in one batch ----------------------------------------------------------------------------


def test_a_report_is_told_its_own_verdict_and_not_that_of_a_source_on_trial_beside_it() -> None:
    two = {"phishing": {"min_reporters": 2}}
    world = world_with(sources={"queue": {"dry_run": True}, "desk": {"relay": True}}, categories=two)
    world.queue({"urls": [A], "category": "phishing", "reporter": "a"})
    report = world.post({"urls": [A], "category": "phishing", "reporter": "a"}).report_id
    world.intake()
    assert [each["rule"] for each in told(world, report)] == ["corroboration"]
    world.post({"urls": [A], "category": "phishing", "reporter": "b"}, webhook_id="w2")
    world.minutes(3)
    assert world.report_states(report) == {A: "banned"}


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_live_ban_is_told_as_such_beside_a_source_on_trial(redelivered: bool) -> None:
    world = world_with(sources={"queue": {"dry_run": True}})
    report = world.post({"urls": [A]}).report_id
    again = list(world.queued)
    world.minutes(3)
    world.queue({"urls": [A]})
    if redelivered:
        world.queued += again
    else:
        report = world.post({"urls": [A]}, webhook_id="w2").report_id
    world.minutes(2)
    assert world.report_states(report) == {A: "banned"}


def test_the_word_of_a_source_on_trial_corroborates_nothing() -> None:
    sources = {"queue": {"dry_run": True}, "desk": {"relay": True}}
    world = world_with(sources=sources, categories={"default": {"min_reporters": 2}})
    world.queue({"urls": [A], "reporter": "made up"})
    world.minutes(1)
    world.post({"urls": [A], "reporter": "b"})
    world.minutes(3)
    assert not world.vendor.bans
    world.post({"urls": [A], "reporter": "c"}, webhook_id="w2")
    world.minutes(3)
    assert set(world.vendor.bans) == {A}


def test_two_reporters_at_the_same_moment_count_both() -> None:
    world = world_with(sources={"queue": {"relay": True}}, categories={"default": {"min_reporters": 2}})
    world.queue({"urls": [A], "reporter": "a"})
    world.queue({"urls": [A], "reporter": "b"})
    first, second = world.queued
    world.queued = [second]
    beside = World(rows=Between(world, "reporters", world.intake), clock=world.clock, policy=world.policy)
    beside.queued = [first]
    beside.intake()
    world.minutes(3)
    assert set(world.vendor.bans) == {A}


@pytest.mark.parametrize("second", [A, VARIANT])
def test_a_report_of_one_scheme_variant_counts_for_both(second: str) -> None:
    sources, categories = {"queue": {"relay": True}}, {"default": {"min_reporters": 2}}
    world = world_with(scheme_variants="together", sources=sources, categories=categories)
    world.queue({"urls": [A], "reporter": "a"})
    world.queue({"urls": [second], "reporter": "b"})
    world.minutes(3)
    assert set(world.vendor.bans) == {A, VARIANT}


def test_both_scheme_variants_are_banned_if_a_trusted_source_reports_one_of_them() -> None:
    world = world_with(scheme_variants="together", sources={"queue": {"trust": "review"}})
    world.queue({"urls": [A]})
    report = world.post({"urls": [A]}).report_id
    world.minutes(3)
    assert set(world.vendor.bans) == {A, VARIANT}
    undo(world, report=report)
    world.minutes(3)
    assert not world.vendor.bans


# --- caps -------------------------------------------------------------------------------------------------------------


def test_an_intake_that_began_late_in_an_hour_takes_no_counts_from_the_next() -> None:
    world = world_with(caps={**NO_CAPS, "per_account_per_hour": 10})
    world.clock.now = world.clock.now.replace(minute=59, second=59)
    late = Clock()
    late.now = world.clock()
    world.queue({"urls": pages(1, "slow.example.com")})
    slow = world.queued.pop()
    world.clock.advance(seconds=2)
    world.queue({"urls": pages(10, "a.example.com")})
    world.intake()
    beside = World(rows=world.rows, clock=late, policy=world.policy)
    beside.queued = [slow]
    beside.intake()
    world.queue({"urls": pages(10, "b.example.com")})
    world.intake()
    assert world.states(pages(10, "b.example.com")) == {"held": 10}


def test_a_conflict_over_the_counts_of_one_account_counts_nothing_twice_at_another() -> None:
    world = world_with(accounts=BOTH, caps={**NO_CAPS, "per_account_per_hour": 100})
    world.queue({"urls": pages(60, "a.example.com")})

    def counted_meanwhile() -> None:
        bans = Usage()
        bans.add("desk", "z.example.com")
        ban_counts.reserve(world.rows, ACCOUNT, bans, now=world.clock())

    beside = World(rows=Between(world, "usage#days", counted_meanwhile), clock=world.clock, policy=world.policy)
    beside.queued = world.queued
    assert beside.intake().verdicts["ban"] == 120
    usages = ban_counts.read(world.rows, list(BOTH), now=world.clock())
    assert {name: usage.total for name, usage in usages.items()} == {ACCOUNT: 61, "huawei-asia": 60}


# --- long after -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["source", "report"])
@pytest.mark.parametrize("approved", [False, True])
def test_undoing_a_source_undoes_what_was_held_for_weeks_too(by: str, approved: bool) -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    message = world.queue({"urls": [A], "ban_duration": 30})
    world.minutes(2)
    world.clock.advance(days=30)
    if approved:
        world.approve()
        world.minutes(3)
        assert set(world.vendor.bans) == {A}
    world.clock.advance(days=12)
    if by == "source":
        undo(world, source="queue")
    else:
        undo(world, report=reports.report_id("queue", message))
    world.minutes(3)
    assert not world.vendor.bans
    assert world.state(A) == "unbanned"
    assert not holds.all_held(world.rows, [ACCOUNT])


def test_a_hold_that_waited_for_months_can_still_be_approved() -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    world.queue({"urls": [A]})
    world.minutes(2)
    world.clock.advance(days=100)
    assert isinstance(world.rows, MemoryRows)
    now = world.clock().timestamp()
    world.rows.rows = {
        key: row for key, row in world.rows.rows.items() if int(str(row.get("expires_at", 1 << 60))) > now
    }
    world.approve()
    world.minutes(3)
    assert set(world.vendor.bans) == {A}


def test_a_ban_that_began_late_is_not_unknown_after_its_planned_end() -> None:
    world = World()
    world.queue({"urls": [A]})
    world.intake()
    world.clock.advance(days=4)  # The vendor is out of order.
    world.minutes(3)
    world.clock.advance(days=5, hours=2)
    assert world.state(A) == "banned"
    assert compare(world).unknown == []


# --- what the archive and the callback say ----------------------------------------------------------------------------


def test_a_refused_hold_that_is_reported_again_on_the_same_day_is_archived_as_both() -> None:
    world = LedgerWorld()
    world.policy = replace(world.policy, refusal_days=0)
    world.queue({"urls": [ROOT]})
    world.minutes(2)
    refuse(world)
    world.minutes(2)
    world.queue({"urls": [ROOT]})
    world.minutes(2)
    world.midnight()
    world.archive()
    said = [(each["event"], each["state"]) for each in world.of_day() if each.get("url") == ROOT]
    assert said == [("ban", "rejected"), ("hold", "held")]


def test_an_unban_of_a_waiting_ban_that_is_reported_again_is_archived_as_all_three() -> None:
    world = LedgerWorld()
    world.queue({"urls": [A]})
    world.intake()
    undo(world, cool_down_days=0, urls=(A,))
    world.minutes(3)
    world.queue({"urls": [A]})
    world.minutes(3)
    world.midnight()
    world.archive()
    said = [(each["event"], each["state"]) for each in world.of_day() if each.get("url") == A]
    assert said == [("ban", "unbanned"), ("unban", "unbanned"), ("ban", "banned")]


def test_a_decision_is_told_though_as_many_urls_are_held_as_before() -> None:
    world, receiver = world_with_callbacks()
    categories, sources = {"phishing": {"min_reporters": 2}}, {"queue": {"trust": "review"}}
    world.policy = parse({**POLICY, "categories": categories, "sources": sources})
    world.post({"urls": [{"url": ROOT, "category": "other"}, {"url": A}]})
    world.minutes(2)
    deliver(world, receiver)
    world.approve()
    world.queue({"urls": [A], "category": "phishing", "reporter": "b"})
    world.minutes(3)
    world.clock.advance(hours=7)
    deliver(world, receiver)
    assert [said["data"]["counts"] for _, said in receiver.got] == [
        {"held": 1, "suppressed": 1},
        {"banned": 1, "held": 1},
    ]
