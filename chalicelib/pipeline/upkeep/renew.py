"""Carry on bans that are planned to outlive what the vendor grants (30 days at the most).

A chunk whose bans end soon is followed by one that renews it: the same URLs but for those that were unbanned or ended
otherwise, through the same claim and the same submitter, which packs renewals into full tasks. The new chunk takes the
claims over one by one, each on the condition that it is still the old chunk's and not unbanned: of a renewal and an
unban at the same moment exactly one wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from chalicelib.domain.model import Rule, Verdict, VerdictKind
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import NOT_MANAGED, accounts_for, forbidden, standing
from chalicelib.ledger import claim_ends, claim_words, claims, renewals
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claim_words import Said
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

DUE_CHUNKS_READ = 50
"""Due chunks read at a time."""

POSTPONED = timedelta(days=1)
"""When a chunk is looked at again whose bans have not begun: it is held, or waits for the vendor."""

UNBAN_FAILED = Verdict(VerdictKind.SUPPRESSED, Rule.UNBAN, "a person asked for the unban, which failed")

EARLY = timedelta(hours=2)
"""How much earlier than it must a renewal may come."""


def renew_bans(run: Run) -> int:
    """Renew what is due at an account; return how many URLs."""
    renewed = 0
    while not run.time_is_up:
        due = renewals.due(run.rows, run.account, now=run.clock(), limit=DUE_CHUNKS_READ)
        if not due:
            break
        for renewal in due:
            if renewal.chunk:
                renewed += _renew(run, renewal.chunk)
            renewals.drop(run.rows, renewal)
    if renewed:
        wake_submitter(run, run.account)
    left = run.time_is_up and renewals.due(run.rows, run.account, now=run.clock(), limit=1)
    run.emit("bans_renewed", account=run.account, urls=renewed, left=int(bool(left)))
    return renewed


def _renew(run: Run, chunk: Chunk) -> int:
    """Renew a chunk's bans that still stand, or postpone it; return how many URLs were renewed."""
    now, policy = run.clock(), run.policy
    at_vendor = expiry.of_chunk(run.rows, chunk.account, chunk.id)
    if at_vendor.unended:  # held, or waiting for the vendor: its bans have not begun
        renewals.plan(run.rows, chunk, at=now + POSTPONED)
        return 0
    if at_vendor.lasts:  # nothing ends there but by edgeban
        return 0
    due_at = at_vendor.until - timedelta(hours=policy.renew_before_hours) if at_vendor.until else now
    if due_at > now + EARLY:  # its bans began later than the chunk was made
        renewals.plan(run.rows, chunk, at=due_at)
        return 0
    claims_by_key = claims.read(run.rows, chunk.keys, consistent=True)
    kept, stopped = _sort_out(chunk, claims_by_key, policy, now)
    for verdict, keys in stopped.items():
        reason, until = f"not renewed: {verdict.reason}", at_vendor.until or now
        _tell_that_they_end(run, keys, claims_by_key, until, now)
        claim_ends.give_back(run.rows, keys, chunk=chunk.id, to=chunk.id, until=until, reason=reason)
        run.emit(
            "bans_not_renewed",
            account=run.account,
            rule=verdict.rule.value,
            urls=len(keys),
            chunk_id=chunk.id,
            ends_at=until.isoformat(),
            problem=reason,
        )
    if at_vendor.until:  # a later report may have extended some of the chunk's bans, and not their neighbours
        kept = [position for position in kept if claims_by_key[chunk.keys[position]].until > epoch(at_vendor.until)]
    following = claiming.successors(chunk, kept, claims_by_key, rule=Rule.RENEWAL, now=now)
    return sum(len(claiming.begin(run, part, claims_by_key)) for part in following)


def _sort_out(
    chunk: Chunk, claims_by_key: dict[str, Claim], policy: Policy, now: datetime
) -> tuple[list[int], dict[Verdict, list[str]]]:
    """Split a chunk's URLs that are still its own: positions to renew, and keys to let end, by why."""
    kept: list[int] = []
    stopped: dict[Verdict, list[str]] = {}
    for position, key in enumerate(chunk.keys):
        if not claims.belongs(claims_by_key, chunk, position):
            continue
        verdict = _forbidden(chunk, position, policy, now)
        if claims_by_key[key].unban_failed:
            verdict = UNBAN_FAILED
        if verdict:
            stopped.setdefault(verdict, []).append(key)
        else:
            kept.append(position)
    return kept, stopped


def _forbidden(chunk: Chunk, position: int, policy: Policy, now: datetime) -> Verdict | None:
    """Say why the policy lets a ban end. The rule for roots does not bind what a person banned."""
    url = chunk.urls[position]
    if chunk.account not in accounts_for(url, policy):
        return NOT_MANAGED
    if chunk.origins[position].is_person:
        return forbidden(url, chunk.account, policy, now)
    return standing(url, policy, now, account=chunk.account)


def _tell_that_they_end(
    run: Run, keys: Sequence[str], claims_by_key: Mapping[str, Claim], until: datetime, now: datetime
) -> None:
    """Write into the journal, of which the index of bans is folded, that bans end before their planned end."""
    ending = (claims_by_key[key] for key in keys)
    said = [Said(claim.key, claim.account, claim.until, epoch(until), claim.words) for claim in ending]
    claim_words.record(run.rows, said, now=now)
