"""Undoing a source takes back what it said, and leaves what others said (I2)."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import unpack
from chalicelib.ledger.row import text
from dev.fakes.operations import carry_on_all, undo, world_with
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World, pages

SHARED, ALONE = pages(2)


def _both(first: str) -> World:
    """Return a world in which one source bans two URLs for 20 days, and another one of them for 5."""
    world = World()
    for name in sorted(("desk", "queue"), key=lambda name: name != first):
        if name == "desk":
            world.post({"urls": [{"url": url, "ban_duration": 20} for url in (SHARED, ALONE)]})
        else:
            world.queue({"urls": [{"url": SHARED, "ban_duration": 5}]})
        world.minutes(3)
    return world


@pytest.mark.parametrize("after", [False, True])
def test_a_url_that_another_source_reported_stays_banned_to_its_end_without_a_cool_down(after: bool) -> None:
    for at in (0, *range(1, 16)):
        world = _both("desk")
        with world.crash(at, after=after):
            undo(world, source="desk")
        world.minutes(2)
        carry_on_all(world)
        world.minutes(3)
        if at and world.state(ALONE) == "banned":  # The request is not on record.
            continue
        assert world.state(SHARED) == "banned"
        assert world.state(ALONE) == "unbanned"
        key = url_key(ACCOUNT, SHARED)
        claim = claims.read(world.rows, [key])[key]
        assert [word.source for word in unpack(claim.words, world.sources)] == ["queue"]
        assert 4.9 < (claim.until - world.clock().timestamp()) / 86_400 <= 5
        assert not claim.cool_until


@pytest.mark.parametrize("first", ["desk", "queue"])
def test_once_the_others_are_undone_too_the_url_is_unbanned(first: str) -> None:
    world = _both(first)
    undo(world, source=first)
    world.minutes(3)
    assert world.state(SHARED) == "banned"
    undo(world, source="queue" if first == "desk" else "desk")
    world.minutes(3)
    assert world.state(SHARED) == "unbanned"


def _claim(world: World, url: str = SHARED) -> Claim:
    key = url_key(ACCOUNT, url)
    return claims.read(world.rows, [key], whole=True)[key]


def _report(world: World, days: int, *, source: str = "desk") -> str:
    document = {"urls": [{"url": SHARED, "ban_duration": days}]}
    if source == "queue":
        world.queue(document)
        return ""
    return world.post(document, webhook_id=f"{days} {world.clock()}").report_id


def _task_of(world: World) -> str:
    assert isinstance(world.rows, MemoryRows)
    return min(text(row, "pk")[5:] for row in world.rows.rows.values() if row["sk"] == "task" and "slices" in row)


def test_each_source_s_word_in_one_batch_is_found_and_taken_back() -> None:
    for gone, stays in (("desk", "queue"), ("queue", "desk")):
        world = World(rows=MemoryRows())
        _report(world, 20)
        _report(world, 5, source="queue")
        world.minutes(3)
        undo(world, source=gone)
        world.minutes(3)
        assert world.state(SHARED) == "banned"
        assert [word.source for word in unpack(_claim(world).words, world.sources)] == [stays]
        undo(world, source=stays)
        world.minutes(3)
        assert world.state(SHARED) == "unbanned"


@pytest.mark.parametrize("by", ["report", "task"])
@pytest.mark.parametrize("after", [False, True])
def test_undoing_a_report_or_a_task_leaves_what_others_said(by: str, after: bool) -> None:
    for at in (0, *range(1, 16)):
        world = World(rows=MemoryRows())
        report = _report(world, 20)
        world.minutes(3)
        _report(world, 5, source="queue")
        world.minutes(3)
        with world.crash(at, after=after):
            undo(world, report=report) if by == "report" else undo(world, task=_task_of(world))
        world.minutes(2)
        carry_on_all(world)
        world.minutes(3)
        words = [word.source for word in unpack(_claim(world).words, world.sources)]
        assert world.state(SHARED) == "banned"
        unrecorded = at == 1 or (at == 2 and not after)  # The request is not on record.
        assert words == (["desk", "queue"] if unrecorded else ["queue"])


def test_undoing_a_later_report_takes_back_what_it_said() -> None:
    world = World()
    _report(world, 5, source="queue")
    world.minutes(3)
    later = _report(world, 20)
    world.minutes(3)
    undo(world, report=later)
    world.minutes(3)
    assert world.state(SHARED) == "banned"
    assert [word.source for word in unpack(_claim(world).words, world.sources)] == ["queue"]
    assert 4.9 < (_claim(world).until - world.clock().timestamp()) / 86_400 <= 5


@pytest.mark.parametrize("selection", [{"source": "desk"}, {"report": ""}, {"task": ""}])
def test_even_if_others_said_so_lifts_regardless_and_binds_everybody(selection: dict[str, str]) -> None:
    world = World(rows=MemoryRows())
    report = _report(world, 20)
    _report(world, 5, source="queue")
    world.minutes(3)
    chosen: dict[str, Any] = {name: value or (report if name == "report" else "") for name, value in selection.items()}
    if "task" in chosen:
        chosen["task"] = _task_of(world)
    undo(world, even_if_others_said_so=True, **chosen)
    world.minutes(3)
    assert world.state(SHARED) == "unbanned"
    for source in ("desk", "queue"):
        _report(world, 5, source=source)
        world.minutes(3)
        assert world.state(SHARED) == "unbanned"


@pytest.mark.parametrize("by_report", [False, True])
def test_what_a_source_withdrew_before_is_not_undone_again_whoever_said_so_too(by_report: bool) -> None:
    world = World(rows=MemoryRows())
    report = _report(world, 20)
    _report(world, 5, source="queue")
    world.minutes(3)
    world.post({"withdrawn": [{"url": SHARED}]}, webhook_id="back")
    world.minutes(3)
    chosen: dict[str, Any] = {"report": report} if by_report else {"source": "desk"}
    undo(world, even_if_others_said_so=True, **chosen)
    world.minutes(3)
    assert world.state(SHARED) == "banned"


def test_the_cool_down_binds_only_the_source_that_was_undone() -> None:
    world = _both("desk")
    undo(world, source="desk")
    world.minutes(3)
    _report(world, 30)  # The source's words do not count until the cool-down ends.
    world.queue({"urls": [ALONE]}, source="desk")
    world.minutes(3)
    assert [word.source for word in unpack(_claim(world).words, world.sources)] == ["queue"]
    assert world.state(ALONE) == "unbanned"
    world.queue({"urls": [ALONE]})
    world.minutes(3)
    assert world.state(ALONE) == "banned"
    world.clock.advance(days=7, minutes=1)
    _report(world, 30)
    world.minutes(3)
    assert [word.source for word in unpack(_claim(world).words, world.sources)][:1] == ["desk"]


def test_while_an_undoing_binds_its_source_other_reporters_are_counted() -> None:
    world = World(sources=parse_sources(dict.fromkeys(("ana", "ben", "eva"), SOURCES["queue"])))
    world.queue({"urls": [ALONE]}, source="ana")
    world.minutes(3)
    undo(world, source="ana")
    world.minutes(3)
    world.policy = parse_policy({**POLICY, "categories": {"phishing": {"min_reporters": 2}}})
    seen = []
    for source in ("ana", "ben", "ana", "eva"):
        world.queue({"urls": [ALONE], "category": "phishing"}, source=source)
        world.minutes(3)
        seen.append(world.state(ALONE))
    assert seen == ["unbanned", "unbanned", "unbanned", "banned"]


def test_undoing_what_was_never_banned_leaves_no_cool_down() -> None:
    world = World(policy=parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}}))
    world.queue({"urls": [SHARED]})
    world.minutes(2)
    assert world.state(SHARED) == "held"
    undo(world, source="queue")
    world.minutes(3)
    assert world.state(SHARED) == "unbanned"
    assert not _claim(world).cool_until
    world.queue({"urls": [SHARED]})
    world.minutes(3)
    assert world.state(SHARED) == "held"


def test_a_held_url_stays_held_for_the_other_source_that_asked_for_it() -> None:
    world = World(policy=parse_policy({**POLICY, "sources": {name: {"trust": "review"} for name in ("desk", "queue")}}))
    _report(world, 20)
    world.minutes(2)
    _report(world, 5, source="queue")
    world.minutes(2)
    undo(world, source="desk")
    world.minutes(3)
    assert world.state(SHARED) == "held"
    undo(world, source="queue")
    world.minutes(3)
    assert world.state(SHARED) == "unbanned"


@pytest.mark.parametrize("way", ["undo", "withdraw"])
def test_a_word_that_is_taken_back_from_a_hold_lengthens_no_ban_once_that_is_approved(way: str) -> None:
    world = World(policy=parse_policy({**POLICY, "sources": {name: {"trust": "review"} for name in ("desk", "queue")}}))
    _report(world, 5)
    world.minutes(2)
    _report(world, 20, source="queue")
    world.minutes(2)
    if way == "undo":
        undo(world, source="queue")
    else:
        world.queue({"withdrawn": [SHARED]})
    world.minutes(3)
    world.approve()
    world.minutes(3)
    assert abs(_claim(world).until - world.clock().timestamp() - 5 * 86_400) < 3_600


def test_undoing_what_was_held_leaves_no_cool_down_though_another_source_had_withdrawn_before() -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    world.post({"withdrawn": [{"url": ALONE}]}, webhook_id="w1")
    world.minutes(2)
    world.queue({"urls": [ALONE]})
    world.minutes(2)
    assert world.state(ALONE) == "held"
    undo(world, source="queue")
    world.minutes(3)
    assert not world.vendor.calls
    assert not _claim(world, ALONE).cool_until


def test_a_source_that_is_undone_of_what_stays_held_for_others_may_report_again() -> None:
    world = world_with(sources={"desk": {"trust": "review"}, "queue": {"trust": "review"}})
    world.post({"urls": [ALONE]}, webhook_id="w1")
    world.minutes(2)
    world.queue({"urls": [ALONE]})
    world.minutes(2)
    undo(world, source="desk")
    world.minutes(3)
    assert world.state(ALONE) == "held"
    report = world.post({"urls": [ALONE]}, webhook_id="w2").report_id
    world.minutes(2)
    assert world.report_states(report) == {ALONE: "held"}
    assert {word.source for word in unpack(_claim(world, ALONE).words, world.sources)} == {"desk", "queue"}


def test_a_source_is_undone_of_what_left_its_hold_because_another_source_reported_it() -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    world.queue({"urls": [ALONE]})
    world.minutes(2)
    world.post({"urls": [ALONE]}, webhook_id="w1")
    world.minutes(3)
    assert world.state(ALONE) == "banned"
    undo(world, source="queue")
    world.minutes(3)
    assert world.state(ALONE) == "banned"
    assert [word.source for word in unpack(_claim(world, ALONE).words, world.sources)] == ["desk"]
    undo(world, source="desk", even_if_others_said_so=True)
    world.minutes(3)
    assert world.state(ALONE) == "unbanned"
