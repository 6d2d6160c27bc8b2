"""Wake the submitter of an account, so that no wake-up is lost and those that mean the same are one.

A wake-up carries the account's epoch, the number of its last drain. The rules, and why they suffice:

1. Whoever has work for the submitter makes it durable first, and reads the epoch afterwards.
2. Each drain raises the epoch before it reads anything, even the pause switch.
3. SQS drops a wake-up whose epoch it has accepted in the last five minutes.
4. A drain acknowledges its message when it is done, paused, blocked, or the vendor is down. A drain that another one
   has overtaken, or whose time is up, gives its message back.

Whoever read epoch *e* wrote before that, so every drain above *e* sees the work. The wake-up of *e* was accepted, by
this call or by an earlier one, or the caller fails. An accepted wake-up is delivered until a drain acknowledges it, and
each delivery begins a drain above *e*. ``tests/unit/pipeline/submission/test_wake_model.py`` tries every order.
"""

from __future__ import annotations

from chalicelib.ledger import control
from chalicelib.pipeline.run import Run

TRACKER = "#track"
"""What follows the account's name in the group of wake-ups for whoever follows its young tasks."""


def wake_submitter(run: Run, account: str) -> None:
    """Wake the submitter for work that is on record already. Raises if the wake-up may not have been accepted."""
    run.wake(account, mark=str(control.last_drain(run.rows, account)))


def wake_tracker(run: Run, account: str) -> None:
    """Wake whoever follows the account's young tasks; one that is at work has another wake-up behind its own, at most.

    The same rules hold, with the number of the last tracker for the epoch: ``begin_tracking`` raises it.
    """
    run.wake(f"{account}{TRACKER}", mark=str(control.last_tracker(run.rows, account)))


def begin_tracking(run: Run, message_id: str) -> None:
    """Raise the tracker's number at the first delivery of a wake-up. Each delivery after that goes on with its work."""
    if control.tracked_by(run.rows, run.account) != message_id:
        control.begin_tracking(run.rows, run.account, message_id)


def wake_submitter_anew(run: Run, account: str) -> None:
    """Wake the submitter as the minute's sweep does, whatever became of earlier wake-ups of the same epoch."""
    minute = int(run.clock().timestamp() // 60)
    run.wake(account, mark=f"{control.last_drain(run.rows, account)}-sweep-{minute}")
