"""Decide about each URL of a batch at each account, by the policy and by what the ledger knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import is_

from chalicelib.domain.model import ReportedUrl, Verdict, VerdictKind
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import LIVE, Situation, verdict
from chalicelib.domain.policy.usage import Usage
from chalicelib.domain.urls import host_of
from chalicelib.domain.words.word import Kind, Word
from chalicelib.ledger import ban_counts
from chalicelib.ledger.claim_words import Mention
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import report_id
from chalicelib.pipeline.intake import on_record
from chalicelib.pipeline.intake.collect import BatchUrl, MentionKind, ReportedHere, plan_of
from chalicelib.pipeline.intake.corroboration import count_reporters
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.run import Run

PRECEDENCE = {VerdictKind.BAN: 2, VerdictKind.HOLD: 1}
"""Which verdict wins if several reports name one URL. All other verdicts rank below these."""


def decide(
    run: Run, policy: Policy, urls_by_key: Mapping[str, BatchUrl], claims_by_key: Mapping[str, Claim], now: datetime
) -> dict[str, Verdict]:
    """Decide about every URL, and count what is to be banned or extended against the caps (I6).

    The bans are reserved before anything is claimed: a crash in between leaves the counts too high, and never too low.
    If another intake reserved bans since the counts were read, this decides about the account's URLs again with the new
    counts. So only URLs above a cap are held, and none because many reports came at once.
    """
    live = {key for key, claim in claims_by_key.items() if not claim.held and not claim.needs_new_ban(now)}
    not_live = [url for key, url in urls_by_key.items() if key not in live]
    judge = Judge(policy, claims_by_key, count_reporters(run, policy, urls_by_key.values(), claims_by_key), now)
    if not policy.capped():
        return {key: judge.verdict(url, None) for key, url in urls_by_key.items()}
    extended = (
        urls_by_key[key] for key in live if on_record.extends(claims_by_key[key], urls_by_key[key], policy, now)
    )
    accounts = {url.account for url in (*not_live, *extended)}
    usages = ban_counts.read(run.rows, sorted(accounts), now=now)
    urls_by_account: dict[str, list[BatchUrl]] = {}
    for url in urls_by_key.values():
        urls_by_account.setdefault(url.account, []).append(url)
    verdicts: dict[str, Verdict] = {}
    for account, urls in urls_by_account.items():
        usage = usages.get(account)
        of_account, bans = judge.account(urls, usage or Usage())
        if usage is None and any(url.words for url in urls):  # also what is said of a ban in force has a cap
            usage = ban_counts.read(run.rows, [account], now=now)[account]
            of_account, bans = judge.account(urls, usage)
        if usage and bans.sources:
            before = ban_counts.reserve(run.rows, account, bans, now=now)
            if before.total > usage.total or any(before.sources[name] > usage.sources[name] for name in bans.sources):
                of_account, instead = judge.account(urls, before)
                ban_counts.exchange(run.rows, account, bans, instead, now=now)
        verdicts |= of_account
    return verdicts


@dataclass(slots=True)
class Judge:
    """Decides about URLs by one policy, at one moment."""

    policy: Policy
    claims_by_key: Mapping[str, Claim]
    reporters: Mapping[str, int]
    now: datetime
    ends: dict[MentionKind, datetime] = field(default_factory=dict)
    last: tuple[tuple[Message, Verdict, datetime, datetime], Word, Mention] | None = None
    """What was said last, and in which report: the URLs of a report mostly say the same."""

    def account(self, urls: Iterable[BatchUrl], usage: Usage) -> tuple[dict[str, Verdict], Usage]:
        """Decide about the URLs of one account in turn: each meets ``usage`` and the bans of the URLs before it.

        Return the verdicts, and the bans and extensions among them.
        """
        counted = usage.copy()
        verdicts: dict[str, Verdict] = {}
        for url in urls:
            verdicts[url.key] = decided = self.verdict(url, counted)
            if decided.kind is VerdictKind.BAN:
                counted.add(url.message.source.name, host_of(url.url))
            if url.extended_by:
                counted.sources.update(url.extended_by)
        return verdicts, counted.minus(usage)

    def verdict(self, url: BatchUrl, usage: Usage | None) -> Verdict:
        """Decide by the report that bans the URL the longest; if none bans it, by one that holds it, else by the first.

        A report from a dry-run or review source never blocks a ban that a trusted source's report allows. The URL is
        claimed for the report that decided.
        """
        policy, now = self.policy, self.now
        claim, reporters = self.claims_by_key.get(url.key), self.reporters.get(url.key, 1)
        if claim:
            situation = on_record.situation_of(claim, url.account, reporters, now)
        else:
            situation = Situation(url.account, reporters=reporters, now=now)
        best: tuple[Verdict, Message, ReportedUrl] | None = None
        highest = (-1, now)
        url.words, url.mentioned, url.extended_by = [], [], []
        for kind, report in url.candidates().items():
            message, reported = report
            end = self.ends.get(kind)
            if end is None:
                end = self.ends[kind] = plan_of(message, reported, policy).end(now)
            said: Verdict | None
            decided = said = verdict(url.url, reported, policy, message.source, situation, usage=usage)
            if claim and decided is LIVE and on_record.repeats(claim, message.source.name, end):
                said = None  # most duplicates end here
            elif claim:
                by_policy = partial(verdict, url.url, reported, policy, message.source, usage=usage)
                decided, said = on_record.judge(claim, report, end, situation, decided, by_policy)
                if said and said.kind is VerdictKind.BAN and on_record.is_extension(claim, report, policy, now):
                    url.extended_by.append(message.source.name)
            url.verdicts[kind] = decided
            rank = (PRECEDENCE.get(decided.kind, 0), end)
            if best is None or (rank[0] and rank > highest):
                best, highest = (decided, message, reported), rank
            if said:
                self._say(url, report, said, end)
        assert best
        if url.others:
            url.claim_for(best[1], best[2])
        return best[0]

    def _say(self, url: BatchUrl, report: ReportedHere, own: Verdict, end: datetime) -> None:
        """Note what a report says of a URL, by its own verdict."""
        if kind := on_record.WORDS.get(own.kind):
            message, said_at = report[0], on_record.said_at(*report)
            said = (message, own, said_at, end)
            if not self.last or not all(map(is_, said, self.last[0])):
                source, said_in, at = message.source.name, report_id(message.report_id), message.received_at
                word = Word(kind, said_at, source, end, own.rule, said_in=said_in, received_at=at)
                self.last = said, word, Mention(source, message.report_id, end, kind is Kind.BAN)
            url.words.append(self.last[1])
            url.mentioned.append(self.last[2])
