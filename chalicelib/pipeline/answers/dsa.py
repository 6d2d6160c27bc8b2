"""Statements of reasons in the shape of the Commission's transparency database (``POST /api/v1/statements``).

``domain/policy/statement.py`` names the source of the field names, enumerations and limits. The database also requires
the day on which the content was put up (``content_date``), which edgeban cannot know. It writes the day of the report,
on which the content was there already, and the facts say so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from chalicelib.domain.policy.statement import Ground, Notice
from chalicelib.pipeline.answers.statements import Statement

BATCH: Final = 100
"""How many statements the database takes in one call."""

CONTENT: Final = "Resource served at a URL through a content delivery network"
UNKNOWN_AGE: Final = (
    "It is not known when the content was put up: the content date is the day on which it was reported or found."
)

SOURCE_TYPES: Final = {
    Notice.ARTICLE_16: "SOURCE_ARTICLE_16",
    Notice.TRUSTED_FLAGGER: "SOURCE_TRUSTED_FLAGGER",
    Notice.OTHER: "SOURCE_TYPE_OTHER_NOTIFICATION",
    Notice.VOLUNTARY: "SOURCE_VOLUNTARY",
}


def shaped(statement: Statement) -> dict[str, Any] | None:
    """Return a statement in the shape of the database; ``None`` if the policy does not say all that it needs.

    The URL is not in it: the database is public, and a URL may hold personal data. ``puid`` leads back to the URL.
    """
    ground, source, rules = statement.ground, statement.source, statement.rules
    if ground is None or source is None or rules is None:
        return None
    document: dict[str, Any] = {
        "puid": statement.puid,
        "decision_visibility": ["DECISION_VISIBILITY_CONTENT_DISABLED"],
        "application_date": _day(statement.applied_at),
        "content_date": _day(statement.notified_at or statement.applied_at),
        "content_type": ["CONTENT_TYPE_OTHER"],
        "content_type_other": CONTENT,
        "category": ground.dsa_category,
        "territorial_scope": list(rules.territorial_scope),
        "decision_facts": f"{statement.facts} {UNKNOWN_AGE}",
        "source_type": SOURCE_TYPES[source.notice],
        "automated_detection": "Yes" if source.automated_detection else "No",
        "automated_decision": (
            "AUTOMATED_DECISION_FULLY" if statement.automated_decision else "AUTOMATED_DECISION_NOT_AUTOMATED"
        ),
    }
    if statement.until is not None:
        document["end_date_visibility_restriction"] = _day(statement.until)
    if ground.ground is Ground.ILLEGAL:
        document["decision_ground"] = "DECISION_GROUND_ILLEGAL_CONTENT"
        document["illegal_content_legal_ground"] = ground.basis
        document["illegal_content_explanation"] = ground.explanation
    else:
        document["decision_ground"] = "DECISION_GROUND_INCOMPATIBLE_CONTENT"
        document["incompatible_content_ground"] = ground.basis
        document["incompatible_content_explanation"] = ground.explanation
    return document


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"
