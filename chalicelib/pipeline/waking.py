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


def wake_submitter(run: Run, account: str) -> None:
    """Wake the submitter for work that is on record already. Raises if the wake-up may not have been accepted."""
    run.wake(account, mark=str(control.last_drain(run.rows, account)))


def wake_submitter_anew(run: Run, account: str) -> None:
    """Wake the submitter as the minute's sweep does, whatever became of earlier wake-ups of the same epoch."""
    minute = int(run.clock().timestamp() // 60)
    run.wake(account, mark=f"{control.last_drain(run.rows, account)}-sweep-{minute}")
