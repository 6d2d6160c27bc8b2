"""Make a chunk: open it, claim its URLs, seal it with those it claimed. The one way into the ledger for a ban or unban.

Intake, operators and renewals all come through ``begin``. A crash at any step of any of them is healed in one way: the
sweep calls ``finishing.finish`` on an open chunk whose lease has passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.model import Action, ChunkState, Rule
from chalicelib.ledger import chunk_chain, claim_decisions, claim_ends, claims, remaining
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.lifecycle import ordering
from chalicelib.pipeline.lifecycle.releasing import leave_holds
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


def begin(
    run: Run,
    chunk: Chunk,
    claims_by_key: Mapping[str, Claim],
    *,
    then: ChunkState = ChunkState.WAITING,
    words: Mapping[str, bytes] = claims.NO_WORDS,
) -> set[str]:
    """Open a new chunk, claim its URLs and seal it; return the keys that it claimed.

    ``claims_by_key`` holds the claims of its URLs, as they were read. From them follow what the chunk remembers of its
    URLs (``Chunk.before``) and the chunks that it waits for (``Chunk.after``). ``then`` is the state after the seal.
    ``words`` are what several sources say of a URL (``claims.claim``).
    """
    before = _earlier(chunk.keys, claims_by_key)
    chunk = replace(
        chunk,
        before=before,
        after=ordering.waits_for(run.rows, chunk, claims_by_key),
        renew_at=_renew_at(chunk, run.policy.renew_before_hours),
    )
    remaining.open_chunk(run.rows, chunk, then=then)
    claimed = claim_urls(run.rows, chunk, claims_by_key, then=then, now=chunk.created_at, words=words)
    remaining.seal(run.rows, chunk, claimed, then=then)
    return claimed


def claim_urls(
    rows: Rows,
    chunk: Chunk,
    claims_by_key: Mapping[str, Claim],
    *,
    then: ChunkState,
    now: datetime,
    words: Mapping[str, bytes] = claims.NO_WORDS,
) -> set[str]:
    """Claim the URLs of an open chunk, as its action and its rule ask; return the keys that it claimed."""
    if chunk.rule == Rule.WITHDRAWN and chunk.action is Action.BAN:  # a hold that asks about a ban still in force
        return set(chunk.keys)
    if chunk.rule == Rule.ENDED:
        return claim_ends.mark(rows, chunk, claims_by_key)
    if chunk.action is Action.UNBAN:
        unended = ordering.unended_unbans(rows, chunk, claims_by_key)
        return claim_decisions.unban(rows, chunk, claims_by_key, unended=unended, left=words)
    if chunk.rule in {Rule.RELEASED, Rule.BY_HAND}:
        staying = leave_holds(rows, chunk, claims_by_key)
        chunk = chunk_chain.part_of(chunk, [at for at, key in enumerate(chunk.keys) if key not in staying])
    return claims.claim(rows, chunk, claims_by_key, now=now, held=then is ChunkState.HELD, words=words)


def _earlier(keys: Sequence[str], claims_by_key: Mapping[str, Claim]) -> tuple[tuple[int, str, str], ...]:
    """List the earlier claims of URLs: position, and the chunks that banned and unbanned the URL."""
    return tuple(
        (position, claims_by_key[key].chunk, claims_by_key[key].unban)
        for position, key in enumerate(keys)
        if key in claims_by_key
    )


def _renew_at(chunk: Chunk, hours_before: int) -> datetime | None:
    """Return when the chunk's bans are to be renewed; ``None`` if the vendor's duration covers them."""
    end = chunk.created_at + timedelta(days=chunk.ban_days)
    if chunk.action is not Action.BAN or chunk.until <= end:
        return None
    return max(end - timedelta(hours=hours_before), chunk.created_at + timedelta(hours=1))
