"""Once a day edgeban bans and lifts a page of its own, from the report to the edge, and rings if that is too slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import ConfigurationError, Unavailable
from chalicelib.ledger import control
from chalicelib.pipeline.upkeep.canary import fly
from dev.fakes.operations import Edge
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World

PAGE = "https://www.example.com/edgeban-canary"
CANARY = {"source": "canary", "urls": {ACCOUNT: PAGE}}
WITH_CANARY: dict[str, Any] = {**POLICY, "canary": CANARY, "sources": {"canary": {"withdrawals": "lift"}}}


def world_with_canary(**fields: Any) -> tuple[World, Edge]:
    policy = parse({**WITH_CANARY, **fields})
    sources = parse_sources({**SOURCES, "canary": {"auth": "none", "format": "native"}})
    world = World(policy=policy, sources=sources)
    return world, Edge(world)


def look(world: World, edge: Callable[..., int]) -> None:
    fly(world.run().at(ACCOUNT), edge, world.crasher.wrap(world))


def pass_time(world: World, edge: Callable[..., int], *, minutes: int) -> list[tuple[str, str]]:
    """Let time pass, with a look every five minutes; return what the canary has said so far."""
    for _ in range(minutes // 5):
        look(world, edge)
        world.minutes(5)
    names = ("canary_step_done", "canary_late")
    return [(name, str(fields["kind"])) for name, fields in world.emitted if name in names]


def test_a_page_is_banned_and_lifted_once_a_day() -> None:
    world, edge = world_with_canary()
    done = [("canary_step_done", "ban"), ("canary_step_done", "lift")]
    assert pass_time(world, edge, minutes=30) == done
    assert pass_time(world, edge, minutes=6 * 60) == done
    world.clock.advance(days=1)
    assert pass_time(world, edge, minutes=60) == done * 2
    assert not world.vendor.bans
    assert world.state(PAGE) in {"unbanned", "expired"}
    seconds = [event["seconds"] for event in world.events("canary_step_done")]
    assert all(0 < each <= 10 * 60 for each in seconds)


def test_the_canary_begins_at_its_hour() -> None:
    world, edge = world_with_canary(canary={**CANARY, "hour": 9})
    pass_time(world, edge, minutes=25)
    assert not world.vendor.tasks
    pass_time(world, edge, minutes=25)
    assert world.vendor.tasks


@pytest.mark.parametrize(
    ("says", "state"), [(lambda _: 200, "banned"), (lambda _: Unavailable("the edge is away"), "banned")]
)
def test_a_ban_that_does_not_reach_the_edge_rings_and_is_taken_back(says: Any, state: str) -> None:
    world, edge = world_with_canary()
    edge.says = says
    assert pass_time(world, edge, minutes=35) == [("canary_late", "ban")]
    (event,) = world.events("canary_late")
    assert (event["account"], event["state"]) == (ACCOUNT, state)
    assert event["minutes"] == 30
    edge.says = None
    assert pass_time(world, edge, minutes=30)[1:] == [("canary_step_done", "lift")]
    assert not world.vendor.bans


def test_a_submitter_that_stands_still_rings_with_where_the_ban_is() -> None:
    world, edge = world_with_canary()
    for _ in range(8):
        look(world, edge)
        world.intake()
        world.clock.advance(minutes=5)
    assert [event["state"] for event in world.events("canary_late")] == ["pending"]


def test_a_source_that_is_not_configured_rings() -> None:
    world, edge = world_with_canary()
    world.sources = parse_sources(SOURCES)
    assert pass_time(world, edge, minutes=40)[0] == ("canary_late", "ban")
    assert world.events("canary_late")[0]["state"] == "unknown"


def test_a_page_that_somebody_protected_rings_and_says_so() -> None:
    world, edge = world_with_canary(protected=[{"url": PAGE, "comment": "our own"}])
    pass_time(world, edge, minutes=40)
    event = world.events("canary_late")[0]
    assert event["state"] == "suppressed"
    assert "protected" in event["problem"]


def test_a_lift_that_does_not_reach_the_edge_rings_once_and_again_the_next_day() -> None:
    world, edge = world_with_canary()
    edge.says = lambda _: 403 if world.vendor.tasks else 200
    said = [("canary_step_done", "ban"), ("canary_late", "lift")]
    assert pass_time(world, edge, minutes=12 * 60) == said
    world.clock.advance(days=1)
    assert pass_time(world, edge, minutes=10) == [*said, ("canary_late", "lift")]
    edge.says = None
    assert pass_time(world, edge, minutes=30)[3:] == [("canary_step_done", "lift")]


@pytest.mark.parametrize("how", ["off", "other account", "dry run", "dry account", "paused"])
def test_no_canary_begins_where_the_policy_has_none_or_nothing_may_be_banned(how: str) -> None:
    world, edge = world_with_canary(dry_run=how == "dry run")
    if how == "off":
        world.policy = parse(POLICY)
    if how == "other account":
        other = {**POLICY["accounts"], "other": {"managed_domains": ["example.org"]}}
        urls = {"other": "https://example.org/canary"}
        world.policy = parse({**WITH_CANARY, "accounts": other, "canary": {**CANARY, "urls": urls}})
    if how == "dry account":
        accounts = {ACCOUNT: {**POLICY["accounts"][ACCOUNT], "dry_run": True}}
        world.policy = parse({**WITH_CANARY, "accounts": accounts})
    if how == "paused":
        control.set_paused(world.rows, ACCOUNT, actor="ana", reason="a test", now=world.clock())
    assert isinstance(world.rows, MemoryRows)
    before = dict(world.rows.rows)
    look(world, edge)
    assert not world.queued
    assert world.rows.rows == before


@pytest.mark.parametrize("after", [False, True])
def test_a_canary_that_was_killed_anywhere_comes_through(after: bool) -> None:
    for at in range(1, 6):
        world, edge = world_with_canary()
        with world.crash(at, after=after):
            look(world, edge)
        said = pass_time(world, edge, minutes=40)
        assert said == [("canary_step_done", "ban"), ("canary_step_done", "lift")], at
        assert not world.vendor.bans


@pytest.mark.parametrize(
    ("canary", "problem"),
    [
        ({**CANARY, "source": "desk"}, "withdrawals wait for a person"),
        ({**CANARY, "urls": {"nobody": PAGE}}, "no account of this policy"),
        ({**CANARY, "urls": {ACCOUNT: "https://www.example.org/x"}}, "does not manage"),
        ({**CANARY, "urls": {ACCOUNT: "not a URL"}}, "no URL that can be banned"),
        ({**CANARY, "minutes": 5}, "minutes"),
        ({**CANARY, "hour": 24}, "hour"),
        ({**CANARY, "day": "monday"}, "day"),
    ],
)
def test_a_canary_that_could_not_fly_is_refused(canary: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse({**WITH_CANARY, "canary": canary})
