"""Undoing a source takes back what it said, and leaves what others said (I2)."""

from __future__ import annotations

import pytest

from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.packed_words import unpack
from dev.fakes.operations import carry_on_all, undo
from dev.fakes.world import ACCOUNT, World, pages

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
def test_what_another_source_said_stays_banned_to_its_end_and_without_a_cool_down(after: bool) -> None:
    for at in (0, *range(1, 16)):
        world = _both("desk")
        with world.crash(at, after=after):
            undo(world, source="desk")
        world.minutes(2)
        carry_on_all(world)
        world.minutes(3)
        if at and world.state(ALONE) == "banned":  # killed before the request was on record
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
