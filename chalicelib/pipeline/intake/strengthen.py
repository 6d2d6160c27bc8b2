"""Let what a batch says of URLs in force stand beside what was said before: the furthest end, and each source's word.

Crash order: the rows by which the bans are renewed, the journal, the claims. A crash in between leaves an entry in the
journal, or a renewal that finds nothing to renew; the messages come again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Kind, Record, SourceWord, State, Word, added
from chalicelib.ledger import chunks, claim_words, renewals
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claim_words import Change
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import pack, unpack
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.decide import SHORTEST_EXTENSION, BatchUrl
from chalicelib.pipeline.run import Run


def strengthen(
    run: Run, sources: Collection[str], urls_by_key: Mapping[str, BatchUrl], claims_by_key: Mapping[str, Claim]
) -> set[str]:
    """Add the words of a batch to the claims of bans in force; return the keys whose claims changed meanwhile."""
    now = run.clock()
    in_force = {
        key: claim
        for key, url in urls_by_key.items()
        if url.words and (claim := claims_by_key.get(key)) and _is_in_force(claim, now)
    }
    if not in_force:
        return set()
    chunks_by_id = chunks.read(run.rows, [claim.chunk for claim in in_force.values() if not claim.words])
    changes: list[Change] = []
    for key, claim in in_force.items():
        words = unpack(claim.words, sources) or first_word(claim, chunks_by_id.get(claim.chunk))
        record = Record(State.IN_FORCE, words, datetime.fromtimestamp(claim.until, tz=UTC))
        for word in urls_by_key[key].words:
            record = _said(record, word)
        if record.words != words:
            assert record.until
            changes.append((claim, pack(record.words), record.until))
    if not changes:
        return set()
    plan_renewals(run, changes, now)
    run.emit("bans_extended", urls=sum(epoch(until) > claim.until for claim, _, until in changes), words=len(changes))
    return claim_words.change(run.rows, changes, now=now)


def words_of(url: BatchUrl, claim: Claim | None, sources: Collection[str]) -> tuple[SourceWord, ...]:
    """Return what sources say of a URL that a batch claims; ``claim`` is that of the hold which it leaves."""
    words = unpack(claim.words, sources) if claim else ()
    for word in url.words:
        words = added(words, word)
    return words


def _is_in_force(claim: Claim, now: datetime) -> bool:
    return not (claim.held or claim.ended(now) or claim.cooling(now))


def _said(record: Record, word: Word) -> Record:
    """Let one word of a report stand beside those on record of a ban in force."""
    assert record.until
    if word.until < record.until + SHORTEST_EXTENSION:
        word = Word(word.kind, word.said_at, word.source, min(word.until, record.until), word.rule)
    outcome = decide(record, word)
    return Record(record.state, outcome.words, outcome.until)


def first_word(claim: Claim, chunk: Chunk | None) -> tuple[SourceWord, ...]:
    """Return the one word of a claim that version 1 wrote: that of its chunk's origin."""
    if chunk is None or claim.key not in chunk.keys:
        return ()
    origin = chunk.origins[chunk.keys.index(claim.key)]
    word = Word(Kind.BAN, chunk.received_at, origin.source, datetime.fromtimestamp(claim.until, tz=UTC))
    return added((), word)


def plan_renewals(run: Run, changes: Sequence[Change], now: datetime) -> None:
    """Have each chunk looked at before its bans end at the vendor, where a planned end moves out."""
    before = timedelta(hours=run.policy.renew_before_hours)
    ends = {claim.chunk: claim.until for claim, _, until in changes if epoch(until) > claim.until}
    for chunk in chunks.read(run.rows, ends).values():
        end = datetime.fromtimestamp(ends[chunk.id], tz=UTC)
        renewals.plan(run.rows, chunk, at=max(end - before, now))
