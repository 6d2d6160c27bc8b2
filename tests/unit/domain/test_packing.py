"""Packing loses no URL, doubles none and never overfills a call, whatever waits."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.model import Action
from chalicelib.domain.packing import Plan, Slice, Waiting, halve, pack, sort_out

Position = tuple[str, int]


@st.composite
def waiting_chunks(draw: st.DrawFn) -> list[Waiting]:
    """Chunks as intake seals them and earlier tasks leave them: some positions lost, some in tasks already."""
    made = []
    for number in range(draw(st.integers(0, 12))):
        count = draw(st.integers(1, 40))
        lost = draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
        start = draw(st.integers(0, max(set(range(count)) - lost)))  # something of it waits still
        made.append(
            Waiting(
                f"chunk-{number:02}",
                draw(st.sampled_from(Action)),
                draw(st.sampled_from([1, 7])),
                start,
                count,
                tuple(sorted(lost)),
            )
        )
    return made


def held_by(waiting: list[Waiting]) -> list[Position]:
    return [(w.chunk, p) for w in waiting for p in range(w.next, w.count) if p not in w.lost]


def carried_by(slices: tuple[Slice, ...]) -> list[Position]:
    return [(each.chunk, position) for each in slices for position in each.positions()]


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_every_waiting_url_is_planned_once_and_a_lost_one_never(waiting: list[Waiting], limit: int) -> None:
    planned = [position for plan in pack(waiting, limit=limit) for position in carried_by(plan.slices)]

    assert Counter(planned) == Counter(held_by(waiting))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_only_the_last_task_of_an_action_and_duration_is_less_than_full(waiting: list[Waiting], limit: int) -> None:
    plans = pack(waiting, limit=limit)

    assert all(1 <= plan.count <= limit for plan in plans)
    for kind in {(plan.action, plan.ban_days) for plan in plans}:
        of_kind = [plan.count for plan in plans if (plan.action, plan.ban_days) == kind]
        assert of_kind[:-1] == [limit] * (len(of_kind) - 1)


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_a_task_carries_one_action_and_one_duration_oldest_first(waiting: list[Waiting], limit: int) -> None:
    kinds = {each.chunk: (each.action, each.ban_days) for each in waiting}
    order = {position: index for index, position in enumerate(held_by(waiting))}
    plans = pack(waiting, limit=limit)

    for plan in plans:
        assert {kinds[each.chunk] for each in plan.slices} == {(plan.action, plan.ban_days)}
    for kind in kinds.values():
        ranks = [
            order[position]
            for plan in plans
            if (plan.action, plan.ban_days) == kind
            for position in carried_by(plan.slices)
        ]
        assert ranks == sorted(ranks)


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50))
def test_the_slices_of_a_chunk_reach_its_end_so_that_it_leaves_the_list(waiting: list[Waiting], limit: int) -> None:
    slices = [each for plan in pack(waiting, limit=limit) for each in plan.slices]

    for chunk in waiting:
        of_chunk = sorted((s.start, s.end) for s in slices if s.chunk == chunk.chunk)
        assert of_chunk[0][0] == chunk.next
        assert of_chunk[-1][1] == chunk.count
        assert all(end == start for (_, end), (start, _) in pairwise(of_chunk))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks().filter(bool), st.integers(1, 50))
def test_halves_carry_the_same_urls_in_order_and_as_evenly_as_can_be(waiting: list[Waiting], limit: int) -> None:
    for plan in pack(waiting, limit=limit):
        first, second = halve(plan.slices)

        assert carried_by(first) + carried_by(second) == carried_by(plan.slices)
        assert len(carried_by(second)) - len(carried_by(first)) in {0, 1}
        assert all(each.count for each in (*first, *second))


@settings(max_examples=150, deadline=None)
@given(waiting_chunks(), st.integers(1, 50), st.integers(1, 3))
def test_what_is_sorted_out_carries_every_url_once_in_its_group(
    waiting: list[Waiting], limit: int, groups: int
) -> None:
    for plan in pack(waiting, limit=limit):
        parts = sort_out(plan.slices, lambda chunk, position: (len(chunk) + position) % groups)

        assert Counter(each for part in parts.values() for each in carried_by(part)) == Counter(carried_by(plan.slices))
        for group, part in parts.items():
            assert all((len(chunk) + position) % groups == group for chunk, position in carried_by(part))
        ends = {(each.chunk, each.start, each.end) for part in parts.values() for each in part}
        assert ends == {(each.chunk, each.start, each.end) for each in plan.slices if each.count}


@settings(max_examples=100, deadline=None)
@given(waiting_chunks().filter(bool))
def test_halving_again_and_again_comes_down_to_each_url_by_itself(waiting: list[Waiting]) -> None:
    (plan, *_) = pack(waiting, limit=40)
    parts, single = [plan.slices], []
    while parts:
        part = parts.pop()
        if len(carried_by(part)) > 1:
            parts += halve(part)
        else:
            single += carried_by(part)

    assert Counter(single) == Counter(carried_by(plan.slices))


def test_nothing_waiting_plans_nothing() -> None:
    assert pack([], limit=1000) == []


def test_a_chunk_of_which_all_is_lost_makes_no_task() -> None:
    assert pack([Waiting("c", Action.BAN, 7, 0, 3, (0, 1, 2))], limit=10) == []


def test_ten_chunks_of_a_hundred_fill_one_task() -> None:
    plans = pack([Waiting(f"c{n}", Action.BAN, 7, 0, 100) for n in range(10)], limit=1000)

    assert plans == [Plan(Action.BAN, 7, tuple(Slice(f"c{n}", 0, 100) for n in range(10)))]


def test_a_call_of_no_urls_is_no_call() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack([], limit=0)
