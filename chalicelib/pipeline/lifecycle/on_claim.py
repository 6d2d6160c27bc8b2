"""Read from a URL's claim what is on record of the URL, in the terms of the table in ``domain.words``."""

from __future__ import annotations

from datetime import UTC, datetime

from chalicelib.domain.model import Rule, UrlState
from chalicelib.domain.words.word import Record, SourceWord, State
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import undone_sources

REFUSED_TRIES = 2
"""How often edgeban sends a URL that the vendor refuses for its content: once, and once more after a new word."""


def record_of(claim: Claim | None, words: tuple[SourceWord, ...], now: datetime, *, approved: bool = False) -> Record:
    """Return the record of a URL. ``words`` are those of its claim; ``approved``: a person approved its ban.

    A hold stands for an earlier decision of a person. An unban that is on its way counts as one that is done, with its
    cool-down: only the unban's chunk tells the two apart.
    """
    if claim is None:
        return Record(now=now)
    until = datetime.fromtimestamp(max(claim.until, 0), tz=UTC)
    state = state_of(claim, now)
    if state in {State.REFUSED, State.COOLING}:
        until = datetime.fromtimestamp(claim.cool_until, tz=UTC)
    return Record(
        state,
        words,
        until,
        _rule(claim, now),
        approved=approved,
        tried_again=claim.tries >= REFUSED_TRIES,
        now=now,
    )


def _rule(claim: Claim, now: datetime) -> str:
    """Return the rule of a hold. While an earlier decision of a person lasts, it is the rule of every hold."""
    if claim.waits(now) and claim.cooling(now):
        return Rule.DECIDED_BEFORE
    return "" if claim.held == Rule.DECIDED_BEFORE else claim.held


def state_of(claim: Claim, now: datetime) -> State:
    """Return the state of a URL that has a claim."""
    if claim.waits(now):
        return State.HELD
    if claim.cooling(now) and not undone_sources(claim.words, now):  # else it binds some sources alone
        return State.REFUSED if claim.refused else State.COOLING
    if claim.needs_new_ban(now):
        return State.NOTHING
    if claim.tried:
        return State.FAILED if claim.outcome == UrlState.FAILED else State.VENDOR_REFUSED
    return State.IN_FORCE
