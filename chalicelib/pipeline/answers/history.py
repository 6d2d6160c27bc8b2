"""Every decision about one URL, back through the chunks that banned and unbanned it (I7). Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain.model import Action, Rule
from chalicelib.ledger import audit, carriers, chunks
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.pipeline.lifecycle.explaining import UrlStatus
from chalicelib.ports import Rows

LONGEST = 50
"""The most decisions that one answer shows."""


NO_HOLD = frozenset({"", Rule.DEFAULT, Rule.RENEWAL, Rule.RELEASED, Rule.RETRY, Rule.UNBAN})
"""Rules of chunks that no person decides about."""


@dataclass(frozen=True, slots=True)
class PastDecision:
    """One ban or unban of a URL, with the ids of the tasks that carried it. ``actor`` is empty if no person decided."""

    at: datetime
    action: Action
    rule: str
    actor: str
    reason: str
    report: str
    source: str
    reporter: str
    category: str
    chunk: str
    tasks: tuple[str, ...]
    approvals: tuple[Decision, ...] = ()
    """What people decided about the hold, if it was one, oldest first."""


def of_status(rows: Rows, status: UrlStatus) -> list[PastDecision]:
    """Return the decisions about a URL at an account, newest first, as far back as its chunks are kept.

    Each chunk names the chunks that banned and unbanned its URLs before. So the history costs no writes of its own.
    """
    decisions: list[PastDecision] = []
    for chunk, position in chunks_of(rows, status.key, (status.unban, status.chunk)):
        origin = chunk.origins[position]
        decisions.append(
            PastDecision(
                at=chunk.created_at,
                action=chunk.action,
                rule=chunk.rule or "default",
                actor=chunk.actor,
                reason=chunk.reason,
                report=origin.report,
                source=origin.source,
                reporter=origin.reporter,
                category=origin.category,
                chunk=chunk.id,
                tasks=tuple(task.id for task in carriers.of_chunk(rows, chunk.id, [position])),
                approvals=_approvals(rows, chunk),
            )
        )
    return decisions


def chunks_of(rows: Rows, key: str, latest: Iterable[str]) -> Iterator[tuple[Chunk, int]]:
    """Yield the chunks that had a URL, newest first, each with the URL's position: at most ``LONGEST``.

    ``key`` is the URL's key; ``latest`` are the chunks that its claim names.
    """
    following = list(latest)
    seen: set[str] = set()
    while following and len(seen) < LONGEST:
        chunk_id = following.pop(0)
        if not chunk_id or chunk_id in seen:
            continue
        seen.add(chunk_id)
        chunk = chunks.read(rows, [chunk_id]).get(chunk_id)
        if chunk is None or key not in chunk.keys:
            continue
        position = chunk.keys.index(key)
        yield chunk, position
        following += [earlier for at, ban, unban in chunk.before if at == position for earlier in (unban, ban)]


def _approvals(rows: Rows, chunk: Chunk) -> tuple[Decision, ...]:
    """Return what people decided about a chunk, if it was a hold: one query a hold."""
    if chunk.rule in NO_HOLD or chunk.action is not Action.BAN:
        return ()
    return tuple(decision for _, decision in reversed(audit.about(rows, f"hold:{chunk.id}")))
