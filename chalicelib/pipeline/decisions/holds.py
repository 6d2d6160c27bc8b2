"""Holds, which wait for a person: a hold is a chunk that was claimed and sealed, and is not submitted until approved.

An approved hold goes the way of every ban: its chunk becomes a waiting one, and the submitter packs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from chalicelib.config.operators import person_of
from chalicelib.domain.errors import Conflict, InputError, NotFound
from chalicelib.domain.model import ChunkState, Rule
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import audit, chunks, claim_decisions, remaining
from chalicelib.ledger import holds as steps
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.pipeline.decisions import approving
from chalicelib.pipeline.decisions.alone import may_alone
from chalicelib.pipeline.lifecycle.calling_back import call_back_of_chunk
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


class HoldChanged(Conflict):
    """Somebody else decided about the hold between our read and our write."""

    def __init__(self) -> None:
        super().__init__("somebody else decided about this hold at the same moment: look at it again")


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold with the URLs that it still has: URLs that were unbanned meanwhile are left out."""

    work: Work
    chunk: Chunk

    @property
    def positions(self) -> list[int]:
        """Positions of the chunk that are held."""
        excluded = set(self.work.excluded)
        return [position for position in range(self.work.count) if position not in excluded]


class ApprovalState(StrEnum):
    """The state of a hold after an approval."""

    HELD = "held"  # another person must approve it as well
    APPROVED = "approved"  # its URLs are about to be banned


@dataclass(frozen=True, slots=True)
class Approval:
    """How many people have approved a hold, and how many must."""

    approvals: int
    approvals_needed: int
    approved: int = field(default=0, compare=False)
    """How many URLs are about to be banned."""
    refused: int = field(default=0, compare=False)
    """How many URLs the approval left out: they end as refused."""

    @property
    def state(self) -> ApprovalState:
        """The state of the hold after this approval."""
        return ApprovalState.APPROVED if self.approvals >= self.approvals_needed else ApprovalState.HELD


def all_held(rows: Rows, accounts: Iterable[str]) -> list[Work]:
    """Return all holds of the accounts that wait for a person, oldest first."""
    all_work = [work for account in accounts for work in remaining.of_account(rows, account)]
    return sorted((work for work in all_work if undecided(work)), key=lambda work: work.chunk)


def undecided(work: Work) -> bool:
    """Return whether a person is still to decide about a chunk: one that was approved is about to be released."""
    return work.state is ChunkState.HELD and not work.approving


def read_hold(rows: Rows, hold_id: str) -> Hold:
    """Read one hold. Raises NotFound."""
    chunk = chunks.read(rows, [hold_id]).get(hold_id)
    work = remaining.of_chunk(rows, chunk.account, hold_id) if chunk else None
    if chunk is None or work is None or not undecided(work):
        raise NotFound("there is no such hold: it is decided already, or its id is wrong")
    return Hold(work, chunk)


def approvals_needed(policy: Policy, hold: Hold) -> int:
    """Return how many people must approve a hold, as far as its size and its first approval tell."""
    return 2 if _first_approval(hold)[0] or len(hold.positions) > policy.approvals.two_above else 1


def approve(
    run: Run, hold_id: str, *, actor: str, reason: str, person: str = "", excepted: Collection[str] = ()
) -> Approval:
    """Approve a hold. If one person may not approve it alone (``_takes_two``), a second person must approve it as well.

    ``person`` is who works with the token of ``actor``. URLs that are ``excepted`` end as refused. What was unbanned,
    protected or taken out of the managed domains since is not banned. Raises NotFound, and Conflict if the same person
    approves twice where two must, or the second leaves other URLs out than the first.

    Crash order: the decision, the hold's row, which says that it was approved for good, then the steps of
    ``approving``. A crash before the row leaves a hold that is approved again; after it the sweep goes on.
    """
    now, person = run.clock(), person or person_of(actor)
    hold = read_hold(run.rows, hold_id)
    if hold.chunk.rule == Rule.WITHDRAWN:
        return _lift_withdrawn(run, hold, Decision(actor, "approve", f"hold:{hold_id}", reason, now), excepted)
    first, first_person = _first_approval(hold)
    if first and first_person == person:
        raise Conflict("you have approved this hold already: it takes two different people")
    left_out = _positions_of(hold, excepted)
    needed = 2 if first or _takes_two(run, hold, person, len(hold.positions) - len(left_out)) else 1
    subject = f"hold:{hold_id}"
    after = "approved" if needed == 1 or first else "approved once"
    targets = len(hold.positions) - len(left_out)
    decision = Decision(actor, "approve", subject, reason, now, before=first or "held", after=after, targets=targets)
    audit.record(run.rows, decision)
    if needed == 2 and not first:
        if not steps.note_first_approval(run.rows, hold.work, actor, person, left_out):
            raise HoldChanged
        run.emit("hold_approved", hold_id=hold_id, actor=actor, urls=len(hold.positions), complete=False)
        return Approval(1, needed)
    work = steps.begin_release(run.rows, hold.work, approving.text(actor, reason), left_out)
    if work is None:
        raise HoldChanged
    approved = approving.finish(run, work)
    return Approval(needed, needed, approved=approved, refused=len(left_out))


def _lift_withdrawn(run: Run, hold: Hold, decision: Decision, excepted: Collection[str]) -> Approval:
    """Lift bans whose sources took their words back: the hold asks whether to. Lifting takes no second person."""
    left_out = _positions_of(hold, excepted)
    targets = len(hold.positions) - len(left_out)
    audit.record(run.rows, replace(decision, before="held", after="approved", targets=targets))
    work = steps.begin_release(run.rows, hold.work, approving.text(decision.actor, decision.reason), left_out)
    if work is None:
        raise HoldChanged
    return Approval(1, 1, approved=approving.finish(run, work), refused=len(left_out))


def _positions_of(hold: Hold, urls: Collection[str]) -> set[int]:
    """Return the positions of URLs in a hold. Raises InputError, and Conflict if the first approver named others."""
    positions_by_url = {hold.chunk.urls[position]: position for position in hold.positions}
    unknown = [url for url in urls if url not in positions_by_url]
    if unknown:
        raise InputError(
            f"except names {unknown[0][:200]!r}, which is not in this hold: name URLs as the hold shows them"
        )
    positions = {positions_by_url[url] for url in urls}
    if positions and len(positions) == len(positions_by_url):
        raise InputError("except names every URL of this hold: refuse the hold")
    if hold.work.approved_by and positions != set(hold.work.excepted) & {*positions_by_url.values()}:
        raise Conflict(
            f"{hold.work.approved_by} approved this hold without {len(hold.work.excepted)} of its URLs: "
            "both approvers must leave out the same ones, so repeat them in except or refuse the hold"
        )
    return positions


def _first_approval(hold: Hold) -> tuple[str, str]:
    """Return whose token approved a hold first, and the person behind it; both empty if nobody approved.

    If a person bans by hand more than one may let through alone, this person is the first of the two.
    """
    work, chunk = hold.work, hold.chunk
    if work.approved_by:
        return work.approved_by, work.approved_person or person_of(work.approved_by)
    return (chunk.actor, chunk.origins[0].reporter) if chunk.rule == Rule.BY_HAND else ("", "")


def _takes_two(run: Run, hold: Hold, person: str, urls: int) -> bool:
    """Return whether a second person must approve ``urls`` of a hold.

    One must if the hold is large, if the first person has let much through today, or if that person reported it.
    """
    reporters = {person_of(hold.chunk.origins[position].reporter) for position in hold.positions}
    return person in reporters or not may_alone(run, hold.work.account, person, urls)


def refuse(run: Run, hold_id: str, *, actor: str, reason: str) -> int:
    """Refuse a hold: its URLs end as rejected. Return how many they are. Raises NotFound and Conflict.

    Crash order: the decision, the hold's state, its claims, the hold itself; the sweep goes on from the second.
    """
    hold, why = read_hold(run.rows, hold_id), f"refused by {actor}: {reason}"
    subject = f"hold:{hold_id}"
    targets = len(hold.positions)
    decision = Decision(actor, "refuse", subject, reason, run.clock(), before="held", after="rejected", targets=targets)
    audit.record(run.rows, decision)
    if not steps.refuse(run.rows, hold.work, why):
        raise HoldChanged
    finish_refusal(run, replace(hold.work, refused=why))
    run.emit("hold_refused", hold_id=hold_id, actor=actor, urls=len(hold.positions))
    return len(hold.positions)


def finish_refusal(run: Run, work: Work) -> None:
    """End the claims of a refused hold, then the hold. The refusal stands against reports for ``refusal_days``."""
    chunk = chunks.read(run.rows, [work.chunk]).get(work.chunk)
    if chunk:
        until = run.clock() + timedelta(days=run.policy.refusal_days)
        left = set(work.excluded)
        keys = [key for position, key in enumerate(chunk.keys) if position not in left]
        claim_decisions.refuse(run.rows, keys, chunk=chunk.id, reason=work.refused, until=until)
    steps.remove(run.rows, work)
    if chunk:
        call_back_of_chunk(run, chunk, range(len(chunk.keys)))


def overdue(work: Iterable[Work], *, age: timedelta, now: datetime) -> list[Work]:
    """Return the holds that have waited for a person for longer than ``age``."""
    return [hold for hold in work if hold.state is ChunkState.HELD and now - hold.received_at > age]
