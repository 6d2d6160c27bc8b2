"""Pack the waiting parts of chunks into tasks of at most as many URLs as the vendor takes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from chalicelib.domain.model import Action

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """Positions ``start`` (included) to ``end`` (excluded) of a chunk, without the positions ``lost``."""

    chunk: str
    start: int
    end: int
    lost: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """URLs in the slice."""
        return self.end - self.start - len(self.lost)

    def positions(self) -> list[int]:
        """The positions that the slice really holds."""
        without = set(self.lost)
        return [position for position in range(self.start, self.end) if position not in without]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of a chunk waits for a task: positions from ``next`` to ``count``, without ``lost`` (sorted)."""

    chunk: str
    action: Action
    ban_days: int
    next: int
    count: int
    lost: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A task to make: one call carries one action and one duration."""

    action: Action
    ban_days: int
    slices: tuple[Slice, ...]

    @property
    def count(self) -> int:
        """URLs in the task."""
        return sum(each.count for each in self.slices)


def pack(waiting: Iterable[Waiting], *, limit: int) -> list[Plan]:
    """Plan tasks of at most ``limit`` URLs: oldest first, every task full but the last of its action and duration."""
    if limit < 1:
        raise ValueError("limit must be at least 1 URL")
    plans: list[Plan] = []
    filling: dict[tuple[Action, int], list[Slice]] = {}
    for each in waiting:
        kind = (each.action, each.ban_days)
        slices = filling.setdefault(kind, [])
        room = limit - sum(part.count for part in slices)
        start = each.next
        while start < each.count:
            part = _take(each, start, room)
            slices.append(part)
            start, room = part.end, room - part.count
            if room == 0:
                plans.append(Plan(*kind, slices=tuple(slices)))
                slices = filling[kind] = []
                room = limit
    plans.extend(Plan(*kind, slices=tuple(slices)) for kind, slices in filling.items() if any(s.count for s in slices))
    return plans


def _take(waiting: Waiting, start: int, room: int) -> Slice:
    """The longest slice from ``start`` that holds at most ``room`` URLs."""
    lost = waiting.lost[bisect_left(waiting.lost, start) :]
    end = start
    taken = skipped = 0
    while end < waiting.count and taken < room:
        if skipped < len(lost) and lost[skipped] == end:
            skipped += 1
        else:
            taken += 1
        end += 1
    while skipped < len(lost) and lost[skipped] == end:  # leave no tail that holds nothing
        skipped, end = skipped + 1, end + 1
    return Slice(waiting.chunk, start, end, tuple(lost[:skipped]))


def sort_out(slices: Iterable[Slice], group_of: Callable[[str, int], T]) -> dict[T, tuple[Slice, ...]]:
    """Split by what ``group_of`` says of each chunk's positions: every group's slices lack what is in the others."""
    groups: dict[T, list[Slice]] = {}
    for each in slices:
        found: dict[T, list[int]] = {}
        for position in each.positions():
            found.setdefault(group_of(each.chunk, position), []).append(position)
        for group, positions in found.items():
            lost = {*range(each.start, each.end)}.difference(positions)
            groups.setdefault(group, []).append(Slice(each.chunk, each.start, each.end, tuple(sorted(lost))))
    return {group: tuple(parts) for group, parts in groups.items()}


def cut(items: Iterable[T], *, count: int, size: int, size_of: Callable[[T], int]) -> list[list[T]]:
    """Cut into parts of at most ``count`` items whose sizes come to at most ``size``; a larger one stands alone."""
    parts: list[list[T]] = []
    room = -1
    for item in items:
        taken = size_of(item)
        room -= taken
        if room < 0 or len(parts[-1]) >= count:
            parts.append([])
            room = size - taken
        parts[-1].append(item)
    return parts


def halve(slices: Iterable[Slice]) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """Split into two parts of as nearly the same number of URLs as can be, in order."""
    parts = list(slices)
    half = sum(each.count for each in parts) // 2
    first: list[Slice] = []
    for index, each in enumerate(parts):
        room = half - sum(part.count for part in first)
        if room >= each.count:
            first.append(each)
            continue
        if room == 0:
            return tuple(first), tuple(parts[index:])
        whole = Waiting(each.chunk, Action.BAN, 0, each.start, each.end, each.lost)
        head = _take(whole, each.start, room)
        tail = Slice(each.chunk, head.end, each.end, tuple(p for p in each.lost if p >= head.end))
        return (*first, head), (tail, *parts[index + 1 :])
    return tuple(first), ()
