"""Wake the submitter of an account, so that no wake-up is lost and wake-ups for the same work are sent once.

A wake-up carries the number of the account's last drain. The rules:

1. A sender of wake-ups makes its work durable first, and reads the number afterwards.
2. Each drain raises the number before it reads anything, even the pause switch.
3. SQS drops a wake-up if it has accepted one with the same number in the last five minutes.
4. A drain acknowledges its message when it is done, paused, blocked, or the vendor is down. A drain gives its message
   back if its time is up, or if another drain has overtaken it.

Why they suffice: a sender that read the number *n* wrote its work before that, so every drain above *n* sees the work.
SQS has accepted a wake-up with *n*, from this sender or an earlier one; otherwise the sender fails. SQS delivers it
until a drain acknowledges it, and each delivery begins a drain above *n*.
``tests/unit/pipeline/submission/test_wake_model.py`` tries every order of events.
"""

from __future__ import annotations

from chalicelib.ledger import control
from chalicelib.pipeline.run import Run

TRACKER = "#track"
"""The group of wake-ups for the tracker of an account's young tasks has the account's name and this behind it."""


def wake_submitter(run: Run, account: str) -> None:
    """Wake the submitter for work that is on record already. Raises if the wake-up may not have been accepted."""
    run.wake(account, mark=str(control.last_drain(run.rows, account)))


def wake_tracker(run: Run, account: str) -> None:
    """Wake the tracker of the account's young tasks. While it works, at most one more wake-up waits behind its own.

    The same rules hold, with the number of the last tracker, which ``begin_tracking`` raises.
    """
    run.wake(f"{account}{TRACKER}", mark=str(control.last_tracker(run.rows, account)))


def begin_tracking(run: Run, message_id: str) -> None:
    """Raise the tracker's number at the first delivery of a wake-up. Later deliveries of it continue that work."""
    if control.tracked_by(run.rows, run.account) != message_id:
        control.begin_tracking(run.rows, run.account, message_id)


def wake_submitter_anew(run: Run, account: str) -> None:
    """Wake the submitter, as the sweep does each minute, even if a wake-up with this number was sent before."""
    minute = int(run.clock().timestamp() // 60)
    run.wake(account, mark=f"{control.last_drain(run.rows, account)}-sweep-{minute}")
