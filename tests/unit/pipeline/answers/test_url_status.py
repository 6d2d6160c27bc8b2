"""Every state of a URL with its explanation, as operators and as sources are told it (I7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import Action, UrlState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, reports
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.pipeline.answers import as_json, history, url_status
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.lifecycle.explaining import UrlStatus
from dev.fakes.operations import deliver, refuse, world_with_callbacks
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URL = pages(1)[0]
ROOT = "https://www.example.com/"
FOREIGN = "https://www.example.edu/page"


def explained(world: World, url: str = URL) -> UrlStatus:
    (found,) = url_status.of_url(world.run(), url)
    return found


def told(world: World, report_id: str) -> list[dict[str, Any]]:
    report = reports.read(world.rows, report_id)
    assert report
    return [as_json.reported_state(status) for status in url_status.of_report(world.run(), report)]


def all_ended(world: World, report_id: str) -> bool:
    report = reports.read(world.rows, report_id)
    assert report
    return url_status.terminal(url_status.of_report(world.run(), report))


def reported(url: str = URL) -> World:
    world = World()
    world.post({"urls": [{"url": url, "reporter": "alice", "note": "seen"}]})
    world.intake()
    return world


def processing() -> World:
    world = reported()
    world.vendor.task_time = timedelta(hours=1)
    world.drain()
    return world


def banned() -> World:
    world = reported()
    world.drain()
    world.track()
    return world


def expired() -> World:
    world = banned()
    world.clock.advance(days=7)
    return world


def rejected() -> World:
    world = reported()
    world.vendor.refuse = {URL}
    world.drain()
    return world


def failed() -> World:
    world = reported()
    world.vendor.fail = {URL}
    world.minutes(20)
    return world


def unbanned() -> World:
    """Unban URLs, as an operator's request does in the ledger."""
    world = banned()
    now, keys = world.clock(), (url_key(ACCOUNT, URL),)
    chunk = Chunk(
        id="20260115T090000.000000Z-unban",
        account=ACCOUNT,
        action=Action.UNBAN,
        ban_days=7,
        rule="unban",
        urls=(URL,),
        keys=keys,
        origins=(Origin("", "operator:bob", "bob", "unban"),),
        created_at=now,
        received_at=now,
        until=now + timedelta(days=30),
        actor="bob",
        reason="it was ours after all",
    )
    claiming.begin(world.run(), chunk, claims.read(world.rows, keys, consistent=True))
    world.drain()
    world.track()
    return world


STATES: dict[UrlState, tuple[Callable[[], World], str]] = {
    UrlState.PENDING: (reported, ""),
    UrlState.PROCESSING: (processing, ""),
    UrlState.BANNED: (banned, ""),
    UrlState.EXPIRED: (expired, ""),
    UrlState.REJECTED: (rejected, "FAKE.0001"),
    UrlState.FAILED: (failed, "the vendor reports the task as failed"),
    UrlState.UNBANNED: (unbanned, "it was ours after all"),
}


# --- each state ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_a_url_is_in_this_state_and_says_why(state: UrlState) -> None:
    make, reason = STATES[state]
    world = make()
    found = explained(world)

    assert found.state is state
    assert reason in found.reason
    assert (found.url, found.account) == (URL, ACCOUNT)
    assert (found.source, found.reporter, found.category) == ("desk", "alice", "phishing")
    assert found.report == reports.report_id("desk", "w1")
    assert found.chunk


def test_a_held_url_names_the_rule_that_held_it() -> None:
    found = explained(reported(ROOT), ROOT)

    assert (found.state, found.rule) == (UrlState.HELD, "bare_host")
    assert "bare_host" in found.reason


@pytest.mark.parametrize("at", range(2, 6))
def test_a_url_is_held_or_pending_from_its_claim_on_whatever_becomes_of_the_intake(at: int) -> None:
    for url, state in ((ROOT, UrlState.HELD), (URL, UrlState.PENDING)):
        world = World()
        world.queue({"urls": [url]})
        with world.crash(at, after=True):
            world.intake()
        found = url_status.of_url(world.run(), url)
        assert [each.state for each in found] in ([], [state])


def test_a_suppressed_url_is_told_by_its_report() -> None:
    world = World(policy=parse_policy({**POLICY, "protected": [{"host": "www.example.com", "comment": "ours"}]}))
    receipt = world.post({"urls": [URL]})
    (said,) = told(world, receipt.report_id)

    assert (said["state"], said["rule"]) == ("suppressed", "protected")
    assert said["reason"]


def test_every_state_has_a_test_here() -> None:
    assert set(STATES) | {UrlState.HELD, UrlState.SUPPRESSED} == set(UrlState)


def test_the_states_that_are_ends_are_all_but_the_two_on_the_way() -> None:
    assert set(UrlState) - url_status.TERMINAL == {UrlState.PENDING, UrlState.PROCESSING}


def test_a_url_that_nobody_asked_for_is_unknown() -> None:
    world = World()

    assert url_status.of_url(world.run(), URL) == []
    assert url_status.of_url(world.run(), FOREIGN) == []


# --- which tasks ----------------------------------------------------------------------------------------------------


def test_the_tasks_that_carried_a_url_are_told_from_the_first_to_the_last() -> None:
    world = World()
    world.vendor.refuse = {pages(8)[5]}
    world.queue({"urls": pages(8)})
    world.minutes(5)

    carried = explained(world, pages(8)[5]).tasks
    assert [task.count for task in carried] == [8, 4, 2, 1]
    assert all(child.id in parent.children for parent, child in pairwise(carried))
    assert [task.count for task in explained(world, pages(8)[0]).tasks] == [8, 4]
    assert explained(world, pages(8)[0]).tasks[-1].vendor_task_id


def test_a_chunk_over_two_tasks_names_each_url_its_own() -> None:
    world = World()
    for start in (0, 700):
        world.queue({"urls": pages(1_400)[start : start + 700]})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(2)

    (first,), (second,) = (explained(world, pages(1_400)[number]).tasks for number in (999, 1_000))
    assert (first.count, second.count) == (1_000, 400)


def test_an_operator_is_told_everything() -> None:
    world = banned()
    status = explained(world)
    said = as_json.url_status(status, history.of_status(world.rows, status))

    assert said["state"] == "banned"
    assert (said["source"], said["reporter"], said["category"]) == ("desk", "alice", "phishing")
    assert said["report_id"] == reports.report_id("desk", "w1")
    (task,) = said["tasks"]
    assert task["vendor_task_id"]
    assert task["submitted_at"] <= task["finished_at"]


# --- reports --------------------------------------------------------------------------------------------------------


def test_a_report_in_the_queue_is_pending_and_nothing_of_it_is_lost() -> None:
    world = World()
    receipt = world.post({"urls": [*pages(3), FOREIGN]})
    said = told(world, receipt.report_id)

    assert [each["state"] for each in said] == ["pending", "pending", "pending", "rejected"]
    assert not all_ended(world, receipt.report_id)


@pytest.mark.parametrize("queued", [False, True])
def test_a_report_tells_of_a_url_whose_host_has_left_the_accounts(queued: bool) -> None:
    world = World()
    receipt = world.post({"urls": [URL]})
    if not queued:
        world.intake()
        world.minutes(2)
    accounts = {ACCOUNT: {"managed_domains": ["example.net"]}, "other": {"managed_domains": ["example.org"]}}
    world.policy = parse_policy({**POLICY, "accounts": accounts})
    (said,) = told(world, receipt.report_id)
    assert (said["state"], said["account"]) == (("pending", "") if queued else ("banned", ACCOUNT))
    if queued:
        world.intake()
        (said,) = told(world, receipt.report_id)
        assert said["state"] == "rejected"


def test_a_report_tells_the_state_of_each_url() -> None:
    world = World()
    bad, refused, good = pages(3)
    world.vendor.fail, world.vendor.refuse = {bad}, {refused}
    receipt = world.post({"urls": [bad, refused, good, ROOT, FOREIGN]})
    world.minutes(20)
    said = told(world, receipt.report_id)

    assert {each["url"]: each["state"] for each in said} == {
        bad: "failed",
        refused: "rejected",
        good: "banned",
        ROOT: "held",
        FOREIGN: "rejected",
    }
    assert all_ended(world, receipt.report_id)
    assert all(each.get("reason") for each in said if each["state"] != "banned")
    assert next(each for each in said if each["url"] == good)["until"] > world.clock().isoformat()


def test_a_report_of_thousands_tells_of_every_one() -> None:
    world = World()
    receipt = world.post({"urls": pages(3_500)})
    world.minutes(3)

    assert [each["url"] for each in told(world, receipt.report_id)] == pages(3_500)
    assert {each["state"] for each in told(world, receipt.report_id)} == {"banned"}


def test_a_source_learns_that_a_url_was_reported_before_and_not_by_whom() -> None:
    world = World()
    world.queue({"urls": [{"url": URL, "reporter": "a-rival", "category": "malware", "note": "secret"}]})
    world.intake()
    receipt = world.post({"urls": [URL]})
    world.minutes(3)
    (said,) = told(world, receipt.report_id)

    assert said["state"] == "banned"
    assert said["reported_before"] is True
    assert set(said) <= {"url", "account", "state", "reason", "rule", "until", "reported_before"}
    assert not [value for value in said.values() if str(value) in {"a-rival", "queue", "malware", "secret"}]


def test_a_report_that_was_first_is_not_said_to_come_after_another() -> None:
    world = World()
    receipt = world.post({"urls": [URL]})
    world.minutes(3)

    assert "reported_before" not in told(world, receipt.report_id)[0]


def test_a_test_report_ends_suppressed_though_a_real_one_banned_the_same_url() -> None:
    world = World()
    real = world.post({"urls": [URL]}, webhook_id="real")
    test = world.post({"urls": [URL], "test": True}, webhook_id="test")
    world.minutes(3)

    assert told(world, real.report_id)[0]["state"] == "banned"
    assert told(world, test.report_id)[0]["state"] == "suppressed"


def test_a_report_of_many_urls_reads_each_chunk_and_task_once() -> None:
    world = World()
    receipt = world.post({"urls": pages(1_000)})
    world.minutes(3)
    calls = world.rows.calls  # type: ignore[attr-defined]
    calls.clear()
    told(world, receipt.report_id)

    assert sum(calls.values()) <= 8


# --- what a source under review is told ------------------------------------------------------------------------------


def told_to(world: World, report_id: str) -> list[dict[str, Any]]:
    """Return what the source of a report is told, by how far the policy trusts it."""
    report = reports.read(world.rows, report_id)
    assert report
    states = url_status.told_to(world.policy, report.source, url_status.of_report(world.run(), report))
    return [as_json.reported_state(status) for status in states]


def under_review(**fields: Any) -> World:
    return World(policy=parse_policy({**POLICY, "sources": {"desk": {"trust": "review"}}, **fields}))


@pytest.mark.parametrize(("approve", "at_its_end"), [(True, "banned"), (False, "not_banned")])
def test_a_source_under_review_hears_received_and_at_its_end_banned_or_not(approve: bool, at_its_end: str) -> None:
    world = under_review()
    receipt = world.post({"urls": [URL]})
    received = [{"url": URL, "account": ACCOUNT, "state": "received"}]
    assert [{**said, "account": ACCOUNT} for said in told_to(world, receipt.report_id)] == received
    world.minutes(1)
    assert told_to(world, receipt.report_id) == received
    if approve:
        world.approve()
        world.intake()
        assert told_to(world, receipt.report_id) == received
    else:
        refuse(world)
    world.minutes(3)
    assert told_to(world, receipt.report_id) == [{"url": URL, "account": ACCOUNT, "state": at_its_end}]


def test_a_source_under_review_learns_neither_what_is_protected_nor_what_others_said() -> None:
    world = under_review(protected=[{"url": URL, "comment": "clean"}])
    world.queue({"urls": pages(2)})
    world.minutes(3)
    receipt = world.post({"urls": pages(2)})
    assert not receipt.refusals
    world.minutes(3)
    assert told_to(world, receipt.report_id) == [
        {"url": URL, "account": ACCOUNT, "state": "not_banned"},
        {"url": pages(2)[1], "account": ACCOUNT, "state": "banned"},
    ]


def test_a_source_on_trial_does_not_learn_whether_others_reported_a_url() -> None:
    world = World()
    world.queue({"urls": [URL]})
    world.minutes(3)
    receipt = world.post({"urls": [URL]})
    world.minutes(3)
    assert told_to(world, receipt.report_id)[0]["reported_before"] is True
    world.policy = parse_policy({**POLICY, "sources": {"desk": {"dry_run": True}}})
    assert "reported_before" not in told_to(world, receipt.report_id)[0]


def test_a_callback_tells_a_source_under_review_no_more() -> None:
    world, receiver = world_with_callbacks()
    world.policy = under_review().policy
    world.post({"urls": [URL]})
    world.minutes(1)
    deliver(world, receiver)
    world.approve()
    world.minutes(3)
    world.clock.advance(hours=6)
    deliver(world, receiver)
    assert [body["data"]["urls"] for _, body in receiver.got] == [
        [{"url": URL, "account": ACCOUNT, "state": state}] for state in ("received", "banned")
    ]
    assert receiver.got[0][1]["data"]["counts"] == {"received": 1}
