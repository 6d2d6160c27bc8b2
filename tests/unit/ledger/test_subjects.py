"""A reporter's personal data can be erased: from rows, and from the archive by the key of a pseudonym."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.aws.wire import item_of
from chalicelib.ledger import chunks, subjects
from dev.erase import scanned
from dev.fakes.operations import world_with
from dev.fakes.rows import MemoryRows
from dev.fakes.world import World, pages

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
NAME = "Ana Example <ana@example.org>"


def world_of_ana() -> World:
    """Return a world in which ana and ben reported, one with a note about ana, and ana waits for a second reporter."""
    world = world_with(sources={"queue": {"relay": True}}, categories={"two": {"min_reporters": 2}})
    world.queue({"urls": [{"url": pages(1)[0], "reporter": NAME, "note": "call me: 555"}]})
    world.queue({"urls": [{"url": pages(2)[1], "reporter": "ben", "note": f"as {NAME.upper()} says"}]})
    world.queue({"urls": [{"url": pages(3)[2], "reporter": "ben", "note": "seen"}]})
    world.queue({"urls": [{"url": pages(4)[3], "category": "two", "reporter": NAME}]})
    world.minutes(3)
    return world


def origins(world: World) -> set[tuple[str, str]]:
    rows: Any = world.rows
    ids = [pk.removeprefix("chunk#") for pk, sk in rows.rows if sk == "chunk"]
    return {
        (origin.reporter, origin.note) for chunk in chunks.read(world.rows, ids).values() for origin in chunk.origins
    }


def erase(world: World, name: str = NAME) -> int:
    rows: Any = world.rows
    return subjects.erase(world.crasher.wrap(world.rows), [dict(row) for row in rows.rows.values()], name)


def test_no_row_names_a_person_who_was_erased_and_the_others_stay() -> None:
    world = world_of_ana()
    assert erase(world, "  ana EXAMPLE <ana@example.org>") > 0
    assert origins(world) == {("(erased)", "(erased)"), ("ben", "(erased)"), ("ben", "seen")}
    assert world.states(pages(3)) == {"banned": 3}
    assert erase(world) == 0


def test_reporters_are_counted_after_an_erasure_as_before() -> None:
    world = world_of_ana()
    erase(world)
    world.queue({"urls": [{"url": pages(4)[3], "category": "two", "reporter": "ben"}]})
    world.minutes(3)
    assert world.state(pages(4)[3]) == "banned"


@pytest.mark.parametrize("after", [False, True])
def test_an_erasure_killed_at_any_call_is_repeated(after: bool) -> None:
    world = world_of_ana()
    world.crasher.calls = 0
    erase(world)
    for at in range(1, world.crasher.calls + 1):
        world = world_of_ana()
        before = subjects.pseudonyms(world.rows, [NAME], now=NOW)
        with world.crash(at, after=after):
            erase(world)
        erase(world)
        assert not any("555" in note or "ana" in f"{name} {note}".lower() for name, note in origins(world))
        assert subjects.pseudonyms(world.rows, [NAME], now=NOW) != before


def test_a_pseudonym_is_the_same_until_its_key_is_deleted() -> None:
    rows = MemoryRows()
    first = subjects.pseudonyms(rows, [NAME, "ben", ""], now=NOW)
    assert first.keys() == {NAME, "ben"}
    assert len({*first.values()}) == 2
    assert not any("ana" in pseudonym for pseudonym in first.values())
    later = subjects.pseudonyms(rows, [NAME.upper(), "ben"], now=NOW + timedelta(days=1))
    assert [*later.values()] == [*first.values()]
    subjects.erase(rows, [], NAME)
    again = subjects.pseudonyms(rows, [NAME, "ben"], now=NOW)
    assert again["ben"] == first["ben"]
    assert again[NAME] != first[NAME]


class Scan:
    """A client with a scan alone, which answers in two pages, in the form of the wire."""

    def __init__(self, rows: MemoryRows) -> None:
        self.rows = rows

    def get_paginator(self, name: str) -> Scan:
        assert name == "scan"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        wanted = {each["S"] for each in asked["ExpressionAttributeValues"].values()}
        items = [item_of(row) for (_, sk), row in self.rows.rows.items() if sk in wanted]
        return [{"Items": items[:2]}, {"Items": items[2:]}]


def test_the_tool_reads_every_row_that_may_name_a_person() -> None:
    world = world_of_ana()
    rows: Any = world.rows
    client = Scan(rows)
    assert sum(subjects.names(row, NAME) for row in scanned(client, "ledger")) == 2
    subjects.erase(world.rows, scanned(client, "ledger"), NAME)
    assert sum(subjects.names(row, NAME) for row in scanned(client, "ledger")) == 0
