"""Complete claims that version 1 wrote: their rows do not say who had reported the URL, nor whether it is held."""

from __future__ import annotations

from datetime import UTC, datetime

from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.words.word import Kind, SourceWord, Word, added
from chalicelib.ledger import chunks, remaining
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import pack, report_id
from chalicelib.pipeline.run import Run


def first_word(claim: Claim, chunk: Chunk | None) -> tuple[SourceWord, ...]:
    """Return the one word of a claim that version 1 wrote: that of its chunk's origin."""
    if chunk is None or chunk.action is not Action.BAN or claim.key not in chunk.keys:
        return ()
    origin = chunk.origins[chunk.keys.index(claim.key)]
    until, said_in = datetime.fromtimestamp(claim.until, tz=UTC), report_id(origin.report)
    word = Word(Kind.BAN, chunk.received_at, origin.source, until, said_in=said_in)
    return added((), word)


def completed(run: Run, claims_by_key: dict[str, Claim]) -> dict[str, Claim]:
    """Add to claims that version 1 wrote what their rows do not say: whether they are held, and who had reported them.

    The second is added only if a person decided against the URL.
    """
    decided = {key: claim for key, claim in claims_by_key.items() if not claim.words and claim.cooling(run.clock())}
    if decided:
        chunks_by_id = chunks.read(run.rows, [claim.chunk for claim in decided.values()])
        first_words = {key: first_word(claim, chunks_by_id.get(claim.chunk)) for key, claim in decided.items()}
        claims_by_key |= {key: claim._replace(words=pack(first_words[key])) for key, claim in decided.items()}
    silent: dict[str, set[str]] = {}
    for claim in claims_by_key.values():
        if not claim.words and not claim.outcome:
            silent.setdefault(claim.account, set()).add(claim.chunk)
    holds = {
        work.chunk: work.rule
        for account, ids in silent.items()
        for work in remaining.among(run.rows, account, sorted(ids)).values()
        if work.state is ChunkState.HELD
    }
    if not holds:
        return claims_by_key
    return {
        key: claim._replace(held=holds[claim.chunk]) if not claim.words and claim.chunk in holds else claim
        for key, claim in claims_by_key.items()
    }
