"""Judge a report of a URL that the ledger knows, by what its source, other sources and people have said of it.

docs/policy.md and the table of ``domain.words`` say what each word means beside the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chalicelib.domain.model import CLAIMING, ReportedUrl, Rule, Verdict, VerdictKind
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import COOLING, LIVE, REFUSED, Situation
from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Effect, Kind, Outcome, Record, SourceWord, State, Word
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import Spoken, has_spoken, spoken_by, undone_sources, unpack
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.collect import BatchUrl, category_plan, plan_of
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.lifecycle.on_claim import record_of

WITHDRAWN = Verdict(VerdictKind.SUPPRESSED, Rule.WITHDRAWN, "the source took its report of the URL back")

DECIDED_BEFORE = Verdict(
    VerdictKind.HOLD, Rule.DECIDED_BEFORE, "a person decided against a ban of the URL before: a person decides again"
)

SHORTEST_EXTENSION = timedelta(days=1)
"""An end does not move by less than this: otherwise a feed that repeats its list each hour costs a write a URL."""

_SHORTEST_SECONDS = int(SHORTEST_EXTENSION.total_seconds())

Judgement = Callable[[Situation], Verdict]
"""The policy's verdict on one report alone, in a situation."""


def situation_of(claim: Claim, account: str, reporters: int, now: datetime) -> Situation:
    """Say what is true of a URL that has a claim, for every source that reports it."""
    waits = claim.waits(now)  # the hold stands for an earlier decision of a person
    cooling = binds_everybody(claim, now)
    return Situation(
        account,
        live=not waits and not claim.needs_new_ban(now),
        cooling=cooling,
        refused=cooling and claim.refused,
        reporters=reporters,
        now=now,
    )


def binds_everybody(claim: Claim, now: datetime) -> bool:
    """Return whether a person's decision binds every source. To undo some sources binds only these."""
    return claim.cooling(now) and not claim.waits(now) and not undone_sources(claim.words, now)


def judge(
    claim: Claim,
    report: tuple[Message, ReportedUrl],
    end: datetime,
    situation: Situation,
    own: Verdict,
    by_policy: Judgement,
) -> tuple[Verdict, Verdict | None]:
    """Judge one report of a URL that has a claim.

    Return the verdict that its source is told, and the verdict whose word is added to the record: ``None`` if the
    report says nothing new. ``end`` is the end of the ban that the report asks for, ``own`` is the policy's verdict on
    the report in this situation, and ``by_policy`` gives its verdict in another one.
    """
    source, now = report[0].source.name, situation.now
    assert now
    if not (own.kind in CLAIMING or own.rule in ASKING):
        return own, own
    spoken = spoken_by(claim.words, source)
    nothing_new = _says_nothing_new(claim, spoken, end)
    if situation.live or situation.cooling or situation.refused:
        own = by_policy(situation._replace(live=False, cooling=False, refused=False))
    word = Word(WORDS.get(own.kind, Kind.TOO_FEW), said_at(*report), source, end, may_ban=own.kind is VerdictKind.BAN)
    record = _record(claim, source, now)
    told = _told(record, decide(record, word), own, taken_back=taken_back(claim, *report))
    if told.kind is not VerdictKind.DUPLICATE:
        return told, own if told.rule == Rule.DECIDED_BEFORE else told
    new = not nothing_new or (spoken.only_a_person and own.kind is VerdictKind.BAN and record.state is not State.HELD)
    return told, own if new else None


ASKING = frozenset({Rule.LIVE, Rule.CORROBORATION, Rule.REFUSED, Rule.COOL_DOWN})
"""A report whose own verdict has one of these rules asks for a ban, though its URL is not claimed."""

WORDS = {VerdictKind.BAN: Kind.BAN, VerdictKind.HOLD: Kind.HOLD}
"""The word that a report leaves on record, by its own verdict. A report with another verdict leaves none."""


def _record(claim: Claim, source: str, now: datetime) -> Record:
    """Return what is on record of a URL, as far as it matters for a report of one source."""
    record = record_of(claim, unpack(claim.words, [source]), now)
    up_to = spoken_by(claim.words, source).up_to
    moment = datetime.fromtimestamp(up_to, tz=UTC)
    return replace(
        record,
        cap_of=source if claim.held == Rule.SOURCE_CAP and spoken_by(claim.words, source).end else "",
        asked=(source,) if has_spoken(claim.words, source) else (),
        withdrawn=(SourceWord(source, moment, moment),) if up_to else (),
    )


def _told(record: Record, outcome: Outcome, own: Verdict, *, taken_back: bool) -> Verdict:
    """Return what the source of a report is told, by what its word leads to."""
    if taken_back:
        undone = record.now is not None and record.withdrawn[0].said_at > record.now
        return COOLING if undone else WITHDRAWN
    if outcome.effect is Effect.HOLD and outcome.rule == Rule.DECIDED_BEFORE:
        return replace(DECIDED_BEFORE, ban_days=own.ban_days)
    decided_against = record.state in {State.REFUSED, State.COOLING}
    if outcome.effect is Effect.SUPPRESS or (decided_against and outcome.effect is Effect.NOTE):
        return REFUSED if record.state is State.REFUSED else COOLING
    if outcome.effect in {Effect.BAN, Effect.HOLD, Effect.RELEASE} or record.state is State.NOTHING:
        return own
    return LIVE


def repeats(claim: Claim, source: str, end: datetime) -> bool:
    """Return whether a report only repeats what is on record of its source, so that nobody needs to look further."""
    spoken = spoken_by(claim.words, source)
    return not (spoken.only_a_person or spoken.up_to) and _says_nothing_new(claim, spoken, end)


def _says_nothing_new(claim: Claim, spoken: Spoken, end: datetime) -> bool:
    """Return whether the claim of a banned URL says already all that a report of it says.

    A claim that version 1 wrote has no words: only a later end counts there.
    """
    on_record = spoken.end if claim.words else claim.until
    return epoch(end) < on_record + _SHORTEST_SECONDS


def said_at(message: Message, reported: ReportedUrl) -> datetime:
    """Return when a report was said: the time that it states, but not later than edgeban received it."""
    return min(reported.reported_at, message.received_at) if reported.reported_at else message.received_at


def taken_back(claim: Claim, message: Message, reported: ReportedUrl) -> bool:
    """Return whether a report was taken back before it arrived: by its source, or by a person who undid the source."""
    up_to = spoken_by(claim.words, message.source.name).up_to
    return up_to > 0 and said_at(message, reported) <= datetime.fromtimestamp(up_to, tz=UTC)


def extends(claim: Claim, url: BatchUrl, policy: Policy, now: datetime) -> bool:
    """Return whether a report asks to extend the ban of a URL for longer than its category asks for."""
    if not url.others:
        return is_extension(claim, (url.message, url.reported), policy, now)
    return any(is_extension(claim, report, policy, now) for report in url.candidates().values())


def is_extension(claim: Claim, report: tuple[Message, ReportedUrl], policy: Policy, now: datetime) -> bool:
    """Return whether one report asks to extend a ban for longer than its category asks for."""
    message, reported = report
    if not (reported.ban_days or message.source.ban_days) or claim.needs_new_ban(now) or claim.held:
        return False
    end = plan_of(message, reported, policy).end(now)
    beyond = end > category_plan(message, reported, policy).end(now)
    return beyond and epoch(end) >= claim.until + _SHORTEST_SECONDS
