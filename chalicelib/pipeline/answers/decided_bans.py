"""The bans for statements of reasons, each with the chunk of its decision. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from chalicelib.domain.model import Action, Rule
from chalicelib.ledger import audit, carriers, chunks, tasks
from chalicelib.ledger.chunks import Chunk, made_at
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.answers.history import chunks_of
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.ports import Rows

BY_RULES: Final = frozenset({"", Rule.DEFAULT, Rule.RELEASED})
"""Rules of chunks that only the policy decided. A person decided about every other ban that was sent."""

REPEATING: Final = frozenset({Rule.RETRY})
"""Rules of chunks that repeat the decision of an earlier chunk, because the vendor had failed."""

NO_DECISION: Final = frozenset({Rule.RENEWAL, Rule.DRIFT, Rule.TAKEN_OVER})
"""Rules of chunks whose bans are no decisions of their own."""


class DecidedBan(NamedTuple):
    """A ban that a vendor carried out. ``decided`` is the chunk of the decision, which ``chunk`` may repeat."""

    chunk: Chunk
    position: int
    task: Task
    decided: Chunk

    @property
    def key(self) -> str:
        """Return the key of its URL at its account."""
        return self.chunk.keys[self.position]

    @property
    def decision(self) -> tuple[str, str]:
        """Return a key that bans have in common if they were decided at the same moment."""
        return self.chunk.id, self.task.root


def of_claim(rows: Rows, claim: Claim) -> Iterator[DecidedBan]:
    """Yield the bans of a URL, newest first, as far back as its chunks are kept."""
    for chunk, position in chunks_of(rows, claim.key, (claim.unban, claim.chunk)):
        decided = _decided(rows, chunk)
        if decided is not None:
            carried = list(carriers.of_chunk(rows, chunk.id, [position]))
            if carried and expiry.of_task(carried[-1]) and (chunk.id, position) not in carried[-1].not_done():
                yield DecidedBan(chunk, position, carried[-1], decided)


def _decided(rows: Rows, chunk: Chunk) -> Chunk | None:
    """Return the chunk whose decision a chunk carries out; ``None`` if the chunk is no decision of its own."""
    decided: Chunk | None = chunk
    while decided is not None and decided.rule in REPEATING:
        decided = next(iter(chunks.read(rows, decided.renews).values()), None)
    is_decision = decided is not None and decided.action is Action.BAN and decided.rule not in NO_DECISION
    return decided if is_decision else None


def of_task(rows: Rows, task: Task) -> Iterator[DecidedBan]:
    """Yield the bans of a task that succeeded. The tasks that repeat its failed URLs have the bans of these."""
    children = tasks.read(rows, task.children).values() if task.children else ()
    not_done = task.not_done()
    chunks_by_id = chunks.read(rows, [part.chunk for part in task.slices])
    for part in task.slices:
        chunk = chunks_by_id.get(part.chunk)
        decided = _decided(rows, chunk) if chunk else None
        if chunk is None or decided is None:
            continue
        for position in part.positions():
            is_done = (chunk.id, position) not in not_done
            if is_done and not any(carriers.carries(child, chunk.id, [position]) for child in children):
                yield DecidedBan(chunk, position, task, decided)


def decided_at(rows: Rows, ban: DecidedBan) -> datetime:
    """Return when a ban was decided: by rules, when its chunk was made; by a person, just before its first task."""
    if ban.decided.rule in BY_RULES:
        return ban.decided.created_at
    if ban.chunk.id != ban.decided.id:  # the vendor failed at first, for days perhaps
        decisions = audit.about(rows, f"hold:{ban.decided.id}", limit=1)
        return decisions[0][1].at if decisions else ban.decided.created_at
    return datetime.strptime(made_at(ban.task.root), "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
