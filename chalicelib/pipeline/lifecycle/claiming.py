"""Make a chunk: open it, claim its URLs, seal it with those it claimed. The one way into the ledger for a ban or unban.

Intake, operators and renewals all come through ``begin``. A crash at any step of any of them is healed in one way: the
sweep calls ``finish`` on an open chunk whose lease has passed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import Action, ChunkState, Rule
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.duration import plan_for
from chalicelib.ledger import chunks, claim_decisions, claim_ends, claims, remaining
from chalicelib.ledger.chunks import Chunk, made_at
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.lifecycle import expiry, ordering
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

    ``claims_by_key`` is what a read showed of its URLs. From it follows what the chunk remembers of them
    (``Chunk.before``) and which chunks it waits for (``Chunk.after``). ``then`` is the state it is sealed with.
    ``words`` are what several sources say of a URL (``claims.claim``).
    """
    before = _earlier(chunk.keys, claims_by_key)
    chunk = replace(
        chunk,
        before=before,
        after=_waits_for(run.rows, chunk, claims_by_key),
        renew_at=_renew_at(chunk, run.policy.renew_before_hours),
    )
    remaining.open_chunk(run.rows, chunk, then=then)
    claimed = _claim(run.rows, chunk, claims_by_key, then=then, now=chunk.created_at, words=words)
    remaining.seal(run.rows, chunk, claimed, then=then)
    return claimed


def finish(run: Run, work: Work) -> bool:
    """Finish an open chunk whose maker died: claim its URLs again and seal it. Return whether something waits.

    What was decided about a URL since the chunk was made stands: a redelivered report or an unban is the later word.
    An unban that had marked the URL by then is carried out all the same: its ban may have been sent meanwhile.
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
    claimed = _claim(run.rows, chunks.part_of(chunk, undecided), claims_by_key, then=then, now=run.clock())
    claimed |= taken_over
    remaining.seal(run.rows, chunk, claimed, then=then)
    run.emit("chunk_finished", chunk_id=chunk.id, account=chunk.account, urls=len(claimed))
    return bool(claimed) and then is ChunkState.WAITING


def successors(
    chunk: Chunk, positions: Collection[int], claims_by_key: Mapping[str, Claim], *, rule: str, now: datetime
) -> Iterator[Chunk]:
    """Make the chunks that carry some of a chunk's bans on: one for each planned end, so that none is extended.

    Only URLs whose claims still belong to the chunk are carried on. Their planned ends are read from the claims: the
    approval of a hold and a later report move them there, and the chunk does not know.
    """
    positions_by_end: dict[int, list[int]] = {}
    for position in sorted(positions):
        if claims.belongs(claims_by_key, chunk, position):
            end = claims_by_key[chunk.keys[position]].until
            positions_by_end.setdefault(end, []).append(position)
    for end, kept in positions_by_end.items():
        if end > epoch(now):
            yield _successor(chunk, kept, datetime.fromtimestamp(end, tz=UTC), rule=rule, now=now)


def _successor(chunk: Chunk, kept: Sequence[int], until: datetime, *, rule: str, now: datetime) -> Chunk:
    return Chunk(
        account=chunk.account,
        action=Action.BAN,
        ban_days=plan_for(math.ceil((until - now) / timedelta(days=1))).ban_days,
        rule=rule,
        urls=tuple(chunk.urls[position] for position in kept),
        keys=tuple(chunk.keys[position] for position in kept),
        origins=tuple(chunk.origins[position] for position in kept),
        created_at=now,
        received_at=now,
        until=until,
        renews=(chunk.id,),
    )


def _claim(
    rows: Rows,
    chunk: Chunk,
    claims_by_key: Mapping[str, Claim],
    *,
    then: ChunkState,
    now: datetime,
    words: Mapping[str, bytes] = claims.NO_WORDS,
) -> set[str]:
    if chunk.rule == Rule.WITHDRAWN and chunk.action is Action.BAN:  # a question, while the ban stays in force
        return set(chunk.keys)
    if chunk.rule == Rule.ENDED:
        return claim_ends.mark(rows, chunk, claims_by_key)
    if chunk.action is Action.UNBAN:
        unended = ordering.unended(rows, chunk.account, _unbans(_known(chunk, claims_by_key)))
        return claim_decisions.unban(rows, chunk, claims_by_key, unended=unended)
    if chunk.rule in {Rule.RELEASED, Rule.BY_HAND}:
        staying = leave_holds(rows, chunk, claims_by_key)
        chunk = chunks.part_of(chunk, [at for at, key in enumerate(chunk.keys) if key not in staying])
    return claims.claim(rows, chunk, claims_by_key, now=now, held=then is ChunkState.HELD, words=words)


def _earlier(keys: Sequence[str], claims_by_key: Mapping[str, Claim]) -> tuple[tuple[int, str, str], ...]:
    """List the earlier claims of URLs: position, and the chunks that banned and unbanned the URL."""
    return tuple(
        (position, claims_by_key[key].chunk, claims_by_key[key].unban)
        for position, key in enumerate(keys)
        if key in claims_by_key
    )


def _waits_for(rows: Rows, chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> tuple[str, ...]:
    """List the chunks of the opposite action that must have ended before this one is sent.

    A ban waits for every unban of its URLs: to ask which have ended would cost each report of such a URL a read. The
    chunk that has a URL may leave it before it is sent, as a hold does: then an older unban may still be on its way.
    The ban waits for that one too, and an unban for the bans that it waits for.
    """
    known = _known(chunk, claims_by_key)
    earlier = _unbans(known)
    if chunk.action is Action.BAN:
        asked = {unban for claim in known for unban in claim.unbans}
        ended = asked - ordering.unended(rows, chunk.account, asked) if asked else set()
        return tuple(unban for unban in earlier if unban not in ended)
    bans = dict.fromkeys(claim.chunk for claim in known)
    if earlier:
        waiting = remaining.among(rows, chunk.account, earlier).values()
        bans |= dict.fromkeys(ban for work in waiting for ban in work.after)
    unended = ordering.unended(rows, chunk.account, bans)
    return tuple(ban for ban in bans if ban in unended)


def _known(chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> list[Claim]:
    """Return the earlier claims of a chunk's URLs, in its order."""
    return [claims_by_key[key] for key in chunk.keys if key in claims_by_key]


def _unbans(known: Iterable[Claim]) -> dict[str, None]:
    """List the unbans of URLs, each once."""
    return dict.fromkeys(unban for claim in known for unban in claim.all_unbans)


def _renew_at(chunk: Chunk, hours_before: int) -> datetime | None:
    """Return when the chunk's bans are to be renewed; ``None`` if the vendor's duration covers them."""
    end = chunk.created_at + timedelta(days=chunk.ban_days)
    if chunk.action is not Action.BAN or chunk.until <= end:
        return None
    return max(end - timedelta(hours=hours_before), chunk.created_at + timedelta(hours=1))


def _decided_at(claim: Claim) -> str:
    """Return when the latest chunk that had a URL was made."""
    return max(made_at(claim.chunk), made_at(claim.unban))


def _taken_over(rows: Rows, chunk: Chunk, later: Mapping[str, Claim]) -> set[str]:
    """Find the keys that a chunk had claimed and that later decisions have taken over since."""
    read: dict[str, Chunk] = {}
    return {
        key for key, claim in later.items() if chunks.follower(rows, (claim.unban, claim.chunk), key, chunk.id, read)
    }
