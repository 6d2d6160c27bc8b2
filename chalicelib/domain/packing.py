"""Pack the waiting URLs of chunks into tasks of at most as many URLs as the vendor takes. Pure.

Two types here stand for URLs of a chunk: ``Work`` is the rest of a chunk that is in no task, ``Slice`` is a range of a
chunk in a task. The chunk itself, with its URLs, is ``ledger.chunks.Chunk``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from chalicelib.domain.model import Action, ChunkState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of a chunk in a task: positions ``start`` (included) to ``end`` (excluded), without ``excluded``."""

    chunk: str
    start: int
    end: int
    excluded: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """URLs in the slice."""
        return self.end - self.start - len(self.excluded)

    def positions(self) -> list[int]:
        """List the positions whose URLs are in the slice."""
        excluded = set(self.excluded)
        return [position for position in range(self.start, self.end) if position not in excluded]


@dataclass(frozen=True, slots=True)
class Work:
    """The rest of a chunk: positions ``next`` to ``count``, without ``excluded`` (sorted), are in no task yet."""

    chunk: str
    account: str
    state: ChunkState
    action: Action
    ban_days: int
    count: int
    next: int
    excluded: tuple[int, ...]
    received_at: datetime
    lease_until: datetime | None = None
    rule: str = ""
    after: tuple[str, ...] = ()
    approved_by: str = ""
    """Who approved a hold that needs a second approval."""
    approved_person: str = ""
    """The person who works with that token. Version 1 did not write it: then the token's name stands for the person."""
    refused: str = ""
    """Who refused a hold, and why."""
    version: int = 0
    """How often the hold changed before it was decided: a decision must have read the last version."""
    excepted: tuple[int, ...] = ()
    """Positions that the first approver of a hold left out: they are refused when the hold is approved."""
    approving: str = ""
    """Who approved a hold for good, and why: nobody decides about it any more, and it is about to be released."""
    then: ChunkState | None = None
    """The state that an open chunk gets when it is sealed."""
    told_at: datetime | None = None
    """When people were told of the hold. Chunks of earlier versions of edgeban have no such moment."""
    source: str = ""
    """The source of all URLs of a hold; empty if there are several, or if an earlier version wrote the row."""

    @property
    def urls_left(self) -> int:
        """How many URLs of the chunk are in no task yet and have not left the chunk."""
        return self.count - self.next - sum(position >= self.next for position in self.excluded)


def pack(waiting: Iterable[Work], *, limit: int) -> list[tuple[Slice, ...]]:
    """Plan the slices of tasks of at most ``limit`` URLs.

    The oldest URLs come first. One call carries one action and one duration, and every task is full except the last of
    its action and duration.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1 URL")
    planned: list[tuple[Slice, ...]] = []
    filling: dict[tuple[Action, int], list[Slice]] = {}
    for work in waiting:
        slices = filling.setdefault((work.action, work.ban_days), [])
        start = work.next
        while start < work.count:
            room = limit - sum(part.count for part in slices)
            slices.append(_longest(Slice(work.chunk, start, work.count, work.excluded), room))
            start = slices[-1].end
            if slices[-1].count == room:
                planned.append(tuple(slices))
                slices.clear()
    planned.extend(tuple(slices) for slices in filling.values() if any(part.count for part in slices))
    return planned


def _longest(whole: Slice, room: int) -> Slice:
    """Cut a slice off after at most ``room`` URLs. ``whole.excluded`` may hold positions before its start."""
    excluded = whole.excluded[bisect_left(whole.excluded, whole.start) :]
    end = whole.start
    taken = skipped = 0
    while end < whole.end and taken < room:
        if skipped < len(excluded) and excluded[skipped] == end:
            skipped += 1
        else:
            taken += 1
        end += 1
    while skipped < len(excluded) and excluded[skipped] == end:  # leave no tail that holds nothing
        skipped, end = skipped + 1, end + 1
    return Slice(whole.chunk, whole.start, end, excluded[:skipped])


def sort_out(slices: Iterable[Slice], group_of: Callable[[str, int], T]) -> dict[T, tuple[Slice, ...]]:
    """Split slices by the group of each position: the slices of a group exclude the positions of the other groups."""
    groups: dict[T, list[Slice]] = {}
    for part in slices:
        positions_by_group: dict[T, list[int]] = {}
        for position in part.positions():
            positions_by_group.setdefault(group_of(part.chunk, position), []).append(position)
        for group, positions in positions_by_group.items():
            excluded = {*range(part.start, part.end)}.difference(positions)
            groups.setdefault(group, []).append(Slice(part.chunk, part.start, part.end, tuple(sorted(excluded))))
    return {group: tuple(parts) for group, parts in groups.items()}


def trimmed(part: Slice) -> Slice:
    """Return a slice that begins and ends with one of its URLs: two slices without a common URL then begin apart."""
    positions = part.positions()
    start, end = positions[0], positions[-1] + 1
    return Slice(part.chunk, start, end, tuple(position for position in part.excluded if start <= position < end))


def halve(slices: Iterable[Slice]) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """Split into two parts with numbers of URLs that differ as little as possible, in order."""
    parts = list(slices)
    half = sum(part.count for part in parts) // 2
    first: list[Slice] = []
    for index, part in enumerate(parts):
        room = half - sum(taken.count for taken in first)
        if room >= part.count:
            first.append(part)
            continue
        if room == 0:
            return tuple(first), tuple(parts[index:])
        head = _longest(part, room)
        tail = Slice(part.chunk, head.end, part.end, tuple(p for p in part.excluded if p >= head.end))
        return (*first, head), (tail, *parts[index + 1 :])
    return tuple(first), ()


def divide(slices: Iterable[Slice], *, halvings: int) -> list[tuple[Slice, ...]]:
    """Halve slices ``halvings`` times; a part with one URL stays whole."""
    parts = [tuple(slices)]
    for _ in range(halvings):
        halves = [halve(part) if sum(piece.count for piece in part) > 1 else (part,) for part in parts]
        parts = [half for pair in halves for half in pair]
    return parts
