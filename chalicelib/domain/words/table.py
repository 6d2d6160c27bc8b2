"""What each word does to each state: the table of ``docs/policy.md`` in code.

``decide`` is pure: it reads no row, no clock and no policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chalicelib.domain.words.word import (
    Effect,
    Kind,
    Outcome,
    Record,
    SourceWord,
    State,
    Word,
    added,
    end_of_ban,
    set_aside,
    without,
)

Step = Callable[[Record, Word], Outcome]

DECIDED_BEFORE: Final = "decided_before"
DRIFT: Final = "drift"
"""Rules of holds (``domain.model.Rule``): a person decided against the URL before; the vendor's list lacks the ban."""


def decide(record: Record, word: Word) -> Outcome:
    """Decide what a word does to the record of a URL.

    If each report keeps its own time, and there are at most ``SOURCES_KEPT`` sources, any order of the same reports
    leads to the same state, end and set of words.
    """
    taken_back_before_it_came = word.kind in REPORTS and any(
        marker.source == word.source and word.said_at <= marker.said_at for marker in record.withdrawn
    )
    if taken_back_before_it_came:
        return _unchanged(record)
    return TABLE[record.state][word.kind](record, word)


# --- the cells of the table ---------------------------------------------------------------------------------------


def _unchanged(record: Record, effect: Effect = Effect.NOTHING) -> Outcome:
    return Outcome(effect, record.words, record.until, record.rule)


def _note(record: Record, _: Word) -> Outcome:
    return _unchanged(record, Effect.NOTE)


def _ban(record: Record, word: Word) -> Outcome:
    words = added(record.words, word)
    return Outcome(Effect.BAN, words, end_of_ban(words))


def _hold(record: Record, word: Word) -> Outcome:
    words = added(record.words, word)
    return Outcome(Effect.HOLD, words, end_of_ban(words), word.rule)


def _add(record: Record, word: Word) -> Outcome:
    words = added(record.words, word)
    effect = Effect.NOTHING if words == record.words else Effect.ADD
    return Outcome(effect, words, record.until, record.rule)


def _join_hold(record: Record, word: Word) -> Outcome:
    outcome = _add(record, word)
    return replace(outcome, until=end_of_ban(outcome.words))


def _extend(record: Record, word: Word) -> Outcome:
    if record.until is None or word.until <= record.until:
        return _add(record, word)
    return Outcome(Effect.EXTEND, added(record.words, word), word.until)


def _try_again(record: Record, word: Word) -> Outcome:
    outcome = _add(record, word)
    if outcome.effect is Effect.NOTHING or record.tried_again:
        return outcome
    return Outcome(Effect.TRY_AGAIN, outcome.words, max(word.until, record.until or word.until))


def _release(record: Record, word: Word) -> Outcome:
    if word.source == record.cap_of or record.rule == DECIDED_BEFORE:
        return _join_hold(record, word)
    words = added(record.words, word)
    return Outcome(Effect.RELEASE, words, end_of_ban(words))


def _against_a_person(record: Record, word: Word) -> Outcome:
    """Ask a person again only if the source had not spoken before the person decided against the ban."""
    spoke_before = record.word_of(word.source) is not None or word.source in record.asked
    if spoke_before or not word.may_ban:
        return _suppress(record, word)
    words = added(set_aside(record.words), word)
    return Outcome(Effect.HOLD, words, end_of_ban(words), DECIDED_BEFORE)


def _suppress(record: Record, _: Word) -> Outcome:
    rule = "refused" if record.state is State.REFUSED else "cool_down"
    return Outcome(Effect.SUPPRESS, record.words, record.until, rule)


def _mark(record: Record, _: Word) -> Outcome:
    return _unchanged(record, Effect.MARK)


def _forget(record: Record, _: Word) -> Outcome:
    return _unchanged(record, Effect.TAKE_BACK)


def _take_back(record: Record, word: Word) -> Outcome:
    left = without(record.words, word)
    return _unchanged(record) if left == record.words else Outcome(Effect.TAKE_BACK, left, record.until, record.rule)


def _withdraw_failed(record: Record, word: Word) -> Outcome:
    outcome = _take_back(record, word)
    if outcome.effect is Effect.NOTHING or outcome.words:
        return outcome
    return Outcome(Effect.END, (), record.until, record.rule)


def _withdraw_held(record: Record, word: Word) -> Outcome:
    """Take a word back from a hold. A ban that drift holds has an end: it moves to the furthest that is left."""
    outcome = _take_back(record, word)
    if outcome.effect is Effect.NOTHING:
        return outcome
    if not _asking(record, outcome.words):
        return Outcome(Effect.LEAVE_HOLD, outcome.words, record.until, record.rule)
    return _shortened(record, outcome.words) if record.rule == DRIFT else outcome


def _asking(record: Record, words: tuple[SourceWord, ...]) -> tuple[SourceWord, ...]:
    """Return the words for which a URL is held.

    Where a person decided against the URL before, those are the words of sources whose reports are banned by
    themselves: the others were decided against, and are only remembered.
    """
    return tuple(word for word in words if word.bans) if record.rule == DECIDED_BEFORE else words


def _withdraw_ban(record: Record, word: Word) -> Outcome:
    """Take a word back from a ban. The ban's end moves to the furthest end that is left; without one, ask or lift."""
    left = without(record.words, word)
    if left == record.words:
        return _unchanged(record)
    outcome = take_away(record, left)
    if outcome.effect is not Effect.LIFT:
        return outcome
    if left or record.approved or not word.lifts:
        return Outcome(Effect.HOLD, left, record.until, "withdrawn")
    return Outcome(Effect.LIFT, left, word.said_at)


def take_away(record: Record, left: tuple[SourceWord, ...]) -> Outcome:
    """Decide what happens to a ban or a hold when words are taken away and these are ``left``.

    If others asked for it too, it stays until the furthest end that is left. Otherwise it is lifted.
    """
    if record.state is State.HELD and left and record.rule != DRIFT:
        return Outcome(Effect.TAKE_BACK, left, record.until, record.rule)
    asking = [kept for kept in left if kept.bans and (record.now is None or kept.until > record.now)]
    if not asking:
        return Outcome(Effect.LIFT, left, record.until)
    return _shortened(record, left)


def _shortened(record: Record, left: tuple[SourceWord, ...]) -> Outcome:
    """Move the end of a ban in to the furthest end of the words that are ``left``. It never moves out."""
    asking = [kept for kept in left if kept.bans and (record.now is None or kept.until > record.now)]
    until = end_of_ban(asking or left)
    if record.until is not None and until < record.until:
        return Outcome(Effect.SHORTEN, left, until, record.rule)
    return Outcome(Effect.TAKE_BACK, left, record.until, record.rule)


def _person(effect: Effect) -> Step:
    """Apply a person's word as it is said."""
    return lambda record, word: Outcome(effect, record.words, word.until)


def _person_longest(effect: Effect) -> Step:
    """Apply a person's lift. It lasts until its own end or that of the earlier decision, whichever is later."""
    return lambda record, word: Outcome(effect, record.words, max(word.until, record.until or word.until))


REPORTS: Final = frozenset({Kind.BAN, Kind.HOLD, Kind.TOO_FEW})
"""What a report can say."""

DECIDED_AGAINST: Final[dict[Kind, Step]] = {
    Kind.BAN: _against_a_person,
    Kind.HOLD: _suppress,
    Kind.TOO_FEW: _suppress,
    Kind.WITHDRAWAL: _take_back,
    Kind.PERSON_BANS: _person(Effect.BAN),
    Kind.PERSON_LIFTS: _person_longest(Effect.LIFT),
}

TABLE: Final[dict[State, dict[Kind, Step]]] = {
    State.NOTHING: {
        Kind.BAN: _ban,
        Kind.HOLD: _hold,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _mark,
        Kind.PERSON_BANS: _person(Effect.BAN),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
    State.IN_FORCE: {
        Kind.BAN: _extend,
        Kind.HOLD: _add,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _withdraw_ban,
        Kind.PERSON_BANS: _person(Effect.SET_END),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
    State.TOO_FEW: {
        Kind.BAN: _ban,
        Kind.HOLD: _hold,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _forget,
        Kind.PERSON_BANS: _person(Effect.BAN),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
    State.HELD: {
        Kind.BAN: _release,
        Kind.HOLD: _join_hold,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _withdraw_held,
        Kind.PERSON_BANS: _person(Effect.RELEASE),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
    State.REFUSED: DECIDED_AGAINST,
    State.COOLING: DECIDED_AGAINST,
    State.VENDOR_REFUSED: {
        Kind.BAN: _try_again,
        Kind.HOLD: _add,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _take_back,
        Kind.PERSON_BANS: _person(Effect.BAN),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
    State.FAILED: {
        Kind.BAN: _extend,
        Kind.HOLD: _add,
        Kind.TOO_FEW: _note,
        Kind.WITHDRAWAL: _withdraw_failed,
        Kind.PERSON_BANS: _person(Effect.BAN),
        Kind.PERSON_LIFTS: _person(Effect.LIFT),
    },
}
"""What each word does to each state. A test holds that every cell is filled."""


STATE_AFTER: Final[dict[Effect, State]] = {
    Effect.BAN: State.IN_FORCE,
    Effect.RELEASE: State.IN_FORCE,
    Effect.HOLD: State.HELD,
    Effect.LEAVE_HOLD: State.NOTHING,
    Effect.LIFT: State.COOLING,
    Effect.END: State.NOTHING,
}
"""The state that an effect leads to. All other effects leave the state as it is."""


def after(record: Record, word: Word) -> Record:
    """Return the record after a word has been carried out. A batch applies several words one after the other so."""
    outcome = decide(record, word)
    state = STATE_AFTER.get(outcome.effect, record.state)
    if outcome.effect is Effect.NOTE and record.state is State.NOTHING:
        state = State.TOO_FEW
    if outcome.effect is Effect.HOLD and outcome.rule == "withdrawn":
        state = record.state  # the ban stays in force while a person is asked
    asked, marks, cap_of = record.asked, record.withdrawn, record.cap_of
    if outcome.rule == DECIDED_BEFORE:
        asked = tuple(sorted({*asked, word.source}))
    if word.kind is Kind.WITHDRAWAL and outcome.effect is Effect.MARK:
        marks = (*marks, SourceWord(word.source, word.said_at, word.until))
    if outcome.effect is Effect.HOLD and word.kind is Kind.HOLD:
        cap_of = word.source if word.rule == "source_cap" else ""
    return replace(
        record,
        state=state,
        words=outcome.words,
        until=outcome.until,
        rule=outcome.rule,
        asked=asked,
        withdrawn=marks,
        cap_of=cap_of,
    )
