"""End claims without a task: edgeban lifts the ban, the URL drops out, or an earlier chunk gets the claim back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from chalicelib.domain.model import UrlState
from chalicelib.ledger import KEEP
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim, key_of, read
from chalicelib.ledger.row import epoch
from chalicelib.ports import Row, Rows, Update


def mark(rows: Rows, lift: Chunk, claims_by_key: Mapping[str, Claim]) -> set[str]:
    """Mark the URLs of a lift, if the chunk that it ends still has their claims; return the keys that it lifts.

    Reports are not suppressed: a new report bans the URL again, once the lift has ended. A claim whose planned end has
    moved since it was read stays as it is. Safe to repeat.
    """
    change: Row = {"outcome": UrlState.EXPIRED.value, "unban": lift.id, "reason": lift.reason[:300]}
    marked = {key for key in lift.keys if key in claims_by_key and claims_by_key[key].unban == lift.id}
    due = [
        claim
        for key in lift.keys
        if (claim := claims_by_key.get(key)) and not claim.outcome and claim.chunk in lift.renews
        if claim.until <= epoch(lift.created_at)
    ]
    failed = rows.write(
        [
            Update(key_of(claim.key), set=change, expect={"chunk": claim.chunk, "outcome": None, "until": claim.until})
            for claim in due
        ]
    )
    marked |= {claim.key for index, claim in enumerate(due) if index not in failed}
    unclear = [due[index].key for index in failed]  # changed since the read, or marked before a crash
    seen = read(rows, unclear, consistent=True) if unclear else {}
    return marked | {key for key, claim in seen.items() if claim.unban == lift.id}


def end(rows: Rows, keys: Iterable[str], *, chunk: str, outcome: UrlState, reason: str) -> None:
    """Record how URLs ended without a task, if the chunk still has them."""
    change: Row = {"outcome": outcome.value, "reason": reason[:300]}
    rows.write([Update(key_of(key), set=change, expect={"chunk": chunk, "outcome": None}) for key in keys])


def return_claims(
    rows: Rows, keys: Iterable[str], *, chunk: str, to: str, reason: str, until: datetime | None = None
) -> None:
    """Return claims that a chunk took over to the chunk that had them before.

    The bans of that one end at ``until``; without it the planned ends stand.
    """
    ends: Row = {"until": epoch(until), "expires_at": epoch(until + KEEP)} if until else {}
    change: Row = {"chunk": to, "reason": reason[:300], **ends}
    rows.write([Update(key_of(key), set=change, expect={"chunk": chunk, "outcome": None}) for key in keys])
