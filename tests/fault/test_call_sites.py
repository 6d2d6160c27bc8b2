"""Every call to the outside fails once, in each way it can, and the URLs end as without a failure (I1, I2).

If a function ends with an error, its messages come again. ``Failer`` lists the ways to fail.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from botocore.exceptions import ConnectionClosedError

from chalicelib.domain.errors import (
    Unavailable,
)
from chalicelib.ledger import remaining, tasks
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import WAYS, Failer

URLS = pages(30)
POISON = URLS[7]


def failing(way: str = "", at: int = 0) -> tuple[World, Failer]:
    world = World()
    failer = Failer(way=way, clock=world.clock)
    world.crasher = failer
    failer.at = -at  # It is not due yet.
    return world, failer


def run_failing(world: World, failer: Failer, run: Callable[[World], object]) -> None:
    """Run a function that meets the failure. If it ends with an error, its messages come again."""
    failer.at, failer.calls = -failer.at, 0
    try:
        run(world)
    except Exception:  # noqa: BLE001 - whatever it is, the queue brings the message again
        if run is World.drain:
            world.wakes.append(ACCOUNT)
    failer.at = 0
    failer.come_back()


def settle(world: World, *, minutes: int = 40) -> None:
    for _ in range(minutes):
        world.minutes()
        if not world.queued and not remaining.of_account(world.rows, ACCOUNT) and not tasks.live(world.rows, ACCOUNT):
            break
    failer = world.crasher
    assert isinstance(failer, Failer)
    failer.come_late()
    assert not failer.late
    world.minutes(2)


# --- scenarios -------------------------------------------------------------------------------------------------


def queued(world: World) -> None:
    for start in range(0, 30, 10):
        world.queue({"urls": URLS[start : start + 10] + URLS[:3]})


def taken(world: World) -> None:
    queued(world)
    world.intake(limit=2)
    world.intake()


def taken_with_poison(world: World) -> None:
    taken(world)
    world.vendor.refuse = {POISON}


def taken_for_small_tasks(world: World) -> None:
    taken(world)
    world.vendor.limits = replace(world.vendor.limits, urls_per_task=8)


def submitted(world: World) -> None:
    taken(world)
    world.drain()


def submitted_to_fail(world: World) -> None:
    world.vendor.fail = {POISON}
    submitted(world)


def left_unsure(world: World) -> None:
    """Let a drain die right after its call: the vendor may have the task."""
    taken(world)
    world.vendor.lose_answer = True
    world.vendor.list_errors = [Unavailable("down")] * 9
    world.drain()
    world.vendor.list_errors = []


def left_open(world: World) -> None:
    """Let an intake die between its chunk and its claims, and lose its messages."""
    queued(world)
    failer = world.crasher
    assert isinstance(failer, Failer)
    remembered, failer.at, failer.calls, failer.way, way = failer.at, 4, 0, "lost", failer.way
    with pytest.raises(ConnectionClosedError):
        world.intake()
    failer.at, failer.way, failer.failed = remembered, way, ""
    world.queued.clear()
    world.clock.advance(minutes=6)


def nothing(_: World) -> None:
    pass


def post(world: World) -> None:
    world.post({"urls": [*URLS, "https://elsewhere.example/"]})


@dataclass(frozen=True)
class Scenario:
    """``end`` is the state in which the poisoned URL ends; empty without one."""

    prepare: Callable[[World], object]
    run: Callable[[World], object]
    end: str = ""


SCENARIOS = {
    "receive": Scenario(nothing, post),
    "intake": Scenario(queued, World.intake),
    "submit": Scenario(taken, World.drain),
    "submit, tasks smaller than chunks": Scenario(taken_for_small_tasks, World.drain),
    "submit, a URL is refused": Scenario(taken_with_poison, World.drain, "rejected"),
    "submit, a task may be there": Scenario(left_unsure, World.drain),
    "track": Scenario(submitted, World.track),
    "track, a task fails": Scenario(submitted_to_fail, World.track, "failed"),
    "sweep": Scenario(taken, World.sweep),
    "sweep, a chunk is open": Scenario(left_open, World.sweep),
}


def check(world: World, scenario: Scenario) -> None:
    good = [url for url in URLS if url != POISON or not scenario.end]
    assert world.states(good) == {"banned": len(good)}
    assert {world.live_bans(url) for url in good} == {1}
    if scenario.end:
        assert world.state(POISON) == scenario.end
        assert world.live_bans(POISON) == 0
    assert world.sweep() == {ACCOUNT: 0}


def calls_of(scenario: Scenario) -> int:
    world, failer = failing()
    scenario.prepare(world)
    failer.calls = 0
    scenario.run(world)
    return failer.calls


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_call_fails_once_and_the_end_is_the_same(name: str, way: str) -> None:
    scenario = SCENARIOS[name]
    sites = calls_of(scenario)
    assert sites >= 3
    for at in range(1, sites + 1):
        world, failer = failing(way, at)
        scenario.prepare(world)
        run_failing(world, failer, scenario.run)
        world.clock.advance(seconds=30)
        if scenario.run is post:
            scenario.run(world)  # The sender saw no 202, or does not trust it.
        settle(world)
        try:
            check(world, scenario)
        except AssertionError as error:
            raise AssertionError(f"call {at} of {sites} ({failer.failed}) {way}: {error}") from error


@pytest.mark.parametrize("seed", range(8))
def test_several_calls_fail_in_a_row_and_the_end_is_the_same(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(25):
        scenario = SCENARIOS[dice.choice(sorted(SCENARIOS))]
        world, failer = failing()
        scenario.prepare(world)
        story = []
        for _ in range(dice.randint(2, 6)):
            run = dice.choice([scenario.run, World.intake, World.drain, World.track, World.sweep])
            failer.way, failer.at = dice.choice(WAYS), -dice.randint(1, 12)
            run_failing(world, failer, run)
            story.append(f"{getattr(run, '__name__', run)}: {failer.failed} {failer.way}")
            failer.failed = ""
            world.clock.advance(seconds=dice.choice([0, 3, 20, 70]))
        if scenario.run is post:
            scenario.run(world)
        settle(world, minutes=90)
        try:
            check(world, scenario)
        except AssertionError as error:
            raise AssertionError(f"{'; '.join(story)}: {error}") from error
