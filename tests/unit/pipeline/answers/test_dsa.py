"""The Commission's rules take every statement in its shape, whatever happened and whatever the policy says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.config.policy import parse
from chalicelib.domain.policy.statement import (
    DSA_CATEGORIES,
    EEA,
    CategoryStatement,
    Ground,
    Notice,
    SourceStatement,
    StatementRules,
)
from chalicelib.pipeline.answers.dsa import shaped
from chalicelib.pipeline.answers.statements import Statement
from dev.fakes.operations import CATEGORY_STATEMENT, STATING
from dev.fakes.world import POLICY
from dev.simulators.transparency_rules import CATEGORIES, COUNTRIES, problems

MOMENTS = st.datetimes(datetime(2020, 1, 2), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001, given UTC


def texts(longest: int) -> st.SearchStrategy[str]:
    """Return texts as the policy takes them."""
    return st.text(min_size=1, max_size=longest).map(str.strip).filter(bool)


GROUNDS = st.builds(
    CategoryStatement, st.sampled_from(Ground), texts(500), texts(2000), st.sampled_from(DSA_CATEGORIES)
)
RULES = st.builds(StatementRules, st.sets(st.sampled_from(EEA), min_size=1).map(sorted).map(tuple), texts(2000))
STATEMENTS = st.builds(
    Statement,
    puid=st.from_regex(r"edgeban-[0-9a-f]{32}", fullmatch=True),
    url=st.just("https://www.example.com/"),
    account=st.text(),
    report=st.text(),
    chunk=st.text(),
    category=st.text(),
    rule=st.text(),
    decided_at=MOMENTS,
    applied_at=MOMENTS,
    until=st.none() | MOMENTS,
    decided_until=st.none() | MOMENTS,
    notified_at=st.none() | MOMENTS,
    automated_decision=st.booleans(),
    facts=texts(600),
    ground=GROUNDS,
    source=st.builds(SourceStatement, st.sampled_from(Notice), st.booleans()),
    rules=RULES,
    words_since=st.none() | MOMENTS,
    missing=st.just(()),
)


@given(STATEMENTS)
def test_every_complete_statement_is_one_that_the_database_takes(statement: Statement) -> None:
    document = shaped(statement)
    assert document
    assert problems(document) == {}


def test_the_policy_knows_the_databases_words_and_no_others() -> None:
    assert set(DSA_CATEGORIES) == CATEGORIES
    assert set(EEA) == COUNTRIES


RIGHT: dict[str, Any] = {
    "puid": "edgeban-1",
    "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
    "application_date": "2026-01-15",
    "content_date": "2026-01-15",
    "content_type": ["CONTENT_TYPE_OTHER"],
    "content_type_other": "page",
    "category": "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    "decision_facts": "facts",
    "source_type": "SOURCE_ARTICLE_16",
    "automated_detection": "No",
    "automated_decision": "AUTOMATED_DECISION_FULLY",
    "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "law",
    "illegal_content_explanation": "why",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, None) for field in RIGHT),
        ("puid", "with space"),
        ("puid", "x" * 501),
        ("decision_visibility", "DECISION_VISIBILITY_CONTENT_DISABLED"),
        ("decision_visibility", []),
        ("content_date", "2026-1-15"),
        ("application_date", "2019-12-31"),
        ("end_date_visibility_restriction", "2038-01-02"),
        ("category", "STATEMENT_CATEGORY_PORNOGRAPHY_OR_SEXUALIZED_CONTENT"),
        ("territorial_scope", ["US"]),
        ("decision_facts", "x" * 5001),
        ("automated_detection", True),
        ("illegal_content_explanation", "x" * 2001),
        ("decision_ground", "DECISION_GROUND_INCOMPATIBLE_CONTENT"),
        ("url", "https://www.example.com/"),
    ],
)
def test_the_check_finds_what_is_wrong(field: str, value: object) -> None:
    assert problems(RIGHT) == {}
    assert problems({**RIGHT, field: value})


def test_each_ground_has_its_own_fields() -> None:
    category = {**STATING["categories"]["default"]["statement"], "ground": "illegal_content"}
    policy = parse({**POLICY, **STATING, "categories": {"default": {"statement": category}}})
    at = datetime(2026, 1, 15, tzinfo=UTC)
    statement = Statement(
        puid="edgeban-1",
        url="https://www.example.com/",
        account="main",
        report="r-1",
        chunk="c",
        category="",
        rule="default",
        decided_at=at,
        applied_at=at,
        until=at + timedelta(days=7),
        decided_until=at + timedelta(days=7),
        notified_at=at,
        automated_decision=True,
        facts="facts",
        ground=policy.default.statement,
        source=policy.sources["desk"].statement,
        rules=policy.statement,
        words_since=at,
        missing=(),
    )
    document = shaped(statement)
    assert document
    assert document["illegal_content_legal_ground"] == CATEGORY_STATEMENT["basis"]
    assert "incompatible_content_ground" not in document
    assert document["end_date_visibility_restriction"] == "2026-01-22"
