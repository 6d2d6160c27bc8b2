"""The policy: which URLs may be banned, and when a person decides. Pure. See docs/policy.md.

How long a ban lasts is decided in ``duration``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Protocol

from chalicelib.domain.link_wrappers import wrapper_of
from chalicelib.domain.model import BareHosts, ReportedUrl, Rule, SchemeVariants, Verdict, VerdictKind
from chalicelib.domain.policy.duration import BAN_DAYS, DEFAULT_DAYS, Plan, plan_for, planned
from chalicelib.domain.policy.protection import Protected
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.policy.wide import is_root
from chalicelib.domain.urls import HostPatterns, host_of

# --- the document, validated ------------------------------------------------------------------------------------


class Category(NamedTuple):
    """What a category of reports asks for: how long, and how many independent reporters at the least."""

    plan: Plan = plan_for(DEFAULT_DAYS)
    min_reporters: int = 1


class SourceRules(NamedTuple):
    """How far a source is trusted. ``None`` means that the rule for all sources holds."""

    review: bool = False
    dry_run: bool = False
    max_per_hour: int | None = None
    bare_hosts: BareHosts | None = None
    relay: bool = False
    """Whether it passes on what others report, and names them truly: then each of them counts, and not the source."""
    withdrawals_lift: bool = False
    """Whether a ban is lifted that nobody asks for any more because the source took its word back. Else a person
    decides."""


class Caps(NamedTuple):
    """Bans of one clock hour above which a person decides; 0 means no cap.

    The defaults stand between real feeds, the largest of which names 1,263 new URLs on its worst day and all of which
    together name some 2,000 a day, and a source that lists what is not abuse.
    """

    per_source_per_hour: int = 2_000
    per_host_per_hour: int = 200
    per_account_per_hour: int = 5_000
    share_of_live: float = 0.25
    lifts_per_source_per_hour: int = 100
    """Bans that withdrawals of one source lift by themselves; above it a person decides."""
    share_floor: int = 3_000
    """Bans an hour that the share never forbids: a young ledger has few live bans."""

    def any(self) -> bool:
        """Whether anything is capped."""
        return bool(
            self.per_source_per_hour or self.per_host_per_hour or self.per_account_per_hour or self.share_of_live
        )


class Approvals(NamedTuple):
    """Who approves a hold, and when its age is an alarm."""

    two_above: int = 100
    alarm_after_hours: int = 24
    per_person_per_day: int = 1_000
    """URLs that one person may let through alone in 24 hours at an account, by approving or by banning by hand."""
    longest_days: int = 0
    """The longest ban, in days, that a person may give by hand; 0: any, also until somebody unbans."""


class Verification(NamedTuple):
    """Whether the edge is asked if bans are in force: ``sample`` URLs of a task, 0 for none."""

    sample: int = 0
    expect: frozenset[int] = frozenset({403})
    """Statuses with which the edge answers for a banned URL."""
    after_minutes: int = 5
    """Minutes after the task's end: the edge takes a while to learn of a ban."""


class EdgeOfAccount(NamedTuple):
    """Where an account's own edge is asked, and what it answers for a banned URL; empty: as for every account."""

    host: str = ""
    expect: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """The validated document. ``accounts`` maps a vendor account to the hosts that it serves."""

    accounts: Mapping[str, HostPatterns]
    dry_accounts: frozenset[str] = frozenset()
    ignoring_queries: frozenset[str] = frozenset()
    """Accounts whose CDN bans a page with every query, whatever the query of the banned URL."""
    dry_run: bool = False
    protected: Protected = field(default_factory=Protected)
    categories: Mapping[str, Category] = field(default_factory=dict)
    """By name in lower case."""
    default: Category = field(default_factory=Category)
    """What holds for every category that is not listed."""
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    bare_hosts: BareHosts = BareHosts.HOLD
    forced_hosts: HostPatterns = field(default_factory=lambda: HostPatterns([]))
    """Hosts whose root is a page like any other."""
    scheme_variants: SchemeVariants = SchemeVariants.APART
    caps: Caps = field(default_factory=Caps)
    approvals: Approvals = field(default_factory=Approvals)
    cool_down_days: int = 7
    refusal_days: int = 30
    """Days for which a person's refusal of a hold stands against reports."""
    renew_before_hours: int = 24
    verification: Verification = field(default_factory=Verification)
    edges: Mapping[str, EdgeOfAccount] = field(default_factory=dict)
    """By account, for those whose edge is not where DNS points or answers in its own way."""

    def capped(self) -> bool:
        """Whether anything is capped, so that bans must be counted: also if by nothing but one source's own cap."""
        return self.caps.any() or any(each.max_per_hour for each in self.sources.values())

    def needs_corroboration(self) -> bool:
        """Whether any category asks for more than one reporter."""
        return any(each.min_reporters > 1 for each in (self.default, *self.categories.values()))


# --- decisions ----------------------------------------------------------------------------------------------------

UNUSABLE = Verdict(VerdictKind.REJECTED, Rule.UNUSABLE_URL, "the URL is not an absolute http or https URL")
NOT_MANAGED = Verdict(VerdictKind.REJECTED, Rule.NOT_MANAGED, "the host is not one of our managed domains")
PROTECTED = Verdict(VerdictKind.SUPPRESSED, Rule.PROTECTED, "the URL is on the list of protected ones")
ROOT_REJECTED = Verdict(VerdictKind.REJECTED, Rule.BARE_HOST, "the URL is the root of its host: report the page")
COOLING = Verdict(VerdictKind.SUPPRESSED, Rule.COOL_DOWN, "the URL was unbanned a short while ago")
REFUSED = Verdict(VerdictKind.SUPPRESSED, Rule.REFUSED, "a person decided not to ban the URL")
LIVE = Verdict(VerdictKind.DUPLICATE, Rule.LIVE, "the URL is banned already, or about to be")
NO_RULES = SourceRules()
_BAN = {days: Verdict(VerdictKind.BAN, Rule.DEFAULT, ban_days=days) for days in BAN_DAYS}


def not_managed(url: str) -> Verdict:
    """Return the verdict upon a canonical URL that no account serves; its reason names the trouble where it shows."""
    host = host_of(url)
    if host.endswith("."):
        return replace(NOT_MANAGED, reason=f"the host ends with a dot: report it as {host[:-1][:100]}")
    if wrapper_of(url):
        reason = (
            f"the URL is a link that {host[:100]} wrapped: report the page inside, or set unwrap_links of the source"
        )
        return replace(NOT_MANAGED, reason=reason)
    return NOT_MANAGED


def accounts_for(url: str, policy: Policy) -> list[str]:
    """Name the vendor accounts that serve a canonical URL's host; none means that it is never sent anywhere (I5)."""
    host = host_of(url)
    return [name for name, hosts in policy.accounts.items() if hosts.covers(host)]


def category_of(name: str, policy: Policy) -> Category:
    """Return what holds for a category, which may be one that the policy does not list."""
    return policy.categories.get(name.lower(), policy.default) if policy.categories else policy.default


def reporter_of(reported: ReportedUrl, source: str, *, relay: bool) -> str:
    """Name who counts as one reporter: the source, or the one whom the report of a relay names.

    Whoever may write names into a report could make up as many as are needed.
    """
    named = " ".join(reported.reporter.casefold().split()) if relay else ""
    return named or f"source {source}"


def standing(
    url: str, policy: Policy, now: datetime | None = None, *, source: str = "", account: str = ""
) -> Verdict | None:
    """Decide what needs nothing but the URL and the policy; ``None`` if the URL may be banned.

    ``account`` empty: at any. Without ``now``, entries of ``protected`` that have expired protect as well.
    """
    return _standing(url, host_of(url), policy, policy.sources.get(source, NO_RULES), Situation(account, now=now))


def forbidden(url: str, account: str, policy: Policy, now: datetime) -> Verdict | None:
    """Say why a canonical URL may not be banned at an account, whoever decided that it be (I5); ``None`` if it may."""
    host = host_of(url)
    if not _managed(host, account, policy):
        return NOT_MANAGED
    ignores_queries = account in policy.ignoring_queries
    return PROTECTED if policy.protected.find(url, host, now, ignores_queries=ignores_queries) else None


def by_hand(url: str, account: str, policy: Policy, now: datetime) -> Verdict | None:
    """Say why a person may not ban a canonical URL at an account; ``None`` if a person may.

    Managed hosts, protection and dry runs bind everybody. Caps, trust and the rule for roots do not: they ask for a
    person, and one has decided.
    """
    if refused := forbidden(url, account, policy, now):
        return refused
    dry = policy.dry_run or account in policy.dry_accounts
    return Verdict(VerdictKind.SUPPRESSED, Rule.DRY_RUN, "a dry run sends nothing") if dry else None


class ReportSource(Protocol):
    """What the policy needs to know of the abuse system that reports; ``config.sources.Source`` is one."""

    @property
    def name(self) -> str:
        """Return the name by which the policy gives it rules of its own."""

    @property
    def category(self) -> str:
        """Return the category of its reports that name none."""

    @property
    def ban_days(self) -> int | None:
        """Return the days of its bans where a report names none; ``None``: the category decides."""


class Situation(NamedTuple):
    """What is true of a URL at an account at this moment, whoever reports it."""

    account: str = ""
    """Empty stands for any account of the policy."""
    live: bool = False
    """The ledger holds a claim of the URL whose ban has not ended."""
    cooling: bool = False
    """The URL was unbanned a short while ago."""
    refused: bool = False
    """A person decided not to ban the URL, and that stands."""
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
    if not _managed(host, account, policy):
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
        days = planned(reported.ban_days, source.ban_days, category.plan).ban_days
        decided = (
            _corroboration(category, situation.reporters)
            or _hold(url, days, policy, rules, account)
            or (usage and _capped(usage, days, policy.caps, rules, source=source.name, host=host))
            or _BAN[days]
        )
    if policy.dry_run or rules.dry_run or account in policy.dry_accounts:
        would = f"without it the verdict is {decided.kind.value} ({decided.rule})"
        return Verdict(VerdictKind.SUPPRESSED, Rule.DRY_RUN, f"a dry run sends nothing: {would}")
    return decided


def _managed(host: str, account: str, policy: Policy) -> bool:
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


def _capped(usage: Usage, days: int, caps: Caps, rules: SourceRules, *, source: str, host: str) -> Verdict | None:
    cap = caps.per_source_per_hour if rules.max_per_hour is None else rules.max_per_hour
    if cap and usage.sources.get(source, 0) >= cap:
        return _above(Rule.SOURCE_CAP, cap, "from this source", days)
    cap = caps.per_host_per_hour
    if cap and usage.of_host(host) >= cap:
        return _above(Rule.HOST_CAP, cap, "of this host", days)
    used, cap = usage.total, caps.per_account_per_hour
    if cap and used >= cap:
        return _above(Rule.ACCOUNT_CAP, cap, "at this account", days)
    if caps.share_of_live and used >= caps.share_floor and used >= caps.share_of_live * usage.live:
        return _above(Rule.SHARE_CAP, used, f"at this account, which has {usage.live:,} live ones", days)
    return None


def _above(rule: Rule, cap: int, what: str, days: int) -> Verdict:
    return Verdict(VerdictKind.HOLD, rule, f"this hour saw {cap:,} bans {what}: a person decides about more", days)
