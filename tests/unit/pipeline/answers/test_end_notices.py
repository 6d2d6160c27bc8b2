"""The desk is told once a day of the bans that end soon and are not renewed."""

from __future__ import annotations

import json

import pytest

from chalicelib.domain.errors import NotNotified
from chalicelib.pipeline.answers.ban_index import CURRENT, Reader, index_bans
from dev.fakes.objects import MemoryViews
from dev.fakes.operations import lasting, renew
from dev.fakes.world import World, pages


def tick(world: World, reader: Reader) -> None:
    index_bans(world.run(), reader, world.notify)


def days_pass(world: World, reader: Reader, days: int) -> list[int]:
    """Let days pass, index every hour; return how many messages each day brought."""
    counts = []
    for _ in range(days):
        before = len(world.notices)
        for _ in range(24):
            world.clock.advance(hours=1)
            tick(world, reader)
        counts.append(len(world.notices) - before)
    return counts


def test_people_are_told_once_a_day_from_three_days_before_an_end_by_day_and_source() -> None:
    world, reader = World(), Reader(MemoryViews())
    world.post({"urls": pages(2)})
    world.queue({"urls": pages(5)[2:], "ban_duration": 8})
    world.minutes(30)
    assert days_pass(world, reader, 9) == [0, 0, 0, 1, 1, 1, 1, 1, 0]
    subject, text = world.notices[1]
    assert subject == "edgeban: 5 bans end by 2026-01-23 and will not be renewed"
    assert "      2  2026-01-22  desk\n      3  2026-01-23  queue\n" in text
    assert not [url for url in pages(5) if url in text]


def test_a_ban_that_is_renewed_is_not_told_of_before_its_planned_end() -> None:
    world, reader = lasting(ban_for_days=40), Reader(MemoryViews())
    world.post({"urls": pages(1)})
    world.minutes(30)
    assert sum(days_pass(world, reader, 28)) == 0
    for _ in range(4):
        renew(world)
        world.minutes(3)
        world.clock.advance(hours=12)
    assert sum(days_pass(world, reader, 4)) == 0
    assert sum(days_pass(world, reader, 6)) == 4


def test_a_ban_until_somebody_unbans_it_is_never_told_of() -> None:
    world, reader = lasting(until="unbanned"), Reader(MemoryViews())
    world.post({"urls": pages(1)})
    world.minutes(30)
    assert sum(days_pass(world, reader, 28)) == 0


def test_what_the_topic_does_not_take_is_a_trouble_and_told_a_minute_later() -> None:
    world, reader = World(), Reader(MemoryViews())
    world.post({"urls": pages(1), "ban_duration": 1})
    world.minutes(30)

    def away(subject: str, text: str) -> None:
        raise NotNotified("SNS is away")

    index_bans(world.run(), reader, away)
    assert [each["kind"] for each in world.events("hold_notice_failed")] == ["ends"]
    world.clock.advance(minutes=1)
    tick(world, reader)
    tick(world, reader)
    assert [subject for subject, _ in world.notices] == ["edgeban: 1 ban ends by 2026-01-18 and will not be renewed"]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_anywhere_tells_at_least_once_and_twice_at_the_most(after: bool) -> None:
    for at in range(1, 4):
        world = World()
        views = MemoryViews()
        world.post({"urls": pages(1), "ban_duration": 1})
        world.minutes(30)
        index_bans(world.run(), Reader(views))
        with world.crash(at, after=after):
            index_bans(world.run(), Reader(world.crasher.wrap(views)), world.crasher.wrap(world.notify))
        for _ in range(3):
            world.clock.advance(minutes=1)
            tick(world, Reader(views))
        assert 1 <= len(world.notices) <= 2, at


def test_an_index_written_by_the_version_before_is_read() -> None:
    world, views = World(), MemoryViews()
    world.post({"urls": pages(1), "ban_duration": 1})
    world.minutes(30)
    index_bans(world.run(), Reader(views))
    found = views.get(CURRENT)
    assert found
    before = json.loads(found[0])
    del before["ends_told"]
    views.put(CURRENT, json.dumps(before).encode(), version=found[1])
    tick(world, Reader(views))
    assert len(world.notices) == 1
