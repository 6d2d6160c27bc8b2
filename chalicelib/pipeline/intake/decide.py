"""Decide about a batch of reported URLs: each once an account, by the policy and what the ledger knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ReportedUrl, Rule, SchemeVariants, Verdict, VerdictKind
from chalicelib.domain.policy.rules import NOT_MANAGED, Policy, accounts_for, category_of, planned, reporter_of, verdict
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import canonical_url, host_of, scheme_twin, url_key
from chalicelib.ledger import ban_counts, claims
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.reports import Refusal
from chalicelib.pipeline.intake.messages import Delivery
from chalicelib.ports import Rows

PRECEDENCE = {VerdictKind.BAN: 2, VerdictKind.HOLD: 1}
"""Which verdict of several reports of one URL stands."""

TEST = Verdict(VerdictKind.SUPPRESSED, Rule.TEST, "the report is a test: nothing is sent to a vendor")


@dataclass(slots=True)
class Wanted:
    """A URL at an account, with the first report that named it."""

    key: str
    url: str
    account: str
    reported: ReportedUrl
    delivery: Delivery
    others: list[tuple[Delivery, ReportedUrl]] = field(default_factory=list)
    """Where the batch named it again."""
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    """What each source's word for a category comes to by itself."""

    @property
    def category(self) -> str:
        """What it is reported for."""
        return self.reported.category or self.delivery.source.category

    def candidates(self) -> dict[tuple[str, str], tuple[Delivery, ReportedUrl]]:
        """The reports that may be decided about differently: one a source and category."""
        if not self.others:
            return {_kind(self.delivery, self.reported): (self.delivery, self.reported)}
        each_kind: dict[tuple[str, str], tuple[Delivery, ReportedUrl]] = {}
        for delivery, reported in self.reports():
            each_kind.setdefault(_kind(delivery, reported), (delivery, reported))
        return each_kind

    def reports(self) -> Iterator[tuple[Delivery, ReportedUrl]]:
        """All reports of the batch that name it, the one that it is claimed for first."""
        yield self.delivery, self.reported
        yield from self.others

    def verdict_for(self, delivery: Delivery, reported: ReportedUrl) -> Verdict:
        """What one of the reports comes to by itself."""
        return self.verdicts[_kind(delivery, reported)]

    def give_to(self, delivery: Delivery, reported: ReportedUrl) -> None:
        """Make another report of the batch the one that the URL is claimed for."""
        if delivery is not self.delivery or reported is not self.reported:
            self.others.remove((delivery, reported))
            self.others.append((self.delivery, self.reported))
            self.delivery, self.reported = delivery, reported

    def reporters(self, policy: Policy) -> Iterator[str]:
        """Who reported it in this batch; the word of a source on trial counts for nothing."""
        for delivery, reported in self.reports():
            rules = policy.sources.get(delivery.source.name)
            if not (rules and rules.dry_run):
                yield reporter_of(reported, delivery.source.name)


def _kind(delivery: Delivery, reported: ReportedUrl) -> tuple[str, str]:
    return delivery.source.name, reported.category or delivery.source.category


def sort_out(
    deliveries: Iterable[Delivery], policy: Policy, verdicts: Counter[str]
) -> tuple[dict[str, Wanted], list[tuple[Delivery, Refusal]]]:
    """Canonicalise and dedupe a batch in memory: every URL once an account, with its first report."""
    wanted: dict[str, Wanted] = {}
    seen: dict[str, list[Wanted]] = {}
    refusals: list[tuple[Delivery, Refusal]] = []
    together = policy.scheme_variants is SchemeVariants.TOGETHER
    for delivery in deliveries:
        hosts = delivery.source.hosts
        for reported in delivery.urls:
            try:
                url = canonical_url(reported.url)
            except UnusableUrl as error:
                verdicts[VerdictKind.REJECTED.value] += 1
                refusals.append((delivery, Refusal(reported.url[:200], "rejected", Rule.UNUSABLE_URL, error.reason)))
                continue
            again = None if delivery.test else seen.get(url)  # a test takes nothing from a real report
            if again is not None:
                for each in again:
                    each.others.append((delivery, reported))
                continue
            accounts = accounts_for(url, policy) if hosts is None or hosts.covers(host_of(url)) else []
            if not accounts:
                verdicts[VerdictKind.REJECTED.value] += 1
                refusals.append((delivery, Refusal(url, NOT_MANAGED.kind.value, NOT_MANAGED.rule, NOT_MANAGED.reason)))
                continue
            if delivery.test:
                verdicts[TEST.kind.value] += len(accounts)
                refusals += [(delivery, Refusal(url, TEST.kind.value, TEST.rule, TEST.reason, on)) for on in accounts]
                continue
            twin = scheme_twin(url) if together else ""
            both = [
                Wanted(url_key(account, each_url), each_url, account, reported, delivery)
                for each_url in ((url, twin) if twin else (url,))
                for account in accounts
            ]
            seen.update((each.url, both) for each in both)  # who names one of two twins names both
            wanted.update((each.key, each) for each in both)
    return wanted, refusals


def decide(
    wanted: Mapping[str, Wanted], known: Mapping[str, Claim], policy: Policy, *, rows: Rows, now: datetime
) -> dict[str, Verdict]:
    """Decide about every URL, and count what is to be banned against the caps (I6).

    What is to be banned is reserved before anything is claimed: a crash in between leaves the counts too high, and
    never too low. If intakes beside this one reserved since the counts were read, the account is decided again upon
    what they left; so a cap holds what is above it, and nothing for the reason that many came at once.
    """
    reporters = _corroborate(wanted, known, policy, rows=rows, now=now)
    judge = _Judge(known, policy, reporters, now)
    if not policy.capped():
        return {key: judge.verdict(url, None) for key, url in wanted.items()}
    open_accounts = sorted({url.account for url in wanted.values() if not _live(known.get(url.key), now)})
    usages = ban_counts.read(rows, open_accounts, now=now)
    verdicts: dict[str, Verdict] = {}
    for account, urls in _by_account(wanted.values()).items():
        usage = usages.get(account, Usage())
        found, bans = judge.account(urls, usage)
        if bans.total:
            before = ban_counts.reserve(rows, account, bans, now=now)
            if before.total > usage.total:
                found, instead = judge.account(urls, before)
                ban_counts.exchange(rows, account, bans, instead, now=now)
        verdicts |= found
    return verdicts


def _by_account(urls: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    by_account: dict[str, list[Wanted]] = {}
    for url in urls:
        by_account.setdefault(url.account, []).append(url)
    return by_account


@dataclass(frozen=True, slots=True)
class _Judge:
    """Decides about URLs by one policy, at one moment."""

    known: Mapping[str, Claim]
    policy: Policy
    reporters: Mapping[str, int]
    now: datetime

    def account(self, urls: Iterable[Wanted], usage: Usage) -> tuple[dict[str, Verdict], Usage]:
        """Decide about the URLs of one account, each upon ``usage`` and the bans of those before it.

        Return the verdicts, and the bans among them.
        """
        counted, bans = usage.copy(), Usage()
        verdicts: dict[str, Verdict] = {}
        for url in urls:
            verdicts[url.key] = decided = self.verdict(url, counted)
            if decided.kind is VerdictKind.BAN:
                for counts in (counted, bans):
                    counts.add(url.delivery.source.name, host_of(url.url))
        return verdicts, bans

    def verdict(self, wanted: Wanted, usage: Usage | None) -> Verdict:
        """Decide about a URL by whichever of its reports in the batch bans it, else holds it, else by the first.

        A source that is only tried out, or not trusted, takes nothing from the report of one that is. The URL is then
        the report's that won. What each comes to by itself is kept, since that is what its report is told.
        """
        claim = self.known.get(wanted.key)
        live, cooling = _live(claim, self.now), claim is not None and claim.cooling(self.now)
        best: tuple[Verdict, Delivery, ReportedUrl] | None = None
        for kind, (delivery, reported) in wanted.candidates().items():
            source = delivery.source
            decided = verdict(
                wanted.url,
                reported,
                self.policy,
                live=live,
                cooling=cooling,
                source=source.name,
                account=wanted.account,
                category=source.category,
                source_days=source.ban_days,
                reporters=self.reporters.get(wanted.key, 1),
                usage=usage,
                now=self.now,
            )
            wanted.verdicts[kind] = decided
            if best is None or PRECEDENCE.get(decided.kind, 0) > PRECEDENCE.get(best[0].kind, 0):
                best = decided, delivery, reported
        assert best
        wanted.give_to(best[1], best[2])
        return best[0]


def _live(known: Claim | None, now: datetime) -> bool:
    return known is not None and not known.ended(now)


def _corroborate(
    wanted: Mapping[str, Wanted], known: Mapping[str, Claim], policy: Policy, *, rows: Rows, now: datetime
) -> dict[str, int]:
    """Count the independent reporters of the URLs that need several; one write a report until they are enough."""
    if not policy.needs_corroboration():
        return {}
    asked = {
        key: list(each.reporters(policy))
        for key, each in wanted.items()
        if not _live(known.get(key), now)
        and any(
            category_of(reported.category or delivery.source.category, policy).min_reporters > 1
            for delivery, reported in each.candidates().values()
        )
    }
    return claims.corroborate(rows, asked, now=now) if asked else {}


def lasts(wanted: Wanted, policy: Policy) -> timedelta | None:
    """How long the ban is planned to last; ``None``: until it is unbanned."""
    return planned(wanted.category, wanted.reported, wanted.delivery.source.ban_days, policy).lasts
