"""The policy document, validated: ``config.policy`` reads it, and ``rules`` decides by it. See docs/policy.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Protocol

from chalicelib.domain.model import BareHosts, SchemeVariants
from chalicelib.domain.policy.duration import DEFAULT_DAYS, Plan, plan_for
from chalicelib.domain.policy.protection import Protected
from chalicelib.domain.policy.statement import CategoryStatement, SourceStatement, StatementRules
from chalicelib.domain.urls import HostPatterns


class Category(NamedTuple):
    """What a category of reports asks for: how long a ban, and at least how many independent reporters."""

    plan: Plan = plan_for(DEFAULT_DAYS)
    min_reporters: int = 1
    statement: CategoryStatement | None = None


class SourceRules(NamedTuple):
    """How far a source is trusted. ``None`` means that the rule for all sources applies."""

    review: bool = False
    dry_run: bool = False
    max_per_hour: int | None = None
    bare_hosts: BareHosts | None = None
    relay: bool = False
    """Whether it passes on reports of others and names these truly: then each of them counts, instead of the source."""
    withdrawals_lift: bool = False
    """Whether a ban is lifted if this source takes its word back and no other asks for it. Else a person decides."""
    statement: SourceStatement | None = None
    longest_days: int | None = None
    """The most days that a ban of its reports lasts; ``None``: as long as the report or the category says."""


class Caps(NamedTuple):
    """Bans of one clock hour above which a person decides; 0 means no cap.

    The defaults lie above real feeds: the largest names 1,263 new URLs on its worst day, and all of them together some
    2,000 a day. They lie below a source that by mistake lists URLs that are no abuse.
    """

    per_source_per_hour: int = 2_000
    per_host_per_hour: int = 200
    per_account_per_hour: int = 5_000
    share_of_live: float = 0.25
    lifts_per_source_per_hour: int = 100
    """How many bans an hour withdrawals of one source lift by themselves; above that a person decides."""
    share_floor: int = 3_000
    """So many bans an hour are allowed whatever the share: a young ledger has few live bans."""

    def any(self) -> bool:
        """Whether anything is capped."""
        return bool(
            self.per_source_per_hour or self.per_host_per_hour or self.per_account_per_hour or self.share_of_live
        )


class Approvals(NamedTuple):
    """Who approves a hold, and at which age it raises an alarm."""

    two_above: int = 100
    alarm_after_hours: int = 24
    per_person_per_day: int = 1_000
    """How many URLs one person may let through alone in 24 hours at an account, by approving or by banning by hand."""
    longest_days: int = 0
    """The longest ban, in days, that a person may give by hand; 0: any, also until somebody unbans."""
    alarm_after_minutes: int = 0
    """Above 0 it counts instead of the hours."""
    lifts_two_above: int = 0
    """An unban of more URLs than this, with bans older than a day, waits for a second person; 0: it never waits."""

    @property
    def alarm_after(self) -> timedelta:
        """The age of a hold that raises an alarm."""
        if self.alarm_after_minutes:
            return timedelta(minutes=self.alarm_after_minutes)
        return timedelta(hours=self.alarm_after_hours)


class Verification(NamedTuple):
    """Whether edgeban asks the edge if bans are in force: for ``sample`` URLs of a task, 0 for none."""

    sample: int = 0
    expect: frozenset[int] = frozenset({403})
    """Statuses with which the edge answers for a banned URL."""
    after_minutes: int = 5
    """Minutes after the task's end: the edge takes a while to learn of a ban."""


class Canary(NamedTuple):
    """A page of your own at each account, which is banned and lifted once a day (``pipeline.upkeep.canary``)."""

    source: str
    """The source in whose name the page is reported."""
    urls: Mapping[str, str]
    """The page at each account, canonical."""
    hour: int
    """The page is reported from this hour on, in UTC."""
    minutes: int
    """Minutes that the ban and the lift may take, each."""


class EdgeOfAccount(NamedTuple):
    """The host of an account's own edge, and its answers for a banned URL; empty: as for every account."""

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
    """The rules for every category that is not listed."""
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    bare_hosts: BareHosts = BareHosts.HOLD
    forced_hosts: HostPatterns = field(default_factory=lambda: HostPatterns([]))
    """Hosts whose root is a page like any other."""
    scheme_variants: SchemeVariants = SchemeVariants.APART
    caps: Caps = field(default_factory=Caps)
    approvals: Approvals = field(default_factory=Approvals)
    cool_down_days: int = 7
    refusal_days: int = 30
    """For how many days a person's refusal of a hold suppresses reports."""
    renew_before_hours: int = 24
    retry_days: int = 3
    """For how many days edgeban sends URLs again that a vendor failed, with growing waits; 0: not at all."""
    verification: Verification = field(default_factory=Verification)
    edges: Mapping[str, EdgeOfAccount] = field(default_factory=dict)
    """By account, if its edge is not where DNS points, or answers in its own way."""
    statement: StatementRules | None = None
    canary: Canary | None = None

    def capped(self) -> bool:
        """Whether anything is capped, even if only by one source's own cap: then bans must be counted."""
        return self.caps.any() or any(each.max_per_hour for each in self.sources.values())

    def needs_corroboration(self) -> bool:
        """Whether any category asks for more than one reporter."""
        return any(each.min_reporters > 1 for each in (self.default, *self.categories.values()))


NO_RULES = SourceRules()


class ReportSource(Protocol):
    """What the policy needs to know about the source of a report. ``config.sources.Source`` implements it."""

    @property
    def name(self) -> str:
        """Return the name by which the policy gives it rules of its own."""

    @property
    def category(self) -> str:
        """Return the category of its reports that name none."""

    @property
    def ban_days(self) -> int | None:
        """Return the days of its bans where a report names none; ``None``: the category decides."""
