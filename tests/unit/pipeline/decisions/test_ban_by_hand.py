"""A person bans URLs by hand and sets the ends of bans: the effect on each record, also after crashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import Conflict
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.policy.model import Approvals
from chalicelib.domain.urls import url_key
from chalicelib.ledger import audit, claims
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import ban_by_hand, holds
from chalicelib.pipeline.decisions.by_hand_request import Answer, Request
from chalicelib.pipeline.decisions.holds import Approval
from chalicelib.ports import Rows
from dev.fakes.operations import ROOTS, approve, banned, carry_on_all, held, refuse, renew, undo, world_with
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import AtCall, Meanwhile

PAGE = pages(1)[0]


def ask(world: World, *urls: str, person: str = "ana", **more: Any) -> Answer:
    """Let a person ban URLs by hand."""
    request = Request(person, person, "ticket 4711", urls or (PAGE,), sources=tuple(world.sources), **more)
    return ban_by_hand.ban(world.run(), request)


def effects(answer: Answer) -> list[str]:
    return [item.effect.value for item in answer.items]


def end_in_days(world: World, url: str = PAGE) -> float:
    (status,) = url_status.of_url(world.run(), url)
    assert status.until
    return (status.until - world.clock()) / timedelta(days=1)


def hours(world: World, count: int) -> None:
    """Let hours pass, and run what is due in each of them."""
    for _ in range(count):
        world.clock.advance(hours=1)
        carry_on_all(world)
        renew(world)
        world.minutes(2)


# --- the effect of a person's ban on each record ----------------------------------------------------------------------


def test_a_url_that_nobody_reported_is_banned_in_the_person_s_name() -> None:
    world = World()
    assert effects(ask(world, plan=plan_for(20))) == ["ban"]
    world.minutes(3)
    (status,) = url_status.of_url(world.run(), PAGE)
    assert (status.state, status.rule, status.source) == ("banned", "by_hand", "operator:ana")
    assert 19.9 < end_in_days(world) <= 20
    ((_, decision),) = audit.of_actor(world.rows, "ana")
    assert (decision.action, decision.subject, decision.reason) == ("ban", f"url:{PAGE}", "ticket 4711")


def test_without_an_end_the_category_s_plan_decides() -> None:
    world = world_with(categories={"phishing": {"ban_for_days": 90}}, approvals={"longest_days": 100})
    ask(world, category="phishing")
    world.minutes(3)
    assert 89.9 < end_in_days(world) <= 90


def test_a_category_s_plan_is_cut_to_what_a_person_may_give() -> None:
    world = world_with(categories={"phishing": {"until": "unbanned"}}, approvals={"longest_days": 100})
    ask(world, category="phishing")
    world.minutes(3)
    assert 99.9 < end_in_days(world) <= 100


def test_the_root_of_a_host_is_banned_since_a_person_decided() -> None:
    world = World()
    assert effects(ask(world, ROOTS[0])) == ["ban"]
    world.minutes(3)
    assert world.state(ROOTS[0]) == "banned"


def test_a_held_url_leaves_its_hold_and_is_banned() -> None:
    world, _ = held()
    assert effects(ask(world, ROOTS[0])) == ["release"]
    world.minutes(3)
    assert world.states(ROOTS) == {"banned": 1, "held": 3}
    world.approve()
    world.minutes(3)
    assert {world.live_bans(url) for url in ROOTS} == {1}


def test_a_url_that_a_person_refused_is_banned() -> None:
    world, _ = held()
    refuse(world)
    assert effects(ask(world, ROOTS[0])) == ["ban"]
    world.minutes(3)
    assert world.states(ROOTS) == {"banned": 1, "rejected": 3}


@pytest.mark.parametrize("minutes", [0, 5])
def test_a_lifted_url_is_banned_after_the_lift_has_ended(minutes: int) -> None:
    world = banned([PAGE])
    undo(world, urls=(PAGE,))
    world.minutes(minutes)
    assert effects(ask(world)) == ["ban"]
    world.minutes(6)
    assert world.state(PAGE) == "banned"
    assert [task.action.value for task in sorted(world.vendor.tasks.values(), key=lambda task: task.created_at)] == [
        "ban",
        "unban",
        "ban",
    ]
    world.vendor.settle()
    assert PAGE in world.vendor.bans


def test_a_url_that_the_vendor_refused_is_tried_at_once() -> None:
    world = World()
    world.vendor.refuse = {PAGE}
    world.post({"urls": [PAGE]})
    world.minutes(3)
    assert world.state(PAGE) == "rejected"
    world.vendor.refuse = set()
    ask(world)
    world.minutes(3)
    assert world.state(PAGE) == "banned"


def test_nothing_passes_protection_another_s_host_or_a_dry_run() -> None:
    world = world_with(protected=[{"url": PAGE, "comment": "clean"}])
    elsewhere = "https://elsewhere.example.org/"
    answer = ask(world, PAGE, f"{PAGE}?x=1", elsewhere)
    assert [(url, verdict.rule.value) for url, _, verdict in answer.rejected] == [
        (PAGE, "protected"),
        (f"{PAGE}?x=1", "protected"),
        (elsewhere, "not_managed"),
    ]
    assert not answer.items
    world.policy = replace(world.policy, dry_run=True)
    assert [verdict.rule.value for _, _, verdict in ask(world, pages(2)[1]).rejected] == ["dry_run"]
    world.minutes(3)
    assert not world.vendor.calls


def test_undoing_a_source_leaves_what_a_person_banned_too() -> None:
    world = banned([PAGE])
    assert effects(ask(world, plan=plan_for(20))) == ["set_end"]
    undo(world, source="desk")
    world.minutes(3)
    assert world.state(PAGE) == "banned"
    key = url_key(ACCOUNT, PAGE)
    words = unpack(claims.read(world.rows, [key])[key].words, ["operator:ana"])
    assert [word.source for word in words] == ["operator:ana"]


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_later_end_is_renewed_to_without_a_gap() -> None:
    world = banned([PAGE])
    ask(world, plan=plan_for(10))
    assert 9.9 < end_in_days(world) <= 10
    for _ in range(24 * 9):
        hours(world, 1)
        world.vendor.settle()
        assert PAGE in world.vendor.bans
    hours(world, 72)
    world.vendor.settle()
    assert PAGE not in world.vendor.bans
    assert world.state(PAGE) in {"expired", "unbanned"}


@pytest.mark.parametrize("only_in_force", [False, True])
def test_an_earlier_end_is_shown_at_once_and_lifted_then(only_in_force: bool) -> None:
    world = banned([PAGE])
    end = world.clock() + timedelta(hours=30)
    ask(world, end=end, only_in_force=only_in_force)
    assert end_in_days(world) * 24 == pytest.approx(30, abs=0.01)
    hours(world, 29)
    world.vendor.settle()
    assert PAGE in world.vendor.bans
    hours(world, 2)
    world.vendor.settle()
    assert PAGE not in world.vendor.bans
    assert world.state(PAGE) == "expired"
    world.post({"urls": [PAGE]}, webhook_id="w2")
    world.minutes(3)
    assert world.state(PAGE) == "banned", "an end is no cool-down"


def test_a_new_ban_ends_at_the_moment_that_a_person_named() -> None:
    world = World()
    ask(world, end=world.clock() + timedelta(hours=30))
    world.minutes(3)
    hours(world, 29)
    assert world.state(PAGE) == "banned"
    hours(world, 2)
    world.vendor.settle()
    assert PAGE not in world.vendor.bans


def test_a_new_ban_ends_on_time_however_long_the_request_takes_and_whoever_reports_meanwhile() -> None:
    call, done = 0, False
    while not done:
        call += 1
        world = World()
        rows = world.rows

        def meanwhile(world: World = world, rows: Rows = rows) -> None:
            world.rows, person = rows, world.rows
            world.clock.advance(seconds=90)
            world.queue({"urls": [{"url": PAGE, "ban_duration": 1}]})  # whose word moves no end out
            world.intake()
            world.rows = person

        moment = AtCall(rows, call, meanwhile)
        world.rows = moment
        ask(world, end=world.clock() + timedelta(hours=30))
        world.rows, done = rows, moment.calls < call
        world.minutes(3)
        assert world.state(PAGE) == "banned", call
        hours(world, 31)
        world.vendor.settle()
        assert PAGE not in world.vendor.bans, call
    assert call > 5


@pytest.mark.parametrize("after", [False, True])
def test_a_new_ban_that_was_killed_and_is_not_asked_for_again_ends_on_time(after: bool) -> None:
    def run(world: World) -> None:
        ask(world, end=world.clock() + timedelta(hours=30))

    banned_at = set[int]()
    for at in range(1, _calls(run, World) + 1):
        world = World()
        with world.crash(at, after=after):
            run(world)
        world.minutes(8)  # the sweep finishes what was left open
        banned_at |= {at} if PAGE in world.vendor.bans else set()
        hours(world, 31)
        world.vendor.settle()
        assert PAGE not in world.vendor.bans, at
    assert banned_at


def test_an_end_that_passes_while_it_is_being_set_is_lifted_all_the_same() -> None:
    world = banned([PAGE])
    rows = world.rows

    def sweep_meanwhile() -> None:
        world.rows = rows
        world.clock.advance(seconds=20)
        carry_on_all(world)

    world.rows = Meanwhile(rows, "apply", sweep_meanwhile)  # The job is on record by then.
    ask(world, end=world.clock() + timedelta(seconds=15), only_in_force=True)
    world.rows = rows
    hours(world, 1)
    world.vendor.settle()
    assert PAGE not in world.vendor.bans
    assert world.state(PAGE) == "expired"


def test_a_later_report_moves_the_end_out_and_nothing_is_lifted() -> None:
    world = banned([PAGE])
    ask(world, end=world.clock() + timedelta(hours=30))
    world.queue({"urls": [{"url": PAGE, "ban_duration": 20}]})
    world.minutes(2)
    hours(world, 40)
    assert world.state(PAGE) == "banned"
    assert end_in_days(world) > 18


def test_what_was_withdrawn_before_it_arrives_moves_no_end_that_a_person_set() -> None:
    world = World()
    said_at = world.clock()
    world.post({"urls": [PAGE]})
    world.minutes(3)
    world.queue({"withdrawn": [{"url": PAGE}]})
    world.minutes(1)
    ask(world, end=world.clock() + timedelta(days=2), only_in_force=True)
    world.queue({"urls": [{"url": PAGE, "ban_duration": 20, "reported_at": said_at.isoformat()}]})
    world.minutes(3)
    assert 1.9 < end_in_days(world) <= 2


def test_changing_an_end_bans_nothing_new() -> None:
    world, _ = held()
    answer = ask(world, ROOTS[0], PAGE, plan=plan_for(3), only_in_force=True)
    assert not answer.items
    assert {verdict.rule.value for _, _, verdict in answer.rejected} == {"not_in_force"}
    world.minutes(3)
    assert not world.vendor.calls


def test_a_preview_writes_nothing_and_says_what_the_request_then_does() -> None:
    world = banned([PAGE])
    rows: Any = world.rows
    before = {key: dict(row) for key, row in rows.rows.items()}
    urls = (PAGE, pages(2)[1], "https://elsewhere.example.org/")
    request = Request("ana", "ana", "r", urls, plan=plan_for(20))
    said = ban_by_hand.preview(world.run(), request)
    assert rows.rows == before
    assert effects(said) == ["set_end", "ban"]
    assert len(said.rejected) == 1
    assert sorted(effects(ban_by_hand.ban(world.run(), request))) == ["ban", "set_end"]


# --- two people -------------------------------------------------------------------------------------------------------


def test_above_what_one_person_may_a_second_person_approves() -> None:
    world = World()
    world.policy = replace(world.policy, approvals=Approvals(two_above=3))
    urls = pages(4)
    answer = ask(world, *urls)
    world.minutes(3)
    assert world.states(urls) == {"held": 4}
    (hold_id,) = answer.holds
    with pytest.raises(Conflict, match="two different"):
        approve(world, hold_id)
    assert approve(world, hold_id, actor="ben") == Approval(2, 2)
    world.minutes(3)
    assert world.states(urls) == {"banned": 4}


def test_bans_by_hand_and_approvals_of_a_day_add_up() -> None:
    world, hold_id = held()
    world.policy = replace(world.policy, approvals=Approvals(per_person_per_day=5))
    assert approve(world, hold_id) == Approval(1, 1)
    assert not ask(world, PAGE).holds
    assert ask(world, pages(2)[1]).holds
    world.minutes(3)
    assert world.states(pages(2)) == {"banned": 1, "held": 1}


def test_a_url_that_one_person_lifted_and_another_bans_stays_open_until_a_second_approves() -> None:
    world = banned([PAGE])
    undo(world, urls=(PAGE,))
    world.minutes(3)
    world.policy = replace(world.policy, approvals=Approvals(two_above=0))
    (hold_id,) = ask(world).holds
    world.post({"urls": [PAGE]}, webhook_id="w2")
    assert world.intake().verdicts == {"duplicate": 1}
    assert world.state(PAGE) == "held"
    approve(world, hold_id, actor="ben", two_above=0)
    world.minutes(5)
    assert world.state(PAGE) == "banned"


def test_asking_again_while_a_second_person_is_waited_for_makes_no_second_hold() -> None:
    world = World()
    world.policy = replace(world.policy, approvals=Approvals(two_above=0))
    ask(world)
    assert effects(ask(world)) == ["nothing"]
    assert len(holds.all_held(world.rows, [ACCOUNT])) == 1


# --- crashes ----------------------------------------------------------------------------------------------------------


def _of_all_kinds() -> World:
    """Return a world with a URL that is held, one that was lifted, one that is banned, and one unknown."""
    world, _ = held(ROOTS[:1])
    world.post({"urls": pages(2)}, webhook_id="w2")
    world.minutes(3)
    undo(world, urls=(pages(2)[1],))
    world.minutes(3)
    return world


URLS = (ROOTS[0], *pages(3))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("two_above", [100, 0])
def test_a_ban_by_hand_killed_at_any_call_may_be_repeated(after: bool, two_above: int) -> None:
    def run(world: World) -> None:
        world.policy = replace(world.policy, approvals=Approvals(two_above=two_above))
        ask(world, *URLS, plan=plan_for(20))

    for at in range(1, _calls(run) + 1):
        world = _of_all_kinds()
        with world.crash(at, after=after):
            run(world)
        world.minutes(7)  # The sweep finishes what was left open.
        run(world)
        for work in holds.all_held(world.rows, [ACCOUNT]):
            approve(world, work.chunk, actor="ben", two_above=two_above)
        world.minutes(7)
        assert world.states(URLS) == {"banned": 4}, at
        assert [world.live_bans(url) for url in URLS] == [1, 1, 2, 1], at
        for url in URLS:
            assert end_in_days(world, url) > 19.9, (at, url)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("alone", [{"two_above": 2}, {"per_person_per_day": 2}], ids=["two_above", "day"])
def test_the_rest_of_a_killed_ban_by_hand_takes_a_second_person_too(alone: dict[str, int], after: bool) -> None:
    urls = (ROOTS[0], *pages(3)[1:])

    def run(world: World) -> None:
        world.policy = replace(world.policy, approvals=Approvals(**alone))
        ask(world, *urls, plan=plan_for(20))

    for at in range(1, _calls(run) + 1):
        world = _of_all_kinds()
        with world.crash(at, after=after):
            run(world)
        world.minutes(7)
        run(world)
        world.minutes(3)
        assert world.states(urls) == {"held": 3}, at


def test_the_rest_of_a_ban_by_hand_that_something_else_changed_takes_a_second_person_too() -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    rows = world.rows

    def report() -> None:
        person, world.rows = world.rows, rows
        world.queue({"urls": [PAGE]})
        world.intake()
        world.rows = person

    world.policy = replace(world.policy, approvals=Approvals(two_above=2))
    world.rows = Meanwhile(rows, "get", report, before=False)
    answer = ask(world, *pages(3))
    world.rows = rows
    world.minutes(3)
    assert len(answer.items) == 3
    assert world.states(pages(3)) == {"held": 3}


@pytest.mark.parametrize("after", [False, True])
def test_an_earlier_end_killed_at_any_call_may_be_repeated(after: bool) -> None:
    end = banned([PAGE]).clock() + timedelta(hours=30)

    def run(world: World) -> None:
        ask(world, end=end)

    for at in range(1, _calls(run, lambda: banned([PAGE])) + 1):
        world = banned([PAGE])
        with world.crash(at, after=after):
            run(world)
        run(world)
        hours(world, 31)
        world.vendor.settle()
        assert PAGE not in world.vendor.bans, at


def _calls(run: Callable[[World], None], prepare: Callable[[], World] = _of_all_kinds) -> int:
    world = prepare()
    world.crasher.calls = 0
    run(world)
    assert world.crasher.calls > 4
    return world.crasher.calls
