"""Words about one URL, and the URL's record.

A word is something that somebody says about a URL at an account: a report, a withdrawal by a source, a decision of a
person. Every report has its own verdict, which the policy gives as if the URL were new: *ban until*, *hold*, *too few
reporters*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from chalicelib.domain.policy.duration import FOREVER

SOURCES_KEPT: Final = 16
"""How many sources' words a claim keeps. The words of further sources count as one word, which is never taken back."""

OTHERS: Final = "others"
"""The name of all sources beyond ``SOURCES_KEPT``."""


class State(StrEnum):
    """The state of a URL at an account, as far as it matters for a new word."""

    NOTHING = "nothing"  # never seen, or ended
    IN_FORCE = "in_force"  # on its way to the vendor, or banned
    TOO_FEW = "too_few"  # waits for more reporters
    HELD = "held"  # waits for a person
    REFUSED = "refused"  # a person refused to ban it, until a time
    COOLING = "cooling"  # a person lifted it, until a time: also while the lift is on its way
    VENDOR_REFUSED = "vendor_refused"  # the vendor refused it for its content
    FAILED = "failed"  # the vendor failed to ban it; edgeban tries again by itself


class Kind(StrEnum):
    """What a word says. For a report it is the report's own verdict."""

    BAN = "ban"
    HOLD = "hold"
    TOO_FEW = "too_few"
    WITHDRAWAL = "withdrawal"
    PERSON_BANS = "person_bans"
    PERSON_LIFTS = "person_lifts"


class Effect(StrEnum):
    """What a word leads to."""

    NOTHING = "nothing"  # the word changes nothing and is not written
    NOTE = "note"  # the reporter is noted, and nothing else
    MARK = "mark"  # a marker is left: what the source said before is withdrawn when it arrives late
    TRY_AGAIN = "try_again"  # the word is added, and the URL is sent once more, a day after the vendor refused it
    ADD = "add"  # the word is added to the record
    EXTEND = "extend"  # the word is added and the planned end moves out
    SHORTEN = "shorten"  # the word is taken back and the planned end moves to the furthest end that is left
    TAKE_BACK = "take_back"  # the word is taken back, the rest of the record stays
    SET_END = "set_end"  # the planned end becomes that of a person's word, whether sooner or later
    BAN = "ban"  # the URL is claimed and banned
    RELEASE = "release"  # the URL leaves its hold and is banned
    HOLD = "hold"  # the URL is claimed and held
    LEAVE_HOLD = "leave_hold"  # the URL leaves its hold, and nothing is banned
    SUPPRESS = "suppress"  # a person's decision against the URL suppresses the report
    LIFT = "lift"  # an unban is sent, and reports are suppressed until it has cooled down
    END = "end"  # the record ends: nobody asks for the ban any more


@dataclass(frozen=True, slots=True)
class SourceWord:
    """What one source says of a URL: the furthest end that it asked for, and when it said so."""

    source: str
    said_at: datetime
    """When the source said it: by the source's own clock, if its report states a time. A withdrawal takes back words
    that were said before it or at the same time."""
    until: datetime
    bans: bool = True
    """Whether the report bans by itself. Otherwise a person decides about it, and its end does not count yet."""
    said_in: bytes = b""
    """The report that asked for this end, in four bytes (``packed_words.report_id``)."""
    since: datetime | None = None
    """When edgeban first received a word of the source, if that is another moment than ``said_at``."""

    @property
    def known_since(self) -> datetime:
        """When edgeban first received a word of the source."""
        return self.since or self.said_at


@dataclass(frozen=True, slots=True)
class Word:
    """One word about a URL.

    ``until`` is the end of the ban that a report or a person asks for, or the end of a lift's cool-down.
    ``may_ban`` tells whether the source's reports ban by themselves. ``lifts`` tells whether the source's withdrawal
    lifts a ban that no other source asks for; otherwise a person decides.
    """

    kind: Kind
    said_at: datetime
    source: str = ""
    until: datetime = FOREVER
    rule: str = ""
    may_ban: bool = True
    lifts: bool = False
    said_in: bytes = b""
    received_at: datetime | None = None
    """When edgeban received the word, if that is another moment than ``said_at``."""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a URL at an account.

    ``until`` is the planned end of the ban, or of a person's decision (refused, lifted). ``rule`` is the rule of a
    hold. ``cap_of`` is the source whose own cap holds the URL. ``asked`` are the sources about which a person has been
    asked since that person's decision.
    """

    state: State = State.NOTHING
    words: tuple[SourceWord, ...] = ()
    until: datetime | None = None
    rule: str = ""
    cap_of: str = ""
    approved: bool = False
    now: datetime | None = None
    """The moment of the decision: a word whose end has passed asks for nothing. ``None``: no end has passed."""
    tried_again: bool = False
    """Whether the vendor has refused the URL a second time. Then no further word sends it."""
    asked: tuple[str, ...] = ()
    withdrawn: tuple[SourceWord, ...] = ()
    """Markers of withdrawals that came before what they withdraw: ``said_at`` is the time of the withdrawal."""

    def word_of(self, source: str) -> SourceWord | None:
        """Find what a source says, ``None`` if it has not spoken or has taken it back."""
        return next((word for word in self.words if word.source == source), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a word: the effect, the words that are left, the planned end, and the rule to show."""

    effect: Effect
    words: tuple[SourceWord, ...] = ()
    until: datetime | None = None
    rule: str = ""


def added(words: Iterable[SourceWord], word: Word) -> tuple[SourceWord, ...]:
    """Add a report's word to those on record, in the order of their sources' names.

    For each source, the furthest end of its words that ban by themselves is kept, with the time at which that was said.
    The end of a word that would be held counts only if the source has no word that bans. Of two words with the same end
    the earlier is kept: a source that repeats itself changes nothing.
    """
    by_source = {kept.source: kept for kept in words}
    source = word.source
    if source not in by_source and len(by_source.keys() - {OTHERS}) >= SOURCES_KEPT:
        source = OTHERS
    said = SourceWord(source, word.said_at, word.until, word.kind is Kind.BAN, word.said_in, word.received_at)
    if kept := by_source.get(source):
        strongest = max(kept, said, key=lambda each: (each.bans, each.until, -each.said_at.timestamp()))
        said = replace(strongest, since=min(kept.known_since, said.known_since))
    by_source[source] = said if said.since != said.said_at else replace(said, since=None)
    return tuple(by_source[name] for name in sorted(by_source))


def without(words: tuple[SourceWord, ...], withdrawal: Word) -> tuple[SourceWord, ...]:
    """Leave out the word of a withdrawal's source, unless the source said it after the withdrawal."""
    return tuple(
        word for word in words if not (word.source == withdrawal.source and word.said_at <= withdrawal.said_at)
    )


def set_aside(words: Iterable[SourceWord]) -> tuple[SourceWord, ...]:
    """Mark words as decided against by a person: they are remembered, but no longer ask for a ban."""
    return tuple(replace(word, bans=False) for word in words)


def end_of_ban(words: Iterable[SourceWord]) -> datetime:
    """Return the furthest end of the words that ban by themselves; if there are none, of those that would be held.

    Raises ValueError if there is no word.
    """
    return max(words, key=lambda word: (word.bans, word.until)).until
