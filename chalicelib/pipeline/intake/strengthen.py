"""Add what a batch says of banned URLs to what is on record: each source's word, and the furthest end.

Crash order: the rows by which the bans are renewed, the journal, the jobs that lift bans at an end before the vendor's,
the claims, the renewal of bans that end soon. After a crash in between the messages come again. An entry in the journal
may stay, a job may lift nothing, and a renewal may find nothing to renew or be made within the hour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.model import Rule
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Effect, Record, SourceWord, State, Word, added, set_aside
from chalicelib.ledger import chunks, claim_words, unban_jobs
from chalicelib.ledger.chunks import EDGEBAN
from chalicelib.ledger.claim_words import Change, Said
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import markers, pack, unpack
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.collect import BatchUrl
from chalicelib.pipeline.intake.on_record import SHORTEST_EXTENSION
from chalicelib.pipeline.lifecycle.on_claim import record_of
from chalicelib.pipeline.lifecycle.renewing import plan_extended, renew_extended
from chalicelib.pipeline.lifecycle.retrying import after_refusal, plan_retries
from chalicelib.pipeline.lifecycle.version_1 import first_word
from chalicelib.pipeline.run import Run

LIFTED = "the ban came to the end that is left of it, which a report had moved out"


def record_words(
    run: Run,
    sources: Collection[str],
    claimed_next: Sequence[BatchUrl],
    in_place: Mapping[str, BatchUrl],
    claims_by_key: Mapping[str, Claim],
) -> tuple[dict[str, bytes], set[str]]:
    """Record what a batch says of URLs, apart from the one word of the report that a URL is claimed for.

    Return the words of the URLs that the batch claims next, and the keys of the URLs ``in_place`` whose claims changed
    meanwhile: their messages must come again.
    """
    now, policy, words_by_key = run.clock(), run.policy, dict[str, bytes]()
    said: list[Said] = []
    last, packed = None, b""  # most URLs of a report share its word
    for url in claimed_next:
        claim = claims_by_key.get(url.key)
        if len(url.words) > 1 or (claim and claim.words):
            words_by_key[url.key] = words = _packed_words_of(url, claim, sources, now)
            said.append(_said_of(url, claim, words, url.plan(policy).end(now)))
        elif url.words:
            if url.words[0] is not last:
                last, packed = url.words[0], pack(added((), url.words[0]))
            words_by_key[url.key] = packed
    changes, retries = _changes_of(run, sources, in_place, claims_by_key)
    said = [_said_of(in_place[claim.key], claim, words, until) for claim, words, until in changes] + said
    claim_words.record(run.rows, said, now=now)
    return words_by_key, _strengthen(run, changes, retries)


def _changes_of(
    run: Run, sources: Collection[str], urls_by_key: Mapping[str, BatchUrl], claims_by_key: Mapping[str, Claim]
) -> tuple[list[Change], dict[str, datetime]]:
    """Add the words of a batch to the claims of URLs that are in force, held, failed or refused by the vendor.

    Return the claims that change, and when the URLs are sent again that the vendor refused.
    """
    now = run.clock()
    standing = {
        key: claim
        for key, url in urls_by_key.items()
        if url.words and (claim := claims_by_key.get(key)) and not claim.needs_new_ban(now)
    }
    if not standing:
        return [], {}
    chunks_by_id = chunks.read(run.rows, [claim.chunk for claim in standing.values() if not claim.words])
    changes, retries = list[Change](), dict[str, datetime]()
    for key, claim in standing.items():
        words = unpack(claim.words, sources) or first_word(claim, chunks_by_id.get(claim.chunk))
        record = _record(claim, words, now)
        for word in urls_by_key[key].words:
            record, effect = _said(record, word)
            if effect is Effect.TRY_AGAIN:
                retries[key] = after_refusal(claim, now)
        if record.words != words:
            assert record.until
            packed = pack(record.words) + markers(claim.words, now=now, besides=record.words)
            changes.append((claim._replace(url=urls_by_key[key].url), packed, record.until))
    return changes, retries


def _strengthen(run: Run, changes: Sequence[Change], retries: Mapping[str, datetime]) -> set[str]:
    """Write what ``_changes_of`` found; return the keys whose claims changed meanwhile."""
    if not changes:
        return set()
    in_force = [change for change in changes if not (change[0].held or change[0].outcome)]
    plan_extended(run, in_force)
    plan_retries(run, [(claim.chunk, retries[claim.key]) for claim, _, _ in changes if claim.key in retries])
    lifted = [change for change in changes if _moves_a_lift(change)]
    for claim, _, end in lifted:
        unban_jobs.lift_at(run.rows, end, [claim.url], actor=EDGEBAN, reason=LIFTED, now=run.clock())
    run.emit("bans_extended", urls=sum(epoch(until) > claim.until for claim, _, until in changes), words=len(changes))
    now, others = run.clock(), [change for change in changes if change not in lifted]
    failed = claim_words.change(run.rows, lifted, now=now, recorded=True, lifted=True)
    failed |= claim_words.change(run.rows, others, now=now, recorded=True, retries=retries)
    renew_extended(run, [change for change in in_force if change[0].key not in failed])
    return failed


def _moves_a_lift(change: Change) -> bool:
    """Return whether edgeban was to lift the ban at its old end, which now moves out."""
    claim, _, end = change
    return bool(claim.lifted_at) and claim.lifted_at == claim.until < epoch(end) and end < FOREVER


def _said_of(url: BatchUrl, claim: Claim | None, words: bytes, until: datetime) -> Said:
    """Return what the journal keeps of a batch's words about a URL."""
    before = claim.until if claim else 0
    return Said(url.key, url.account, before, epoch(until), words, tuple(url.mentioned))


def _packed_words_of(url: BatchUrl, claim: Claim | None, sources: Collection[str], now: datetime) -> bytes:
    """Return what sources say of a URL that a batch claims.

    ``claim`` is the one on record. If the URL leaves a hold, its words stay. If a person decides again about the URL,
    the words that the person decided against are remembered, but ask for nothing. The words of a ban that has ended are
    dropped. Markers stay.
    """
    stand = claim is not None and (claim.waits(now) or claim.cooling(now))
    words = unpack(claim.words, sources) if claim and stand else ()
    words = set_aside(words) if claim and claim.cooling(now) else words
    for word in url.words:
        words = added(words, word)
    return pack(words) + (markers(claim.words, now=now, besides=words) if claim else b"")


def _record(claim: Claim, words: tuple[SourceWord, ...], now: datetime) -> Record:
    record = record_of(claim, words, now)
    # By its verdict, the report releases nothing: its word joins the hold, whatever it is.
    return replace(record, rule=Rule.DECIDED_BEFORE) if record.state is State.HELD else record


def _said(record: Record, word: Word) -> tuple[Record, Effect]:
    """Add one word of a report to the words on record; return the new record and what must be done."""
    assert record.until
    if word.until < record.until + SHORTEST_EXTENSION:
        word = replace(word, until=min(word.until, record.until))
    outcome = decide(record, word)
    return replace(record, words=outcome.words, until=outcome.until), outcome.effect
