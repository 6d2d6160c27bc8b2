"""The documents keep their promises: alarms have headings, threats have tests, links have targets."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from chalicelib.aws.sqs import BEAT_SECONDS, HOLD_SECONDS
from chalicelib.domain.model import ChunkState, TaskState, UrlState
from chalicelib.ledger import KEEP, KEEP_DECISIONS, remaining
from chalicelib.ledger.control import AccountState
from chalicelib.ledger.export_days import DayState
from chalicelib.observe import TROUBLES, Severity
from chalicelib.pipeline.submission import failed_tasks, track, vendor_tasks
from chalicelib.pipeline.upkeep.canary import CanaryStep

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


def test_every_trouble_has_a_heading_and_every_such_heading_a_trouble() -> None:
    causes = {trouble.cause: trouble.severity for troubles in TROUBLES.values() for trouble in troubles}
    page = OPERATING.partition("\n## Troubles\n")[2]
    told = [name for heading in headings(page) for name in heading.split(", ")]
    assert sorted(told) == sorted(causes)
    now = sum(severity is Severity.NOW for severity in causes.values())
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    assert f"the first {words[now]} below" in page
    assert {causes[name] for name in told[:now]} == {Severity.NOW}


STATES: dict[str, type[StrEnum]] = {
    "url": UrlState,
    "task": TaskState,
    "chunk": ChunkState,
    "account": AccountState,
    "export day": DayState,
    "canary": CanaryStep,
}


def test_every_state_says_how_long_it_may_last_what_tells_of_it_and_the_remedy() -> None:
    section = OPERATING.partition("\n## How long each state may last\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    tells = {state: told for state, _, told, _ in rows[2:]}
    expected = {f"{kind} {state.value}" for kind, states in STATES.items() for state in states}
    stated = {state for state in tells if state.partition(" ")[0] in STATES or state.startswith("export day")}
    assert stated == expected
    assert all(how_long for _, how_long, _, _ in rows)
    resources = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
    known = {trouble.cause for troubles in TROUBLES.values() for trouble in troubles} | set(resources)
    for state, told in tells.items():
        named = set(re.findall(r"`(\w+)`", told))
        assert named or told.startswith("nothing: "), f"{state}: nobody is told"
        assert named <= known, f"{state}: there is no {named - known}"


@pytest.mark.parametrize(("page", "at_least"), [("threat-model.md", 40), ("design.md", 12)])
def test_every_test_that_a_page_names_exists(page: str, at_least: int) -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert len(named) >= at_least
    assert named - tests == set()


PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
FOLDERS = ("", "chalicelib/", "tests/", "docs/")


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|json|toml))(?:`|,)", text))
    missing = [name for name in named if not any((ROOT / folder / name).exists() for folder in FOLDERS)]
    assert [name for name in missing if "/" in name and "acme" not in name] == []  # The vendor acme is made up.


def seconds_of(value: object) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(str(value))


def test_the_numbers_of_the_ban_cycle_are_those_of_the_code_and_the_template() -> None:
    cycle = (ROOT / "docs" / "ban-cycle.md").read_text()
    stated = {
        what: float(value.replace(",", "").removesuffix(" s"))
        for what, value in re.findall(r"^\| ([a-z_' -]+?) \| ([\d,]+(?: s)?) \| `", cycle, re.MULTILINE)
    }
    resources = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
    functions = json.loads((ROOT / ".chalice" / "config.json").read_text())["lambda_functions"]
    reports, submits = resources["ReportsQueue"]["Properties"], resources["SubmitQueue"]["Properties"]
    mapping = re.search(
        r'name="intake_reports", batch_size=(\d+), maximum_batching_window_in_seconds=(\d+)',
        (ROOT / "app.py").read_text(),
    )
    assert mapping
    assert stated == {
        "intake's batching window": float(mapping[2]),
        "messages in a batch of intake": float(mapping[1]),
        "timeout of intake_reports": functions["intake_reports"]["lambda_timeout"],
        "visibility of the reports queue": reports["VisibilityTimeout"],
        "receives before the dead letters of the reports queue": reports["RedrivePolicy"]["maxReceiveCount"],
        "lease of an open chunk": seconds_of(remaining.LEASE),
        "time after the last beat until a drain is taken over": HOLD_SECONDS,
        "time between two beats of a drain": BEAT_SECONDS,
        "timeout of submit_tasks": functions["submit_tasks"]["lambda_timeout"],
        "visibility of the submit queue": submits["VisibilityTimeout"],
        "time before an unknown answer is repeated": seconds_of(vendor_tasks.LIST_LAG),
        "time until what failed alone is called again": seconds_of(failed_tasks.RETRY_AFTER),
        "time until an unlisted task counts as lost": seconds_of(track.LOST_AFTER),
        "days that claims outlive their ban": float(KEEP.days),
        "days that chunks and tasks outlive their ban": float(KEEP_DECISIONS.days),
    }


def test_few_files_and_lines_lead_from_a_webhook_to_a_confirmed_ban() -> None:
    """Code that only some URLs pass belongs into a file beside these, since a newcomer reads all of them."""
    section = (ROOT / "docs" / "ban-cycle.md").read_text().partition("## The files of one URL")[2].partition("\n## ")[0]
    named = re.findall(r"^\d+\. `([\w/]+\.py)`$", section, re.MULTILINE)
    files = [ROOT / name if name == "app.py" else ROOT / "chalicelib" / name for name in named]
    assert 15 <= len(files) <= 20
    assert sum(len(file.read_text().splitlines()) for file in files) <= 3_000


def test_every_threat_names_a_test() -> None:
    threats = [table for table in re.findall(r"(?:^\|.*\n)+", THREATS, re.MULTILINE) if table.startswith("| could")]
    assert threats
    for line in "".join(threats).splitlines():
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
