"""Renew the bans of one chunk that are planned to last longer than the vendor grants (at most 30 days at any vendor).

A chunk whose bans end soon is followed by a chunk that renews it. The new chunk has the same URLs, except those that
were unbanned or ended in another way. It goes through the same claims and the same submitter, which packs renewals into
full tasks. It takes over each claim only if the old chunk still has it and nobody has unbanned it. So if a renewal and
an unban come at the same moment, only one of them succeeds.

Each URL is renewed by its own ends, the vendor's and the planned one: parts of a chunk may have begun at different
times, and a later report extends single URLs. URLs that the vendor failed to ban, or refused, are sent again here when
their time has come (``lifecycle.retrying``).

Crash order: when the chunk is looked at again, then the journal and the claims of bans that are not renewed, then the
new chunks. The caller keeps the row by which it found the chunk until all of it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import Rule, UrlState, Verdict, VerdictKind
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.rules import NOT_MANAGED, ROOT_REJECTED, accounts_for, standing
from chalicelib.domain.urls import host_of
from chalicelib.ledger import chunk_chain, chunks, claim_ends, claim_retries, claim_words, claims, due_chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claim_words import Change, Said
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.lifecycle import claiming, expiry, retrying
from chalicelib.pipeline.lifecycle.approved import approved
from chalicelib.pipeline.lifecycle.expiry import Expiry
from chalicelib.pipeline.lifecycle.successors import successors
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

POSTPONED = timedelta(minutes=30)
"""When a chunk is looked at again if some of its bans have not begun: they are held, or wait for the vendor."""

EARLY = timedelta(hours=2)
"""How much too early a renewal may come."""

UNBAN_FAILED = Verdict(VerdictKind.SUPPRESSED, Rule.UNBAN, "a person asked for the unban, which failed")


@dataclass(slots=True)
class _Plan:
    """What must be done about a chunk.

    It has the positions to renew, the positions to send again that the vendor failed or refused, those of them that the
    policy forbids by now (by reason), the keys of bans that may end (by reason and moment), and the moments at which to
    look at the chunk again.
    """

    kept: list[int] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    not_again: dict[Verdict, list[int]] = field(default_factory=dict)
    stopped: dict[tuple[Verdict, datetime], list[str]] = field(default_factory=dict)
    looks: list[datetime] = field(default_factory=list)


def renew_chunk(run: Run, chunk: Chunk) -> int:
    """Renew the bans of a chunk that end soon; plan when to look at the others. Return how many bans are renewed."""
    now = run.clock()
    claims_by_key = claims.read(run.rows, chunk.keys, consistent=True)
    plan = _plan(run, chunk, claims_by_key)
    if plan.looks:
        due_chunks.plan_renewal(run.rows, chunk, at=min(plan.looks))
    for (verdict, until), keys in plan.stopped.items():
        reason = f"not renewed: {verdict.reason}"
        _tell_that_they_end(run, keys, claims_by_key, until)
        claim_ends.return_claims(run.rows, keys, chunk=chunk.id, to=chunk.id, until=until, reason=reason)
        run.emit(
            "bans_not_renewed",
            account=chunk.account,
            rule=verdict.rule.value,
            urls=len(keys),
            chunk_id=chunk.id,
            ends_at=until.isoformat(),
            problem=reason,
        )
    for verdict, positions in plan.not_again.items():
        failed = [claims_by_key[chunk.keys[position]] for position in positions]
        claim_retries.stop(run.rows, failed, outcome=UrlState(verdict.kind.value), reason=verdict.reason)
    following = [
        *successors(chunk, plan.kept, claims_by_key, rule=Rule.RENEWAL, now=now),
        *successors(chunk, plan.again, claims_by_key, rule=Rule.RETRY, now=now),
    ]
    renewed = sum(len(claiming.begin(run, part, claims_by_key)) for part in following)
    if renewed < len(plan.kept) + len(plan.again):  # a word came at the same moment: its claim is looked at again
        due_chunks.plan_renewal(run.rows, chunk, at=now + POSTPONED)
    return renewed


def _plan(run: Run, chunk: Chunk, claims_by_key: dict[str, Claim]) -> _Plan:
    now, plan, permission = run.clock(), _Plan(), _Permission(run, chunk)
    before = timedelta(hours=run.policy.renew_before_hours)
    for position, at_vendor in expiry.of_positions(run.rows, chunk).items():
        key = chunk.keys[position]
        claim = claims_by_key.get(key)
        if claim and (again_at := retrying.due_at(claim, chunk, now)):
            if again_at > now:
                plan.looks.append(again_at)
            elif forbidden_now := permission.forbids(position):
                plan.not_again.setdefault(forbidden_now, []).append(position)
            else:
                plan.again.append(position)
        if not chunk_chain.belongs(claims_by_key, chunk, position):
            continue
        if at_vendor.unended:
            plan.looks.append(now + POSTPONED)
        elif _outlives(claims_by_key[key], at_vendor):
            due_at = at_vendor.until - before if at_vendor.until else now
            if due_at > now + EARLY:  # its ban began later than the chunk was made
                plan.looks.append(due_at)
                continue
            verdict = UNBAN_FAILED if claims_by_key[key].unban_failed else permission.forbids(position)
            if verdict:
                plan.stopped.setdefault((verdict, at_vendor.until or now), []).append(key)
            else:
                plan.kept.append(position)
    return plan


def _outlives(claim: Claim, at_vendor: Expiry) -> bool:
    """Return whether a ban is planned to last longer than at the vendor. A ban that edgeban ends never ends there."""
    return not at_vendor.endless and (at_vendor.until is None or claim.until > epoch(at_vendor.until))


class _Permission:
    """Says why the policy lets a ban of one chunk end. The rule for roots does not bind bans that a person approved."""

    def __init__(self, run: Run, chunk: Chunk) -> None:
        self._run, self._chunk = run, chunk
        self._policy, self._now = run.policy, run.clock()
        self._approved: bool | None = None

    def forbids(self, position: int) -> Verdict | None:
        """Return why a ban may not be renewed; ``None`` if it may."""
        chunk, policy = self._chunk, self._policy
        url, origin = chunk.urls[position], chunk.origins[position]
        if chunk.account not in accounts_for(host_of(url), policy):
            return NOT_MANAGED
        if origin.is_person:
            return forbidden(url, chunk.account, policy, self._now)
        verdict = standing(url, policy, self._now, source=origin.source, account=chunk.account)
        return None if verdict is ROOT_REJECTED and self._is_approved() else verdict

    def _is_approved(self) -> bool:
        if self._approved is None:
            self._approved = approved(self._run.rows, self._chunk)
        return self._approved


def _tell_that_they_end(run: Run, keys: Iterable[str], claims_by_key: Mapping[str, Claim], until: datetime) -> None:
    """Write into the journal that bans end before their planned end. The index of bans is made from the journal."""
    ending: Sequence[Claim] = [claims_by_key[key] for key in keys]
    said = [Said(claim.key, claim.account, claim.until, epoch(until), claim.words) for claim in ending]
    claim_words.record(run.rows, said, now=run.clock())


# --- planned ends that move out ---------------------------------------------------------------------------------------


def plan_extended(run: Run, changes: Iterable[Change]) -> None:
    """Plan when to look at each chunk with a planned end that moves out: before its bans end at the vendor."""
    now, before = run.clock(), timedelta(hours=run.policy.renew_before_hours)
    ends = {claim.chunk: _moment(claim.until) for claim, _, until in changes if epoch(until) > claim.until}
    for chunk in chunks.read(run.rows, ends).values():
        due_chunks.plan_renewal(run.rows, chunk, at=max(ends[chunk.id] - before, now))


def renew_extended(run: Run, changes: Iterable[Change]) -> None:
    """Renew at once the bans that were extended shortly before their end: the next hour's run might come too late."""
    soon = run.clock() + timedelta(hours=run.policy.renew_before_hours)
    ending = {
        claim.chunk: claim.account
        for claim, _, until in changes
        if epoch(until) > claim.until and _moment(claim.until) <= soon
    }
    accounts = {ending[chunk.id] for chunk in chunks.read(run.rows, ending).values() if renew_chunk(run, chunk)}
    for account in sorted(accounts):
        wake_submitter(run, account)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
