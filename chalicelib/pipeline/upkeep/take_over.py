"""Take over bans that a vendor has and edgeban does not know: made before edgeban was used, or in the vendor's console.

A person says for how many days from now the URLs stay banned. No vendor's list says when its own bans end. So the next
run of ``renew_bans`` renews the claims at once: after that the bans are edgeban's own, with known ends. Until then the
URLs are shown as banned, without an end and with the reason ``UNKNOWN_END``.

Only URLs of hosts that the account manages are taken over, and no URL that the policy protects or that a person lifted
or refused. Crash order: the decision, then for each page of the vendor's list its chunk and the claims. If the command
is repeated, it takes over the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import Action, Rule
from chalicelib.domain.plural import counted
from chalicelib.domain.policy.duration import PLANNED_DAYS, plan_for
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import canonical_url, host_of, url_key
from chalicelib.ledger import audit, chunks, claims
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import OPERATOR, Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import BanVendor

LIST_SHARE = 2 / 3
"""The share of the vendor's list rate that a take-over uses."""

UNKNOWN_END = "taken over: the vendor banned it before, and when that ban ends is not known until it is renewed"


@dataclass(frozen=True, slots=True)
class Request:
    """Who takes bans over, why, and for how many days from now they last."""

    actor: str
    reason: str
    days: int


@dataclass(slots=True)
class TakenOver:
    """What a run came to, in URLs. ``complete``: the vendor's list was read to its end."""

    taken: int = 0
    known: int = 0
    not_ours: int = 0
    """On hosts that the account does not manage, or no URL that can be banned."""
    not_to_be_banned: int = 0
    """Protected by the policy, or lifted or refused by a person: see whether to unban them."""
    complete: bool = False


def take_over(run: Run, vendor: BanVendor, request: Request) -> TakenOver:
    """Take over the bans that the vendor has at the run's account. Raises ValueError if the days are out of bounds."""
    if request.days not in PLANNED_DAYS:
        raise ValueError(f"days must be from {PLANNED_DAYS[0]} to {PLANNED_DAYS[-1]}")
    taken_over = TakenOver()
    subject, now = f"account:{run.account}", run.clock()
    after = counted(request.days, "day")
    audit.record(run.rows, Decision(request.actor, "take_over", subject, request.reason, now, after=after))
    pages = vendor.banned()
    if pages is not None:
        for urls in run.paced(pages, run.pace(vendor.limits.lists_per_second * LIST_SHARE)):
            _take(run, urls, request, taken_over)
        taken_over.complete = not run.time_is_up
    run.emit(
        "bans_taken_over",
        account=run.account,
        actor=request.actor,
        urls=taken_over.taken,
        known=taken_over.known,
        not_ours=taken_over.not_ours,
        not_to_be_banned=taken_over.not_to_be_banned,
        complete=taken_over.complete,
    )
    return taken_over


def _take(run: Run, urls: Sequence[str], request: Request, taken_over: TakenOver) -> None:
    """Take the URLs of one page of the vendor's list that are ours and unknown."""
    now, policy = run.clock(), run.policy
    urls_by_key: dict[str, str] = {}
    for url in urls:
        try:
            canonical = canonical_url(url)
        except UnusableUrl:
            taken_over.not_ours += 1
            continue
        if run.account not in accounts_for(host_of(canonical), policy):
            taken_over.not_ours += 1
        elif forbidden(canonical, run.account, policy, now):
            taken_over.not_to_be_banned += 1
        else:
            urls_by_key[url_key(run.account, canonical)] = canonical
    claims_by_key = expiry.corrected(run, claims.read(run.rows, list(urls_by_key), consistent=True))
    free = {}
    for key, url in urls_by_key.items():
        claim = claims_by_key.get(key)
        if claim is not None and (claim.outcome or claim.unban_failed or claim.cooling(now)):
            taken_over.not_to_be_banned += 1
        elif claim is not None and claim.until > epoch(now):
            taken_over.known += 1
        else:
            free[key] = url
    if free:
        taken_over.taken += _claim(run, free, claims_by_key, request)


def _claim(run: Run, urls_by_key: Mapping[str, str], claims_by_key: Mapping[str, Claim], request: Request) -> int:
    now, plan = run.clock(), plan_for(request.days)
    origin = Origin("", OPERATOR + request.actor, request.actor, "", request.reason[:200])
    chunk = Chunk(
        account=run.account,
        action=Action.BAN,
        ban_days=plan.ban_days,
        rule=Rule.TAKEN_OVER,
        urls=tuple(urls_by_key.values()),
        keys=tuple(urls_by_key),
        origins=(origin,) * len(urls_by_key),
        created_at=now,
        received_at=now,
        until=now + timedelta(days=request.days),
        actor=request.actor,
        reason=UNKNOWN_END,
        renew_at=now,
    )
    chunks.record(run.rows, chunk)
    return len(claims.claim(run.rows, chunk, claims_by_key, now=now))
