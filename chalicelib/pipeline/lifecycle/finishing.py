"""Finish a chunk whose maker died after opening it, and before it sealed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger import chunk_chain, chunks, claims, remaining
from chalicelib.ledger.chunks import Chunk, made_at
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.lifecycle.claiming import claim_urls
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


def finish(run: Run, work: Work) -> bool:
    """Finish an open chunk whose maker died: claim its URLs again and seal it. Return whether something waits.

    A decision about a URL since the chunk was made stays: a redelivered report or an unban is the later word. If this
    chunk is an unban that had marked the URL, it is carried out all the same: the ban may have been sent meanwhile.
    """
    chunk = chunks.read(run.rows, [work.chunk]).get(work.chunk)
    if chunk is None:
        run.emit("chunk_without_urls", chunk_id=work.chunk, account=work.account)
        return False
    claims_by_key = claims.read(run.rows, chunk.keys, consistent=True)
    if chunk.action is Action.BAN:
        claims_by_key = expiry.corrected(run, claims_by_key)
    undecided = {
        position
        for position, key in enumerate(chunk.keys)
        if key not in claims_by_key or _decided_at(claims_by_key[key]) <= made_at(chunk.id)
    }
    taken_over: set[str] = set()
    if chunk.action is Action.UNBAN:
        later = [key for position, key in enumerate(chunk.keys) if position not in undecided]
        taken_over = _taken_over(run.rows, chunk, {key: claims_by_key[key] for key in later})
    then = work.then or ChunkState.WAITING
    chunk = replace(chunk, after=work.after)
    claimed = claim_urls(run.rows, chunk_chain.part_of(chunk, undecided), claims_by_key, then=then, now=run.clock())
    claimed |= taken_over
    remaining.seal(run.rows, chunk, claimed, then=then)
    run.emit("chunk_finished", chunk_id=chunk.id, account=chunk.account, urls=len(claimed))
    return bool(claimed) and then is ChunkState.WAITING


def _decided_at(claim: Claim) -> str:
    """Return when the latest chunk that had a URL was made."""
    return max(made_at(claim.chunk), made_at(claim.unban))


def _taken_over(rows: Rows, chunk: Chunk, later: Mapping[str, Claim]) -> set[str]:
    """Find the keys that a chunk had claimed, and that later decisions have taken over."""
    read: dict[str, Chunk] = {}
    return {
        key
        for key, claim in later.items()
        if chunk_chain.follower(rows, (claim.unban, claim.chunk), key, chunk.id, read)
    }
