"""Collect the URLs of a batch of messages: one entry for a URL at an account, with every report that names it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ReportedUrl, Rule, SchemeVariants, Verdict, VerdictKind
from chalicelib.domain.policy.duration import Plan, planned
from chalicelib.domain.policy.forbidden import not_managed
from chalicelib.domain.policy.model import NO_RULES, Policy
from chalicelib.domain.policy.rules import UNUSABLE, category_of
from chalicelib.domain.urls import canonical_url, host_of, scheme_variant, url_key
from chalicelib.domain.words.word import Word
from chalicelib.ledger.claim_words import Mention
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.intake.ours import accounts_at

TEST = Verdict(VerdictKind.SUPPRESSED, Rule.TEST, "the report is a test: nothing is sent to a vendor")

ReportedHere = tuple[Message, ReportedUrl]
"""One report of a URL: the message that carries it, and what it says of the URL."""

MentionKind = tuple[str, str, int | None]
"""Source, category and days that a mention asks for."""


@dataclass(slots=True)
class BatchUrl:
    """A URL at an account. It is claimed for the mention in ``message`` and ``reported``: at first the first one."""

    key: str
    url: str
    account: str
    reported: ReportedUrl
    message: Message
    others: list[ReportedHere] = field(default_factory=list)
    """The other mentions of the URL in the batch."""
    verdicts: dict[MentionKind, Verdict] = field(default_factory=dict)
    """The verdict upon each kind of mention alone. It is what the report of such a mention is told."""
    words: list[Word] = field(default_factory=list)
    """What the batch says of the URL, whether or not it is on record already."""
    mentioned: list[Mention] = field(default_factory=list)
    """The same for the journal, with the report that said each."""
    extended_by: list[str] = field(default_factory=list)
    """Sources that ask for a longer ban of a banned URL than the category does: this counts against their caps."""

    @property
    def category(self) -> str:
        """Return what the URL is reported for."""
        return self.reported.category or self.message.source.category

    def mentions(self) -> Iterator[ReportedHere]:
        """Yield all mentions, the one that the URL is claimed for first."""
        yield self.message, self.reported
        yield from self.others

    def candidates(self) -> dict[MentionKind, ReportedHere]:
        """Return one mention of each kind: mentions of one kind have the same verdict."""
        if not self.others:
            return {_kind(self.message, self.reported): (self.message, self.reported)}
        by_kind: dict[MentionKind, ReportedHere] = {}
        for message, reported in self.mentions():
            by_kind.setdefault(_kind(message, reported), (message, reported))
        return by_kind

    def verdict_for(self, message: Message, reported: ReportedUrl) -> Verdict:
        """Return the verdict upon one mention alone."""
        return self.verdicts[_kind(message, reported)]

    def claim_for(self, message: Message, reported: ReportedUrl) -> None:
        """Make another mention of the batch the one that the URL is claimed for."""
        if message is not self.message or reported is not self.reported:
            self.others.remove((message, reported))
            self.others.append((self.message, self.reported))
            self.message, self.reported = message, reported

    def plan(self, policy: Policy) -> Plan:
        """Plan how long the URL is banned."""
        return plan_of(self.message, self.reported, policy)


def _kind(message: Message, reported: ReportedUrl) -> MentionKind:
    return message.source.name, reported.category or message.source.category, reported.ban_days


def plan_of(message: Message, reported: ReportedUrl, policy: Policy) -> Plan:
    """Plan how long a URL would be banned for one report of it."""
    rules = policy.sources.get(message.source.name, NO_RULES)
    plan = category_plan(message, reported, policy)
    return planned(reported.ban_days, message.source.ban_days, plan, rules.longest_days)


def category_plan(message: Message, reported: ReportedUrl, policy: Policy) -> Plan:
    """Return how long the category of a report asks for."""
    return category_of(reported.category or message.source.category, policy).plan


def collect(messages: Iterable[Message], policy: Policy) -> tuple[dict[str, BatchUrl], list[tuple[Message, Refusal]]]:
    """Canonicalise and dedupe a batch in memory; return each URL at each account, by its key, and the refusals."""
    urls_by_key: dict[str, BatchUrl] = {}
    seen: dict[str, list[BatchUrl]] = {}
    refusals: list[tuple[Message, Refusal]] = []
    accounts_of = cache(partial(accounts_at, policy))  # a batch names few hosts many times
    together = policy.scheme_variants is SchemeVariants.TOGETHER
    for message in messages:
        for reported in message.urls:
            try:
                url = canonical_url(reported.url)
            except UnusableUrl as error:
                refusals.append(_refusal(message, reported.url[:200], replace(UNUSABLE, reason=error.reason)))
                continue
            accounts = accounts_of(host_of(url), message.source.hosts)
            if accounts and url in seen and not message.test:  # a test takes nothing from a real report
                for batch_url in seen[url]:
                    batch_url.others.append((message, reported))
                continue
            if not accounts:
                refusals.append(_refusal(message, url, not_managed(url)))
            if message.test:
                refusals += [_refusal(message, url, TEST, account) for account in accounts]
                continue
            new = _batch_urls(url, accounts, (message, reported), together=together)
            for each in new:  # to report one scheme variant is to report both
                seen[each.url], urls_by_key[each.key] = new, each
    return urls_by_key, refusals


def _refusal(message: Message, url: str, why: Verdict, account: str = "") -> tuple[Message, Refusal]:
    return message, Refusal(url, why.kind.value, why.rule, why.reason, account)


def _batch_urls(url: str, accounts: Sequence[str], report: ReportedHere, *, together: bool) -> list[BatchUrl]:
    """Return the URLs that a report bans at each account: both scheme variants if they go ``together``."""
    message, reported = report
    variant = scheme_variant(url) if together else ""
    return [
        BatchUrl(url_key(account, spelling), spelling, account, reported, message)
        for spelling in ((url, variant) if variant else (url,))
        for account in accounts
    ]
