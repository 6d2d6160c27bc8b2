"""What the policy says for statements of reasons (Article 17 of Regulation (EU) 2022/2065), and its words. Pure.

The Commission's words and limits are those of its transparency database, whose source is public: rules of the API in
``GroupedSubmissionsService.php``, enumerations in ``Statement.php`` and ``EuropeanCountriesService.php`` of
https://github.com/digital-services-act/transparency-database (schema in force since July 2025).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Ground(StrEnum):
    """On what a ban rests."""

    ILLEGAL = "illegal_content"
    """Article 17(3)(d): the content is held to be illegal."""
    INCOMPATIBLE = "incompatible_content"
    """Article 17(3)(e): the content breaks the terms of the service."""


class Notice(StrEnum):
    """What made the provider look at the content."""

    ARTICLE_16 = "article_16"
    TRUSTED_FLAGGER = "trusted_flagger"
    OTHER = "other_notification"
    VOLUNTARY = "voluntary"
    """The provider looked by itself."""


class CategoryStatement(NamedTuple):
    """What a category says: ``basis`` is the law or the clause, ``explanation`` why the content falls under it."""

    ground: Ground
    basis: str
    explanation: str
    dsa_category: str


class SourceStatement(NamedTuple):
    """What a source's reports are, and whether the source finds content by automated means."""

    notice: Notice
    automated_detection: bool


class StatementRules(NamedTuple):
    """What every statement says: the countries in which bans hold, and how a person may object."""

    territorial_scope: tuple[str, ...]
    redress: str


LONGEST_BASIS: Final = 500
LONGEST_EXPLANATION: Final = 2_000
"""Characters that the database takes."""

LONGEST_REDRESS: Final = 2_000
"""Characters; the database has no such field."""

EU: Final = (
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
    *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
)
EEA: Final = tuple(sorted((*EU, "IS", "LI", "NO")))
"""The countries that ``territorial_scope`` may name."""

DSA_CATEGORIES: Final = tuple(
    f"STATEMENT_CATEGORY_{name}"
    for name in (
        "ANIMAL_WELFARE",
        "CONSUMER_INFORMATION",
        "CYBER_VIOLENCE",
        "CYBER_VIOLENCE_AGAINST_WOMEN",
        "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        "ILLEGAL_OR_HARMFUL_SPEECH",
        "INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        "NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
        "NOT_SPECIFIED_NOTICE",
        "OTHER_VIOLATION_TC",
        "PROTECTION_OF_MINORS",
        "RISK_FOR_PUBLIC_SECURITY",
        "SCAMS_AND_FRAUD",
        "SELF_HARM",
        "UNSAFE_AND_PROHIBITED_PRODUCTS",
        "VIOLENCE",
    )
)
