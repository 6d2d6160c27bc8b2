"""One person approves or refuses a hold, two people a large one, and every step may be cut short."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.model import BareHosts
from chalicelib.domain.policy.model import Approvals
from chalicelib.ledger import audit, reports
from chalicelib.ledger import holds as steps
from chalicelib.pipeline.answers import as_json, url_status
from chalicelib.pipeline.decisions import hold_view, holds
from chalicelib.pipeline.decisions.holds import Approval
from dev.fakes.operations import ROOTS, approve, held, refuse, renew, undo
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, START, World, pages


def test_a_held_url_is_not_submitted_and_says_why() -> None:
    world, _ = held()
    world.minutes(5)
    assert world.states(ROOTS) == {"held": 4}
    assert not world.vendor.calls


def test_a_url_reported_again_while_it_is_held_is_a_duplicate() -> None:
    world, _ = held()
    world.post({"urls": ROOTS}, webhook_id="w2")
    world.intake()
    assert len(holds.all_held(world.rows, [ACCOUNT])) == 1


def test_an_approved_hold_is_banned_by_the_same_way_as_all() -> None:
    world, hold_id = held()
    assert approve(world, hold_id) == Approval(1, 1)
    world.minutes(3)
    assert world.states(ROOTS) == {"banned": 4}
    assert [decision.action for _, decision in audit.about(world.rows, f"hold:{hold_id}")] == ["approve"]


def test_a_ban_that_was_held_lasts_from_its_approval() -> None:
    world, hold_id = held()
    world.clock.advance(days=3)
    approve(world, hold_id)
    world.minutes(3)
    world.clock.advance(days=6)
    assert world.states(ROOTS) == {"banned": 4}
    world.vendor.settle()
    assert len(world.vendor.bans) == 4


REVIEWED = {"isp": {"trust": "review"}, "queue": {"trust": "review"}}


def reviewed() -> World:
    """Return a world with two sources under review."""
    sources = parse_sources({**SOURCES, "isp": SOURCES["queue"]})
    return World(policy=parse_policy({**POLICY, "sources": REVIEWED}), sources=sources)


def say(world: World, days: int, *, source: str = "queue") -> None:
    world.queue({"urls": [{"url": url, "ban_duration": days} for url in pages(2)]}, source=source)
    world.intake()


@pytest.mark.parametrize("order", [("queue", "isp"), ("isp", "queue")])
def test_a_longer_word_that_joined_a_hold_stands_once_it_is_approved(order: tuple[str, str]) -> None:
    world = reviewed()
    days = {"queue": 7, "isp": 28}
    for source in order:
        say(world, days[source], source=source)
    world.clock.advance(days=2)
    world.approve()
    world.minutes(3)
    (state, *_) = url_status.of_url(world.run(), pages(1)[0])
    assert state.until
    assert state.until - START >= timedelta(days=28)
    for _ in range(25 * 6):
        world.clock.advance(hours=4)
        renew(world)
        world.minutes(2)
        world.vendor.settle()
        assert len(world.vendor.bans) == 2


def test_a_word_that_joins_a_held_url_is_shown_to_who_decides() -> None:
    world = reviewed()
    say(world, 7)
    world.clock.advance(days=1)
    say(world, 20, source="isp")
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    shown = hold_view.one(world.run(), work.chunk, start=0, limit=10, sources=world.sources)
    for url in shown["urls"]:
        assert url["source"] == "queue"
        assert [(word["source"], word["bans"]) for word in url["words"]] == [("isp", False), ("queue", False)]
        (until, _) = (datetime.fromisoformat(word["until"]) for word in url["words"])
        assert until - START == timedelta(days=21)


@pytest.mark.parametrize("after", [False, True])
def test_an_approval_with_a_longer_word_killed_at_any_call_is_done_by_the_next(after: bool) -> None:
    for at in range(1, 30):
        world = reviewed()
        say(world, 7)
        say(world, 28, source="isp")
        with world.crash(at, after=after):
            world.approve()
        for work in holds.all_held(world.rows, [ACCOUNT]):
            approve(world, work.chunk, actor="ben")
        world.minutes(3)
        for url in pages(2):
            (state,) = url_status.of_url(world.run(), url)
            assert state.state.value == "banned"
            assert state.until
            assert state.until - START >= timedelta(days=28)
        world.clock.advance(days=6, hours=2)
        renew(world)
        world.minutes(3)
        assert {world.live_bans(url) for url in pages(2)} == {2}, at


def test_a_large_hold_takes_two_different_operators() -> None:
    world, hold_id = held()
    assert approve(world, hold_id, two_above=3) == Approval(1, 2)
    with pytest.raises(Conflict, match="two different"):
        approve(world, hold_id, two_above=3)
    world.minutes(2)
    assert not world.vendor.calls
    assert approve(world, hold_id, actor="ben", two_above=3) == Approval(2, 2)
    world.minutes(3)
    assert world.states(ROOTS) == {"banned": 4}


def test_many_small_holds_of_a_day_are_one_large_one_to_the_person_who_approves_them() -> None:
    world = World()
    holds_by_number = []
    for number in range(5):
        world.post({"urls": [f"https://r{number}{letter}.example.com/" for letter in "abc"]}, webhook_id=f"w{number}")
        world.intake()
        world.clock.advance(seconds=1)
        holds_by_number.append(holds.all_held(world.rows, [ACCOUNT])[-1].chunk)
    limits = Approvals(two_above=3, per_person_per_day=6)
    world.policy = replace(world.policy, approvals=limits)
    assert approve(world, holds_by_number[0]) == Approval(1, 1)
    world.clock.advance(hours=20)
    assert approve(world, holds_by_number[1]) == Approval(1, 1)
    assert approve(world, holds_by_number[2]) == Approval(1, 2)
    assert approve(world, holds_by_number[3], actor="ben") == Approval(1, 1), "counted for each person"
    assert approve(world, holds_by_number[2], actor="ben") == Approval(2, 2)
    world.clock.advance(hours=5)
    assert approve(world, holds_by_number[4]) == Approval(1, 1), "the first hold was more than a day ago"


def test_one_human_with_two_tokens_is_one_person() -> None:
    world, hold_id = held()
    assert approve(world, hold_id, person="ana@corp", two_above=3) == Approval(1, 2)
    for actor in ("ana", "ana's laptop"):
        with pytest.raises(Conflict, match="two different"):
            approve(world, hold_id, actor=actor, person="ana@corp", two_above=3)
    assert approve(world, hold_id, actor="ben", two_above=3) == Approval(2, 2)


def test_upper_and_lower_case_do_not_make_two_people() -> None:
    world, hold_id = held()
    approve(world, hold_id, actor="ana", two_above=3)
    with pytest.raises(Conflict, match="two different"):
        approve(world, hold_id, actor="Ana ", two_above=3)


def test_a_person_who_reported_a_url_does_not_approve_it_alone() -> None:
    world = World()
    world.post({"urls": [{"url": ROOTS[0], "reporter": "Ana"}, ROOTS[1]]})
    world.intake()
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    assert approve(world, work.chunk) == Approval(1, 2)
    assert approve(world, work.chunk, actor="ben") == Approval(2, 2)
    world.minutes(3)
    assert world.states(ROOTS[:2]) == {"banned": 2}


def test_a_first_approval_that_version_1_wrote_names_its_token() -> None:
    world, hold_id = held()
    approve(world, hold_id, two_above=3)
    rows: Any = world.rows
    del rows.rows[f"account#{ACCOUNT}", f"chunk#{hold_id}"]["approved_person"]
    with pytest.raises(Conflict, match="two different"):
        approve(world, hold_id, two_above=3)
    assert approve(world, hold_id, actor="ben", two_above=3) == Approval(2, 2)


def test_a_refused_hold_ends_its_urls_with_the_operator_s_reason() -> None:
    world, hold_id = held()
    assert refuse(world, hold_id) == 4
    world.minutes(2)
    assert world.states(ROOTS) == {"rejected": 4}
    with pytest.raises(NotFound):
        approve(world, hold_id)


def test_a_refusal_stands_until_its_end_against_every_source_that_had_spoken() -> None:
    world, hold_id = held()
    world.queue({"urls": ROOTS[:1]})
    world.intake()
    refuse(world, hold_id)
    world.policy = replace(world.policy, bare_hosts=BareHosts.BAN)
    for days in (1, 28):
        world.clock.advance(days=days)
        world.queue({"urls": ROOTS[:1]})
        world.post({"urls": ROOTS[:1]}, webhook_id=f"after {days}")
        assert world.intake().verdicts == {"suppressed": 2}
        assert world.state(ROOTS[0]) == "rejected"
    world.clock.advance(days=2)
    world.post({"urls": ROOTS[:1]}, webhook_id="later")
    world.minutes(3)
    assert world.state(ROOTS[0]) == "banned"


@pytest.mark.parametrize("after", [False, True])
def test_a_refusal_killed_at_any_call_stands_once_it_is_carried_out(after: bool) -> None:
    for at in range(1, 8):
        world, hold_id = held()
        with world.crash(at, after=after):
            refuse(world, hold_id)
        world.minutes(2)
        if holds.all_held(world.rows, [ACCOUNT]):  # The refusal was not on record: the person repeats it.
            refuse(world, hold_id)
        world.post({"urls": ROOTS}, webhook_id="w2")
        assert world.intake().verdicts == {"suppressed": 4}
        assert world.states(ROOTS) == {"rejected": 4}


def test_sources_are_told_that_a_person_decided_and_never_who_or_why() -> None:
    world, hold_id = held()
    urls = [*ROOTS, *pages(1)]
    early = world.post({"urls": urls}, webhook_id="w2")
    world.minutes(3)
    refuse(world, hold_id)
    undo(world, urls=tuple(pages(1)), reason="legal ticket 4711")
    world.minutes(3)
    late = world.post({"urls": urls}, webhook_id="w3")
    trial = world.post({"urls": urls, "test": True}, webhook_id="w4")
    world.minutes(1)
    for receipt in (early, late, trial):
        report = reports.read(world.rows, receipt.report_id)
        assert report
        states = [as_json.reported_state(state) for state in url_status.of_report(world.run(), report)]
        assert not re.search("ana|4711|customer", json.dumps(states))
        if receipt is early:
            assert {state["rule"] for state in states if state["state"] == "rejected"} == {"refused"}
            ends = {state["state"]: datetime.fromisoformat(state["until"]) - world.clock() for state in states}
            assert (ends["rejected"].days, ends["unbanned"].days) == (29, 6)


@pytest.mark.parametrize("after", [False, True])
def test_an_approval_killed_at_any_call_may_be_repeated(after: bool) -> None:
    world, hold_id = held()
    world.crasher.calls = 0
    approve(world, hold_id)
    for at in range(1, world.crasher.calls + 1):
        world, hold_id = held()
        with world.crash(at, after=after):
            approve(world, hold_id)
        if holds.all_held(world.rows, [ACCOUNT]):
            approve(world, hold_id)
        world.minutes(4)
        assert world.states(ROOTS) == {"banned": 4}
        assert {world.live_bans(url) for url in ROOTS} == {1}


@pytest.mark.parametrize("after", [False, True])
def test_a_refusal_killed_at_any_call_is_finished(after: bool) -> None:
    world, hold_id = held()
    world.crasher.calls = 0
    refuse(world, hold_id)
    for at in range(1, world.crasher.calls + 1):
        world, hold_id = held()
        with world.crash(at, after=after):
            refuse(world, hold_id)
        world.sweep()
        if holds.all_held(world.rows, [ACCOUNT]):
            refuse(world, hold_id)
        world.minutes(3)
        assert world.states(ROOTS) == {"rejected": 4}
        assert not world.vendor.calls


def test_holds_that_wait_too_long_are_told() -> None:
    world, _ = held()
    world.clock.advance(hours=25)
    world.sweep()
    assert world.events("account_swept")[-1]["holds_overdue"] == 1
    assert not holds.overdue(holds.all_held(world.rows, [ACCOUNT]), age=timedelta(days=2), now=world.clock())


def approve_in_part(world: World, hold_id: str) -> Approval:
    """Let ana approve a hold except for its second URL."""
    return holds.approve(world.run(), hold_id, actor="ana", reason="seen", excepted=[ROOTS[1]])


@pytest.mark.parametrize("after", [False, True])
def test_an_approval_in_part_that_is_cut_short_anywhere_is_made_again(after: bool) -> None:
    world, hold_id = held()
    world.crasher.calls = 0
    approve_in_part(world, hold_id)
    for at in range(1, world.crasher.calls + 1):
        world, hold_id = held()
        with world.crash(at, after=after):
            approve_in_part(world, hold_id)
        with suppress(NotFound):  # The approval was done.
            approve_in_part(world, hold_id)
        world.minutes(3)
        assert world.states(ROOTS) == {"banned": 3, "rejected": 1}, (at, after)
        assert not world.live_bans(ROOTS[1]), (at, after)


def test_an_approver_at_the_same_moment_cannot_release_excepted_urls() -> None:
    world, hold_id = held()
    seen = holds.read_hold(world.rows, hold_id)
    assert steps.begin_release(world.rows, seen.work, "ana", [1])
    assert not steps.release(world.rows, seen.work, {0, 1, 2, 3})
    assert not steps.refuse(world.rows, seen.work, "ben")
