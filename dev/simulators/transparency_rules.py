"""What the Commission's transparency database takes of a statement of reasons, checked strictly.

Written from the rules in ``GroupedSubmissionsService.php``, ``Statement.php`` and ``EuropeanCountriesService.php`` of
https://github.com/digital-services-act/transparency-database (schema in force since July 2025), and not from what
edgeban sends: it holds tables of its own. Where the database ignores a field that it does not know, this refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit


def _words(prefix: str, names: str) -> frozenset[str]:
    return frozenset(f"{prefix}_{name}" for name in names.split())


VISIBILITIES = _words(
    "DECISION_VISIBILITY",
    "CONTENT_REMOVED CONTENT_DISABLED CONTENT_DEMOTED CONTENT_AGE_RESTRICTED CONTENT_INTERACTION_RESTRICTED "
    "CONTENT_LABELLED OTHER",
)
MONETARIES = _words("DECISION_MONETARY", "SUSPENSION TERMINATION OTHER")
PROVISIONS = _words("DECISION_PROVISION", "PARTIAL_SUSPENSION TOTAL_SUSPENSION PARTIAL_TERMINATION TOTAL_TERMINATION")
ACCOUNTS = _words("DECISION_ACCOUNT", "SUSPENDED TERMINATED")
ACCOUNT_TYPES = _words("ACCOUNT_TYPE", "BUSINESS PRIVATE")
GROUNDS = _words("DECISION_GROUND", "ILLEGAL_CONTENT INCOMPATIBLE_CONTENT")
CONTENT_TYPES = _words("CONTENT_TYPE", "APP AUDIO IMAGE PRODUCT SYNTHETIC_MEDIA TEXT VIDEO OTHER")
SOURCE_TYPES = frozenset(
    {"SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_TYPE_OTHER_NOTIFICATION", "SOURCE_VOLUNTARY"}
)
AUTOMATED_DECISIONS = _words("AUTOMATED_DECISION", "FULLY PARTIALLY NOT_AUTOMATED")
YES_NO = frozenset({"Yes", "No"})
COUNTRIES = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE"),
        *("IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)
CATEGORIES = _words(
    "STATEMENT_CATEGORY",
    "ANIMAL_WELFARE CONSUMER_INFORMATION CYBER_VIOLENCE CYBER_VIOLENCE_AGAINST_WOMEN "
    "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS ILLEGAL_OR_HARMFUL_SPEECH INTELLECTUAL_PROPERTY_INFRINGEMENTS "
    "NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS NOT_SPECIFIED_NOTICE OTHER_VIOLATION_TC PROTECTION_OF_MINORS "
    "RISK_FOR_PUBLIC_SECURITY SCAMS_AND_FRAUD SELF_HARM UNSAFE_AND_PROHIBITED_PRODUCTS VIOLENCE",
)
LAST_DAY = date(2038, 1, 1)
DECISIONS = ("decision_visibility", "decision_monetary", "decision_provision", "decision_account")

Check = Callable[[Any], str]
"""Says what is wrong with a value; nothing if it is right."""


def _one_of(words: Collection[str]) -> Check:
    return lambda value: "" if isinstance(value, str) and value in words else "is invalid"


def _some_of(words: Collection[str]) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, list):
            return "must be an array"
        return "" if value and all(isinstance(each, str) and each in words for each in value) else "is invalid"

    return check


def _text(longest: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            return "is required"
        return "" if len(value) <= longest else f"must not be greater than {longest} characters"

    return check


def _day(first: date) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            return "does not match the format YYYY-MM-DD"
        try:
            day = date.fromisoformat(value)
        except ValueError:
            return "is no date"
        return "" if first <= day <= LAST_DAY else f"must be from {first} to {LAST_DAY}"

    return check


def _puid(value: Any) -> str:
    fits = isinstance(value, str) and len(value) <= 500 and re.fullmatch(r"[a-zA-Z0-9_-]+", value)
    return "" if fits else "format is invalid"


def _url(value: Any) -> str:
    fits = isinstance(value, str) and len(value) <= 500 and urlsplit(value).scheme in {"http", "https"}
    return "" if fits else "must be a valid URL"


ANY_DAY = date(1, 1, 1)
CHECKS: dict[str, Check] = {
    "puid": _puid,
    "decision_visibility": _some_of(VISIBILITIES),
    "decision_visibility_other": _text(500),
    "decision_monetary": _one_of(MONETARIES),
    "decision_monetary_other": _text(500),
    "decision_provision": _one_of(PROVISIONS),
    "decision_account": _one_of(ACCOUNTS),
    "account_type": _one_of(ACCOUNT_TYPES),
    "decision_ground": _one_of(GROUNDS),
    "decision_ground_reference_url": _url,
    "illegal_content_legal_ground": _text(500),
    "illegal_content_explanation": _text(2000),
    "incompatible_content_ground": _text(500),
    "incompatible_content_explanation": _text(2000),
    "incompatible_content_illegal": _one_of(YES_NO),
    "content_type": _some_of(CONTENT_TYPES),
    "content_type_other": _text(500),
    "category": _one_of(CATEGORIES),
    "category_addition": _some_of(CATEGORIES),
    "territorial_scope": _some_of(COUNTRIES),
    "content_date": _day(date(2000, 1, 1)),
    "application_date": _day(date(2020, 1, 1)),
    "end_date_account_restriction": _day(ANY_DAY),
    "end_date_monetary_restriction": _day(ANY_DAY),
    "end_date_service_restriction": _day(ANY_DAY),
    "end_date_visibility_restriction": _day(ANY_DAY),
    "decision_facts": _text(5000),
    "source_type": _one_of(SOURCE_TYPES),
    "source_identity": _text(500),
    "automated_detection": _one_of(YES_NO),
    "automated_decision": _one_of(AUTOMATED_DECISIONS),
}
REQUIRED = (
    "decision_ground",
    "content_type",
    "category",
    "content_date",
    "application_date",
    "decision_facts",
    "source_type",
    "automated_detection",
    "automated_decision",
    "puid",
)


def problems(statement: object) -> dict[str, list[str]]:
    """Return what is wrong with a statement, by field; nothing if the database takes it."""
    if not isinstance(statement, Mapping):
        return {"statement": ["must be an object"]}
    found: dict[str, list[str]] = {}

    def add(field: str, problem: str) -> None:
        found.setdefault(field, []).append(f"The {field.replace('_', ' ')} {problem}.")

    given = {field: value for field, value in statement.items() if value is not None}
    for field, value in given.items():
        if field not in CHECKS:
            add(field, "is not a field")
        elif problem := CHECKS[field](value):
            add(field, problem)
    for field in (*REQUIRED, *_required_here(given)):
        if field not in given:
            add(field, "field is required")
    if not any(field in given for field in DECISIONS):
        add(DECISIONS[0], "field is required when none of the other decisions is present")
    return found


def _required_here(given: Mapping[str, Any]) -> list[str]:
    """Return the fields that the values of others require."""
    required = []
    if given.get("decision_ground") == "DECISION_GROUND_ILLEGAL_CONTENT":
        required += ["illegal_content_legal_ground", "illegal_content_explanation"]
    if given.get("decision_ground") == "DECISION_GROUND_INCOMPATIBLE_CONTENT":
        required += ["incompatible_content_ground", "incompatible_content_explanation"]
    for field, other in (("content_type", "CONTENT_TYPE_OTHER"), ("decision_visibility", "DECISION_VISIBILITY_OTHER")):
        if isinstance(given.get(field), list) and other in given[field]:
            required.append(f"{field}_other")
    if given.get("decision_monetary") == "DECISION_MONETARY_OTHER":
        required.append("decision_monetary_other")
    return required
