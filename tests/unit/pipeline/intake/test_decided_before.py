"""A person's decision against a ban stands against every source for its time; only a person overrides it (I2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, reports
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import holds
from chalicelib.ports import Update
from dev.fakes.operations import refuse, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World, pages

URLS = pages(3)
WEAK = {"public": {"trust": "review"}}


def _world() -> World:
    sources = {**SOURCES, "isp": SOURCES["queue"], "public": SOURCES["queue"]}
    policy = parse_policy({**POLICY, "sources": {**WEAK, "queue": {"trust": "review"}}})
    return World(rows=MemoryRows(), policy=policy, sources=parse_sources(sources))


def _refused() -> World:
    """Return a world in which a person refused what the source ``queue`` had reported."""
    world = _world()
    world.queue({"urls": URLS})
    world.minutes(1)
    refuse(world)
    assert world.states(URLS) == {"rejected": 3}
    return world


def _lifted() -> World:
    """Return a world in which a person unbanned what the source ``desk`` had reported."""
    world = _world()
    world.post({"urls": URLS})
    world.minutes(3)
    undo(world, urls=tuple(URLS), cool_down_days=30)
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": 3}
    return world


def _claim(world: World) -> Claim:
    key = url_key(ACCOUNT, URLS[0])
    return claims.read(world.rows, [key], whole=True)[key]


def _rule(world: World) -> str:
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    return work.rule


BOTH = pytest.mark.parametrize(("decided", "spoken"), [(_refused, "queue"), (_lifted, "desk")])


def _say(world: World, source: str) -> str:
    if source == "desk":
        return world.post({"urls": URLS}, webhook_id=f"{world.clock()}").report_id
    world.queue({"urls": URLS}, source=source)
    return ""


@BOTH
def test_a_source_that_had_spoken_is_suppressed_until_the_decision_ends(
    decided: Callable[[], World], spoken: str
) -> None:
    world = decided()
    before = world.states(URLS)
    for _ in range(4):
        world.clock.advance(days=7)
        _say(world, spoken)
        world.minutes(2)
        assert world.states(URLS) == before
        assert not holds.all_held(world.rows, [ACCOUNT])
    world.clock.advance(days=3)
    _say(world, spoken)
    world.minutes(2)
    assert world.states(URLS) == {"held" if spoken == "queue" else "banned": 3}


@BOTH
def test_a_source_that_may_not_ban_by_itself_is_suppressed(decided: Callable[[], World], spoken: str) -> None:
    world = decided()
    before = world.states(URLS)
    _say(world, "public")
    world.minutes(2)
    assert world.states(URLS) == before


@BOTH
def test_another_source_asks_a_person_once(decided: Callable[[], World], spoken: str) -> None:
    world = decided()
    _say(world, "isp")
    world.minutes(2)
    assert world.states(URLS) == {"held": 3}
    assert _rule(world) == "decided_before"
    for source in ("isp", spoken, "desk", "public"):  # No source releases it.
        _say(world, source)
        world.minutes(2)
        assert world.states(URLS) == {"held": 3}
    refuse(world)
    world.clock.advance(days=1)
    for source in ("isp", spoken, "desk"):
        _say(world, source)
        world.minutes(2)
        assert world.states(URLS) == {"rejected": 3}
        assert not holds.all_held(world.rows, [ACCOUNT])


@BOTH
def test_once_the_decision_ends_a_report_bans_what_still_waits(decided: Callable[[], World], spoken: str) -> None:
    world = decided()
    _say(world, "isp")
    world.minutes(2)
    world.clock.advance(days=31)
    _say(world, "desk")
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}


@BOTH
def test_a_person_who_approves_overrides_the_decision(decided: Callable[[], World], spoken: str) -> None:
    world = decided()
    _say(world, "isp")
    world.minutes(2)
    world.approve()
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}
    assert not _claim(world).cool_until
    assert {world.live_bans(url) for url in URLS} == {1 if spoken == "queue" else 2}  # The ban of desk was lifted.


@BOTH
def test_a_refusal_never_shortens_an_earlier_decision(decided: Callable[[], World], spoken: str) -> None:
    world = decided()
    until = _claim(world).cool_until
    _say(world, "isp")
    world.minutes(2)
    world.policy = parse_policy({**POLICY, "refusal_days": 1})
    refuse(world)
    assert _claim(world).cool_until == until


@pytest.mark.parametrize("after", [False, True])
@BOTH
def test_the_question_killed_at_any_call_is_asked_once(decided: Callable[[], World], spoken: str, after: bool) -> None:
    for at in range(1, 16):
        world = decided()
        _say(world, "isp")
        world.crasher.tears = True
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        assert world.states(URLS) == {"held": 3}
        _say(world, spoken)
        world.minutes(8)
        assert world.states(URLS) == {"held": 3}
        for work in holds.all_held(world.rows, [ACCOUNT]):
            holds.approve(world.run(), work.chunk, actor="ana", reason="seen")
        world.minutes(3)
        assert world.states(URLS) == {"banned": 3}


def test_sources_that_had_spoken_are_known_in_a_ledger_that_version_1_wrote() -> None:
    world = _refused()
    for url in URLS:
        world.rows.apply(Update(claims.key_of(url_key(ACCOUNT, url)), remove=("words", "held")))
    _say(world, "queue")
    world.minutes(2)
    assert world.states(URLS) == {"rejected": 3}
    _say(world, "isp")
    world.minutes(2)
    assert world.states(URLS) == {"held": 3}


@BOTH
def test_the_source_is_told_the_rule_and_the_end_and_never_who_decided(
    decided: Callable[[], World], spoken: str
) -> None:
    world = decided()
    until = _claim(world).cool_until
    world.policy = parse_policy({**POLICY, "sources": {"desk": {"trust": "review"}}})
    told = _say(world, "desk")
    world.minutes(2)
    report = reports.read(world.rows, told)
    assert report
    for state in url_status.of_report(world.run(), report):
        assert state.state == "suppressed"
        assert state.rule == ("refused" if spoken == "queue" else "cool_down")
        assert state.until
        assert state.until.timestamp() == until
        assert "ana" not in state.reason


def test_a_word_that_a_person_decided_against_asks_for_nothing_once_another_source_s_is_approved() -> None:
    world = _world()
    world.post({"urls": [URLS[0]], "ban_duration": 30})
    world.minutes(3)
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    for source, days in (("isp", 2), ("lab", 4)):
        world.sources |= parse_sources({source: SOURCES["queue"]})
        world.queue({"urls": [URLS[0]], "ban_duration": days}, source=source)
        world.minutes(2)
    world.approve()
    world.minutes(3)
    assert abs(_claim(world).until - world.clock().timestamp() - 4 * 86_400) < 3_600


def test_what_a_person_approved_again_stands_when_a_later_word_is_withdrawn() -> None:
    world = _world()
    undo(world, urls=(URLS[0],))  # Nobody had reported this URL.
    world.minutes(3)
    world.queue({"urls": [URLS[0]], "ban_duration": 7}, source="isp")
    world.minutes(2)
    world.approve()
    world.minutes(3)
    world.post({"urls": [URLS[0]], "ban_duration": 20}, webhook_id="longer")
    world.minutes(3)
    world.post({"withdrawn": [URLS[0]]}, webhook_id="back")
    world.minutes(3)
    assert not holds.all_held(world.rows, [ACCOUNT])
    assert abs(_claim(world).until - world.clock().timestamp() - 7 * 86_400) < 3_600


def _lifted_unknown() -> World:
    """Return a world in which a person lifted URLs that nobody had reported."""
    world = _world()
    undo(world, urls=tuple(URLS))
    world.minutes(2)
    return world


@pytest.mark.parametrize("decided", [_refused, _lifted_unknown])
def test_what_a_person_decided_stands_once_the_source_that_asked_again_withdraws(decided: Callable[[], World]) -> None:
    world = decided()
    world.clock.advance(hours=1)
    world.queue({"urls": URLS}, source="isp")
    world.minutes(2)
    assert world.states(URLS) == {"held": 3}
    world.queue({"withdrawn": [{"url": url} for url in URLS]}, source="isp")
    world.minutes(2)
    assert world.states(URLS) == {"suppressed": 3}
    assert not holds.all_held(world.rows, [ACCOUNT])
    world.post({"urls": URLS})
    world.minutes(2)
    assert world.states(URLS) == {"held": 3}, "a person is asked about another source, and nothing is banned"
    assert not world.vendor.bans


@pytest.mark.parametrize("days", [3, 20])
@pytest.mark.parametrize("decided", [_refused, _lifted_unknown])
def test_what_a_person_decided_stands_once_the_source_that_asked_again_is_undone(
    decided: Callable[[], World], days: int
) -> None:
    world = decided()
    world.clock.advance(hours=1)
    world.queue({"urls": URLS}, source="isp")
    world.minutes(2)
    undo(world, source="isp", cool_down_days=days)
    world.minutes(2)
    world.post({"urls": URLS})
    world.minutes(2)
    assert world.states(URLS) == {"held": 3}, "a person is asked, and nothing is banned"
    assert not world.vendor.bans
