"""Make a chunk: open it, claim its URLs, seal it with those it won. The one way into the ledger for a ban or unban.

Whoever decides, an intake, an operator, a renewal, comes through here, so that a crash at any step of any of them is
healed in one way: the sweep calls ``finish`` on an open chunk whose lease has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from chalicelib.domain.model import CHUNK_BYTES, CHUNK_URLS, Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.rules import Policy
from chalicelib.ledger import chunks, claims
from chalicelib.ledger.chunks import Chunk, Origin, made_at
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.ports import Emit, Rows

T = TypeVar("T")


def parts(urls: Iterable[tuple[str, T]], *, origin_of: Callable[[T], Origin] | None = None) -> Iterable[list[T]]:
    """Cut into lists that fit a chunk; each item comes with its URL.

    ``origin_of`` tells what the chunk keeps beside the URL, once for all URLs that share it.
    """
    part: list[T] = []
    told: set[Origin] = set()
    size = 0
    for url, each in urls:
        origin = origin_of(each) if origin_of else None
        more = len(url) + (_size(origin) if origin and origin not in told else 0)
        if part and (len(part) == CHUNK_URLS or size + more > CHUNK_BYTES):
            yield part
            part, size, told = [], 0, set()
            more = len(url) + (_size(origin) if origin else 0)
        part.append(each)
        size += more
        if origin:
            told.add(origin)
    if part:
        yield part


def _size(origin: Origin) -> int:
    return len(f"{origin.report}{origin.source}{origin.reporter}{origin.category}{origin.note}".encode())


def history(keys: Sequence[str], known: Mapping[str, Claim]) -> tuple[tuple[int, str, str], ...]:
    """What a new chunk remembers of its URLs' earlier claims (``Chunk.before``)."""
    return tuple((position, known[key].chunk, known[key].unban) for position, key in enumerate(keys) if known.get(key))


def begin(
    rows: Rows, chunk: Chunk, known: Mapping[str, Claim], *, then: ChunkState = ChunkState.WAITING, now: datetime
) -> set[str]:
    """Open, claim, seal; return the keys that the chunk won. ``then`` is what becomes of it."""
    chunks.open_chunk(rows, chunk, then=then, now=now)
    return _claim(rows, chunk, known, then=then, now=now)


def finish(rows: Rows, work: Work, *, emit: Emit, now: datetime) -> bool:
    """Finish an open chunk whose maker died: claim again for the same chunk, and seal it. Whether something waits.

    What was decided about a URL since the chunk was made stands: a redelivered report or an unban is the later word.
    An unban that had marked the URL by then is carried out all the same: its ban may have been sent meanwhile.
    """
    chunk = chunks.read(rows, [work.chunk]).get(work.chunk)
    if chunk is None:
        emit("chunk_without_urls", chunk_id=work.chunk, account=work.account)
        return False
    known = claims.read(rows, chunk.keys, consistent=True)
    if chunk.action is Action.BAN:
        known = expiry.in_force(rows, dict.fromkeys(chunk.keys, chunk.account), known, now=now)
    then = work.then or ChunkState.WAITING
    older = {
        position
        for position, key in enumerate(chunk.keys)
        if key not in known or max(made_at(known[key].chunk), made_at(known[key].unban)) <= made_at(chunk.id)
    }
    had = _had(rows, chunk, known, older) if chunk.action is Action.UNBAN else set()
    won = _claim(rows, chunk, known, then=then, now=now, only=older, had=had)
    emit("chunk_finished", chunk_id=chunk.id, account=chunk.account, urls=len(won))
    return bool(won) and then is ChunkState.WAITING


def _claim(
    rows: Rows,
    chunk: Chunk,
    known: Mapping[str, Claim],
    *,
    then: ChunkState,
    now: datetime,
    only: Collection[int] | None = None,
    had: Collection[str] = (),
) -> set[str]:
    """Claim for a chunk, or for some of its positions, and seal it with what it won, and what it ``had`` before."""
    ours = chunk if only is None else chunks.part_of(chunk, only)
    if chunk.action is Action.UNBAN:
        won = claims.unban(rows, ours, known, now=now)
    else:
        won = claims.claim(rows, ours, known, now=now, held=then is ChunkState.HELD)
    won = won.union(had)
    chunks.seal(rows, chunk, won, then=then)
    return won


def _had(rows: Rows, chunk: Chunk, known: Mapping[str, Claim], older: Collection[int]) -> set[str]:
    """The keys that a chunk had won, and that later decisions have taken over since."""
    read: dict[str, Chunk] = {}
    newer = [key for position, key in enumerate(chunk.keys) if position not in older]
    return {key for key in newer if chunks.follower(rows, (known[key].unban, known[key].chunk), key, chunk.id, read)}


def renew_at(now: datetime, ban_days: int, until: datetime, policy: Policy) -> datetime | None:
    """When bans of ``ban_days`` from now are to be renewed; ``None`` if they end as planned."""
    end = now + timedelta(days=ban_days)
    if until <= end:
        return None
    return max(end - timedelta(hours=policy.renew_before_hours), now + timedelta(hours=1))
