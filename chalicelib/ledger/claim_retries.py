"""Record on claims that the vendor failed to ban URLs or refused them, and when edgeban sends these again by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import UrlState
from chalicelib.ledger.claims import TRIES, Claim, key_of
from chalicelib.ledger.row import epoch
from chalicelib.ports import Row, Rows, Update, Value


def given_up(
    rows: Rows,
    failed: Sequence[Claim],
    *,
    outcome: UrlState,
    reasons: Mapping[str, str],
    retries: Mapping[str, datetime],
    now: datetime,
) -> None:
    """End claims after the task of their chunk has failed. ``retries`` says which URLs are sent again, and when.

    A URL that the vendor failed to ban, and that is not sent again, ends for good: a new report of it is a new ban. A
    URL that the vendor refused keeps its count, so that a new word sends it once more.
    """
    rows.write([_update(claim, outcome, reasons[claim.key], retries.get(claim.key), now) for claim in failed])


def stop(rows: Rows, failed: Sequence[Claim], *, outcome: UrlState, reason: str) -> None:
    """Record that URLs are not sent again after all, unless something else has changed their claims."""
    change: Row = {"outcome": outcome.value, "reason": reason[:300]}
    rows.write(
        [
            Update(
                key_of(claim.key),
                set=change,
                expect={"chunk": claim.chunk, "outcome": claim.outcome, "retry_at": claim.retry_at},
                remove=TRIES,
            )
            for claim in failed
        ]
    )


def _update(claim: Claim, outcome: UrlState, reason: str, retry_at: datetime | None, now: datetime) -> Update:
    change: dict[str, Value] = {"outcome": outcome.value, "reason": reason[:300]}
    unchanged = {"chunk": claim.chunk, "outcome": None}
    if retry_at is None and outcome is UrlState.FAILED:
        return Update(key_of(claim.key), set=change, expect=unchanged, remove=TRIES)
    change |= {"tries": claim.tries + 1, "failed_since": claim.failed_since or epoch(now)}
    if retry_at:
        change["retry_at"] = epoch(retry_at)
    return Update(key_of(claim.key), set=change, expect=unchanged)
