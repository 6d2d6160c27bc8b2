"""Decide about a batch of reported URLs: about each once an account, by the policy and what the ledger knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ReportedUrl, Rule, SchemeVariants, Verdict, VerdictKind
from chalicelib.domain.policy.duration import Plan, planned
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import (
    COOLING,
    LIVE,
    Situation,
    accounts_for,
    category_of,
    forbidden,
    not_managed,
    reporter_of,
    verdict,
)
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import canonical_url, host_of, scheme_twin, url_key
from chalicelib.domain.words.word import Kind, Word
from chalicelib.ledger import ban_counts, reporters
from chalicelib.ledger.claim_words import Mention
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import end_of_word, has_spoken, marker_of, report_id, undone_sources
from chalicelib.ledger.reports import Refusal
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.run import Run

PRECEDENCE = {VerdictKind.BAN: 2, VerdictKind.HOLD: 1}
"""Which verdict stands where several reports name one URL; all others rank below."""

TEST = Verdict(VerdictKind.SUPPRESSED, Rule.TEST, "the report is a test: nothing is sent to a vendor")

ReportedHere = tuple[Message, ReportedUrl]
"""One report of a URL: the message that carries it, and what it says of the URL."""

MentionKind = tuple[str, str, int | None]
"""Source, category and days that a mention asks for."""

WITHDRAWN = Verdict(VerdictKind.SUPPRESSED, Rule.WITHDRAWN, "the source took its report of the URL back")

DECIDED_BEFORE = Verdict(
    VerdictKind.HOLD, Rule.DECIDED_BEFORE, "a person decided against a ban of the URL before: a person decides again"
)

WORD_OF = {VerdictKind.BAN: Kind.BAN, VerdictKind.HOLD: Kind.HOLD}
"""The word that a report says, by its own verdict; one of another verdict says nothing to the record."""

SHORTEST_EXTENSION = timedelta(days=1)
"""An end that moves by less stays: a feed that repeats its list each hour would cost a write a URL each time."""


@dataclass(slots=True)
class BatchUrl:
    """A URL at an account that a batch reports, with the mention that it is claimed for: at first the first."""

    key: str
    url: str
    account: str
    reported: ReportedUrl
    message: Message
    others: list[ReportedHere] = field(default_factory=list)
    """The other mentions of the URL in the batch."""
    verdicts: dict[MentionKind, Verdict] = field(default_factory=dict)
    """The verdict upon each source, category and duration by itself, which is what its report is told."""
    words: list[Word] = field(default_factory=list)
    """What the batch says of the URL that the ledger may not have on record yet."""
    mentioned: list[Mention] = field(default_factory=list)
    """The same for the journal, with the reports that said it."""

    @property
    def category(self) -> str:
        """Return what the URL is reported for."""
        return self.reported.category or self.message.source.category

    def mentions(self) -> Iterator[ReportedHere]:
        """Yield all mentions, the one that the URL is claimed for first."""
        yield self.message, self.reported
        yield from self.others

    def candidates(self) -> dict[MentionKind, ReportedHere]:
        """Return the mentions upon which the verdict may differ: one a source, category and duration."""
        if not self.others:
            return {_kind(self.message, self.reported): (self.message, self.reported)}
        by_kind: dict[MentionKind, ReportedHere] = {}
        for message, reported in self.mentions():
            by_kind.setdefault(_kind(message, reported), (message, reported))
        return by_kind

    def verdict_for(self, message: Message, reported: ReportedUrl) -> Verdict:
        """Return the verdict upon one mention by itself."""
        return self.verdicts[_kind(message, reported)]

    def claim_for(self, message: Message, reported: ReportedUrl) -> None:
        """Make another mention of the batch the one that the URL is claimed for."""
        if message is not self.message or reported is not self.reported:
            self.others.remove((message, reported))
            self.others.append((self.message, self.reported))
            self.message, self.reported = message, reported

    def reporters(self, policy: Policy) -> Iterator[str]:
        """Yield who reported the URL in this batch. A source on trial does not count."""
        for message, reported in self.mentions():
            rules = policy.sources.get(message.source.name)
            if not (rules and rules.dry_run):
                yield reporter_of(reported, message.source.name, relay=bool(rules and rules.relay))

    def plan(self, policy: Policy) -> Plan:
        """Plan how long the URL is banned."""
        return _plan(self.message, self.reported, policy)


def _kind(message: Message, reported: ReportedUrl) -> MentionKind:
    return message.source.name, reported.category or message.source.category, reported.ban_days


def _plan(message: Message, reported: ReportedUrl, policy: Policy) -> Plan:
    category = category_of(reported.category or message.source.category, policy)
    return planned(reported.ban_days, message.source.ban_days, category.plan)


def collect(
    messages: Iterable[Message], policy: Policy, verdicts: Counter[str]
) -> tuple[dict[str, BatchUrl], list[tuple[Message, Refusal]]]:
    """Canonicalise and dedupe a batch in memory: every URL once an account, by its key.

    What is refused here is counted in ``verdicts`` and returned beside the URLs.
    """
    urls_by_key: dict[str, BatchUrl] = {}
    seen: dict[str, list[BatchUrl]] = {}
    refusals: list[tuple[Message, Refusal]] = []
    together = policy.scheme_variants is SchemeVariants.TOGETHER
    for message in messages:
        hosts = message.source.hosts
        for reported in message.urls:
            try:
                url = canonical_url(reported.url)
            except UnusableUrl as error:
                verdicts[VerdictKind.REJECTED.value] += 1
                refusals.append((message, Refusal(reported.url[:200], "rejected", Rule.UNUSABLE_URL, error.reason)))
                continue
            earlier = None if message.test else seen.get(url)  # a test takes nothing from a real report
            if earlier is not None:
                for batch_url in earlier:
                    batch_url.others.append((message, reported))
                continue
            accounts = accounts_for(url, policy) if hosts is None or hosts.covers(host_of(url)) else []
            if not accounts:
                verdicts[VerdictKind.REJECTED.value] += 1
                refused = not_managed(url)
                refusals.append((message, Refusal(url, refused.kind.value, refused.rule, refused.reason)))
                continue
            if message.test:
                verdicts[TEST.kind.value] += len(accounts)
                refusals += [
                    (message, Refusal(url, TEST.kind.value, TEST.rule, TEST.reason, name)) for name in accounts
                ]
                continue
            variant = scheme_twin(url) if together else ""
            both = [
                BatchUrl(url_key(account, spelling), spelling, account, reported, message)
                for spelling in ((url, variant) if variant else (url,))
                for account in accounts
            ]
            seen.update((batch_url.url, both) for batch_url in both)  # who names one scheme variant names both
            urls_by_key.update((batch_url.key, batch_url) for batch_url in both)
    return urls_by_key, refusals


def decide(
    run: Run, policy: Policy, urls_by_key: Mapping[str, BatchUrl], claims_by_key: Mapping[str, Claim]
) -> dict[str, Verdict]:
    """Decide about every URL, and count what is to be banned against the caps (I6).

    What is to be banned is reserved before anything is claimed: a crash in between leaves the counts too high, and
    never too low. If another intake reserved bans since the counts were read, the account is decided again with the
    new counts. So only URLs above a cap are held, and none because many reports came at once.
    """
    now = run.clock()
    live = {key for key, claim in claims_by_key.items() if not claim.ended(now) and not claim.held}
    countable = [
        url
        for key, url in urls_by_key.items()
        if key not in live and _may_be_banned(url, claims_by_key.get(key), policy, now)
    ]
    reporter_counts = _corroborate(run, policy, countable)
    judge = Judge(policy, claims_by_key, reporter_counts, now)
    if not policy.capped():
        return {key: judge.verdict(url, None) for key, url in urls_by_key.items()}
    open_accounts = sorted({url.account for key, url in urls_by_key.items() if key not in live})
    usages = ban_counts.read(run.rows, open_accounts, now=now)
    verdicts: dict[str, Verdict] = {}
    for account, urls in _by_account(urls_by_key.values()).items():
        usage = usages.get(account, Usage())
        of_account, bans = judge.account(urls, usage)
        if bans.total:
            before = ban_counts.reserve(run.rows, account, bans, now=now)
            if before.total > usage.total:
                of_account, instead = judge.account(urls, before)
                ban_counts.exchange(run.rows, account, bans, instead, now=now)
        verdicts |= of_account
    return verdicts


def _by_account(urls: Iterable[BatchUrl]) -> dict[str, list[BatchUrl]]:
    by_account: dict[str, list[BatchUrl]] = {}
    for url in urls:
        by_account.setdefault(url.account, []).append(url)
    return by_account


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides about URLs by one policy, at one moment."""

    policy: Policy
    claims_by_key: Mapping[str, Claim]
    reporters: Mapping[str, int]
    now: datetime

    def account(self, urls: Iterable[BatchUrl], usage: Usage) -> tuple[dict[str, Verdict], Usage]:
        """Decide about the URLs of one account, each upon ``usage`` and the bans of those before it.

        Return the verdicts, and the bans among them.
        """
        counted, bans = usage.copy(), Usage()
        verdicts: dict[str, Verdict] = {}
        for url in urls:
            verdicts[url.key] = decided = self.verdict(url, counted)
            if decided.kind is VerdictKind.BAN:
                for counts in (counted, bans):
                    counts.add(url.message.source.name, host_of(url.url))
        return verdicts, bans

    def verdict(self, url: BatchUrl, usage: Usage | None) -> Verdict:
        """Decide about a URL by whichever of its mentions bans it the longest, else holds it, else by the first.

        A report from a dry-run or review source never blocks a ban that a trusted source's report allows. The URL is
        claimed for the mention that decided.
        """
        claim = self.claims_by_key.get(url.key)
        situation = self._situation(url, claim)
        best: tuple[Verdict, Message, ReportedUrl] | None = None
        highest = (-1, self.now)
        url.words, url.mentioned = [], []
        for kind, (message, reported) in url.candidates().items():
            decided = verdict(url.url, reported, self.policy, message.source, situation, usage=usage)
            own = decided
            if claim:
                decided = self._upon(claim, decided, message, reported)
                if decided.rule in {Rule.REFUSED, Rule.COOL_DOWN} and not has_spoken(claim.words, message.source.name):
                    alone = situation._replace(cooling=False, refused=False)
                    own = verdict(url.url, reported, self.policy, message.source, alone, usage=usage)
                    if own.kind is VerdictKind.BAN:
                        decided = replace(DECIDED_BEFORE, ban_days=own.ban_days)
            url.verdicts[kind] = decided
            end = _plan(message, reported, self.policy).end(self.now)
            rank = (PRECEDENCE.get(decided.kind, 0), end)
            if best is None or (rank[0] and rank > highest):
                best, highest = (decided, message, reported), rank
            if decided.kind is not VerdictKind.DUPLICATE:
                self._say(url, message, own if decided.rule == Rule.DECIDED_BEFORE else decided, end)
            elif claim and not _on_record(claim, message.source.name, end):
                if own.rule == Rule.LIVE:
                    own = verdict(url.url, reported, self.policy, message.source, situation._replace(live=False))
                self._say(url, message, own, end)
        assert best
        url.claim_for(best[1], best[2])
        return best[0]

    def _situation(self, url: BatchUrl, claim: Claim | None) -> Situation:
        """Say what is true of a URL, whoever reports it."""
        waits = claim is not None and claim.waits(self.now)  # then its hold stands for what a person decided before
        cooling = claim is not None and not waits and claim.cooling(self.now)
        if claim is not None and cooling and undone_sources(claim.words, self.now):
            cooling = False  # it binds some sources alone
        return Situation(
            url.account,
            live=claim is not None and not waits and not claim.ended(self.now),
            cooling=cooling,
            refused=cooling and claim is not None and claim.refused,
            reporters=self.reporters.get(url.key, 1),
            now=self.now,
        )

    def _upon(self, claim: Claim, own: Verdict, message: Message, reported: ReportedUrl) -> Verdict:
        """Decide about a report by what is on record of its source: taken back, undone, or waiting for a person."""
        if own.rule != Rule.LIVE and own.kind not in WORD_OF and own.rule != Rule.CORROBORATION:
            return own
        source = message.source.name
        if up_to := marker_of(claim.words, source):
            if up_to > epoch(self.now):
                return COOLING
            if said_at(message, reported) <= datetime.fromtimestamp(up_to, tz=UTC):
                return WITHDRAWN
        return _of_held(claim, source, own, self.now) if claim.waits(self.now) else own

    @staticmethod
    def _say(url: BatchUrl, message: Message, own: Verdict, end: datetime) -> None:
        """Note what a report says of a URL, by its own verdict."""
        if kind := WORD_OF.get(own.kind):
            source, said_in = message.source.name, report_id(message.report_id)
            url.words.append(Word(kind, message.received_at, source, end, own.rule, said_in=said_in))
            url.mentioned.append(Mention(source, message.report_id, end, kind is Kind.BAN))


def said_at(message: Message, reported: ReportedUrl) -> datetime:
    """Return when a report was said: as it states itself, and not later than edgeban received it."""
    return min(reported.reported_at or message.received_at, message.received_at)


def _of_held(claim: Claim, source: str, own: Verdict, now: datetime) -> Verdict:
    """Decide about a URL that waits for a person, by a report's own verdict: what is banned by itself is released.

    A source whose cap holds the URL does not release it by saying it again. While what a person decided before stands,
    no report releases it.
    """
    if own.kind is VerdictKind.HOLD or own.rule == Rule.CORROBORATION:
        return LIVE
    capped = claim.held == Rule.SOURCE_CAP and end_of_word(claim.words, source)
    return LIVE if own.kind is VerdictKind.BAN and (capped or claim.cooling(now)) else own


def _on_record(claim: Claim, source: str, end: datetime) -> bool:
    """Return whether a report of a URL in force says nothing that its claim does not say already.

    A claim that version 1 wrote has no words: only a later end counts there.
    """
    on_record = end_of_word(claim.words, source) if claim.words else claim.until
    return epoch(end) < on_record + SHORTEST_EXTENSION.total_seconds()


def _may_be_banned(url: BatchUrl, claim: Claim | None, policy: Policy, now: datetime) -> bool:
    """Return whether reporters of a URL count: not where it is protected, cooling or in a dry run."""
    cooling = claim is not None and claim.cooling(now)
    dry = policy.dry_run or url.account in policy.dry_accounts
    return not (cooling or dry or forbidden(url.url, url.account, policy, now))


def _corroborate(run: Run, policy: Policy, urls: Iterable[BatchUrl]) -> dict[str, int]:
    """Count the independent reporters of the URLs that need several; one write a report until they are enough."""
    if not policy.needs_corroboration():
        return {}
    reporters_by_key = needing_reporters(policy, urls)
    return reporters.note(run.rows, reporters_by_key, now=run.clock()) if reporters_by_key else {}


def needing_reporters(policy: Policy, urls: Iterable[BatchUrl]) -> dict[str, list[str]]:
    """Return who reported the URLs whose category wants several independent reporters, by their keys."""
    return {
        url.key: list(url.reporters(policy))
        for url in urls
        if any(category_of(category, policy).min_reporters > 1 for _, category, _ in url.candidates())
    }
