"""Hand the claims of a failed renewal back to the chunks whose bans are still in force at the vendor.

If the vendor fails a renewal, edgeban sends it again while the vendor's ban lasts: an hour after it was due, then each
time after twice as long, then ``LAST_TRY`` before the ban ends, and when it ends. If the last try fails too, no ban is
in force, and ``lifecycle.retrying`` sends the URL again as any other failed one. The planned end stays meanwhile. A
person is told at each failure, and so before the vendor's ban ends.

If the vendor refuses a renewal for the URL's content, or if it may not be tried again, the URL's ban ends with the
vendor's ban: that end becomes the planned one, and a person is told.

Crash order: the row by which the chunk is looked at again, or the journal; then the claims. The caller's task has not
ended yet, so after a crash the caller does all of it again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from chalicelib.domain.model import Rule, UrlState
from chalicelib.ledger import chunks, claim_ends, claim_words, claims, due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claim_words import Said
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.lifecycle.retrying import FIRST_WAIT, LONGEST_WAIT
from chalicelib.pipeline.run import Run

LAST_TRY = timedelta(hours=2)
"""The last try of a renewal while the vendor's ban is in force comes this long before that ban ends."""

NOT_IN_FORCE = frozenset({Rule.DRIFT, Rule.RELEASED, Rule.BY_HAND, Rule.RETRY})
"""Rules of chunks that continue bans which are not in force at the vendor."""


def hand_back(run: Run, task: Task, chunk: Chunk, keys: Collection[str], outcome: UrlState, *, reason: str) -> int:
    """Hand back the claims of URLs whose renewal failed; return how many of them edgeban renews again by itself."""
    if not chunk.renews or chunk.rule in NOT_IN_FORCE:
        return 0
    keys_by_owner: dict[str, list[str]] = {}
    for position, ban, _ in chunk.before:
        if ban in chunk.renews and chunk.keys[position] in keys:
            keys_by_owner.setdefault(ban, []).append(chunk.keys[position])
    now, again = run.clock(), 0
    for owner, owned in keys_by_owner.items():
        ends_at = expiry.of_chunk(run.rows, chunk.account, owner).until
        if ends_at is None or ends_at <= now:
            continue
        passes = outcome is UrlState.FAILED and not task.withheld
        next_try = _next_try(run, ends_at, now) if passes else None
        if next_try and _renew_again(run, chunk, owner, owned, at=next_try, reason=reason):
            again += len(owned)
        else:
            _let_end(run, chunk, owner, owned, ends_at, reason=reason)
            if not task.withheld:  # what the policy forbids is told elsewhere
                _tell(run, chunk, owner, owned, ends_at, reason=reason)
    return again


def _next_try(run: Run, ends_at: datetime, now: datetime) -> datetime | None:
    """Return when a renewal is tried again, if the bans end at the vendor then; ``None`` if no try is left."""
    due_at = ends_at - timedelta(hours=run.policy.renew_before_hours)
    since = max(now - due_at, timedelta())
    if since >= timedelta(days=run.policy.retry_days):
        return None
    at, last = now + min(max(since, FIRST_WAIT), LONGEST_WAIT), ends_at - LAST_TRY
    if at <= last:
        return at
    return last if now < last else ends_at


def _renew_again(run: Run, chunk: Chunk, owner: str, owned: Sequence[str], *, at: datetime, reason: str) -> bool:
    """Plan to renew the bans of a chunk again at a moment; ``False`` if the chunk's rows have expired."""
    renewed = chunks.read(run.rows, [owner]).get(owner)
    if renewed is None:
        return False
    due_chunks.plan_renewal(run.rows, renewed, at=at)
    why = f"not renewed yet: {reason[:200]}; edgeban tries again at {at:%Y-%m-%d %H:%M} UTC"
    claim_ends.return_claims(run.rows, owned, chunk=chunk.id, to=owner, reason=why)
    run.emit("bans_tried_again", account=chunk.account, chunk_id=owner, urls=len(owned))
    return True


def _let_end(run: Run, chunk: Chunk, owner: str, owned: Sequence[str], ends_at: datetime, *, reason: str) -> None:
    """Let bans end with the vendor's. The journal tells it, from which the index of bans is made."""
    ending = claims.read(run.rows, owned, consistent=True).values()
    said = [Said(claim.key, claim.account, claim.until, epoch(ends_at), claim.words) for claim in ending]
    claim_words.record(run.rows, said, now=run.clock())
    why = f"not renewed: {reason}"
    claim_ends.return_claims(run.rows, owned, chunk=chunk.id, to=owner, reason=why, until=ends_at)


def _tell(run: Run, chunk: Chunk, owner: str, owned: Sequence[str], ends_at: datetime, *, reason: str) -> None:
    run.emit(
        "bans_not_renewed",
        account=chunk.account,
        rule=chunk.rule,
        urls=len(owned),
        chunk_id=owner,
        ends_at=ends_at.isoformat(),
        problem=f"not renewed: {reason}"[:300],
    )
