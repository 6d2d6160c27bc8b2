"""Send URLs again that the vendor failed to ban or refused: edgeban does so by itself.

*Failed*: edgeban sends the URL again, with growing waits, for the policy's ``retry_days``. Then the URL ends as failed,
with an alarm. *Refused for its content*: a new word sends the URL once more, a day after the refusal. If it is refused
again, the vendor's reason stands until the planned end. ``lifecycle.renewing`` finds what is due, by the rows of
``ledger.due_chunks``.

Crash order: the row by which the chunk is found, then the claims. After a crash in between the row finds nothing to
send, and the step that gives up the failed task is repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import UrlState
from chalicelib.ledger import chunks, claim_retries, claims, due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import all_words
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.run import Run

FIRST_WAIT = timedelta(hours=1)
LONGEST_WAIT = timedelta(days=1)
"""A failed URL is sent again after an hour, then after twice as long each time, at most after a day."""

REFUSED_WAIT = timedelta(days=1)
"""A new word sends a URL again only this long after the vendor refused it for its content."""


def end_failed(run: Run, chunk: Chunk, keys: Collection[str], outcome: UrlState, *, reason: str) -> int:
    """End URLs of a chunk that the vendor failed or refused; return how many of them edgeban sends again by itself."""
    now = run.clock()
    claims_by_key = claims.read(run.rows, list(keys), consistent=True)
    failed = [claim for claim in claims_by_key.values() if claim.belongs_to(chunk.id)]
    retries = {
        claim.key: at
        for claim in failed
        if outcome is UrlState.FAILED and (at := _next_try(claim, now, timedelta(days=run.policy.retry_days)))
    }
    if retries:
        due_chunks.plan_renewal(run.rows, chunk, at=min(retries.values()))
    reasons = {claim.key: _reason(reason, retries.get(claim.key)) for claim in failed}
    claim_retries.given_up(run.rows, failed, outcome=outcome, reasons=reasons, retries=retries, now=now)
    if retries:
        run.emit("bans_tried_again", account=chunk.account, chunk_id=chunk.id, urls=len(retries))
    return len(retries)


def _next_try(claim: Claim, now: datetime, budget: timedelta) -> datetime | None:
    """Return when a failed URL is sent again; ``None`` if its budget is used up, or its planned end comes first."""
    at = now + min(FIRST_WAIT * 2 ** min(claim.tries, 10), LONGEST_WAIT)
    since = datetime.fromtimestamp(claim.failed_since, tz=UTC) if claim.failed_since else now
    in_time = at <= since + budget and epoch(at) < claim.until
    return at if in_time and not claim.unban_failed else None


def _reason(reason: str, at: datetime | None) -> str:
    return f"{reason[:200]}; edgeban tries again at {at:%Y-%m-%d %H:%M} UTC" if at else reason


def due_at(claim: Claim, chunk: Chunk, now: datetime) -> datetime | None:
    """Return when a URL of a chunk is sent again; ``None`` if it is not, or if no source asks for it any more."""
    nobody_asks = bool(claim.words) and not all_words(claim.words)
    if claim.chunk != chunk.id or not claim.sent_again or claim.until <= epoch(now) or nobody_asks:
        return None
    return datetime.fromtimestamp(claim.retry_at, tz=UTC)


def after_refusal(claim: Claim, now: datetime) -> datetime:
    """Return when a new word sends a refused URL again."""
    return max(datetime.fromtimestamp(claim.failed_since, tz=UTC) + REFUSED_WAIT, now)


def plan_retries(run: Run, urls: Iterable[tuple[str, datetime]]) -> None:
    """Plan when to look at chunks again whose URLs are sent again. ``urls`` has each URL's chunk and the moment."""
    moments: dict[str, datetime] = {}
    for chunk_id, at in urls:
        moments[chunk_id] = min(at, moments.get(chunk_id, at))
    for chunk in chunks.read(run.rows, moments).values():
        due_chunks.plan_renewal(run.rows, chunk, at=moments[chunk.id])
