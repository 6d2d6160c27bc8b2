"""Decide by the policy which URLs may be banned, and when a person decides. Pure. See docs/policy.md.

``verdict`` decides about a reported URL. ``model`` is the policy itself, ``duration`` decides how long a ban lasts,
``usage`` holds the caps.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from chalicelib.domain.model import BareHosts, ReportedUrl, Rule, Verdict, VerdictKind
from chalicelib.domain.policy.duration import BAN_DAYS, planned
from chalicelib.domain.policy.model import NO_RULES, Category, Policy, ReportSource, SourceRules
from chalicelib.domain.policy.usage import Usage, capped
from chalicelib.domain.policy.wide import is_root
from chalicelib.domain.urls import host_of

UNUSABLE = Verdict(VerdictKind.REJECTED, Rule.UNUSABLE_URL, "the URL is not an absolute http or https URL")
NOT_MANAGED = Verdict(VerdictKind.REJECTED, Rule.NOT_MANAGED, "the host is not one of our managed domains")
PROTECTED = Verdict(VerdictKind.SUPPRESSED, Rule.PROTECTED, "the URL is on the list of protected ones")
ROOT_REJECTED = Verdict(VerdictKind.REJECTED, Rule.BARE_HOST, "the URL is the root of its host: report the page")
COOLING = Verdict(VerdictKind.SUPPRESSED, Rule.COOL_DOWN, "the URL was unbanned a short while ago")
REFUSED = Verdict(VerdictKind.SUPPRESSED, Rule.REFUSED, "a person decided not to ban the URL")
LIVE = Verdict(VerdictKind.DUPLICATE, Rule.LIVE, "the URL is banned already, or about to be")
_BAN = {days: Verdict(VerdictKind.BAN, Rule.DEFAULT, ban_days=days) for days in BAN_DAYS}


def accounts_for(host: str, policy: Policy) -> list[str]:
    """Name the vendor accounts that serve a host. Where none does, its URLs are never sent anywhere (I5)."""
    return [name for name, hosts in policy.accounts.items() if hosts.covers(host)]


def category_of(name: str, policy: Policy) -> Category:
    """Return the policy's rules for a category: those of the default for one that it does not list."""
    return policy.categories.get(name.lower(), policy.default) if policy.categories else policy.default


def standing(
    url: str, policy: Policy, now: datetime | None = None, *, source: str = "", account: str = ""
) -> Verdict | None:
    """Return the verdict that the URL and the policy alone decide; ``None`` if the URL may be banned.

    An empty ``account`` stands for any. Without ``now``, entries of ``protected`` that have expired protect as well.
    """
    return _standing(url, host_of(url), policy, policy.sources.get(source, NO_RULES), Situation(account, now=now))


class Situation(NamedTuple):
    """What is true of a URL at an account at this moment, whoever reports it."""

    account: str = ""
    """Empty stands for any account of the policy."""
    live: bool = False
    """The ledger holds a claim of the URL whose ban has not ended."""
    cooling: bool = False
    """The URL was unbanned a short while ago."""
    refused: bool = False
    """A person decided not to ban the URL, and this decision has not ended."""
    reporters: int = 1
    """Independent reporters so far, this one included."""
    now: datetime | None = None
    """Without it, entries of ``protected`` that have expired protect as well."""


def verdict(
    url: str,
    reported: ReportedUrl,
    policy: Policy,
    source: ReportSource,
    situation: Situation,
    *,
    usage: Usage | None = None,
) -> Verdict:
    """Decide about one canonical URL at one account, and name the rule that decided.

    ``usage`` is what was banned this hour before this URL; ``None``: nothing is capped.
    """
    account = situation.account
    try:
        host = host_of(url) if url.startswith(("https://", "http://")) else ""
    except ValueError:
        host = ""
    if not host:
        return UNUSABLE
    if not managed(host, account, policy):
        return NOT_MANAGED
    rules = policy.sources.get(source.name, NO_RULES)
    decided = _standing(url, host, policy, rules, situation)
    if decided:
        return decided
    if situation.refused:
        decided = REFUSED
    elif situation.cooling:
        decided = COOLING
    elif situation.live:
        decided = LIVE
    else:
        category = category_of(reported.category or source.category, policy)
        days = planned(reported.ban_days, source.ban_days, category.plan, rules.longest_days).ban_days
        decided = (
            _corroboration(category, situation.reporters)
            or _hold(url, days, policy, rules, account)
            or (usage and capped(usage, days, policy.caps, rules, source=source.name, host=host))
            or _BAN[days]
        )
    if policy.dry_run or rules.dry_run or account in policy.dry_accounts:
        would = f"without it the verdict is {decided.kind.value} ({decided.rule})"
        return Verdict(VerdictKind.SUPPRESSED, Rule.DRY_RUN, f"a dry run sends nothing: {would}")
    return decided


def managed(host: str, account: str, policy: Policy) -> bool:
    """Tell whether an account serves a host; with an empty ``account``, whether any account does."""
    if account:
        hosts = policy.accounts.get(account)
        return hosts is not None and hosts.covers(host)
    for hosts in policy.accounts.values():  # noqa: SIM110 -- a generator takes a quarter of the time of a verdict
        if hosts.covers(host):
            return True
    return False


def _standing(url: str, host: str, policy: Policy, rules: SourceRules, situation: Situation) -> Verdict | None:
    ignores_queries = situation.account in policy.ignoring_queries
    if policy.protected.find(url, host, situation.now, ignores_queries=ignores_queries):
        return PROTECTED
    return ROOT_REJECTED if _root(BareHosts.REJECT, url, policy, rules, situation.account) else None


def _root(rule: BareHosts, url: str, policy: Policy, rules: SourceRules, account: str) -> bool:
    """Tell whether ``rule`` holds for a URL because it is the root of its host."""
    if (rules.bare_hosts or policy.bare_hosts) != rule:
        return False
    root = is_root(url, ignores_queries=account in policy.ignoring_queries)
    return root and not policy.forced_hosts.covers(host_of(url))


def _corroboration(category: Category, reporters: int) -> Verdict | None:
    if reporters >= category.min_reporters:
        return None
    reason = f"{reporters} of {category.min_reporters} independent reporters so far"
    return Verdict(VerdictKind.SUPPRESSED, Rule.CORROBORATION, reason)


def _hold(url: str, days: int, policy: Policy, rules: SourceRules, account: str) -> Verdict | None:
    if rules.review:
        return Verdict(VerdictKind.HOLD, Rule.REVIEW, "a person decides about what this source reports", days)
    if _root(BareHosts.HOLD, url, policy, rules, account):
        return Verdict(VerdictKind.HOLD, Rule.BARE_HOST, "the URL is the root of its host: a person decides", days)
    return None
