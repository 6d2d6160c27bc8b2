"""Let URLs leave their holds, because a report came that needs no approval.

Crash order: the new chunk is opened, each hold's row records which URLs leave it, the claims, the seal. The hold's row
has a version. An approval, a refusal and a leave each demand the version that they read: of two at one moment only one
succeeds. The sweep repeats these steps for an open chunk. A URL that has left already does not leave twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.domain.model import ChunkState
from chalicelib.ledger import carriers, chunks, claim_decisions, holds, remaining
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ports import Rows

TRIES = 5
"""How often a hold is read again if it changed between read and write."""


def leave_holds(rows: Rows, chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> set[str]:
    """Let the URLs of a new chunk leave the holds that it names; return the keys that stay.

    A URL stays if a person has decided about its hold, or if the hold is being made at this moment. One of a hold that
    a person approved is banned by that.
    """
    staying: set[str] = set()
    holds_by_id = chunks.read(rows, chunk.renews)
    for hold_id, hold in holds_by_id.items():
        positions_by_key = {
            key: hold.keys.index(key)
            for key in chunk.keys
            if key in claims_by_key and claims_by_key[key].belongs_to(hold_id)
        }
        staying |= _stay(rows, hold, positions_by_key)
    return staying


def _stay(rows: Rows, hold: Chunk, positions_by_key: Mapping[str, int]) -> set[str]:
    for _ in range(TRIES):
        work = remaining.of_chunk(rows, hold.account, hold.id)
        if work is None:  # all URLs left, or it was approved and tasks have it
            if not carriers.links(rows, hold.id):
                return set()
            claim_decisions.unhold(rows, positions_by_key, chunk=hold.id)
            return set(positions_by_key)
        staying = {key for key, position in positions_by_key.items() if position not in work.excluded}
        if not staying:
            return staying
        if work.state is not ChunkState.HELD:
            if work.state is ChunkState.WAITING:
                claim_decisions.unhold(rows, staying, chunk=hold.id)
            return staying
        if not work.approving and holds.leave(rows, work, [positions_by_key[key] for key in staying]):
            return set()
    return set(positions_by_key)
