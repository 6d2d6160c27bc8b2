"""What the documents promise is there: alarms have their headings, threats their tests, links their targets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPERATING = (ROOT / "docs" / "operating.md").read_text()
THREATS = (ROOT / "docs" / "threat-model.md").read_text()


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_alarm_has_a_heading_and_every_such_heading_an_alarm() -> None:
    resources = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
    alarms = {name for name, each in resources.items() if each.get("Type") == "AWS::CloudWatch::Alarm"}
    told = [name for heading in headings(OPERATING) for name in heading.split(", ") if name.endswith("Alarm")]
    assert sorted(told) == sorted(alarms)


def test_every_test_that_the_threat_model_names_exists() -> None:
    there = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", THREATS))
    assert len(named) > 40
    assert named - there == set()


def test_every_threat_names_a_test() -> None:
    for line in THREATS.splitlines():
        if line.startswith("| ") and not line.startswith("| could"):
            assert "`test_" in line, line


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_link_between_documents_leads_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, place = target.partition("#")
        path = ROOT / "docs" / name if name else ROOT / "docs" / page
        assert path.exists(), target
        if place:
            assert place in {anchor(each) for each in headings(path.read_text())}, target
