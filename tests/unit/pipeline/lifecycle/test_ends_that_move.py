"""edgeban lifts a ban at the end that it shows, however often the end moves and however long the vendor would ban."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.policy.duration import plan_for
from chalicelib.ledger import reports
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.answers.url_status import ReportedState
from chalicelib.pipeline.decisions import ban_by_hand, by_hand_request, holds
from chalicelib.pipeline.decisions.by_hand_request import Request
from dev.fakes.operations import carry_on_all, compare, renew, undo
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World, pages

(URL,) = pages(1)
DAYS = timedelta(days=1)


def _world() -> World:
    """Return a world with a source whose reports a person decides about, and two that are trusted."""
    sources = {"public": {"trust": "review"}}
    policy = parse_policy({**POLICY, "sources": sources, "approvals": {"per_person_per_day": 1}})
    return World(policy=policy, sources=parse_sources(dict.fromkeys(("desk", "isp", "public"), SOURCES["desk"])))


def _report(world: World, days: int, *, source: str = "desk") -> str:
    document = {"urls": [URL], "ban_duration": days}
    receipt = world.post(document, webhook_id=f"{source}-{world.clock()}", source=source)
    world.intake()
    world.minutes(3)
    return receipt.report_id


def _by_hand(world: World, days: int, *, person: str = "ana") -> by_hand_request.Answer:
    request = Request(person, person, "a ticket", (URL,), plan=plan_for(days), sources=tuple(world.sources))
    answer = ban_by_hand.ban(world.run(), request)
    world.minutes(3)
    return answer


def _pass(world: World, hours: int) -> None:
    for _ in range(hours):
        world.clock.advance(minutes=57)
        carry_on_all(world)
        renew(world)
        world.minutes(3)
    world.vendor.settle()


def _end(world: World) -> datetime:
    (status,) = url_status.of_url(world.run(), URL)
    assert status.until
    return status.until


def _told(world: World, report_id: str) -> ReportedState:
    report = reports.read(world.rows, report_id)
    assert report
    (state,) = url_status.of_report(world.run(), report)
    return state


def _lifted_at_its_shown_end(world: World) -> bool:
    """Whether the ban is in force until the end that edgeban shows, and no longer."""
    hours = round((_end(world) - world.clock()) / timedelta(hours=1))
    _pass(world, hours - 2)
    before = URL in world.vendor.bans
    _pass(world, 4)
    return before and URL not in world.vendor.bans


def test_an_end_that_was_moved_in_and_that_a_report_moves_out_again_is_kept() -> None:
    world = _world()
    _report(world, 20)
    _by_hand(world, 2)
    _report(world, 5, source="isp")
    assert abs(_end(world) - world.clock() - 5 * DAYS) < timedelta(hours=1)
    assert _lifted_at_its_shown_end(world)


def test_an_end_that_a_person_moved_in_and_moves_out_again_is_kept() -> None:
    world = _world()
    _report(world, 20)
    _by_hand(world, 2)
    _by_hand(world, 5)
    assert abs(_end(world) - world.clock() - 5 * DAYS) < timedelta(hours=1)
    assert _lifted_at_its_shown_end(world)


@pytest.mark.parametrize("after", [False, True])
def test_whatever_is_killed_while_a_report_moves_a_lift_the_end_is_kept(after: bool) -> None:
    calls = 1
    while True:
        world = _world()
        _report(world, 20)
        _by_hand(world, 2)
        world.post({"urls": [URL], "ban_duration": 5}, webhook_id="again", source="isp")
        with world.crash(calls, after=after):
            world.intake()
        if not world.queued:
            break
        world.intake()
        world.minutes(7)
        assert abs(_end(world) - world.clock() - 5 * DAYS) < timedelta(hours=1)
        world.clock.advance(days=5, hours=1)
        carry_on_all(world)
        world.minutes(3)
        world.vendor.settle()
        assert URL not in world.vendor.bans, f"killed at call {calls}"
        calls += 1
    assert calls > 4


def test_a_ban_that_drift_restored_is_shown_with_the_end_at_which_edgeban_lifts_it() -> None:
    world = _world()
    _report(world, 3)
    planned = _end(world)
    world.clock.advance(hours=7)
    world.vendor.settle()
    del world.vendor.bans[URL]
    assert compare(world).rebanned == 1
    world.minutes(3)
    assert abs(_end(world) - planned) < timedelta(minutes=5)
    assert _lifted_at_its_shown_end(world)


def test_a_ban_that_came_to_an_end_that_was_moved_in_has_expired_and_nobody_is_said_to_have_unbanned_it() -> None:
    world = _world()
    report = _report(world, 20)
    _by_hand(world, 1)
    _pass(world, 26)
    assert URL not in world.vendor.bans
    assert world.state(URL) == "expired"
    assert (_told(world, report).state, "ana" in _told(world, report).reason) == ("expired", False)


def test_the_end_of_a_ban_leaves_a_source_undone_that_a_person_undid() -> None:
    world = _world()
    _report(world, 20)
    _report(world, 2, source="isp")
    undo(world, source="desk", cool_down_days=7)
    _pass(world, 50)
    assert URL not in world.vendor.bans
    told = _told(world, _report(world, 9))
    assert (told.state, told.rule) == ("suppressed", "cool_down")
    assert told.until
    assert abs(told.until - world.clock() - 5 * DAYS) < timedelta(hours=3)
    assert _told(world, _report(world, 9, source="isp")).state == "banned"


def test_undoing_what_a_person_approved_binds_the_source_and_nobody_else() -> None:
    world = _world()
    report = _report(world, 9, source="public")
    world.approve()
    world.minutes(3)
    undo(world, report=report, cool_down_days=7)
    world.minutes(3)
    assert URL not in world.vendor.bans
    assert _told(world, _report(world, 9, source="public")).state == "suppressed"
    assert _told(world, _report(world, 9)).state == "banned"


def test_what_a_person_bans_by_hand_keeps_what_sources_withdrew() -> None:
    world = _world()
    said_at = world.clock()
    world.clock.advance(minutes=5)
    world.post({"withdrawn": [URL]}, webhook_id="w", source="isp")
    world.intake()
    _by_hand(world, 1)
    late = {"urls": [URL], "ban_duration": 20, "reported_at": said_at.isoformat()}
    world.post(late, webhook_id="late", source="isp")
    world.intake()
    world.minutes(3)
    assert _end(world) - world.clock() < 2 * DAYS


def test_a_word_that_waited_for_a_second_person_keeps_no_ban_that_its_source_took_back() -> None:
    world = _world()
    _report(world, 2, source="public")
    other = Request("eva", "eva", "a ticket", ("https://www.example.com/other",), plan=plan_for(1))
    ban_by_hand.ban(world.run(), other)
    request = Request("eva", "eva", "a ticket", (URL,), plan=plan_for(30), sources=tuple(world.sources))
    assert ban_by_hand.ban(world.run(), request).holds  # One person may not let so much through alone in a day.
    _report(world, 3)
    assert URL in world.vendor.bans
    world.post({"withdrawn": [URL]}, webhook_id="w", source="desk")
    world.intake()
    assert [work.rule for work in holds.all_held(world.rows, [ACCOUNT])] == ["withdrawn"]
