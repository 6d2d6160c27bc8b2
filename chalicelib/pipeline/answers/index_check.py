"""Check once a day, after the vendor's list was read, that the index of bans agrees with the ledger.

The index is made from the journal and never from the claims. So without this check a mistake in making it would stay
unseen.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from chalicelib.domain.ban_index import Ban
from chalicelib.ledger import claims
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.answers.ban_index import Reader, up_to_now
from chalicelib.pipeline.lifecycle import expiry, ordering
from chalicelib.pipeline.run import Run

SETTLED: Final = timedelta(hours=1)
"""Younger bans are left out: the vendor's list was read some minutes ago."""

LOOKED_AT: Final = 1_000
"""How many differences of each kind are checked in the ledger. A larger number is certainly a mistake."""


def check_index(run: Run, reader: Reader, *, listed: Collection[str], agreed: Collection[str]) -> tuple[int, int]:
    """Emit ``index_differs`` where it does; return how many bans the index lacks, and how many it has too many.

    ``listed`` are the keys of the vendor's list and of the URLs that it lacks; ``agreed`` those that the ledger bans,
    too. A ban or unban that is on its way at this moment is no difference.
    """
    asked_at = run.clock()
    index, as_of = up_to_now(run, reader)
    if as_of < asked_at:
        return 0, 0
    settled = epoch(asked_at - SETTLED)
    bans = (Ban.of(line) for key, line in index.lines.items() if key not in listed)
    surplus = [
        ban.key for ban in bans if ban.account == run.account and ban.banned_at < settled and ban.in_force(as_of)
    ]
    lacking = [key for key in agreed if key not in index.lines]
    absent, extra = _confirmed(run, lacking, in_force=True), _confirmed(run, surplus, in_force=False)
    if absent or extra:
        run.emit("index_differs", account=run.account, absent=absent, extra=extra, bans=len(index))
    return absent, extra


def _confirmed(run: Run, keys: list[str], *, in_force: bool) -> int:
    """Count the URLs whose state in the ledger is ``in_force``, and of which no ban or unban is on its way."""
    now, some = run.clock(), keys[:LOOKED_AT]
    claims_by_key = expiry.corrected(run, claims.read(run.rows, some, consistent=True, whole=True))
    found = [claims_by_key.get(key) for key in some]
    chunk_ids = {name for claim in found if claim for name in (claim.chunk, *claim.all_unbans) if name}
    on_the_way = ordering.unended(run.rows, run.account, chunk_ids)
    confirmed = 0
    for claim in found:
        if claim is None or on_the_way.isdisjoint({claim.chunk, *claim.all_unbans}):
            confirmed += (claim is not None and not claim.needs_new_ban(now)) is in_force
    return confirmed + len(keys) - len(some)
