"""Words and records in days from one moment, as tests of the table write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.domain.words.word import Kind, Record, SourceWord, State, Word, added

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the moment so many days on."""
    return NOW + timedelta(days=number)


def ban(source: str = "desk", until: float = 7, *, said: float = 0, may_ban: bool = True) -> Word:
    """Say that a report would be banned by itself."""
    return Word(Kind.BAN, day(said), source, day(until), may_ban=may_ban)


def hold(source: str = "public", until: float = 7, *, rule: str = "review") -> Word:
    """Say that a person would decide about a report."""
    return Word(Kind.HOLD, NOW, source, day(until), rule=rule, may_ban=False)


def too_few(source: str = "desk") -> Word:
    """Say that a report wants further reporters."""
    return Word(Kind.TOO_FEW, NOW, source, day(7), may_ban=False)


def withdrawal(source: str = "desk", *, said: float = 1, lifts: bool = False) -> Word:
    """Take a source's word back."""
    return Word(Kind.WITHDRAWAL, day(said), source, lifts=lifts)


def person_bans(until: float) -> Word:
    """Let a person ban, or set an end."""
    return Word(Kind.PERSON_BANS, NOW, "operator:ana", day(until))


def person_lifts(until: float) -> Word:
    """Let a person lift, with a cool-down."""
    return Word(Kind.PERSON_LIFTS, NOW, "operator:ana", day(until))


def record(state: State, *words: Word, until: float | None = 7, **fields: Any) -> Record:
    """Return what is on record once these words were said."""
    kept: tuple[SourceWord, ...] = ()
    for word in words:
        kept = added(kept, word)
    return Record(state, kept, None if until is None else day(until), **fields)
