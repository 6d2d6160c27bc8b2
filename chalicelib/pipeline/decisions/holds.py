"""What waits for a person: a hold is a chunk that was claimed and sealed, and is not submitted until it is approved.

Approval goes the way of every ban: the chunk becomes one that waits, and the submitter packs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.model import ChunkState, UrlState, Verdict
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.rules import Policy, forbidden
from chalicelib.ledger import audit, chunks, claims, remaining
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.ports import Delete, Emit, Row, Rows, Update, Value, Wake


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold, with its URLs as they stand: what was unbanned meanwhile is not among them."""

    work: Work
    chunk: Chunk

    @property
    def positions(self) -> list[int]:
        """Positions of the chunk that are held."""
        excluded = set(self.work.excluded)
        return [position for position in range(self.work.count) if position not in excluded]


def listed(accounts: Iterable[str], *, rows: Rows) -> list[Work]:
    """All holds of the accounts, oldest first."""
    found = [
        each for account in accounts for each in remaining.of_account(rows, account) if each.state is ChunkState.HELD
    ]
    return sorted(found, key=lambda each: each.chunk)


def read(hold_id: str, *, rows: Rows) -> Hold:
    """Read one hold. Raises NotFound."""
    chunk = chunks.read(rows, [hold_id]).get(hold_id)
    work = remaining.of_chunk(rows, chunk.account, hold_id) if chunk else None
    if chunk is None or work is None or work.state is not ChunkState.HELD:
        raise NotFound("there is no such hold: it is decided already, or its id is wrong")
    return Hold(work, chunk)


def approve(
    hold_id: str, *, actor: str, reason: str, policy: Policy, rows: Rows, wake: Wake, emit: Emit, now: datetime
) -> bool:
    """Approve a hold; ``False`` if a second operator must, since it holds more URLs than one may approve.

    What was unbanned, protected or taken out of the managed domains since is not banned.

    Raises NotFound, and Conflict if the same operator approves twice where two must.
    """
    hold = read(hold_id, rows=rows)
    key = (f"account#{hold.work.account}", f"chunk#{hold_id}")
    first = hold.work.approved_by
    needs_two = len(hold.positions) > policy.approvals.two_above
    if needs_two and first == actor:
        raise Conflict("you have approved this hold already: its size takes two different operators")
    subject = f"hold:{hold_id}"
    audit.record(rows, Decision(actor, "approve", subject, reason, now, before=first or "held", after="approved"))
    if needs_two and not first:
        if not rows.apply(Update(key, set={"approved_by": actor}, expect={"state": "held", "approved_by": None})):
            raise Conflict("somebody else decided about this hold at the same moment: look at it again")
        emit("hold_approved", hold_id=hold_id, actor=actor, urls=len(hold.positions), complete=False)
        return False
    ours = _still_ours(hold, rows=rows, policy=policy, now=now)
    for why, keys in _forbidden(hold, policy, now).items():
        claims.end(rows, keys, chunk=hold_id, outcome=UrlState(why.kind.value), reason=why.reason)
    # The bans begin only now, so their planned end moves; before the chunk can be packed, so that it is never short.
    until = now + (hold.chunk.until - hold.chunk.created_at)
    claims.extend(rows, [hold.chunk.keys[position] for position in ours], chunk=hold_id, until=until)
    excluded: list[Value] = [position for position in range(hold.work.count) if position not in ours]
    expect: Row = {"state": "held", "approved_by": first or None}
    decided = (
        Update(key, set={"state": "waiting", "lost": excluded}, expect=expect) if ours else Delete(key, expect=expect)
    )
    if not rows.apply(decided):
        raise Conflict("somebody else decided about this hold at the same moment: look at it again")
    emit("hold_approved", hold_id=hold_id, actor=actor, urls=len(ours), complete=True)
    wake(hold.work.account, now=now)
    return True


def _still_ours(hold: Hold, *, rows: Rows, policy: Policy, now: datetime) -> set[int]:
    chunk, account = hold.chunk, hold.work.account
    known = claims.read(rows, chunk.keys, consistent=True)
    return {
        position
        for position in hold.positions
        for claim in (known.get(chunk.keys[position]),)
        if claim
        and claim.chunk == chunk.id
        and not claim.outcome
        and not forbidden(chunk.urls[position], account, policy, now)
    }


def _forbidden(hold: Hold, policy: Policy, now: datetime) -> dict[Verdict, list[str]]:
    """The keys of what the policy forbids by now, by why it does."""
    found: dict[Verdict, list[str]] = {}
    for position in hold.positions:
        if why := forbidden(hold.chunk.urls[position], hold.work.account, policy, now):
            found.setdefault(why, []).append(hold.chunk.keys[position])
    return found


def refuse(hold_id: str, *, actor: str, reason: str, rows: Rows, emit: Emit, now: datetime) -> int:
    """Refuse a hold: its URLs end as rejected. Raises NotFound and Conflict.

    Crash order: the decision, the hold's state, its claims, the hold itself; the sweep goes on from the second.
    """
    hold = read(hold_id, rows=rows)
    audit.record(rows, Decision(actor, "refuse", f"hold:{hold_id}", reason, now, before="held", after="rejected"))
    key = (f"account#{hold.work.account}", f"chunk#{hold_id}")
    change: Row = {"state": "refused", "refused": f"refused by {actor}: {reason}"}
    if not rows.apply(Update(key, set=change, expect={"state": "held"})):
        raise Conflict("somebody else decided about this hold at the same moment: look at it again")
    finish_refusal(replace(hold.work, refused=f"refused by {actor}: {reason}"), rows=rows)
    emit("hold_refused", hold_id=hold_id, actor=actor, urls=len(hold.positions))
    return len(hold.positions)


def finish_refusal(work: Work, *, rows: Rows) -> None:
    """End the claims of a refused hold, then the hold."""
    chunk = chunks.read(rows, [work.chunk]).get(work.chunk)
    if chunk:
        claims.end(rows, chunk.keys, chunk=chunk.id, outcome=UrlState.REJECTED, reason=work.refused)
    rows.apply(Delete((f"account#{work.account}", f"chunk#{work.chunk}")))


def overdue(found: Iterable[Work], *, age: timedelta, now: datetime) -> list[Work]:
    """Holds that wait longer than they should."""
    return [each for each in found if each.state is ChunkState.HELD and now - each.received_at > age]
