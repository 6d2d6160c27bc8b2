"""Make the chunks that follow another one and continue its bans: for a renewal, a retry, or after drift."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import Action, Rule
from chalicelib.domain.policy.duration import plan_for
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch


def successors(
    chunk: Chunk, positions: Collection[int], claims_by_key: Mapping[str, Claim], *, rule: str, now: datetime
) -> Iterator[Chunk]:
    """Make the chunks that continue some of a chunk's bans: one chunk for each planned end, so that none is extended.

    They continue only URLs whose claims the chunk still has; with ``Rule.RETRY``, those that the vendor failed or
    refused. The planned ends are read from the claims: an approval or a later report moves them there, and not in the
    chunk.
    """
    positions_by_end: dict[int, list[int]] = {}
    for position in sorted(positions):
        claim = claims_by_key.get(chunk.keys[position])
        if claim and claim.chunk == chunk.id and (claim.tried if rule == Rule.RETRY else not claim.outcome):
            positions_by_end.setdefault(claim.until, []).append(position)
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
