"""The strongest word stands, whichever came first: every cell of the table, and any order of the same reports."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.words.table import TABLE, after, decide
from chalicelib.domain.words.word import SOURCES_KEPT, Effect, Kind, Record, SourceWord, State, Word, added
from dev.fakes.spoken import ban, day, hold, record, withdrawal

POLICY_PAGE = (Path(__file__).parents[4] / "docs" / "policy.md").read_text()


# --- every cell ---------------------------------------------------------------------------------------------------


def test_every_cell_is_filled() -> None:
    assert {state: set(row) for state, row in TABLE.items()} == {state: set(Kind) for state in State}


def table_of_the_page() -> dict[tuple[State, Kind], set[Effect]]:
    section = POLICY_PAGE.partition("## What several words come to")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \|(.+)\|$", section, re.MULTILINE)
    return {
        (State(state), kind): {Effect(name) for name in re.findall(r"`([a-z_]+)`", cell)}
        for state, cells in rows
        for kind, cell in zip(Kind, cells.split("|"), strict=True)
    }


def reachable(state: State, kind: Kind) -> set[Effect]:
    """Return every effect of a cell, over all records and words that differ for it."""
    records = [
        record(state, *words, until=until, approved=approved, cap_of=cap_of, rule=rule, tried_again=tried_again)
        for words in (
            [],
            [ban()],
            [ban("public")],
            [ban(), ban("isp", 3)],
            [ban(), hold()],
            [ban("isp", 3), ban("desk", 30)],
        )
        for until in (7, 30)
        for approved in (False, True)
        for cap_of in ("", "desk")
        for tried_again in (False, True)
        for rule in ("review", "drift")
    ]
    words = [
        Word(kind, day(1), source, day(until), rule="review", may_ban=may_ban, lifts=lifts)
        for source in ("desk", "public")
        for until in (3, 9)
        for may_ban in (False, True)
        for lifts in (False, True)
    ]
    return {decide(before, word).effect for before in records for word in words}


def test_the_table_of_the_page_is_the_table_of_the_code() -> None:
    page = table_of_the_page()
    assert page.keys() == {(state, kind) for state in State for kind in Kind}
    for (state, kind), effects in page.items():
        assert reachable(state, kind) == effects, (state, kind)


# --- former surprises ----------------------------------------------------------------------------------------------


def test_a_later_end_extends_and_an_earlier_one_never_shortens() -> None:
    longer = decide(record(State.IN_FORCE, ban()), ban("isp", 30))
    assert (longer.effect, longer.until) == (Effect.EXTEND, day(30))
    shorter = decide(record(State.IN_FORCE, ban()), ban("isp", 1))
    assert (shorter.effect, shorter.until) == (Effect.ADD, day(7))


def test_a_source_that_says_again_what_it_said_changes_nothing() -> None:
    assert decide(record(State.IN_FORCE, ban()), ban(said=1)).effect is Effect.NOTHING


def test_a_report_that_would_be_banned_by_itself_takes_a_url_out_of_its_hold() -> None:
    held = after(Record(), hold(until=30))
    released = decide(held, ban("desk", 3))
    assert (released.effect, released.until) == (Effect.RELEASE, day(3))


def test_a_hold_by_the_cap_of_a_source_is_not_left_by_that_source_saying_it_again() -> None:
    held = after(Record(), hold("desk", rule="source_cap"))
    assert decide(held, ban("desk")).effect is Effect.ADD
    assert decide(held, ban("isp")).effect is Effect.RELEASE


def test_a_refusal_stands_against_the_sources_that_had_spoken_and_asks_a_person_about_another_once() -> None:
    refused = record(State.REFUSED, ban(), until=30)
    assert decide(refused, ban(said=1)).effect is Effect.SUPPRESS
    assert decide(refused, ban("public", may_ban=False)).effect is Effect.SUPPRESS
    asked = decide(refused, ban("isp"))
    assert (asked.effect, asked.rule) == (Effect.HOLD, "decided_before")
    assert decide(record(State.REFUSED, ban(), until=30, asked=("isp",)), ban("isp")).effect is Effect.SUPPRESS


def test_a_withdrawal_moves_the_end_back_to_that_of_the_words_that_are_left() -> None:
    both = record(State.IN_FORCE, ban("isp", 3), ban("desk", 30), until=30)
    shorter = decide(both, withdrawal("desk"))
    assert (shorter.effect, shorter.until, [word.source for word in shorter.words]) == (Effect.SHORTEN, day(3), ["isp"])


@pytest.mark.parametrize(
    ("lifts", "approved", "effect"),
    [(True, False, Effect.LIFT), (False, False, Effect.HOLD), (True, True, Effect.HOLD)],
)
def test_the_last_withdrawal_lifts_only_where_the_source_may_and_no_person_approved(
    lifts: bool, approved: bool, effect: Effect
) -> None:
    banned = record(State.IN_FORCE, ban(), approved=approved)
    assert decide(banned, withdrawal(lifts=lifts)).effect is effect


def test_a_withdrawal_takes_back_only_what_was_said_no_later() -> None:
    assert decide(record(State.IN_FORCE, ban(said=2)), withdrawal(said=1)).effect is Effect.NOTHING


def test_a_withdrawal_that_comes_first_keeps_what_it_withdraws_from_being_banned() -> None:
    marked = after(Record(), withdrawal(said=1))
    assert decide(marked, ban(said=0)).effect is Effect.NOTHING
    assert decide(marked, ban(said=2)).effect is Effect.BAN


def test_the_words_of_a_seventeenth_source_count_as_one_that_stays() -> None:
    words: tuple[SourceWord, ...] = ()
    for number in range(SOURCES_KEPT + 3):
        words = added(words, ban(f"s{number:02}", number + 1))
    assert len(words) == SOURCES_KEPT + 1
    assert max(word.until for word in words) == day(SOURCES_KEPT + 3)


# --- order ----------------------------------------------------------------------------------------------------------

REPORTS = st.lists(
    st.builds(
        lambda source, kind, until, said: Word(
            kind, day(said), f"s{source}", day(until), rule="review", may_ban=kind is Kind.BAN
        ),
        st.integers(0, 5),
        st.sampled_from([Kind.BAN, Kind.HOLD]),
        st.integers(1, 60),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=10_000, deadline=None)
@given(REPORTS, st.randoms(use_true_random=False))
def test_any_order_of_the_same_reports_ends_in_the_same_state_end_and_words(reports: list[Word], dice: object) -> None:
    shuffled = list(reports)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = reduce(after, reports, Record()), reduce(after, shuffled, Record())
    assert (one.state, one.until, one.words) == (other.state, other.until, other.words)
