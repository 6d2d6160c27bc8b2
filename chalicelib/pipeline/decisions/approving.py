"""Carry out the approval of a hold, once its row says that it was approved for good.

From that row on nobody refuses the hold, and no URL leaves it by a word. So an approval that was recorded is always
carried out: by the request, or by the sweep after a crash. Everything here may be repeated.

Crash order: the claims of what is left out, those of what the policy forbids by now, those that go on, which wait no
more, the hold's release. No claim says that it waits once its ban is sent: a withdrawal would end the claim, and not
the ban. Of a hold that asks whether to lift bans: the unban, then the hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta

from chalicelib.domain.model import Action, ChunkState, Rule, UrlState, Verdict
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.ledger import chunk_chain, chunks, claim_decisions, claim_ends, claims, holds, remaining
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import end_of_ban
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.decisions.approved_ends import begin_now
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

TRIES = 5
"""How often a hold, or its claims, are read again that something else changed between read and write."""


def text(actor: str, reason: str) -> str:
    """Return what a hold's row says of its approval."""
    return f"{actor}\n{reason}"


def finish(run: Run, work: Work) -> int:
    """Carry out an approval that is on record; return how many URLs are about to be banned, or lifted."""
    hold: Work | None = work
    for _ in range(TRIES):
        chunk = chunks.read(run.rows, [work.chunk]).get(work.chunk)
        if hold is None or hold.state is not ChunkState.HELD or chunk is None:
            return 0  # somebody else has carried it out
        actor = hold.approving.partition("\n")[0]
        lifts = hold.rule == Rule.WITHDRAWN
        going = _lifted(run, hold, chunk) if lifts else _going_on(run, hold, chunk)
        if going is None:
            return 0  # the sweep goes on
        if holds.release(run.rows, hold, () if lifts else going):
            if lifts:
                who = {"actor": actor, "subject": f"hold:{chunk.id}"}
                run.emit("unban_carried_out", job_id=chunk.id, **who, urls=len(going), finished=True)
            run.emit("hold_approved", hold_id=chunk.id, actor=actor, urls=len(going), complete=True)
            wake_submitter(run, hold.account)
            return len(going)
        hold = remaining.of_chunk(run.rows, work.account, work.chunk)
    return 0  # the sweep goes on


def _going_on(run: Run, hold: Work, chunk: Chunk) -> set[int]:
    """Prepare the claims of a hold for its release; return the positions that are about to be banned."""
    now, policy = run.clock(), run.policy
    actor, _, reason = hold.approving.partition("\n")
    left_out = set(hold.excepted)
    refused = [chunk.keys[position] for position in sorted(left_out)]
    if refused:
        until, why = now + timedelta(days=policy.refusal_days), f"refused by {actor}: {reason}"
        claim_decisions.refuse(run.rows, refused, chunk=chunk.id, reason=why, until=until)
    waiting = [position for position in _positions(hold) if position not in left_out]
    ours = _ours(claims.read(run.rows, chunk.keys, consistent=True), chunk, waiting)
    allowed, keys_by_verdict = set[int](), dict[Verdict, list[str]]()
    for position in waiting:
        verdict = forbidden(chunk.urls[position], chunk.account, policy, now)
        if verdict:
            keys_by_verdict.setdefault(verdict, []).append(chunk.keys[position])
        elif position in ours:
            allowed.add(position)
    for verdict, keys in keys_by_verdict.items():
        outcome = UrlState(verdict.kind.value)
        claim_ends.end(run.rows, keys, chunk=chunk.id, outcome=outcome, reason=verdict.reason)
    if chunk.rule != Rule.DRIFT:
        begin_now(run, chunk, allowed)
    claim_decisions.unhold(run.rows, [chunk.keys[position] for position in allowed], chunk=chunk.id)
    return allowed


def _ours(claims_by_key: Mapping[str, Claim], chunk: Chunk, positions: Collection[int]) -> set[int]:
    """Return the positions whose claims are still the hold's."""
    return {position for position in positions if chunk_chain.belongs(claims_by_key, chunk, position)}


def _lifted(run: Run, hold: Work, chunk: Chunk) -> set[int] | None:
    """Lift bans whose sources took their words back; return the positions of those that are lifted.

    If a source has asked for a URL since then, the URL stays banned: nobody was asked whether to lift that ban.
    A renewal may take a ban over between the read and the unban: the claims are read again. ``None`` if they change
    faster than this can unban them.
    """
    now, lifted = run.clock(), set[int]()
    actor, _, reason = hold.approving.partition("\n")
    lifting = [position for position in _positions(hold) if position not in hold.excepted]
    for _ in range(TRIES):
        claims_by_key = claims.read(run.rows, [chunk.keys[position] for position in lifting], consistent=True)
        banned = [
            position
            for position in lifting
            if (claim := claims_by_key.get(chunk.keys[position])) and not (claim.outcome or claim.held)
            if end_of_ban(claim.words) <= epoch(now)
        ]
        if not banned:
            return lifted
        part = chunk_chain.part_of(chunk, banned)
        unban = replace(
            part,
            id="",
            action=Action.UNBAN,
            rule=Rule.UNBAN,
            created_at=now,
            received_at=now,
            until=now + timedelta(days=run.policy.cool_down_days),
            actor=actor,
            reason=reason,
        )
        unbanned = claiming.begin(run, unban, {key: claims_by_key[key] for key in part.keys})
        lifted.update(position for position in banned if chunk.keys[position] in unbanned)
        if len(unbanned) == len(banned):
            return lifted
    return None


def _positions(hold: Work) -> list[int]:
    excluded = set(hold.excluded)
    return [position for position in range(hold.count) if position not in excluded]
