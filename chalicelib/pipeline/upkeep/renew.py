"""Carry on bans that are planned to outlive what the vendor grants: what is due at an account, every hour.

``lifecycle.renewing`` says how a chunk is renewed. A crash after the renewal of a chunk, and before the row by which it
was found is dropped, finds nothing left to renew.
"""

from __future__ import annotations

from chalicelib.ledger import due_chunks
from chalicelib.pipeline.lifecycle.due_chunks import work_through
from chalicelib.pipeline.lifecycle.renewing import renew_chunk
from chalicelib.pipeline.run import Run


def renew_bans(run: Run) -> int:
    """Renew what is due at an account; return how many URLs."""
    renewed = work_through(run, "renewals", renew_chunk)
    left = run.time_is_up and due_chunks.due(run.rows, "renewals", run.account, now=run.clock(), limit=1)
    run.emit("bans_renewed", account=run.account, urls=renewed, left=int(bool(left)))
    return renewed
