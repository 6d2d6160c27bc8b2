"""cfn-lint and cloudsplaining on the packaged template; `make audit` adds checkov."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dev.audit import REASONS, cfn_lint, cloudsplaining
from dev.package import package

KNOWN: dict[str, dict[str, str]] = json.loads(REASONS.read_text())


@pytest.fixture(scope="module")
def template() -> Path:
    return package("prod") / "sam.json"


def test_cfn_lint_finds_nothing_without_a_reason(template: Path) -> None:
    assert cfn_lint(template).keys() == KNOWN["cfn-lint"].keys()


def test_cfn_lint_finds_a_mistake(template: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(template.read_text())
    document["Resources"]["ReportsQueue"]["Properties"]["VisibilityTimeoutt"] = 1
    (tmp_path / "broken.json").write_text(json.dumps(document))
    assert "E3002" in cfn_lint(tmp_path / "broken.json")


@pytest.mark.filterwarnings("ignore")
def test_cloudsplaining_finds_nothing(template: Path) -> None:
    assert cloudsplaining(template) == {} == KNOWN["cloudsplaining"]


@pytest.mark.filterwarnings("ignore")
def test_cloudsplaining_finds_a_mistake(template: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(template.read_text())
    (policy,) = document["Resources"]["SweepRole"]["Properties"]["Policies"]
    policy["PolicyDocument"]["Statement"][0] |= {"Action": ["iam:PassRole", "s3:GetObject"], "Resource": "*"}
    (tmp_path / "broad.json").write_text(json.dumps(document))
    assert "allows_data_exfiltration_actions" in cloudsplaining(tmp_path / "broad.json")


@pytest.mark.parametrize(("tool", "rule"), [(tool, rule) for tool, rules in KNOWN.items() for rule in rules])
def test_every_reason_is_a_sentence(tool: str, rule: str) -> None:
    assert len(KNOWN[tool][rule].split()) >= 8
    assert KNOWN[tool][rule].endswith(".")
