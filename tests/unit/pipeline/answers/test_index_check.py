"""The index of bans is compared with the ledger and the vendor's list, and a difference is told."""

from __future__ import annotations

import pytest

from chalicelib.domain.ban_index import Ban
from chalicelib.pipeline.answers.ban_index import Reader, View, index_bans
from chalicelib.pipeline.answers.index_check import check_index
from dev.fakes.operations import banned, compare, undo
from dev.fakes.world import ACCOUNT, World, pages


def settled() -> tuple[World, Reader]:
    """Return a world whose bans are two hours old and indexed, and a reader that has read the index."""
    world = banned()
    reader = Reader(world.views)
    world.clock.advance(hours=2)
    index_bans(world.run(), reader)
    reader.read(world.clock())
    return world, reader


def index_of(reader: Reader) -> View:
    assert reader.last
    return reader.last


def check(world: World, reader: Reader) -> tuple[int, int]:
    drift = compare(world)
    assert drift.complete
    run = world.run().at(ACCOUNT)
    return check_index(run, reader, listed=drift.listed | drift.missing_keys, agreed=drift.agreed)


def test_an_index_that_is_right_is_not_told() -> None:
    world, reader = settled()
    assert check(world, reader) == (0, 0)
    assert not world.events("index_differs")


def test_a_ban_that_the_index_lacks_is_told() -> None:
    world, reader = settled()
    index_of(reader).index.lines.popitem()
    assert check(world, reader) == (1, 0)
    (event,) = world.events("index_differs")
    assert (event["account"], event["absent"], event["extra"]) == (ACCOUNT, 1, 0)


def test_a_ban_that_only_the_index_knows_is_told() -> None:
    world, reader = settled()
    (line, *_) = index_of(reader).index.lines.values()
    index_of(reader).index.put(Ban.of(line)._replace(key="x" * 22, url="https://www.example.com/never"))
    assert check(world, reader) == (0, 1)


@pytest.mark.parametrize("minutes", [0, 3])
def test_an_unban_that_is_on_its_way_or_just_over_is_no_difference(minutes: int) -> None:
    world, reader = settled()
    undo(world, urls=tuple(pages(2)))
    world.minutes(minutes)
    assert check(world, reader) == (0, 0)


def test_a_ban_that_the_vendor_has_lost_is_the_drifts_and_no_difference_of_the_index() -> None:
    world, reader = settled()
    del world.vendor.bans[pages(1)[0]]
    assert check(world, reader) == (0, 0)
    assert world.events("drift_detected")[0]["missing"] == 1


def test_a_task_that_is_submitted_while_the_list_is_read_is_no_difference() -> None:
    world, reader = settled()
    world.post({"urls": pages(7)}, webhook_id="later")
    world.intake()
    world.drain()
    world.clock.advance(minutes=1)
    world.vendor.settle()  # The vendor has them, and no tracker has seen that yet.
    assert check(world, reader) == (0, 0)
