"""A person bans URLs, or sets the end of their bans, without a report.

Managed hosts, protection and dry runs bind a person as they bind a source. Caps, trust and the rule for roots do not.
A ban by hand counts like an approval. If it is more than one person may let through alone, it becomes a hold with the
rule ``by_hand``, which a second person approves.

Crash order: the audit; the job that lifts bans at an end before the vendor's; for each new chunk the steps of
``lifecycle.claiming``; for bans in force the rows by which they are renewed, the journal, the claims. The sweep
finishes an open chunk, and a job whose claims were never changed lifts nothing.
A person who saw no answer asks again. What was done is in force with that end then, and is not done twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import (
    CHUNK_BYTES,
    CHUNK_URLS,
    Action,
    ChunkState,
    Rule,
    SchemeVariants,
    Verdict,
    VerdictKind,
)
from chalicelib.domain.policy.duration import Plan, plan_for
from chalicelib.domain.policy.forbidden import by_hand, not_managed
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import accounts_for, category_of
from chalicelib.domain.urls import host_of, scheme_variant, url_key
from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Effect, Kind, SourceWord, Word, added
from chalicelib.ledger import audit, chunks, claim_words, claims, unban_jobs
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claim_words import Change
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import markers, no_longer_undone, pack, spoken_by, unpack
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.decisions.alone import may_alone
from chalicelib.pipeline.decisions.by_hand_request import Answer, Item, Request
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.lifecycle.on_claim import record_of
from chalicelib.pipeline.lifecycle.renewing import plan_extended, renew_extended
from chalicelib.pipeline.lifecycle.version_1 import completed, first_word
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter

TRIES = 5
"""How often URLs are decided again if something else changed them between read and write."""

NOT_IN_FORCE = Verdict(VerdictKind.REJECTED, Rule.NOT_IN_FORCE, "no ban of the URL is in force")


def preview(run: Run, request: Request) -> Answer:
    """Say what a request would do, and write nothing."""
    now = run.clock()
    answer = Answer(_plan(request, run.policy, now).end(now))
    answer.items = _decide(run, request, _places(run, request, answer), answer)
    return answer


def ban(run: Run, request: Request) -> Answer:
    """Carry a request out. URLs that something else keeps changing are left out of ``items``."""
    now, policy = run.clock(), run.policy
    plan = _plan(request, policy, now)
    answer = Answer(plan.end(now))
    places = _places(run, request, answer)
    subject = unban_jobs.subject_of(request.urls)
    action: audit.Action = "set_end" if request.only_in_force else "ban"
    decision = Decision(request.actor, action, subject, request.reason, now, after=answer.until.isoformat())
    audit.record(run.rows, replace(decision, targets=len(request.urls)), also_about=unban_jobs.subjects(request.urls))
    for _ in range(TRIES):
        items = _decide(run, request, places, answer)
        answer.waiting.update(item.account for item in items if _waits(item))
        if _needs_lift(request, items, answer.until):
            _lift_at_end(run, request, answer.until)
        done = _claim_new(run, request, items, plan, answer)
        done |= _set_ends(run, request, items, answer)
        done |= {item.key for item in items if item.effect is Effect.NOTHING}
        answer.items += [item for item in items if item.key in done]
        places = {item.key: (item.url, item.account) for item in items if item.key not in done}
        if not places:
            break
    counts = Counter(item.effect.value for item in answer.items)
    run.emit("banned_by_hand", actor=request.actor, urls=len(answer.items), holds=len(answer.holds), **counts)
    return answer


def _plan(request: Request, policy: Policy, now: datetime) -> Plan:
    if request.plan:
        return request.plan
    if request.end is None:
        plan, longest = category_of(request.category, policy).plan, policy.approvals.longest_days
        too_long = longest and plan.end(now) > plan_for(longest).end(now)
        return plan_for(longest) if too_long else plan
    return Plan(plan_for(math.ceil((request.end - now) / timedelta(days=1))).ban_days, request.end - now)


def _places(run: Run, request: Request, answer: Answer) -> dict[str, tuple[str, str]]:
    """Return the URLs at accounts that a person may ban, by their keys; note the URLs that nobody may ban."""
    policy, now = run.policy, run.clock()
    places: dict[str, tuple[str, str]] = {}
    for url in request.urls:
        accounts = accounts_for(host_of(url), policy)
        if not accounts:
            answer.rejected.append((url, "", not_managed(url)))
        variant = scheme_variant(url) if policy.scheme_variants is SchemeVariants.TOGETHER else ""
        for account in accounts:
            if refused := by_hand(url, account, policy, now):
                answer.rejected.append((url, account, refused))
                continue
            places.update({url_key(account, each): (each, account) for each in (url, variant) if each})
    return places


def _decide(run: Run, request: Request, places: dict[str, tuple[str, str]], answer: Answer) -> list[Item]:
    """Decide what the request does to each URL, by the URL's present record."""
    now = run.clock()
    found = claims.read(run.rows, list(places), consistent=True, whole=True)
    claims_by_key = completed(run, expiry.corrected(run, found))
    items = []
    for key, (url, account) in places.items():
        claim = claims_by_key.get(key)
        effect = _effect(request, claim, answer.until, now)
        if effect is None:
            answer.rejected.append((url, account, NOT_IN_FORCE))
        else:
            items.append(Item(key, url, account, claim, effect))
    return items


def _effect(request: Request, claim: Claim | None, until: datetime, now: datetime) -> Effect | None:
    word = Word(Kind.PERSON_BANS, now, request.source, until)
    effect = decide(record_of(claim, (), now), word).effect
    if request.only_in_force and effect is not Effect.SET_END:
        return None
    said = claim is not None and spoken_by(claim.words, request.source).end > 0
    if claim is None or effect is Effect.BAN:
        return effect
    if effect is Effect.RELEASE:
        waits_for_another = claim.held == Rule.BY_HAND and said
        return Effect.NOTHING if waits_for_another else effect
    stands = said and claim.until == epoch(until) and not (request.end and claim.lifted_at != claim.until)
    return Effect.NOTHING if stands else Effect.SET_END


def _waits(item: Item) -> bool:
    """Return whether a URL waits for a second person already, since the same person asked for its ban before."""
    return item.effect is Effect.NOTHING and item.claim is not None and item.claim.held == Rule.BY_HAND


def _needs_lift(request: Request, items: Iterable[Item], until: datetime) -> bool:
    """Return whether the vendor would ban some URLs for longer than the person wants."""
    in_force = [item.claim for item in items if item.effect is Effect.SET_END and item.claim]
    return request.end is not None or any(
        claim.until == claim.lifted_at or epoch(until) < claim.until for claim in in_force
    )


def _claim_new(run: Run, request: Request, items: Sequence[Item], plan: Plan, answer: Answer) -> set[str]:
    """Claim the URLs that get a new ban, one account after the other; return the keys that are claimed."""
    claimed: set[str] = set()
    fresh = [item for item in items if item.effect in {Effect.BAN, Effect.RELEASE}]
    for account in dict.fromkeys(item.account for item in fresh):
        of_account = [item for item in fresh if item.account == account]
        alone = may_alone(run, account, request.person, len(of_account), waiting=answer.waiting[account])
        for effect in (Effect.BAN, Effect.RELEASE):
            chosen = [item for item in of_account if item.effect is effect]
            for part in cut(chosen, count=CHUNK_URLS, size=CHUNK_BYTES, size_of=lambda item: len(item.url)):
                claimed |= _claim(run, request, part, plan, hold=None if alone else answer)
        if alone:
            wake_submitter(run, account)
    return claimed


def _claim(run: Run, request: Request, part: Sequence[Item], plan: Plan, *, hold: Answer | None) -> set[str]:
    """Make one chunk of these URLs; return the keys that it claimed. With ``hold`` it waits for a second person."""
    now = run.clock()
    chunk = Chunk(
        account=part[0].account,
        action=Action.BAN,
        ban_days=plan.ban_days,
        rule=Rule.BY_HAND,
        urls=tuple(item.url for item in part),
        keys=tuple(item.key for item in part),
        origins=(Origin("", request.source, request.person, request.category),) * len(part),
        created_at=now,
        received_at=now,
        until=request.end or plan.end(now),
        renews=tuple(sorted({item.claim.chunk for item in part if item.effect is Effect.RELEASE and item.claim})),
        actor=request.actor,
        reason=request.reason,
    )
    if hold:
        asked = Decision(request.actor, "ban", f"hold:{chunk.id}", request.reason, now, after="held")
        audit.record(run.rows, asked)
    words = {
        item.key: _words(request, item, chunk.until, now, waits=hold is not None)
        for item in part
        if item.claim and item.claim.words
    }
    then = ChunkState.HELD if hold else ChunkState.WAITING
    claims_by_key = {item.key: item.claim for item in part if item.claim}
    claimed = claiming.begin(run, chunk, claims_by_key, then=then, words=words)
    if hold and claimed:
        hold.holds.append(chunk.id)
        hold.waiting[chunk.account] += len(claimed)
    return claimed


def _words(request: Request, item: Item, until: datetime, now: datetime, *, waits: bool) -> bytes:
    """Return the words of a URL that a person bans, with those of a hold that it leaves, and the markers of others.

    Sources that a person undid are no longer bound, since a person bans the URL now. A word that waits for a second
    person moves no end before the second person has decided.
    """
    assert item.claim
    before = unpack(item.claim.words, request.sources) if item.effect is Effect.RELEASE else ()
    words = _with_word(request, before, now, until, bans=not waits)
    on_record = item.claim.words if waits else no_longer_undone(item.claim.words, now)
    return pack(words) + markers(on_record, now=now, besides=words)


def _with_word(
    request: Request, words: Iterable[SourceWord], now: datetime, until: datetime, *, bans: bool = True
) -> tuple[SourceWord, ...]:
    """Add a person's word to those of sources, in the place of an earlier word of this person."""
    others = [word for word in words if word.source != request.source]
    return added(others, Word(Kind.BAN if bans else Kind.HOLD, now, request.source, until))


def _set_ends(run: Run, request: Request, items: Sequence[Item], answer: Answer) -> set[str]:
    """Set the end of bans in force, sooner or later; return the keys for which it was done."""
    now = run.clock()
    in_force = [item.claim for item in items if item.effect is Effect.SET_END and item.claim]
    if not in_force:
        return set()
    chunks_by_id = chunks.read(run.rows, [claim.chunk for claim in in_force if not claim.words])
    changes: list[Change] = []
    for claim in in_force:
        before = unpack(claim.words, request.sources) or first_word(claim, chunks_by_id.get(claim.chunk))
        words = _with_word(request, before, now, answer.until)
        taken_back = markers(no_longer_undone(claim.words, now), now=now, besides=words)
        changes.append((claim, pack(words) + taken_back, answer.until))
    plan_extended(run, changes)
    failed = claim_words.change(run.rows, changes, now=now, lifted=_needs_lift(request, items, answer.until))
    renew_extended(run, [change for change in changes if change[0].key not in failed])
    return {claim.key for claim in in_force} - failed


def _lift_at_end(run: Run, request: Request, end: datetime) -> None:
    """Have bans lifted at their end if the vendor would ban for longer. For all others nothing is sent."""
    reason = f"the ban came to the end that {request.actor} set: {request.reason}"
    unban_jobs.lift_at(run.rows, end, request.urls, actor=request.actor, reason=reason, now=run.clock())
