"""When the bans of an approved hold end.

They begin only with the approval, so that no ban is shorter than its report asked for. The words of other sources, said
while the URL waited, count too: a ban ends at the furthest end. Crash order: the row by which longer bans are renewed,
then the claims. Both come before the hold is released, and the next approval repeats them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from chalicelib.ledger import claim_decisions, claims, due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.packed_words import end_if_approved
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.run import Run

SOONEST = timedelta(hours=1)
"""An approved chunk is not looked at for renewal before this time has passed."""


def begin_now(run: Run, chunk: Chunk, positions: Collection[int]) -> None:
    """Move the planned ends of a hold's bans, before its chunk can be packed."""
    now = run.clock()
    own = now + (chunk.until - chunk.created_at)
    keys = [chunk.keys[position] for position in sorted(positions)]
    claims_by_key = claims.read(run.rows, keys, consistent=True)
    keys_by_end: dict[datetime, list[str]] = {}
    for key in keys:
        claim = claims_by_key.get(key)
        said = end_if_approved(claim.words) or claim.until if claim else 0
        end = datetime.fromtimestamp(said, tz=UTC) if said > epoch(own) else own
        keys_by_end.setdefault(end, []).append(key)
    vendor_ends = now + timedelta(days=chunk.ban_days)
    if any(end > vendor_ends for end in keys_by_end):
        before = timedelta(hours=run.policy.renew_before_hours)
        due_chunks.plan_renewal(run.rows, chunk, at=max(vendor_ends - before, now + SOONEST))
    for end, ending_then in keys_by_end.items():
        claim_decisions.extend(run.rows, ending_then, chunk=chunk.id, until=end)
