"""What the pipeline does when a vendor refuses a call: one way for submit, track, drift and exports.

A refusal stops no more than what it is about. A vendor that refuses access would refuse the next call too, and locks
the key of an account that goes on calling: so a refusal of access blocks every call of the account for some minutes. A
used-up quota blocks the action that it was refused for, and nothing else: bans wait, and unbans and lists go on. The
block stands in the account's control row, where every function finds it. Any other error blocks nothing: the next run
tries again.
"""

from __future__ import annotations

from typing import Literal

from chalicelib.domain.errors import AccessRefused, QuotaExceeded, VendorError
from chalicelib.domain.model import Action
from chalicelib.ledger import control
from chalicelib.ledger.control import Block, Control
from chalicelib.pipeline.run import Run

Work = Literal["submission", "tracking", "drift", "exports"]
ACTIONS = frozenset(Action)


def blocked(run: Run, work: Work) -> bool:
    """Whether a refusal still keeps this work from calling the vendor; emit that if it does."""
    state, now = control.read(run.rows, [run.account])[run.account], run.clock()
    for block in (state.block, state.quota_blocks.get(work)):
        if block and block.until > now:
            _tell(run, work, block)
            return True
    return False


def blocked_actions(run: Run, state: Control) -> frozenset[Action]:
    """Return the actions that a refusal still keeps from being submitted; emit why. ``state`` is the control row."""
    now = run.clock()
    if state.block and state.block.until > now:
        _tell(run, "submission", state.block)
        return ACTIONS
    blocks = {action: state.quota_blocks.get(action) for action in Action}
    current = {action: block for action, block in blocks.items() if block and block.until > now}
    for action, block in current.items():
        _tell(run, "submission", block, action=action.value)
    return frozenset(current)


def _tell(run: Run, work: Work, block: Block, **about: str) -> None:
    run.emit(f"{work}_blocked", account=run.account, until=block.until.isoformat(), reason=block.reason, **about)


def note(run: Run, error: VendorError, *, quota: str = "", **about: str) -> bool:
    """Emit an error of the vendor, with what it is ``about``; block what it refuses. Return whether it blocks.

    ``quota``, one of ``control.QUOTAS``, is what the call would have used up: a list uses up nothing.
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
    if isinstance(error, AccessRefused):
        control.block(run.rows, run.account, until=run.clock() + control.ACCESS_BLOCK, error=error)
        return True
    if isinstance(error, QuotaExceeded) and quota:
        control.block(run.rows, run.account, until=run.clock() + control.QUOTA_BLOCK, error=error, quota=quota)
        return True
    return False
