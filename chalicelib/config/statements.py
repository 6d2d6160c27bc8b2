"""The parts of the policy document that statements of reasons need. docs/policy.md describes every field."""

from __future__ import annotations

from chalicelib.config.fields import Fields
from chalicelib.domain.policy.statement import (
    DSA_CATEGORIES,
    EEA,
    EU,
    LONGEST_BASIS,
    LONGEST_EXPLANATION,
    LONGEST_REDRESS,
    CategoryStatement,
    Ground,
    Notice,
    SourceStatement,
    StatementRules,
)

GROUPS = {"EU": EU, "EEA": EEA}
"""The words in ``territorial_scope`` that stand for several countries."""


def of_category(category: Fields, default: CategoryStatement | None = None) -> CategoryStatement | None:
    """Read ``statement`` of a category; ``default`` if it has none. All functions here raise ConfigurationError."""
    if "statement" not in category:
        return default
    fields = category.nested("statement").only(CategoryStatement._fields)
    return CategoryStatement(
        ground=Ground(fields.choice("ground", Ground)),
        basis=_written(fields, "basis", LONGEST_BASIS, "name the law or the clause of your terms that bans rest on"),
        explanation=_written(fields, "explanation", LONGEST_EXPLANATION, "say why such content falls under the basis"),
        dsa_category=fields.choice("dsa_category", DSA_CATEGORIES),
    )


def of_source(source: Fields) -> SourceStatement | None:
    """Read ``statement`` of a source; ``None`` if it has none."""
    if "statement" not in source:
        return None
    fields = source.nested("statement").only(SourceStatement._fields)
    if "automated_detection" not in fields:
        remedy = "write true if the source finds URLs by automated means, false if people find them"
        fields.refuse("automated_detection", "is missing", remedy)
    return SourceStatement(Notice(fields.choice("notice", Notice)), fields.flag("automated_detection"))


def of_policy(policy: Fields) -> StatementRules | None:
    """Read ``statement`` of the policy itself; ``None`` if it has none."""
    if "statement" not in policy:
        return None
    fields = policy.nested("statement").only(StatementRules._fields)
    countries: set[str] = set()
    for index, name in enumerate(fields.strings("territorial_scope")):
        if name not in GROUPS and name not in EEA:
            remedy = f"write EU, EEA, or a country of the EEA: {', '.join(EEA)}"
            fields.refuse(f"territorial_scope[{index}]", f"is {fields.shown(name)}", remedy)
        countries.update(GROUPS.get(name, (name,)))
    if not countries:
        fields.refuse("territorial_scope", "is empty", 'list the countries in which bans hold, such as ["EEA"]')
    redress = _written(fields, "redress", LONGEST_REDRESS, "say how whom a ban touches may object, and by when")
    return StatementRules(tuple(sorted(countries)), redress)


def _written(fields: Fields, name: str, longest: int, remedy: str) -> str:
    text = fields.text(name, "", longest=longest).strip()
    if not text:
        fields.refuse(name, "is missing or empty", remedy)
    return text
