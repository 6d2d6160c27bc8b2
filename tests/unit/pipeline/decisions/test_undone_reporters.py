"""A source that a person undid no longer counts among the reporters for whom a URL waits (I6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.ledger import unban_jobs
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.decisions import second_person
from chalicelib.pipeline.decisions.unban import carry_out
from chalicelib.pipeline.run import Run
from dev.fakes.operations import undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import POLICY, World, pages

URLS = pages(2)
TWO = {"default": {"min_reporters": 2}, "phishing": {"min_reporters": 2}}


def _world(**sources: Any) -> World:
    return World(rows=MemoryRows(), policy=parse_policy({**POLICY, "categories": TWO, "sources": sources}))


def _by_queue(world: World, *, reporter: str = "") -> None:
    world.queue({"urls": URLS, "reporter": reporter})
    world.minutes(1)


def _by_desk(world: World, *, reporter: str = "") -> str:
    report = world.post({"urls": URLS, "reporter": reporter}, webhook_id=f"{world.clock()}")
    world.minutes(1)
    return report.report_id


def approved(run: Run, unban_id: str, *, actor: str, reason: str) -> None:
    carry_out(run, second_person.approve(run, unban_id, actor=actor, person=actor, reason=reason))


def test_a_source_that_was_undone_does_not_count_until_it_reports_again() -> None:
    world = _world()
    _by_queue(world)
    undo(world, source="queue")
    _by_desk(world)
    world.minutes(3)
    assert world.states(URLS) == {"unknown": 2}
    _by_queue(world)
    world.minutes(3)
    assert world.states(URLS) == {"banned": 2}


def test_what_the_source_says_before_it_is_undone_and_edgeban_takes_later_counts_neither() -> None:
    world = _world()
    said_at = world.clock()
    world.clock.advance(hours=1)
    undo(world, source="queue")
    world.queue({"urls": URLS, "reported_at": said_at.isoformat()})
    world.minutes(1)
    _by_desk(world)
    world.minutes(3)
    assert world.states(URLS) == {"unknown": 2}


def test_a_reporter_of_an_undone_relay_counts_where_another_relay_names_them() -> None:
    relays: dict[str, Any] = {"queue": {"relay": True}, "desk": {"relay": True}}
    for named in ("ana", "ben"):
        world = _world(**relays)
        _by_queue(world, reporter="ana")
        _by_desk(world, reporter="ana")
        undo(world, source="queue")
        assert world.states(URLS) == {"unknown": 2}
        _by_desk(world, reporter=named)
        world.minutes(3)
        assert world.states(URLS) == {"banned" if named == "ben" else "unknown": 2}


def test_a_report_that_was_undone_no_longer_counts() -> None:
    for undone in (True, False):
        world = _world()
        report = _by_desk(world)
        if undone:
            undo(world, report=report)
        _by_queue(world)
        world.minutes(3)
        assert world.states(URLS) == {"unknown" if undone else "banned": 2}


@pytest.mark.parametrize(("host", "state"), [("www.example.com", "unknown"), ("other.example.com", "banned")])
def test_a_source_that_is_undone_on_one_host_counts_on_the_others(host: str, state: str) -> None:
    world = _world()
    _by_queue(world)
    undo(world, source="queue", host=host)
    _by_desk(world)
    world.minutes(3)
    assert world.states(URLS) == {state: 2}


@pytest.mark.parametrize("after", [False, True])
def test_an_undoing_that_was_killed_keeps_its_source_from_counting(after: bool) -> None:
    for at in range(1, 12):
        world = _world()
        _by_queue(world)
        killed = True
        with world.crash(at, after=after):
            undo(world, source="queue")
            killed = False
        if killed:
            undo(world, source="queue")
        _by_desk(world)
        world.minutes(3)
        assert world.states(URLS) == {"unknown": 2}


def test_a_ban_for_which_an_undone_source_was_counted_stays_in_the_name_of_the_other() -> None:
    world = _world()
    _by_queue(world)
    _by_desk(world)
    world.minutes(3)
    undo(world, source="queue")
    world.minutes(3)
    assert world.states(URLS) == {"banned": 2}
    undo(world, source="desk")
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": 2}


@pytest.mark.parametrize(("decide", "state"), [(second_person.cancel, "banned"), (approved, "unknown")])
def test_what_a_source_said_before_today_counts_until_a_second_person_approves_its_undoing(
    decide: Callable[..., object], state: str
) -> None:
    world = _world()
    _by_queue(world)
    world.clock.advance(days=2)
    run = world.run()
    of_source = Job("s-", "olaf", "ticket 4711", 7, run.clock(), source="queue")
    waiting, young = second_person.ask(run, of_source, person="olaf", urls=3)
    unban_jobs.record(world.rows, young)
    carry_out(run, young)
    decide(run, waiting.id, actor="nora", reason="seen")
    _by_desk(world)
    world.minutes(3)
    assert world.states(URLS) == {state: 2}
