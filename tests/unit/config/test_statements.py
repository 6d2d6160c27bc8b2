"""The policy's texts for statements of reasons are read whole, or refused by their path with the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.statement import EEA, EU, Ground, Notice, SourceStatement, StatementRules
from dev.fakes.operations import CATEGORY_STATEMENT, STATEMENT

ACCOUNTS = {"main": {"managed_domains": ["*.example.com"]}}


def policy_of(**fields: Any) -> Policy:
    return parse({"version": 1, "accounts": ACCOUNTS, **fields})


def test_a_policy_says_nothing_for_statements_unless_it_is_written() -> None:
    policy = policy_of(categories={"phishing": {}}, sources={"desk": {}})
    assert policy.statement is None
    assert policy.categories["phishing"].statement is None
    assert policy.sources["desk"].statement is None


def test_a_category_without_a_statement_has_that_of_the_default() -> None:
    other = {**CATEGORY_STATEMENT, "basis": "§ 3"}
    policy = policy_of(
        categories={"default": {"statement": CATEGORY_STATEMENT}, "spam": {}, "malware": {"statement": other}}
    )
    assert policy.default.statement
    assert policy.default.statement == policy.categories["spam"].statement
    assert policy.default.statement.ground is Ground.INCOMPATIBLE
    assert policy.categories["malware"].statement == policy.default.statement._replace(basis="§ 3")


def test_words_for_groups_of_countries_stand_for_each_country() -> None:
    assert policy_of(statement=STATEMENT).statement == StatementRules(EEA, STATEMENT["redress"])
    of_eu = policy_of(statement={**STATEMENT, "territorial_scope": ["EU", "DE", "NO"]}).statement
    assert of_eu
    assert of_eu.territorial_scope == tuple(sorted((*EU, "NO")))


def test_a_source_says_what_its_reports_are() -> None:
    policy = policy_of(sources={"feed": {"statement": {"notice": "trusted_flagger", "automated_detection": True}}})
    assert policy.sources["feed"].statement == SourceStatement(Notice.TRUSTED_FLAGGER, automated_detection=True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"statement": []}, "statement is []: write an object"),
        ({"statement": {"redress": "r"}}, "statement.territorial_scope is missing or null: write a list of strings"),
        ({"statement": {**STATEMENT, "territorial_scope": []}}, "statement.territorial_scope is empty: list the"),
        (
            {"statement": {**STATEMENT, "territorial_scope": ["DE", "US"]}},
            'statement.territorial_scope[1] is "US": write EU, EEA, or a country of the EEA: AT, ',
        ),
        ({"statement": {"territorial_scope": ["DE"]}}, "statement.redress is missing or empty: say how whom a ban"),
        ({"statement": {**STATEMENT, "redress": "x" * 2001}}, "statement.redress has 2,001 characters: write at most"),
        ({"statement": {**STATEMENT, "appeal": "x"}}, "statement.appeal is not a field: known are redress, terr"),
    ],
)
def test_a_wrong_statement_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(**fields)
    assert str(refused.value).startswith(f"policy: {said}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ground": "illegal"}, 'ground is "illegal": write "illegal_content" or "incompatible_content"'),
        ({"basis": " "}, "basis is missing or empty: name the law or the clause"),
        ({"basis": "x" * 501}, "basis has 501 characters: write at most 500"),
        ({"explanation": None}, "explanation is missing or null: write a string"),
        ({"explanation": "x" * 2001}, "explanation has 2,001 characters: write at most 2,000"),
        (
            {"dsa_category": "STATEMENT_CATEGORY_PORNOGRAPHY_OR_SEXUALIZED_CONTENT"},
            'dsa_category is "STATEMENT_CATEGORY_PORNOGRAPHY_OR_SEXUALIZED_CONTENT": write "STATEMENT_CATEGORY_ANIMAL',
        ),
        ({"category": "x"}, "category is not a field: known are basis, dsa_category, explanation, ground"),
    ],
)
def test_a_wrong_statement_of_a_category_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(categories={"spam": {"statement": {**CATEGORY_STATEMENT, **change}}})
    assert str(refused.value).startswith(f"policy: categories.spam.statement.{said}")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"notice": "flagger", "automated_detection": True}, 'notice is "flagger": write "article_16" or "other_'),
        ({"notice": "article_16"}, "automated_detection is missing: write true if the source finds URLs"),
        ({"notice": "article_16", "automated_detection": "no"}, 'automated_detection is "no": write true or false'),
    ],
)
def test_a_wrong_statement_of_a_source_is_refused(statement: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(sources={"desk": {"statement": statement}})
    assert str(refused.value).startswith(f"policy: sources.desk.statement.{said}")
