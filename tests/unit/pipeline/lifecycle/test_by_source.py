"""The journal tells whose bans a task made or undid."""

from __future__ import annotations

import pytest

from chalicelib.domain.model import Action, Rule
from chalicelib.domain.packing import Slice
from chalicelib.domain.series import THE_REST
from chalicelib.ledger import chunks
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.by_source import MOST, attributed
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, START, pages

SOURCES = ("desk", "desk", "queue")


def chunk_of(
    action: Action, rule: str, sources: tuple[str, ...], before: tuple[tuple[int, str, str], ...] = ()
) -> Chunk:
    urls = tuple(pages(len(sources)))
    origins = tuple(Origin("r-1", source, "", "phishing") for source in sources)
    return Chunk(ACCOUNT, action, 7, rule, urls, urls, origins, START, START, START, before=before)


def counted(rows: MemoryRows, chunk: Chunk, failed_at: tuple[int, ...] = ()) -> dict[str, int]:
    part = Slice(chunk.id, 0, len(chunk.urls))
    task = Task(ACCOUNT, chunk.action, 7, (part,), START, START, failed_at=failed_at)
    return dict(attributed(rows, task, {chunk.id: chunk}).by_source)


@pytest.mark.parametrize("rule", ["", Rule.BARE_HOST, Rule.RELEASED, Rule.RETRY, Rule.RENEWAL, Rule.DRIFT])
def test_a_ban_counts_for_its_source_unless_it_carries_another_one_on(rule: str) -> None:
    expected = {} if rule in {Rule.RENEWAL, Rule.DRIFT} else {"desk": 2, "queue": 1}
    assert counted(MemoryRows(), chunk_of(Action.BAN, rule, SOURCES)) == expected


@pytest.mark.parametrize("rule", [Rule.UNBAN, Rule.UNDO, Rule.ENDED, Rule.WITHDRAWN])
def test_an_unban_counts_for_the_source_of_the_ban_if_a_person_asked_for_it(rule: str) -> None:
    rows, ban = MemoryRows(), chunk_of(Action.BAN, "", SOURCES)
    chunks.record(rows, ban)
    unban = chunk_of(Action.UNBAN, rule, ("operator:ana",) * 3, tuple((at, ban.id, "") for at in range(3)))
    assert counted(rows, unban) == ({"desk": 2, "queue": 1} if rule in {Rule.UNBAN, Rule.UNDO} else {})


def test_an_unban_of_a_url_that_nobody_had_banned_counts_for_nobody() -> None:
    unban = chunk_of(Action.UNBAN, Rule.UNBAN, ("operator:ana",), ((0, "", ""),))
    assert counted(MemoryRows(), unban) == {}


def test_what_the_vendor_named_as_failed_is_not_counted() -> None:
    assert counted(MemoryRows(), chunk_of(Action.BAN, "", SOURCES), failed_at=(0, 2)) == {"desk": 1}


def test_the_smallest_of_many_sources_count_together() -> None:
    sources = ("large", "large", *(f"source-{number}" for number in range(MOST + 4)))
    counts = counted(MemoryRows(), chunk_of(Action.BAN, "", sources))
    assert len(counts) == MOST + 1
    assert (counts["large"], counts[THE_REST]) == (2, 5)
