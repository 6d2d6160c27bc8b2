"""Judge a report of a URL that the ledger knows: by what is on record of its source, of other sources and of people.

docs/policy.md and the table of ``domain.words`` say what each of them means beside the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import ReportedUrl, Rule, Verdict, VerdictKind
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import COOLING, LIVE, Situation
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import asks_only_a_person, end_of_word, has_spoken, marker_of, undone_sources
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.collect import BatchUrl, category_plan, plan_of
from chalicelib.pipeline.intake.messages import Message

WITHDRAWN = Verdict(VerdictKind.SUPPRESSED, Rule.WITHDRAWN, "the source took its report of the URL back")

DECIDED_BEFORE = Verdict(
    VerdictKind.HOLD, Rule.DECIDED_BEFORE, "a person decided against a ban of the URL before: a person decides again"
)

SHORTEST_EXTENSION = timedelta(days=1)
"""An end that moves by less stays: a feed that repeats its list each hour would cost a write a URL each time."""

Judgement = Callable[[Situation], Verdict]
"""The policy's verdict upon one report by itself, in a situation."""


def situation_of(claim: Claim, account: str, reporters: int, now: datetime) -> Situation:
    """Say what is true of a URL that has a claim, whoever reports it."""
    waits = claim.waits(now)  # then its hold stands for what a person decided before
    cooling = not waits and claim.cooling(now) and not undone_sources(claim.words, now)  # else it binds some sources
    return Situation(
        account,
        live=not waits and not claim.ended(now),
        cooling=cooling,
        refused=cooling and claim.refused,
        reporters=reporters,
        now=now,
    )


def judge(
    claim: Claim, report: tuple[Message, ReportedUrl], end: datetime, situation: Situation, by_policy: Judgement
) -> tuple[Verdict, Verdict | None]:
    """Judge one report of a URL that has a claim.

    Return the verdict that its source is told, and the one whose word is added to the record; ``None`` if the report
    says nothing new. ``end`` is when the ban would end that the report asks for.
    """
    source, now = report[0].source.name, situation.now
    assert now
    own = by_policy(situation)
    told = _upon(claim, own, report, now)
    if told.rule in {Rule.REFUSED, Rule.COOL_DOWN} and not has_spoken(claim.words, source):
        own = by_policy(situation._replace(cooling=False, refused=False))
        if own.kind is VerdictKind.BAN:
            return replace(DECIDED_BEFORE, ban_days=own.ban_days), own
    if told.kind is not VerdictKind.DUPLICATE:
        return told, told
    nothing_new = _says_nothing_new(claim, source, end)
    if nothing_new and (claim.waits(now) or not asks_only_a_person(claim.words, source)):
        return told, None
    said = by_policy(situation._replace(live=False)) if own.rule == Rule.LIVE else own
    return told, None if nothing_new and said.kind is not VerdictKind.BAN else said


def _upon(claim: Claim, own: Verdict, report: tuple[Message, ReportedUrl], now: datetime) -> Verdict:
    """Decide about a report by what is on record of its source: taken back, undone, or waiting for a person."""
    asks_for_a_ban = own.kind in {VerdictKind.BAN, VerdictKind.HOLD} or own.rule in {Rule.LIVE, Rule.CORROBORATION}
    if not asks_for_a_ban:
        return own
    source = report[0].source.name
    if taken_back(claim, *report):
        return COOLING if marker_of(claim.words, source) > epoch(now) else WITHDRAWN
    return _of_held(claim, source, own, now) if claim.waits(now) else own


def _of_held(claim: Claim, source: str, own: Verdict, now: datetime) -> Verdict:
    """Decide about a URL that waits for a person, by a report's own verdict: what is banned by itself is released.

    A source whose cap holds the URL does not release it by saying it again. While what a person decided before stands,
    no report releases it.
    """
    if own.kind is VerdictKind.HOLD or own.rule == Rule.CORROBORATION:
        return LIVE
    capped = claim.held == Rule.SOURCE_CAP and end_of_word(claim.words, source)
    return LIVE if own.kind is VerdictKind.BAN and (capped or claim.cooling(now)) else own


def _says_nothing_new(claim: Claim, source: str, end: datetime) -> bool:
    """Return whether a report of a URL in force says nothing that its claim does not say already.

    A claim that version 1 wrote has no words: only a later end counts there.
    """
    on_record = end_of_word(claim.words, source) if claim.words else claim.until
    return epoch(end) < on_record + SHORTEST_EXTENSION.total_seconds()


def said_at(message: Message, reported: ReportedUrl) -> datetime:
    """Return when a report was said: as it states itself, and not later than edgeban received it."""
    return min(reported.reported_at or message.received_at, message.received_at)


def taken_back(claim: Claim, message: Message, reported: ReportedUrl) -> bool:
    """Return whether a report was taken back before it arrived: by its source, or by a person who undid the source."""
    up_to = marker_of(claim.words, message.source.name)
    return up_to > 0 and said_at(message, reported) <= datetime.fromtimestamp(up_to, tz=UTC)


def extends(claim: Claim, url: BatchUrl, policy: Policy, now: datetime) -> bool:
    """Return whether a report asks to extend the ban of a URL in force beyond what its category asks for."""
    return any(is_extension(claim, report, policy, now) for report in url.candidates().values())


def is_extension(claim: Claim, report: tuple[Message, ReportedUrl], policy: Policy, now: datetime) -> bool:
    """Return whether one report asks for that."""
    message, reported = report
    if not (reported.ban_days or message.source.ban_days) or claim.ended(now) or claim.held:
        return False
    end = plan_of(message, reported, policy).end(now)
    beyond = end > category_plan(message, reported, policy).end(now)
    return beyond and epoch(end) >= claim.until + SHORTEST_EXTENSION.total_seconds()
