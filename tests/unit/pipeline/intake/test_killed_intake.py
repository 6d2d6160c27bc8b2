"""A batch of reports or withdrawals that is killed at any call and delivered again ends as if unharmed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from dev.fakes.killing import WAYS, Step, Way, judge_killed, said, say, take_back, world_of_sources
from dev.fakes.operations import undo
from dev.fakes.world import World, pages

URLS = pages(4)
SOME = URLS[:2]
ROOT = "https://c.example.com/"


def _new(world: World) -> None:
    say(world, "desk", [*SOME, ROOT], 9)
    say(world, "public", URLS)
    say(world, "isp", SOME, 20)


def _banned_for(days: int, source: str = "desk") -> Callable[[], World]:
    def prepare() -> World:
        world = world_of_sources()
        said(world, source, URLS, days)
        return world

    return prepare


def _held() -> World:
    world = world_of_sources()
    said(world, "public", URLS, 5)
    return world


def _held_by_a_cap() -> World:
    world = world_of_sources()
    said(world, "capped", URLS)
    return world


def _lifted() -> World:
    world = _banned_for(9)()
    undo(world, urls=tuple(SOME), cool_down_days=3)
    world.minutes(4)
    return world


def _lift_at_the_vendor() -> World:
    """Return a world in which a lift is on its way, and its vendor is slow."""
    world = _banned_for(9)()
    world.vendor.task_time = timedelta(minutes=12)
    undo(world, source="desk", cool_down_days=0)
    world.minutes(2)
    world.vendor.task_time = timedelta()
    return world


def _few() -> World:
    world = world_of_sources()
    said(world, "isp", URLS, category="spam")
    return world


def _both() -> World:
    world = _banned_for(3)()
    said(world, "isp", SOME, 20)
    return world


def _refused_by_the_vendor() -> World:
    world = world_of_sources()
    world.vendor.refuse = {URLS[0]}
    said(world, "isp", URLS, 5)
    world.vendor.refuse = set()
    return world


def _nobody() -> World:
    return world_of_sources()


def _taken(prepare: Callable[[], World], word: Callable[[World], object], *, fewest: int = 3) -> Step:
    """Return a step that takes a word from the queue of a world."""

    def prepared() -> World:
        world = prepare()
        world.clock.advance(minutes=5)
        word(world)
        return world

    return Step(prepared, World.intake, fewest_calls=fewest)


STEPS = {
    "new URLs of several sources and kinds": _taken(_nobody, _new, fewest=9),
    "a longer word": _taken(_banned_for(3), lambda world: say(world, "isp", SOME, 20)),
    "a longer word for longer than the vendor bans": _taken(
        _banned_for(3), lambda world: say(world, "isp", SOME, category="malware")
    ),
    "a longer word shortly before the end": _taken(_banned_for(1), lambda world: say(world, "isp", SOME, 20)),
    "a further word that moves nothing": _taken(_banned_for(9), lambda world: say(world, "isp", SOME, 5)),
    "some URLs leave a hold": _taken(_held, lambda world: say(world, "desk", SOME, 12)),
    "all URLs leave a hold": _taken(_held, lambda world: say(world, "desk", URLS, 12)),
    "a word joins a hold": _taken(_held_by_a_cap, lambda world: say(world, "capped", SOME, 20)),
    "URLs leave the hold of a cap": _taken(_held_by_a_cap, lambda world: say(world, "desk", URLS, 2)),
    "a question to whoever lifted before": _taken(_lifted, lambda world: say(world, "isp", SOME, 12)),
    "a ban that waits for a lift on its way": _taken(_lift_at_the_vendor, lambda world: say(world, "isp", SOME, 12)),
    "enough reporters": _taken(_few, lambda world: say(world, "desk", SOME, category="spam")),
    "a new word for what the vendor refused": _taken(_refused_by_the_vendor, lambda world: say(world, "desk", URLS, 9)),
    "a word is taken back and others stand": _taken(_both, lambda world: take_back(world, "isp", SOME)),
    "the last word is taken back: a person is asked": _taken(
        _banned_for(9), lambda world: take_back(world, "desk", SOME)
    ),
    "the last word is taken back: lifted": _taken(_banned_for(9, "lab"), lambda world: take_back(world, "lab", SOME)),
    "a word is taken back from a hold": _taken(_held, lambda world: take_back(world, "public", SOME)),
    "all words are taken back from a hold": _taken(_held, lambda world: take_back(world, "public", URLS)),
    "what nobody reported is taken back": _taken(_nobody, lambda world: take_back(world, "desk", SOME), fewest=2),
    "a reporter is taken back": _taken(_few, lambda world: take_back(world, "isp", SOME)),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_what_a_batch_changes_comes_to_the_same_wherever_it_was_killed(step: Step, way: Way) -> None:
    judge_killed(step, way)
