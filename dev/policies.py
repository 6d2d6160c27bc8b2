"""Read what the functions' policies allow, as AWS does: ``.chalice/policies`` and the packaged template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dev.package import ROOT

POLICIES = ROOT / ".chalice" / "policies"


@dataclass(frozen=True, slots=True)
class Use:
    """An action as IAM names it, and the resource that it was done to.

    ``resource`` is the last part of an ARN: a table, a queue, a secret, a parameter, ``bucket/key`` or a bucket.
    ``key`` is the partition key of a row, which a policy's ``dynamodb:LeadingKeys`` speaks of.
    """

    action: str
    resource: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One action on one resource, as a policy allows it."""

    function: str
    statement: str
    action: str
    resource: str
    keys: tuple[str, ...]

    def allows(self, use: Use) -> bool:
        """Whether a use is what this allows."""
        return (
            self.action == use.action
            and fnmatchcase(use.resource, self.resource)
            and (not self.keys or any(fnmatchcase(use.key, pattern) for pattern in self.keys))
        )


def allowed_by(
    function: str, document: Mapping[str, Any], name_of: Callable[[Mapping[str, Any]], str]
) -> Iterator[Allowed]:
    """Yield what a policy's document allows; ``name_of`` names its resources as ``Use.resource`` does."""
    for rule in document["Statement"]:
        resources = rule["Resource"] if isinstance(rule["Resource"], list) else [rule["Resource"]]
        condition = rule.get("Condition", {}).get("ForAllValues:StringLike", {})
        keys = tuple(condition.get("dynamodb:LeadingKeys", ()))
        for action in rule["Action"]:
            for resource in resources:
                yield Allowed(function, rule["Sid"], action, name_of(resource), keys)


def functions() -> list[str]:
    """Name every function that has a policy."""
    return sorted(path.stem for path in POLICIES.glob("*.json"))


def allowed_to(function: str) -> list[Allowed]:
    """Return what a function's policy allows; tables, queues and buckets have their names in the template."""
    document = json.loads((POLICIES / f"{function}.json").read_text())
    return list(allowed_by(function, document, logical_name))


def logical_name(resource: Mapping[str, Any]) -> str:
    """Name a resource by its name in the template, with the rest that follows its ARN."""
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", str(resource["Fn::Sub"]))
