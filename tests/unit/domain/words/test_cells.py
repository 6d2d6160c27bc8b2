"""The effect of each word, cell by cell and case by case: docs/policy.md, "What several words come to"."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from chalicelib.domain.words.table import decide
from chalicelib.domain.words.word import Effect, Kind, Record, State, Word
from dev.fakes.spoken import ban, day, hold, person_bans, person_lifts, record, too_few, withdrawal

NOTHING, IN_FORCE, TOO_FEW, HELD = State.NOTHING, State.IN_FORCE, State.TOO_FEW, State.HELD
REFUSED, COOLING = State.REFUSED, State.COOLING
VENDOR_REFUSED, FAILED = State.VENDOR_REFUSED, State.FAILED


class Case(NamedTuple):
    """A record, a word about it, its effect, the planned end afterwards, and the sources whose words are left."""

    before: Record
    word: Word
    effect: Effect
    until: float | None
    words: str
    rule: str = ""


EMPTY = Record()
TWO = (ban("isp", 3), ban("desk", 30))

CASES = {
    # There is no record, or its ban has ended.
    "nothing, a ban: banned until its end": Case(EMPTY, ban(), Effect.BAN, 7, "desk"),
    "nothing, a hold: held": Case(EMPTY, hold(), Effect.HOLD, 7, "public", "review"),
    "nothing, too few: the reporter is noted": Case(EMPTY, too_few(), Effect.NOTE, None, ""),
    "nothing, a withdrawal: a marker": Case(EMPTY, withdrawal(), Effect.MARK, None, ""),
    "nothing, a person bans": Case(EMPTY, person_bans(9), Effect.BAN, 9, ""),
    "nothing, a person lifts: sent all the same": Case(EMPTY, person_lifts(7), Effect.LIFT, 7, ""),
    # The ban is on its way or in force.
    "banned, a later end: extended": Case(record(IN_FORCE, ban()), ban("isp", 30), Effect.EXTEND, 30, "desk isp"),
    "banned, an earlier end: the word is added": Case(
        record(IN_FORCE, ban()), ban("isp", 3), Effect.ADD, 7, "desk isp"
    ),
    "banned, the same again: nothing": Case(record(IN_FORCE, ban()), ban(said=1), Effect.NOTHING, 7, "desk"),
    "banned, a hold with a later end: the word is added and extends nothing": Case(
        record(IN_FORCE, ban()), hold(until=30), Effect.ADD, 7, "desk public"
    ),
    "banned, too few: noted": Case(record(IN_FORCE, ban()), too_few("isp"), Effect.NOTE, 7, "desk"),
    "banned, withdrawn by one of two: the end moves back": Case(
        record(IN_FORCE, *TWO, until=30), withdrawal("desk"), Effect.SHORTEN, 3, "isp"
    ),
    "banned, withdrawn by the one with the shorter end: the end stays": Case(
        record(IN_FORCE, *TWO, until=30), withdrawal("isp"), Effect.TAKE_BACK, 30, "desk"
    ),
    "banned, withdrawn by the last, who may lift: lifted": Case(
        record(IN_FORCE, ban()), withdrawal(lifts=True), Effect.LIFT, 1, ""
    ),
    "banned, withdrawn by the last, who may not: a person is asked": Case(
        record(IN_FORCE, ban()), withdrawal(), Effect.HOLD, 7, "", "withdrawn"
    ),
    "banned and approved, withdrawn by the last, who may lift: a person is asked": Case(
        record(IN_FORCE, ban(), approved=True), withdrawal(lifts=True), Effect.HOLD, 7, "", "withdrawn"
    ),
    "banned, withdrawn by a source that said nothing: nothing": Case(
        record(IN_FORCE, ban()), withdrawal("isp"), Effect.NOTHING, 7, "desk"
    ),
    "banned, withdrawn before it was said: nothing": Case(
        record(IN_FORCE, ban(said=2)), withdrawal(said=1), Effect.NOTHING, 7, "desk"
    ),
    "banned, a person sets a sooner end": Case(record(IN_FORCE, ban()), person_bans(2), Effect.SET_END, 2, "desk"),
    "banned, a person sets a later end": Case(record(IN_FORCE, ban()), person_bans(60), Effect.SET_END, 60, "desk"),
    "banned, a person lifts": Case(record(IN_FORCE, ban()), person_lifts(9), Effect.LIFT, 9, "desk"),
    # The URL waits for reporters.
    "too few, a ban: banned": Case(record(TOO_FEW, until=None), ban(), Effect.BAN, 7, "desk"),
    "too few, a hold: held": Case(record(TOO_FEW, until=None), hold(), Effect.HOLD, 7, "public", "review"),
    "too few, another: noted": Case(record(TOO_FEW, until=None), too_few(), Effect.NOTE, None, ""),
    "too few, a withdrawal: its reporter goes": Case(
        record(TOO_FEW, until=None), withdrawal(), Effect.TAKE_BACK, None, ""
    ),
    "too few, a person bans": Case(record(TOO_FEW, until=None), person_bans(9), Effect.BAN, 9, ""),
    "too few, a person lifts: sent all the same": Case(
        record(TOO_FEW, until=None), person_lifts(7), Effect.LIFT, 7, ""
    ),
    # held
    "held, a ban: leaves the hold until its own end": Case(
        record(HELD, hold(until=30), until=30, rule="review"), ban("desk", 3), Effect.RELEASE, 3, "desk public"
    ),
    "held by the cap of a source, the source again: stays": Case(
        record(HELD, hold("desk"), rule="source_cap", cap_of="desk"), ban("desk"), Effect.ADD, 7, "desk", "source_cap"
    ),
    "held by the cap of a source, another source: leaves the hold": Case(
        record(HELD, hold("desk"), rule="source_cap", cap_of="desk"), ban("isp"), Effect.RELEASE, 7, "desk isp"
    ),
    "held since a person decided before, a ban: stays": Case(
        record(HELD, ban("isp"), rule="decided_before"), ban(), Effect.ADD, 7, "desk isp", "decided_before"
    ),
    "held, a hold: the word is added": Case(
        record(HELD, hold(), rule="review"), hold("form", 20), Effect.ADD, 20, "form public", "review"
    ),
    "held, the same hold: nothing": Case(
        record(HELD, hold(), rule="review"), hold(), Effect.NOTHING, 7, "public", "review"
    ),
    "held, too few: noted": Case(record(HELD, hold(), rule="review"), too_few(), Effect.NOTE, 7, "public", "review"),
    "held, withdrawn by one of two: stays": Case(
        record(HELD, hold(), hold("form"), rule="review"), withdrawal("form"), Effect.TAKE_BACK, 7, "public", "review"
    ),
    "held, withdrawn by the last: the hold loses it": Case(
        record(HELD, hold(), rule="review"), withdrawal("public"), Effect.LEAVE_HOLD, 7, "", "review"
    ),
    "held, a person bans: leaves the hold": Case(
        record(HELD, hold(), rule="review"), person_bans(9), Effect.RELEASE, 9, "public"
    ),
    "held, a person lifts: leaves the hold and is sent": Case(
        record(HELD, hold(), rule="review"), person_lifts(9), Effect.LIFT, 9, "public"
    ),
    # The vendor refused the URL.
    "refused by the vendor, a new word: tried once more": Case(
        record(VENDOR_REFUSED, ban()), ban("isp", 30), Effect.TRY_AGAIN, 30, "desk isp"
    ),
    "refused by the vendor twice, a new word: added": Case(
        record(VENDOR_REFUSED, ban(), tried_again=True), ban("isp", 30), Effect.ADD, 7, "desk isp"
    ),
    "refused by the vendor, the same word: nothing": Case(
        record(VENDOR_REFUSED, ban()), ban(said=1), Effect.NOTHING, 7, "desk"
    ),
    "refused by the vendor, a hold: added": Case(record(VENDOR_REFUSED, ban()), hold(), Effect.ADD, 7, "desk public"),
    "refused by the vendor, too few: noted": Case(
        record(VENDOR_REFUSED, ban()), too_few("isp"), Effect.NOTE, 7, "desk"
    ),
    "refused by the vendor, withdrawn: its word goes": Case(
        record(VENDOR_REFUSED, ban()), withdrawal(), Effect.TAKE_BACK, 7, ""
    ),
    "refused by the vendor, a person bans: tried at once": Case(
        record(VENDOR_REFUSED, ban()), person_bans(9), Effect.BAN, 9, "desk"
    ),
    "refused by the vendor, a person lifts: sent": Case(
        record(VENDOR_REFUSED, ban()), person_lifts(9), Effect.LIFT, 9, "desk"
    ),
    # failed
    "failed, a later end: kept, and the end moves out": Case(
        record(FAILED, ban()), ban("isp", 30), Effect.EXTEND, 30, "desk isp"
    ),
    "failed, an earlier end: kept": Case(record(FAILED, ban()), ban("isp", 3), Effect.ADD, 7, "desk isp"),
    "failed, a hold: added": Case(record(FAILED, ban()), hold(), Effect.ADD, 7, "desk public"),
    "failed, too few: noted": Case(record(FAILED, ban()), too_few("isp"), Effect.NOTE, 7, "desk"),
    "failed, withdrawn by one of two: its word goes": Case(
        record(FAILED, *TWO, until=30), withdrawal("isp"), Effect.TAKE_BACK, 30, "desk"
    ),
    "failed, withdrawn by the last: ended": Case(record(FAILED, ban()), withdrawal(), Effect.END, 7, ""),
    "failed, a person bans: tried at once": Case(record(FAILED, ban()), person_bans(9), Effect.BAN, 9, "desk"),
    "failed, a person lifts: sent": Case(record(FAILED, ban()), person_lifts(9), Effect.LIFT, 9, "desk"),
    # Drift holds the ban, since the vendor's list lacks it.
    "held by drift, a ban: leaves the hold": Case(
        record(HELD, ban(), rule="drift"), ban("isp", 30), Effect.RELEASE, 30, "desk isp"
    ),
    "held by drift, withdrawn by one of two: the end moves back": Case(
        record(HELD, *TWO, until=30, rule="drift"), withdrawal("desk"), Effect.SHORTEN, 3, "isp", "drift"
    ),
    "held by drift, withdrawn by the one with the shorter end: the end stays": Case(
        record(HELD, *TWO, until=30, rule="drift"), withdrawal("isp"), Effect.TAKE_BACK, 30, "desk", "drift"
    ),
}


def against_a_person(state: State, rule: str) -> dict[str, Case]:
    """Return the cases of a state in which a person decided against a ban, until the thirtieth day."""
    said = record(state, ban(), until=30)
    return {
        f"{state}, a ban by who had spoken: suppressed": Case(said, ban(said=1), Effect.SUPPRESS, 30, "desk", rule),
        f"{state}, a ban by who may not ban by itself: suppressed": Case(
            said, ban("public", may_ban=False), Effect.SUPPRESS, 30, "desk", rule
        ),
        f"{state}, a ban by another: a person is asked": Case(
            said, ban("isp", 9), Effect.HOLD, 9, "desk isp", "decided_before"
        ),
        f"{state}, a ban by another about whom a person was asked: suppressed": Case(
            record(state, ban(), until=30, asked=("isp",)), ban("isp", 9), Effect.SUPPRESS, 30, "desk", rule
        ),
        f"{state}, a hold: suppressed": Case(said, hold(), Effect.SUPPRESS, 30, "desk", rule),
        f"{state}, too few: suppressed": Case(said, too_few("isp"), Effect.SUPPRESS, 30, "desk", rule),
        f"{state}, withdrawn: its word goes": Case(said, withdrawal(), Effect.TAKE_BACK, 30, ""),
        f"{state}, withdrawn by a source that said nothing: nothing": Case(
            said, withdrawal("isp"), Effect.NOTHING, 30, "desk"
        ),
        f"{state}, a person bans": Case(said, person_bans(9), Effect.BAN, 9, "desk"),
        f"{state}, a person lifts until later: the later end": Case(said, person_lifts(40), Effect.LIFT, 40, "desk"),
        f"{state}, a person lifts until sooner: the earlier decision's end": Case(
            said, person_lifts(7), Effect.LIFT, 30, "desk"
        ),
    }


CASES |= against_a_person(REFUSED, "refused")
CASES |= against_a_person(COOLING, "cool_down")


@pytest.mark.parametrize("name", CASES)
def test_a_word_comes_to_what_the_page_says(name: str) -> None:
    before, word, effect, until, words, rule = CASES[name]
    outcome = decide(before, word)
    assert outcome.effect is effect
    assert outcome.until == (None if until is None else day(until))
    assert " ".join(kept.source for kept in outcome.words) == words
    assert outcome.rule == rule


def test_every_cell_has_a_case() -> None:
    cells = {(case.before.state, case.word.kind) for case in CASES.values()}
    assert cells == {(state, kind) for state in State for kind in Kind}
