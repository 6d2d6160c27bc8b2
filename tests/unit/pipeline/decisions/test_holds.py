"""Holds: a person approves or refuses, two where it is large, and every step may be cut short."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.ledger import audit
from chalicelib.pipeline.decisions import holds
from chalicelib.pipeline.decisions.holds import Approval
from dev.fakes.operations import ROOTS, approve, held, refuse
from dev.fakes.world import ACCOUNT


def test_what_is_held_is_not_submitted_and_says_why() -> None:
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


def test_a_refused_hold_ends_its_urls_with_the_operator_s_reason() -> None:
    world, hold_id = held()
    assert refuse(world, hold_id) == 4
    world.minutes(2)
    assert world.states(ROOTS) == {"rejected": 4}
    with pytest.raises(NotFound):
        approve(world, hold_id)


def test_a_refused_url_may_be_reported_again() -> None:
    world, hold_id = held()
    refuse(world, hold_id)
    world.post({"urls": ROOTS[:1]}, webhook_id="w2")
    world.intake()
    assert world.state(ROOTS[0]) == "held"


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
