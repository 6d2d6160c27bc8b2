"""Carry on bans that are planned to outlive what the vendor grants: what is due at an account, every hour.

``lifecycle.renewing`` says how a chunk is renewed. Crash order: the renewal of a chunk, then the row by which it was
found is dropped. A crash in between finds nothing left to renew.
"""

from __future__ import annotations

from chalicelib.ledger import renewals
from chalicelib.pipeline.lifecycle.renewing import renew_chunk
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

DUE_CHUNKS_READ = 50
"""Due chunks read at a time."""


def renew_bans(run: Run) -> int:
    """Renew what is due at an account; return how many URLs."""
    renewed = 0
    while not run.time_is_up:
        due = renewals.due(run.rows, run.account, now=run.clock(), limit=DUE_CHUNKS_READ)
        if not due:
            break
        for renewal in due:
            if renewal.chunk:
                renewed += renew_chunk(run, renewal.chunk)
            renewals.drop(run.rows, renewal)
    if renewed:
        wake_submitter(run, run.account)
    left = run.time_is_up and renewals.due(run.rows, run.account, now=run.clock(), limit=1)
    run.emit("bans_renewed", account=run.account, urls=renewed, left=int(bool(left)))
    return renewed
