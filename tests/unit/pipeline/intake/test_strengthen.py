"""The furthest end that anybody asked for stands for a URL in force, whichever report came first (I2)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, journal, reports
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import unpack
from chalicelib.ledger.row import decompress
from chalicelib.pipeline.answers import url_status
from chalicelib.ports import Update
from dev.fakes.operations import renew
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import Meanwhile

URL, NEIGHBOUR = pages(2)


def _report(world: World, url: str, days: int, *, source: str = "desk") -> str:
    document = {"urls": [{"url": url, "ban_duration": days}]}
    if source == "queue":
        world.queue(document)
        return ""
    return world.post(document, webhook_id=f"{url} {days} {world.clock().isoformat()}").report_id


def _claim(world: World, url: str = URL) -> Claim:
    key = url_key(ACCOUNT, url)
    return claims.read(world.rows, [key], whole=True)[key]


def _days_left(world: World, url: str = URL) -> float:
    return (_claim(world, url).until - world.clock().timestamp()) / 86_400


def _live(world: World, days: int) -> Iterator[int]:
    """Let days pass, with what runs every hour and every minute."""
    for day in range(days):
        for _ in range(4):
            world.clock.advance(hours=6)
            renew(world)
            world.minutes(2)
        yield day


@pytest.mark.parametrize("source", ["desk", "queue"])
def test_a_later_end_extends_the_ban_without_a_gap_and_is_told(source: str) -> None:
    world = World()
    _report(world, URL, 1)
    world.minutes(3)
    world.clock.advance(hours=2)
    longer = _report(world, URL, 30)
    world.minutes(3)
    assert 29.9 < _days_left(world) <= 30
    told = reports.read(world.rows, longer)
    assert told
    (state,) = url_status.of_report(world.run(), told)
    assert state.until
    assert (state.until - world.clock()).days == 29
    for _ in _live(world, 20):
        assert world.state(URL) == "banned"
        world.vendor.settle()
        assert URL in world.vendor.bans
    assert len(world.vendor.tasks) == 2


@pytest.mark.parametrize("days", [[1, 30], [30, 1]])
def test_the_furthest_end_in_one_batch_stands_whatever_the_order(days: list[int]) -> None:
    world = World()
    world.queue({"urls": [{"url": URL, "ban_duration": each} for each in days]})
    world.minutes(3)
    assert 29.9 < _days_left(world) <= 30
    assert [ban_days for _, _, ban_days in world.vendor.calls] == [30]


def test_a_shorter_word_shortens_nothing_and_is_kept_once_for_each_source() -> None:
    rows = MemoryRows()
    world = World(rows=rows)
    _report(world, URL, 30)
    world.minutes(3)
    until = _claim(world).until
    for expected in (1, 0):
        before = _claim(world).words
        _report(world, URL, 7, source="queue")
        written = rows.units["written"]
        world.intake()
        assert bool(rows.units["written"] - written - 1) == bool(expected)  # One row counts the batch.
        assert (_claim(world).words != before) == bool(expected)
    assert _claim(world).until == until
    assert [word.source for word in unpack(_claim(world).words, world.sources)] == ["desk", "queue"]


def test_a_source_that_repeats_itself_writes_only_the_counts_of_its_batch_and_twice_a_day_that_it_reports() -> None:
    rows = MemoryRows()
    world = World(rows=rows)
    for hours in range(20):
        world.queue({"urls": [URL]})
        written = rows.units["written"]
        world.intake()
        assert (rows.units["written"] == written + 1) == (hours % 12 > 0)
        world.minutes(2)
        world.clock.advance(hours=1)


def test_a_neighbour_in_the_same_chunk_is_not_extended() -> None:
    world = World()
    world.queue({"urls": [{"url": url, "ban_duration": 1} for url in (URL, NEIGHBOUR)]})
    world.minutes(3)
    _report(world, URL, 30)
    world.minutes(3)
    for _ in _live(world, 3):
        assert world.state(URL) == "banned"
    assert world.state(NEIGHBOUR) == "expired"
    assert [urls for _, urls, _ in world.vendor.calls] == [(URL, NEIGHBOUR), (URL,)]


REPORTS = [("desk", 1), ("queue", 3), ("queue", 30), ("desk", 7)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order_and_grouping_of_the_same_reports_comes_to_the_same(order: tuple[int, ...]) -> None:
    for groups in range(8):
        world = World()
        for place, index in enumerate(order):
            source, days = REPORTS[index]
            document = {"urls": [{"url": URL, "ban_duration": days}]}
            if source == "desk":
                world.post(document, webhook_id=f"{index}")
            else:
                world.queue(document)
            if groups >> place & 1:
                world.intake()
        world.intake()
        words = unpack(_claim(world).words, world.sources)
        assert {word.source: round((word.until - world.clock()).total_seconds() / 86_400) for word in words} == {
            "desk": 7,
            "queue": 30,
        }
        assert round(_days_left(world)) == 30


@pytest.mark.parametrize("after", [False, True])
def test_an_extension_killed_at_any_call_is_made_by_the_message_s_next_delivery(after: bool) -> None:
    for at in range(1, 12):
        world = World()
        _report(world, URL, 1)
        world.minutes(3)
        _report(world, URL, 30, source="queue")
        world.crasher.tears = True
        with world.crash(at, after=after):
            world.intake()
        world.intake()
        assert 29.9 < _days_left(world) <= 30
        for _ in _live(world, 3):
            assert world.state(URL) == "banned"
        assert [ban_days for _, _, ban_days in world.vendor.calls] == [1, 30]


def test_a_claim_that_changes_between_read_and_write_is_decided_again() -> None:
    rows = MemoryRows()
    world, other = World(rows=rows), World(rows=rows)
    _report(world, URL, 1)
    world.minutes(3)
    other.clock = world.clock
    _report(world, URL, 20)
    other.queue({"urls": [{"url": URL, "ban_duration": 10}]})
    world.rows = Meanwhile(rows, "get", other.intake)
    assert world.intake().failed
    world.intake()
    assert 19.9 < _days_left(world) <= 20
    assert len(unpack(_claim(world).words, world.sources)) == 2


def test_a_claim_without_words_is_extended_and_keeps_the_word_of_its_chunk_s_origin() -> None:
    world = World()
    _report(world, URL, 2)
    world.minutes(3)
    world.rows.apply(Update(claims.key_of(url_key(ACCOUNT, URL)), remove=("words",)))  # Version 1 wrote such claims.
    _report(world, URL, 30, source="queue")
    world.intake()
    words = {word.source: word.until - world.clock() for word in unpack(_claim(world).words, world.sources)}
    assert {source: round(left.total_seconds() / 86_400) for source, left in words.items()} == {"desk": 2, "queue": 30}
    assert 29.9 < _days_left(world) <= 30


def test_a_batch_that_changes_records_writes_one_row_of_the_journal() -> None:
    world = World()
    urls = pages(5)
    world.queue({"urls": [{"url": url, "ban_duration": 1} for url in urls]})
    world.intake()
    for _ in range(2):
        world.queue({"urls": [{"url": url, "ban_duration": 30} for url in urls]})
        world.intake()
    (entry,) = [entry for entry in journal.read(world.rows, world.clock().date()) if entry.kind == "words"]
    body = entry.fields["body"]
    assert isinstance(body, bytes)
    assert len(decompress(body)) == 5
