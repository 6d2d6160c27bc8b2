"""What the pipeline does when a vendor refuses a call: one way for submit, track, drift and exports.

A refusal stops only what it is about. A vendor that refuses access would refuse the next call too, and would lock the
key of an account that goes on calling. So a refusal of access blocks every call of the account for some minutes. If the
keys are good and lack a permission, the submitter first finds out whether they lack it only for some hosts. A used-up
quota blocks only the action that was refused: while bans wait, unbans and lists go on. The block stands in the
account's control row, where every function finds it. Any other error blocks nothing: the next run tries again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from chalicelib.domain.errors import AccessRefused, QuotaExceeded, Throttled, VendorError
from chalicelib.domain.model import Action
from chalicelib.ledger import control
from chalicelib.ledger.control import Block, Control
from chalicelib.pipeline.run import Run

Work = Literal["submission", "tracking", "drift", "exports"]
ACTIONS = frozenset(Action)

LONG_WAIT = 5.0
"""In seconds. If a vendor asks for a shorter wait, it ends within the run and is not written down."""


def blocked(run: Run, work: Work) -> bool:
    """Whether a refusal still keeps this work from calling the vendor; if it does, emit that."""
    state, now = control.read(run.rows, [run.account])[run.account], run.clock()
    for block in (state.block, state.blocks.get("exports" if work == "exports" else "lists")):
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
    blocks = {action: state.blocks.get(action) for action in Action}
    current = {action: block for action, block in blocks.items() if block and block.until > now}
    for action, block in current.items():
        _tell(run, "submission", block, action=action.value)
    return frozenset(current)


def _tell(run: Run, work: Work, block: Block, **about: str) -> None:
    run.emit(f"{work}_blocked", account=run.account, until=block.until.isoformat(), reason=block.reason, **about)


def tell(run: Run, error: VendorError, **about: str) -> None:
    """Emit an error of the vendor, with what it is ``about``."""
    run.emit(
        "vendor_error",
        account=run.account,
        kind=error.kind,
        code=error.code,
        vendor_request_id=error.request_id,
        problem=str(error)[:300],
        **about,
    )


def note(run: Run, error: VendorError, *, quota: str = "lists", **about: str) -> bool:
    """Emit an error of the vendor, with what it is ``about``; block what it refuses. Return whether it blocks.

    ``quota`` is the quota that the call counts against, one of ``control.SUBJECTS``.
    """
    tell(run, error, **about)
    now = run.clock()
    if isinstance(error, AccessRefused):
        _block(run, error, now + control.ACCESS_BLOCK, subject="")
        return True
    if isinstance(error, QuotaExceeded):
        _block(run, error, now + control.QUOTA_BLOCK, subject=quota)
        return True
    if isinstance(error, Throttled) and quota == "lists" and error.retry_after >= LONG_WAIT:
        until = now + timedelta(seconds=error.retry_after)
        control.block(run.rows, run.account, until=until, error=error, subject=quota)
    return False


def _block(run: Run, error: VendorError, until: datetime, *, subject: str) -> None:
    """Block calls and tell people: somebody must give new credentials, or ask the vendor for a larger quota."""
    control.block(run.rows, run.account, until=until, error=error, subject=subject)
    tell_refusal(run, error, subject=subject or "all")


def tell_refusal(run: Run, error: VendorError, *, subject: str) -> None:
    """Emit that a person must act before the vendor takes calls of a subject: an action, a host, or ``all``."""
    run.emit("vendor_refuses", account=run.account, kind=error.kind, subject=subject, problem=str(error)[:300])


def hold_creates(run: Run, error: Throttled, seconds: float) -> None:
    """Make later drains wait, too, if a vendor that was called too fast asks for a long wait."""
    if seconds >= LONG_WAIT:
        until = run.clock() + timedelta(seconds=seconds)
        control.block(run.rows, run.account, until=until, error=error, subject="creates")


def seconds_held(run: Run, state: Control) -> float:
    """Return for how many more seconds the vendor asked us to create no task; ``state`` is the control row."""
    block = state.blocks.get("creates")
    return max(0.0, (block.until - run.clock()).total_seconds()) if block else 0.0
