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
from chalicelib.domain.model import Action, ChunkState, Rule, UrlState, Verdict
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import audit, chunk_chain, chunks, claim_decisions, claim_ends, claims, remaining
from chalicelib.ledger import holds as steps
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.packed_words import end_of_ban
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.decisions.alone import may_alone
from chalicelib.pipeline.decisions.approved_ends import begin_now
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.lifecycle.calling_back import call_back_of_chunk
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter
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
    """Return all holds of the accounts, oldest first."""
    held = [
        work for account in accounts for work in remaining.of_account(rows, account) if work.state is ChunkState.HELD
    ]
    return sorted(held, key=lambda work: work.chunk)


def read_hold(rows: Rows, hold_id: str) -> Hold:
    """Read one hold. Raises NotFound."""
    chunk = chunks.read(rows, [hold_id]).get(hold_id)
    work = remaining.of_chunk(rows, chunk.account, hold_id) if chunk else None
    if chunk is None or work is None or work.state is not ChunkState.HELD:
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

    Crash order: the decision, the hold's row with what is left out, the claims of that, the claims that go on, which
    wait no more, the hold's release. A crash before the release leaves a hold that is approved again. No claim says
    that it waits once its ban is sent: a withdrawal would end it, and not the ban.
    """
    now, policy = run.clock(), run.policy
    person = person or person_of(actor)
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
    if left_out:
        hold = _leave_out(run, hold, left_out, why=f"refused by {actor}: {reason}")
    allowed = _still_ours(run.rows, hold, policy, now) - left_out
    for verdict, keys in _forbidden(hold, policy, now).items():
        claim_ends.end(run.rows, keys, chunk=hold_id, outcome=UrlState(verdict.kind.value), reason=verdict.reason)
    if hold.chunk.rule != Rule.DRIFT:
        begin_now(run, hold.chunk, allowed)
    claim_decisions.unhold(run.rows, [hold.chunk.keys[position] for position in allowed], chunk=hold_id)
    if not steps.release(run.rows, hold.work, allowed):
        raise HoldChanged
    run.emit("hold_approved", hold_id=hold_id, actor=actor, urls=len(allowed), complete=True)
    wake_submitter(run, hold.work.account)
    return Approval(needed, needed, approved=len(allowed), refused=len(left_out))


def _lift_withdrawn(run: Run, hold: Hold, decision: Decision, excepted: Collection[str]) -> Approval:
    """Lift bans whose sources took their words back: the hold asks whether to. Lifting takes no second person.

    If a source has asked for a URL since then, the URL stays banned: nobody was asked whether to lift that ban.

    Crash order: the decision, the unban, the hold. A crash before the last asks again, and lifts nothing twice.
    """
    now, policy = run.clock(), run.policy
    left_out = _positions_of(hold, excepted)
    lifting = [position for position in hold.positions if position not in left_out]
    audit.record(run.rows, replace(decision, before="held", after="approved", targets=len(lifting)))
    claims_by_key = claims.read(run.rows, [hold.chunk.keys[position] for position in lifting], consistent=True)
    banned = [
        position
        for position in lifting
        if (claim := claims_by_key.get(hold.chunk.keys[position])) and not (claim.outcome or claim.held)
        if end_of_ban(claim.words) <= epoch(now)
    ]
    if banned:
        part = chunk_chain.part_of(hold.chunk, banned)
        unban = replace(
            part,
            id="",
            action=Action.UNBAN,
            rule=Rule.UNBAN,
            created_at=now,
            received_at=now,
            until=now + timedelta(days=policy.cool_down_days),
            actor=decision.actor,
            reason=decision.reason,
        )
        claiming.begin(run, unban, {key: claims_by_key[key] for key in part.keys})
    if not steps.release(run.rows, hold.work, ()):
        raise HoldChanged
    who = {"actor": decision.actor, "subject": decision.subject}
    run.emit("unban_carried_out", job_id=hold.chunk.id, **who, urls=len(banned), finished=True)
    run.emit("hold_approved", hold_id=hold.chunk.id, actor=decision.actor, urls=len(banned), complete=True)
    wake_submitter(run, hold.work.account)
    return Approval(1, 1, approved=len(banned), refused=len(left_out))


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


def _leave_out(run: Run, hold: Hold, positions: Collection[int], *, why: str) -> Hold:
    """Refuse some URLs of a hold that is about to be approved. Raises HoldChanged."""
    work = steps.except_positions(run.rows, hold.work, positions)
    if work is None:
        raise HoldChanged
    keys = [hold.chunk.keys[position] for position in sorted(positions)]
    until = run.clock() + timedelta(days=run.policy.refusal_days)
    claim_decisions.refuse(run.rows, keys, chunk=hold.chunk.id, reason=why, until=until)
    return Hold(work, hold.chunk)


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


def _still_ours(rows: Rows, hold: Hold, policy: Policy, now: datetime) -> set[int]:
    """Return the positions whose claims are still the hold's and that the policy allows by now."""
    chunk = hold.chunk
    claims_by_key = claims.read(rows, chunk.keys, consistent=True)
    allowed = set()
    for position in hold.positions:
        claim = claims_by_key.get(chunk.keys[position])
        ours = claim is not None and claim.chunk == chunk.id and not claim.outcome
        if ours and not forbidden(chunk.urls[position], chunk.account, policy, now):
            allowed.add(position)
    return allowed


def _forbidden(hold: Hold, policy: Policy, now: datetime) -> dict[Verdict, list[str]]:
    """Return the keys of the URLs that the policy forbids now, by the verdict that forbids them."""
    keys_by_verdict: dict[Verdict, list[str]] = {}
    for position in hold.positions:
        if verdict := forbidden(hold.chunk.urls[position], hold.work.account, policy, now):
            keys_by_verdict.setdefault(verdict, []).append(hold.chunk.keys[position])
    return keys_by_verdict


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
