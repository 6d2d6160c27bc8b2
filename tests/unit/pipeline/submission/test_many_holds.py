"""Thousands of holds of one URL are not read by every drain, and a released one is sent at once."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import ChunkState
from chalicelib.ledger import remaining, waiting_from
from chalicelib.ledger.waiting_from import WORTH
from chalicelib.pipeline.decisions import holds
from chalicelib.pipeline.submission.sweep import sweep
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World
from dev.fakes.wrappers import Meanwhile

PAGE = "https://www.example.com/page"


def with_holds(count: int = WORTH) -> World:
    """Return a world in which that many reports of one URL each are held, all older than an hour."""
    world = World(policy=parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}}))
    for number in range(count):
        world.queue({"urls": [f"https://www.example.com/held/{number}"]})
        world.intake()
        world.clock.advance(seconds=1)
    world.clock.advance(hours=2)
    return world


def held(world: World) -> list[str]:
    return [work.chunk for work in holds.all_held(world.rows, [ACCOUNT])]


def read_by_a_drain(world: World) -> int:
    assert isinstance(world.rows, MemoryRows)
    before = world.rows.units["halves read"]
    world.drain()
    return world.rows.units["halves read"] - before


def test_a_drain_reads_what_waits_and_not_what_is_held() -> None:
    world = with_holds()
    few = read_by_a_drain(World())
    assert read_by_a_drain(world) > few + 10
    world.sweep()
    assert read_by_a_drain(world) <= few + 2
    world.post({"urls": [PAGE]})
    world.intake()
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [(PAGE,)]


def test_few_holds_are_marked_by_no_row() -> None:
    world = with_holds(WORTH - 1)
    world.sweep()
    assert not waiting_from.read(world.rows, ACCOUNT).is_written


def test_what_waits_among_the_holds_is_never_behind_the_mark() -> None:
    world = with_holds(WORTH // 2)
    world.post({"urls": [PAGE]})
    world.intake()
    for number in range(WORTH):
        world.queue({"urls": [f"https://www.example.com/later/{number}"]})
        world.intake()
    world.clock.advance(hours=2)
    world.sweep()
    mark = waiting_from.read(world.rows, ACCOUNT).chunk
    waiting = [work.chunk for work in remaining.of_account(world.rows, ACCOUNT) if work.state is ChunkState.WAITING]
    assert mark
    assert [chunk > mark for chunk in waiting] == [True]
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [(PAGE,)]


def test_a_hold_that_is_released_is_sent_by_the_next_drain() -> None:
    world = with_holds()
    world.sweep()
    world.approve(held(world)[3])
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/3",)]
    world.sweep()
    assert waiting_from.read(world.rows, ACCOUNT).chunk == "", "less than are worth it are left"


@pytest.mark.parametrize("marked", [True, False])
def test_a_hold_that_is_released_while_the_sweep_reads_is_sent_by_the_next_drain(*, marked: bool) -> None:
    world = with_holds(WORTH + 1)
    if marked:
        world.sweep()
        world.queue({"urls": [PAGE]})  # one more hold: the mark would move
        world.intake()
        world.clock.advance(hours=2)
    rows, hold = world.rows, held(world)[0]
    run = world.run()
    world.rows = Meanwhile(rows, "query", lambda: holds.approve(run, hold, actor="ana", reason="seen"))
    sweep(world.run())
    world.rows = rows
    assert waiting_from.read(rows, ACCOUNT).released == hold
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/0",)]


def test_an_approval_that_is_killed_anywhere_leaves_a_hold_or_a_ban_that_is_sent() -> None:
    begun = with_holds()
    begun.sweep()
    hold = held(begun)[0]
    for at, after in product(range(1, 20), (False, True)):
        assert isinstance(begun.rows, MemoryRows)
        rows = MemoryRows()
        rows.rows.update(deepcopy(begun.rows.rows))
        world = World(rows=rows, policy=begun.policy)
        world.clock.now = begun.clock()
        with world.crash(at, after=after):
            world.approve(hold)
        world.drain()
        sent = [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/0",)]
        assert sent != (hold in held(world)), (at, after)
