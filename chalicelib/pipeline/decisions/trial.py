"""Say what a policy would decide about URLs, as intake decides. Nothing is counted and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.config.sources import Source
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ReportedUrl, UrlState, Verdict, VerdictKind
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import canonical_url, host_of
from chalicelib.ledger import ban_counts, claims, reporters
from chalicelib.ledger.claims import Claim
from chalicelib.pipeline.intake.collect import BatchUrl, collect
from chalicelib.pipeline.intake.corroboration import needing_reporters, those_undone
from chalicelib.pipeline.intake.decide import Judge
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.pipeline.run import Run

BANNED_UNTIL = frozenset({VerdictKind.BAN, VerdictKind.HOLD})
"""Verdicts whose ban has a known end. For a hold it is the end if the hold were approved now."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What would be decided about one URL at one account. ``account`` is empty if none serves the URL."""

    url: str
    canonical: str
    account: str
    verdict: Verdict
    until: datetime | None = None
    state_now: UrlState | None = None
    protected_by: str = ""


def try_policy(run: Run, policy: Policy, reported: Sequence[ReportedUrl], source: Source) -> list[Tried]:
    """Say what a policy would decide if a source reported these URLs now, in one report."""
    now = run.clock()
    message = Message("trial", "", source, now, tuple(reported))
    urls_by_key, refusals = collect([message], policy)
    claims_by_key = claims.read(run.rows, list(urls_by_key), consistent=True, whole=True)
    verdicts = _judge(run, policy, urls_by_key, claims_by_key)
    statuses = Explainer(run.rows, now=now).explain(claims_by_key.values())
    states = {status.key: status.state for status in statuses if status.key}
    tried: dict[str, list[Tried]] = {}
    for key, url in urls_by_key.items():
        protection = policy.protected.find(url.url, host_of(url.url), now)
        end = url.plan(policy).end(now)
        until = end if verdicts[key].kind in BANNED_UNTIL and end < FOREVER else None
        protected_by = protection.entry if protection else ""
        found = Tried(url.reported.url, url.url, url.account, verdicts[key], until, states.get(key), protected_by)
        tried.setdefault(url.url, []).append(found)
    refused = {
        refusal.url: Verdict(VerdictKind(refusal.verdict), refusal.rule, refusal.reason)  # type: ignore[arg-type]
        for _, refusal in refusals
    }
    return [each for url in reported for each in _of(url.url, tried, refused)]


def _judge(
    run: Run, policy: Policy, urls_by_key: Mapping[str, BatchUrl], claims_by_key: Mapping[str, Claim]
) -> dict[str, Verdict]:
    now = run.clock()
    asked = needing_reporters(policy, urls_by_key.values(), claims_by_key)
    ignores = those_undone(run.rows, {url.key: url.url for url in urls_by_key.values()}) if asked else reporters.nobody
    counts = reporters.count(run.rows, asked, ignores=ignores)
    judge = Judge(policy, claims_by_key, counts, now)
    accounts = sorted({url.account for url in urls_by_key.values()})
    usages = ban_counts.read(run.rows, accounts, now=now) if policy.capped() else {}
    verdicts: dict[str, Verdict] = {}
    for account in accounts:
        urls = [url for url in urls_by_key.values() if url.account == account]
        if policy.capped():
            verdicts |= judge.account(urls, usages.get(account, Usage()))[0]
        else:
            verdicts |= {url.key: judge.verdict(url, None) for url in urls}
    return verdicts


def _of(url: str, tried: Mapping[str, list[Tried]], refused: Mapping[str, Verdict]) -> list[Tried]:
    """Return what was decided about one reported URL, even if another spelling of it came before."""
    try:
        canonical = canonical_url(url)
    except UnusableUrl:
        return [Tried(url, "", "", refused[url[:200]])]
    return tried.get(canonical) or [Tried(url, canonical, "", refused[canonical])]
