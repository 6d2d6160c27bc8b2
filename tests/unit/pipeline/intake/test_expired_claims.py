"""If DynamoDB's TTL deletes a claim between a read and the write that relies on it, the URL is free (I1)."""

from __future__ import annotations

from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ports import Delete
from dev.fakes.operations import undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import Meanwhile

(URL,) = pages(1)


def _expired() -> World:
    """Return a world in which the ban of ``URL`` ended 41 days ago, and the next read is the last to see its claim."""
    rows = MemoryRows()
    world = World(rows=rows)
    world.post({"urls": [URL]})
    world.minutes(3)
    world.clock.advance(days=48)
    key = claims.key_of(url_key(ACCOUNT, URL))
    world.rows = Meanwhile(rows, "get", lambda: rows.apply(Delete(key)))
    return world


def test_a_url_whose_claim_expires_between_read_and_write_is_claimed() -> None:
    world = _expired()
    world.queue({"urls": [URL]})
    assert world.intake().verdicts["ban"] == 1
    world.minutes(3)
    assert world.state(URL) == "banned"
    assert len(world.vendor.tasks) == 2


def test_an_unban_of_a_url_whose_claim_expires_between_read_and_write_is_sent() -> None:
    world = _expired()
    undo(world, urls=(URL,))
    world.minutes(3)
    assert world.state(URL) == "unbanned"
    assert [task.action.value for task in world.vendor.tasks.values()] == ["ban", "unban"]
