"""Find the sources whose bans a task made or undid. The journal tells it of each task that succeeded, for counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from chalicelib.domain.model import Action, Rule
from chalicelib.domain.series import BY_PEOPLE, THE_REST
from chalicelib.ledger import chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.tasks import Task
from chalicelib.ports import Rows

MOST: Final = 20
"""How many sources the journal names for one task: its row costs about one write unit. Others are ``THE_REST``."""

CARRIED_ON: Final = frozenset({Rule.RENEWAL, Rule.DRIFT})
"""Rules of chunks whose bans are not new."""


def attributed(rows: Rows, task: Task, chunks_by_id: Mapping[str, Chunk]) -> Task:
    """Return a task that is about to succeed, with the sources of its URLs, except URLs that it failed.

    A ban counts for the source that it was made for. An unban that a person asked for counts for the source of the ban
    that it undoes. A renewal counts for no source, and neither does an unban at a planned end.
    """
    done = list(_done(task, chunks_by_id))
    counts = _made(done) if task.action is Action.BAN else _undone(rows, done)
    named = counts.most_common(MOST)
    if rest := counts.total() - sum(number for _, number in named):
        named.append((THE_REST, rest))
    return replace(task, by_source=tuple(named))


def _done(task: Task, chunks_by_id: Mapping[str, Chunk]) -> Iterator[tuple[Chunk, int]]:
    not_done = task.not_done()
    for part in task.slices:
        chunk = chunks_by_id.get(part.chunk)
        if chunk is not None:
            yield from ((chunk, at) for at in part.positions() if (chunk.id, at) not in not_done)


def _made(done: list[tuple[Chunk, int]]) -> Counter[str]:
    return Counter(chunk.origins[at].source for chunk, at in done if chunk.rule not in CARRIED_ON)


def _undone(rows: Rows, done: list[tuple[Chunk, int]]) -> Counter[str]:
    """Count by the sources of the bans that were undone. Each unban's chunk remembers the ban's."""
    by_people = [(chunk, at) for chunk, at in done if chunk.rule in BY_PEOPLE]
    ban_of = {(chunk.id, at): ban for chunk, _ in by_people for at, ban, _ in chunk.before if ban}
    bans = chunks.read(rows, sorted({ban_of[chunk.id, at] for chunk, at in by_people if (chunk.id, at) in ban_of}))
    source_of = {
        (ban.id, key): origin.source for ban in bans.values() for key, origin in zip(ban.keys, ban.origins, strict=True)
    }
    places = ((ban_of.get((chunk.id, at), ""), chunk.keys[at]) for chunk, at in by_people)
    return Counter(source_of[place] for place in places if place in source_of)
