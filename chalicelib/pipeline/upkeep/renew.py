"""Every hour renew the bans that are due at an account: they are planned to last longer than the vendor grants.

``lifecycle.renewing`` says how a chunk is renewed. If a run dies after it has renewed a chunk, and before it drops the
row by which it found the chunk, the next run finds nothing left to renew.
"""

from __future__ import annotations

from chalicelib.ledger import due_chunks
from chalicelib.pipeline.lifecycle.due_chunks import work_through
from chalicelib.pipeline.lifecycle.renewing import renew_chunk
from chalicelib.pipeline.run import Run


def renew_bans(run: Run) -> int:
    """Renew the bans that are due at an account; return how many URLs these are."""
    renewed = work_through(run, "renewals", renew_chunk)
    left = run.time_is_up and due_chunks.due(run.rows, "renewals", run.account, now=run.clock(), limit=1)
    run.emit("bans_renewed", account=run.account, urls=renewed, left=int(bool(left)))
    return renewed
