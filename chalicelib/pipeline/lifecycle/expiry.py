"""When the bans of a chunk end at the vendor. They begin when they are submitted, which may be long after the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.model import Action, TaskState
from chalicelib.ledger import carriers, remaining
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the bans of a chunk end.

    ``unended``: some of its URLs are not sent yet, or a task of it has not ended. ``until``: when the last ban that the
    vendor has made ends; ``None`` if it has made none. ``endless``: the vendor ends none of them; edgeban does.
    """

    unended: bool
    until: datetime | None
    endless: bool = False


def of_task(task: Task) -> datetime | None:
    """Return when the vendor ends the bans of a task, or when edgeban may first lift them; ``None`` if it made none."""
    if task.action is not Action.BAN or task.state is not TaskState.SUCCEEDED or task.submitted_at is None:
        return None
    return task.submitted_at + timedelta(days=task.ban_days)


def of_chunk(rows: Rows, account: str, chunk: str) -> Expiry:
    """Return when the bans of a chunk end, from all the tasks that carried it."""
    found = list(carriers.of_chunk(rows, chunk))
    unended = remaining.of_chunk(rows, account, chunk) is not None or not all(task.ended for task in found)
    until = max((end for task in found if (end := of_task(task))), default=None)
    return Expiry(unended, until, endless=any(task.endless for task in found))


def of_positions(rows: Rows, chunk: Chunk) -> dict[int, Expiry]:
    """Return for each position of a chunk when its own ban ends: parts of a chunk may begin at different times."""
    work = remaining.of_chunk(rows, chunk.account, chunk.id)
    waiting = set(range(work.next, work.count)).difference(work.excluded) if work else set[int]()
    by_position = {position: Expiry(position in waiting, None) for position in range(len(chunk.keys))}
    for task in carriers.of_chunk(rows, chunk.id):  # parents before their children: the last one holds
        of_this = Expiry(not task.ended, of_task(task), task.endless)
        for part in task.slices:
            if part.chunk == chunk.id:
                by_position.update(dict.fromkeys(part.positions(), of_this))
    return by_position


def corrected(run: Run, claims_by_key: Mapping[str, Claim]) -> dict[str, Claim]:
    """Return the claims with their true end: an outage, a pause or a hold makes a ban begin later than planned.

    Only claims whose planned end has passed are checked. All other claims cost no read.
    """
    now = run.clock()
    passed = epoch(now)
    expiries: dict[str, Expiry] = {}
    claims = dict(claims_by_key)
    for key, claim in claims_by_key.items():
        if claim.outcome or claim.until > passed:
            continue
        if claim.chunk not in expiries:
            expiries[claim.chunk] = of_chunk(run.rows, claim.account, claim.chunk)
        expiry = expiries[claim.chunk]
        if expiry.unended:
            claims[key] = claim._replace(until=epoch(now + timedelta(days=1)))
        elif expiry.until and expiry.until > now:
            claims[key] = claim._replace(until=epoch(expiry.until))
    return claims
