"""Take a source's word back, because the source withdrew it.

A withdrawal takes back what the source said before it or at the same moment. If the source has spoken since then, the
newer word stays and the withdrawal changes nothing. Withdrawals are handled before the reports of their batch, so that
a newer word of the source stays, whether or not both are in one batch.

A word that is taken back leaves a marker in the claim. A report that the source made before the withdrawal, and that
arrives late, is then taken back as well. The words of other sources stay. If none is left, the source's ``withdrawals``
decide whether the ban is lifted or a person is asked; meanwhile the ban stays in force.

If the policy wants several reporters, a reporter who takes the word back no longer counts.

Crash order: first the reporters, then each URL. The hold that asks the person, or the job that lifts the ban at its
earlier end, is on record before the word is taken back. A lift is one chunk, which the sweep finishes. The message
comes again until all of it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import Action, ChunkState, ReportedUrl, SchemeVariants
from chalicelib.domain.policy.model import NO_RULES
from chalicelib.domain.policy.rules import accounts_for
from chalicelib.domain.urls import canonical_url, host_of, scheme_variant, url_key
from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Effect, Kind, SourceWord, Word
from chalicelib.ledger import (
    ban_counts,
    chunks,
    claim_decisions,
    claim_words,
    claims,
    holds,
    packed_words,
    remaining,
    reporters,
    unban_jobs,
)
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import KEEP_MARKERS
from chalicelib.ledger.reporters import Reporter
from chalicelib.ledger.row import epoch
from chalicelib.pipeline.intake.corroboration import reporter_of
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.intake.questions import Questions, chunk_of
from chalicelib.pipeline.intake.taken_back import reported_urls, up_to
from chalicelib.pipeline.lifecycle import claiming, expiry
from chalicelib.pipeline.lifecycle.approved import approved
from chalicelib.pipeline.lifecycle.on_claim import record_of
from chalicelib.pipeline.lifecycle.version_1 import first_word
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.waking import wake_submitter


@dataclass(frozen=True, slots=True)
class _Place:
    """One URL at one account that a message withdraws, and the moment up to which it is taken back."""

    key: str
    url: str
    account: str
    up_to: datetime
    reporter: Reporter
    """Who counted as one reporter until then, where the policy wants several."""


def withdraw(run: Run, messages: Sequence[Message], *, again: bool) -> set[str]:
    """Take back what messages withdraw; return the ids of those that must come again.

    ``again``: the messages were received before.
    """
    unfinished: set[str] = set()
    for message in sorted(messages, key=lambda message: message.received_at):
        if message.withdrawals and not message.test:
            places = list(_places(run, message))
            if not (_forget_reporters(run, places) and _Withdrawing(run, message, again=again).take_back(places)):
                unfinished.add(message.message_id)
    return unfinished


def _forget_reporters(run: Run, places: Sequence[_Place]) -> bool:
    """Count a reporter no longer once it takes its word back; ``False`` if rows changed meanwhile."""
    withdrawn: dict[str, set[Reporter]] = {}
    for place in places if run.policy.needs_corroboration() else ():
        withdrawn.setdefault(place.key, set()).add(place.reporter)
    return not withdrawn or reporters.forget(run.rows, withdrawn, now=run.clock())


def _places(run: Run, message: Message) -> Iterator[_Place]:
    policy, reported, hosts = run.policy, reported_urls(message), message.source.hosts
    relay = policy.sources.get(message.source.name, NO_RULES).relay
    for withdrawal in message.withdrawals:
        try:
            url = canonical_url(withdrawal.url)
        except UnusableUrl:
            continue
        if url in reported or not (hosts is None or hosts.covers(host_of(url))):
            continue
        variant = scheme_variant(url) if policy.scheme_variants is SchemeVariants.TOGETHER else ""
        named = ReportedUrl(url, reporter=withdrawal.reporter)
        moment = up_to(message, withdrawal)
        who = Reporter(reporter_of(named, message.source.name, relay=relay), message.source.name, moment)
        for account in accounts_for(host_of(url), policy):
            for spelling in (url, variant) if variant else (url,):
                yield _Place(url_key(account, spelling), spelling, account, moment, who)


class _Alone(NamedTuple):
    """A ban that no source asks for once this one has taken its word back, and the words that are on record of it."""

    claim: Claim
    place: _Place
    said: tuple[SourceWord, ...]


class _Withdrawing:
    """Takes back what one message withdraws."""

    def __init__(self, run: Run, message: Message, *, again: bool) -> None:
        self._run = run
        self._message = message
        self._again = again
        self._source = message.source.name
        self._now = run.clock()
        self._failed = False

    def take_back(self, withdrawn: Sequence[_Place]) -> bool:
        """Take back the source's words; ``False`` if a claim changed meanwhile."""
        run, places = self._run, {place.key: place for place in withdrawn}
        found = claims.read(run.rows, list(places), consistent=True, whole=True)
        claims_by_key = expiry.corrected(run, found)
        silent = chunks.read(run.rows, [claim.chunk for claim in claims_by_key.values() if not claim.words])
        alone: dict[str, list[_Alone]] = {}
        for key, place in places.items():
            claim = claims_by_key.get(key)
            if claim is None:
                self._mark_unknown(place)
                continue
            words = claim.words or packed_words.pack(first_word(claim, silent.get(claim.chunk)))
            if packed_words.spoken_by(words, self._source).up_to >= epoch(place.up_to):
                continue
            said = packed_words.unpack(words, [self._source])
            if any(word.source == self._source and word.said_at > place.up_to for word in said):
                continue  # the source has spoken again since
            outcome = decide(record_of(claim, said, self._now), self._word(place))
            if outcome.effect is Effect.LEAVE_HOLD:
                self._leave(claim, self._left(words, place))
            elif outcome.effect is Effect.SHORTEN and outcome.until:
                self._shorten(claim, self._left(words, place), epoch(outcome.until))
            elif outcome.effect is Effect.HOLD:
                alone.setdefault(place.account, []).append(_Alone(claim, place, said))
            else:  # what was said before may arrive late: a marker stays
                self._change(claim, self._left(words, place), claim.until)
        for account, of_account in alone.items():
            self._ask_or_lift(account, of_account)
        return not self._failed

    def _word(self, place: _Place, *, lifts: bool = False) -> Word:
        return Word(Kind.WITHDRAWAL, place.up_to, self._source, lifts=lifts)

    def _left(self, words: bytes, place: _Place) -> bytes:
        """Return the words without the source's, with its marker."""
        kept = packed_words.without(packed_words.without_marker(words, self._source), self._source)
        return kept + packed_words.mark(packed_words.source_id(self._source), place.up_to)

    def _mark_unknown(self, place: _Place) -> None:
        words = packed_words.mark(packed_words.source_id(self._source), place.up_to)
        until = self._now + KEEP_MARKERS
        if not claim_words.mark(
            self._run.rows, place.key, url=place.url, account=place.account, words=words, until=until
        ):
            self._failed = True

    def _change(self, claim: Claim, words: bytes, until: int, *, lifted: bool = False) -> None:
        change = (claim, words, datetime.fromtimestamp(until, tz=UTC))
        if claim_words.change(self._run.rows, [change], now=self._now, lifted=lifted):
            self._failed = True

    def _leave(self, claim: Claim, left: bytes) -> None:
        """Let a URL leave its hold, because no word asks for its ban any more."""
        rows = self._run.rows
        hold = chunks.read(rows, [claim.chunk]).get(claim.chunk)
        work = remaining.of_chunk(rows, claim.account, claim.chunk)
        if hold and work and work.state is ChunkState.HELD and not work.approving:
            position = hold.keys.index(claim.key)
            if position not in work.excluded and not holds.leave(rows, work, [position]):
                self._failed = True
                return
        elif work:  # a person decides at this moment
            self._failed = True
            return
        if not claim_decisions.leave_hold(rows, claim, left):
            self._failed = True

    def _shorten(self, claim: Claim, words: bytes, until: int) -> None:
        """Keep the ban until the furthest end of the words that are left, and have it lifted then."""
        end = datetime.fromtimestamp(until, tz=UTC)
        reason = f"the ban came to the end that is left of it since {self._source} took its word back"
        actor, now = f"source:{self._source}", self._run.clock()
        unban_jobs.lift_at(self._run.rows, end, [claim.url], actor=actor, reason=reason, now=now)
        self._change(claim, words, until, lifted=True)

    def _ask_or_lift(self, account: str, withdrawn: Sequence[_Alone]) -> None:
        """Lift the bans that no source asks for any more, if this source may; ask a person about the others."""
        run, policy = self._run, self._run.policy
        chunks_by_id = chunks.read(run.rows, [claim.chunk for claim, _, _ in withdrawn])
        lifting: list[tuple[Claim, _Place]] = []
        asking: list[tuple[Claim, _Place]] = []
        may_lift = policy.sources.get(self._source, NO_RULES).withdrawals_lift
        for claim, place, said in withdrawn:
            chunk = chunks_by_id.get(claim.chunk)
            a_person_let_it_through = not may_lift or chunk is None or approved(run.rows, chunk)
            record = record_of(claim, said, self._now, approved=a_person_let_it_through)
            effect = decide(record, self._word(place, lifts=may_lift)).effect
            (lifting if effect is Effect.LIFT else asking).append((claim, place))
        cap = policy.caps.lifts_per_source_per_hour
        if lifting and cap:
            used = ban_counts.count_lifts(run.rows, account, self._source, len(lifting), now=self._now)
            allowed = max(0, cap - (used - len(lifting)))
            asking += lifting[allowed:]
            lifting = lifting[:allowed]
        if lifting:
            self._lift(account, lifting)
        if asking:
            self._ask(account, asking)

    def _lift(self, account: str, withdrawn: Sequence[tuple[Claim, _Place]]) -> None:
        selected = {claim.key: claim for claim, _ in withdrawn}
        chunk = chunk_of(self._message, account, selected.values(), Action.UNBAN, self._now)
        left = {claim.key: self._left(claim.words, place) for claim, place in withdrawn}
        lifted = claiming.begin(self._run, chunk, selected, words=left)
        self._failed |= len(lifted) < len(selected)
        wake_submitter(self._run, account)
        self._run.emit("withdrawal_lifted", account=account, source=self._source, urls=len(lifted))

    def _ask(self, account: str, withdrawn: Sequence[tuple[Claim, _Place]]) -> None:
        """Ask a person whether the bans are to be lifted, then take the words back.

        A URL that an open question names already is not asked about again: a message that comes again after a crash
        finds the question that it has made. If a person answers that question at this moment, a new one is made.
        """
        questions = Questions(self._run, self._message, account, again=self._again)
        claims_alone = [claim for claim, _ in withdrawn]
        asked = questions.open_about(claims_alone)
        question = questions.ask([claim for claim in claims_alone if claim.key not in asked])
        for claim, place in withdrawn:
            named = claim._replace(asked=asked.get(claim.key, question))
            self._change(named, self._left(claim.words, place), claim.until)
        named_before = [claim._replace(asked=asked[claim.key]) for claim in claims_alone if claim.key in asked]
        if named_before:
            still_asked = questions.open_about(named_before)
            questions.ask([claim for claim in named_before if claim.key not in still_asked])
        self._run.emit("withdrawal_held", account=account, source=self._source, urls=len(withdrawn))
