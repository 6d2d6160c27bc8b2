"""What the pipeline does when a vendor refuses a call: one way for submit, track, drift and exports.

A vendor that refuses access would refuse the next call too, and locks the key of an account that goes on calling. So a
refusal of access blocks every call of the account for some minutes. A used-up quota blocks the calls that create
something, and lets lists be read. The block stands in the account's control row, where every function finds it. Any
other error blocks nothing: the next run tries again.
"""

from __future__ import annotations

from typing import Literal

from chalicelib.domain.errors import AccessRefused, QuotaExceeded, VendorError
from chalicelib.ledger import control
from chalicelib.ledger.control import Control
from chalicelib.pipeline.run import Run

Work = Literal["submission", "tracking", "drift", "exports"]
READS_LISTS: frozenset[Work] = frozenset({"tracking", "drift"})
"""Work that creates nothing at the vendor: a used-up quota does not stop it."""


def blocked(run: Run, work: Work, *, state: Control | None = None) -> bool:
    """Whether a refusal still keeps this work from calling the vendor; emit that if it does.

    ``state`` is the account's control row, if the caller has just read it.
    """
    state = state or control.read(run.rows, [run.account])[run.account]
    if state.blocked_until is None or state.blocked_until <= run.clock():
        return False
    if state.blocked_for == QuotaExceeded.kind and work in READS_LISTS:
        return False
    run.emit(f"{work}_blocked", account=run.account, until=state.blocked_until.isoformat(), reason=state.blocked_reason)
    return True


def note(run: Run, error: VendorError, **about: str) -> bool:
    """Emit an error of the vendor, with what it is ``about``; block the account if it is about access or quota.

    Returns whether the account is blocked now.
    """
    run.emit(
        "vendor_error",
        account=run.account,
        kind=error.kind,
        code=error.code,
        vendor_request_id=error.request_id,
        problem=str(error)[:300],
        **about,
    )
    if not isinstance(error, AccessRefused | QuotaExceeded):
        return False
    block = control.ACCESS_BLOCK if isinstance(error, AccessRefused) else control.QUOTA_BLOCK
    control.block(run.rows, run.account, until=run.clock() + block, error=error)
    return True
