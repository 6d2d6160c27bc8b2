"""The words of one version of the policy for statements of reasons, as one document that is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.statement import CategoryStatement, Ground, Notice, SourceStatement, StatementRules


@dataclass(frozen=True, slots=True)
class StatementWords:
    """The words of one version. ``categories`` has each category that it lists, by its name in lower case."""

    rules: StatementRules | None
    default: CategoryStatement | None
    categories: Mapping[str, CategoryStatement | None]
    sources: Mapping[str, SourceStatement]

    def lists(self, category: str) -> bool:
        """Return whether this version lists a category."""
        return category.lower() in self.categories

    def ground(self, category: str) -> CategoryStatement | None:
        """Return the ground of a category's bans; that of ``default`` if the category is not listed."""
        return self.categories.get(category.lower(), self.default)


def words_of(policy: Policy) -> StatementWords:
    """Return the words of a policy for statements."""
    return StatementWords(
        rules=policy.statement,
        default=policy.default.statement,
        categories={name: category.statement for name, category in policy.categories.items()},
        sources={name: rules.statement for name, rules in policy.sources.items() if rules.statement},
    )


def dump(words: StatementWords) -> dict[str, Any]:
    """Write the words as a JSON document, always in the same order."""
    return {
        "rules": words.rules,
        "default": words.default,
        "categories": dict(sorted(words.categories.items())),
        "sources": dict(sorted(words.sources.items())),
    }


def load(document: Mapping[str, Any]) -> StatementWords:
    """Undo ``dump``."""
    rules = document["rules"]
    return StatementWords(
        rules=StatementRules(tuple(rules[0]), rules[1]) if rules else None,
        default=_category(document["default"]),
        categories={name: _category(parts) for name, parts in document["categories"].items()},
        sources={name: SourceStatement(Notice(parts[0]), parts[1]) for name, parts in document["sources"].items()},
    )


def _category(parts: list[str] | None) -> CategoryStatement | None:
    return CategoryStatement(Ground(parts[0]), *parts[1:]) if parts else None
