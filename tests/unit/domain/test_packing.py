"""Packing loses no URL, doubles none and never overfills a call, whichever chunks wait."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.packing import Slice, Work, halve, pack, sort_out

Position = tuple[str, int]
RECEIVED = datetime(2026, 1, 15, tzinfo=UTC)


def work_of(
    chunk: str,
    count: int,
    *,
    action: Action = Action.BAN,
    ban_days: int = 7,
    start: int = 0,
    excluded: tuple[int, ...] = (),
) -> Work:
    return Work(chunk, "main", ChunkState.WAITING, action, ban_days, count, start, excluded, RECEIVED)


@st.composite
def waiting_chunks(draw: st.DrawFn) -> list[Work]:
    """Draw chunks as intake seals and earlier tasks leave them: some positions are excluded, some already in tasks."""
    waiting = []
    for number in range(draw(st.integers(0, 12))):
        count = draw(st.integers(1, 40))
        excluded = draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
        start = draw(st.integers(0, max(set(range(count)) - excluded)))  # Part of the chunk still waits.
        waiting.append(
            work_of(
                f"chunk-{number:02}",
                count,
                action=draw(st.sampled_from(Action)),
                ban_days=draw(st.sampled_from([1, 7])),
                start=start,
                excluded=tuple(sorted(excluded)),
            )
        )
    return waiting


def held_by(waiting: list[Work]) -> list[Position]:
    return [(w.chunk, p) for w in waiting for p in range(w.next, w.count) if p not in w.excluded]


def kinds_of(waiting: list[Work]) -> dict[str, tuple[Action, int]]:
    return {work.chunk: (work.action, work.ban_days) for work in waiting}


def carried_by(slices: tuple[Slice, ...]) -> list[Position]:
    return [(part.chunk, position) for part in slices for position in part.positions()]


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_every_waiting_url_is_planned_once_and_an_excluded_one_never(waiting: list[Work], limit: int) -> None:
    planned = [position for slices in pack(waiting, limit=limit) for position in carried_by(slices)]

    assert Counter(planned) == Counter(held_by(waiting))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_only_the_last_task_of_an_action_and_duration_is_less_than_full(waiting: list[Work], limit: int) -> None:
    kinds = kinds_of(waiting)
    planned = [(kinds[slices[0].chunk], len(carried_by(slices))) for slices in pack(waiting, limit=limit)]

    assert all(1 <= count <= limit for _, count in planned)
    for kind in kinds.values():
        of_kind = [count for its_kind, count in planned if its_kind == kind]
        assert of_kind[:-1] == [limit] * (len(of_kind) - 1)


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_a_task_carries_one_action_and_one_duration_oldest_first(waiting: list[Work], limit: int) -> None:
    kinds = kinds_of(waiting)
    order = {position: index for index, position in enumerate(held_by(waiting))}
    planned = pack(waiting, limit=limit)

    for slices in planned:
        assert len({kinds[part.chunk] for part in slices}) == 1
    for kind in kinds.values():
        ranks = [
            order[position] for slices in planned if kinds[slices[0].chunk] == kind for position in carried_by(slices)
        ]
        assert ranks == sorted(ranks)


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_the_slices_of_a_chunk_reach_its_end_so_that_it_leaves_the_list(waiting: list[Work], limit: int) -> None:
    planned = [part for slices in pack(waiting, limit=limit) for part in slices]

    for chunk in waiting:
        of_chunk = sorted((s.start, s.end) for s in planned if s.chunk == chunk.chunk)
        assert of_chunk[0][0] == chunk.next
        assert of_chunk[-1][1] == chunk.count
        assert all(end == start for (_, end), (start, _) in pairwise(of_chunk))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks().filter(bool), st.integers(1, 50))
def test_halves_carry_the_same_urls_in_order_and_as_evenly_as_can_be(waiting: list[Work], limit: int) -> None:
    for slices in pack(waiting, limit=limit):
        first, second = halve(slices)

        assert carried_by(first) + carried_by(second) == carried_by(slices)
        assert len(carried_by(second)) - len(carried_by(first)) in {0, 1}
        assert all(part.count for part in (*first, *second))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50), st.integers(1, 3))
def test_what_is_sorted_out_carries_every_url_once_in_its_group(waiting: list[Work], limit: int, groups: int) -> None:
    for slices in pack(waiting, limit=limit):
        parts = sort_out(slices, lambda chunk, position: (len(chunk) + position) % groups)

        assert Counter(position for part in parts.values() for position in carried_by(part)) == Counter(
            carried_by(slices)
        )
        for group, part in parts.items():
            assert all((len(chunk) + position) % groups == group for chunk, position in carried_by(part))
        ends = {(part.chunk, part.start, part.end) for group in parts.values() for part in group}
        assert ends == {(part.chunk, part.start, part.end) for part in slices if part.count}


@settings(max_examples=100, deadline=None)
@given(waiting_chunks().filter(bool))
def test_halving_again_and_again_comes_down_to_each_url_by_itself(waiting: list[Work]) -> None:
    (slices, *_) = pack(waiting, limit=40)
    parts, single = [slices], []
    while parts:
        part = parts.pop()
        if len(carried_by(part)) > 1:
            parts += halve(part)
        else:
            single += carried_by(part)

    assert Counter(single) == Counter(carried_by(slices))


def test_nothing_waiting_plans_nothing() -> None:
    assert pack([], limit=1000) == []


def test_a_chunk_of_which_all_is_excluded_makes_no_task() -> None:
    assert pack([work_of("c", 3, excluded=(0, 1, 2))], limit=10) == []


def test_ten_chunks_of_a_hundred_fill_one_task() -> None:
    planned = pack([work_of(f"c{n}", 100) for n in range(10)], limit=1000)

    assert planned == [tuple(Slice(f"c{n}", 0, 100) for n in range(10))]


def test_a_call_of_no_urls_is_no_call() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack([], limit=0)
