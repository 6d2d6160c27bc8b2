"""A stage without reports costs at most $10 a month, counted from its template and from its own idle runs."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from bench.idle import HOURS, MOST, idle, schedules
from chalicelib.observe import Observer
from dev.fakes.api import Api
from dev.fakes.objects import MemoryObjects
from dev.fakes.rows import MemoryRows
from dev.package import ROOT, package
from dev.preflight import SECRETS


@pytest.fixture(scope="module")
def resources() -> dict[str, dict[str, Any]]:
    python = ROOT / ".venv-aws" / "bin" / "python"
    command = [str(python), "dev/sam_transform.py", str(package("prod") / "sam.json")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    transformed: dict[str, dict[str, Any]] = json.loads(done.stdout)["Resources"]
    return transformed


@pytest.fixture
def bill(api: Api, resources: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Run each scheduled function twice with nothing to do; count what the second run writes and reads."""
    api.services.emit = Observer(Logger(service="edgeban"), stage="prod")
    api.services.objects = MemoryObjects()
    rows = api.world.rows
    assert isinstance(rows, MemoryRows)
    runs, metrics, reads = schedules(resources), [], {}
    for name in runs:
        function = resources[name]["Properties"]["FunctionName"]["Fn::Sub"].rpartition("-")[2]
        event = api.client.events.generate_cw_event("aws.events", "Scheduled Event", {}, [])
        for _ in range(2):
            capsys.readouterr()
            rows.units.clear()
            api.client.lambda_.invoke(function, event)
        assert not rows.units["written"], f"{function} writes rows though nothing happens"
        reads[name] = rows.units["halves read"] / 2
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
        metrics += [
            (metric["Name"], runs[name])
            for record in records
            for directive in record["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        ]
    assert "LedgerDaysLate" in dict(metrics), "the runs write what their alarms watch for"
    return idle(resources, metrics, reads, len(SECRETS))


def test_an_idle_stage_costs_at_most_ten_dollars_a_month(bill: dict[str, float]) -> None:
    assert sum(bill.values()) <= MOST, bill


def test_the_page_on_cost_shows_what_is_counted(bill: dict[str, float]) -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    lines = re.findall(r"^\| ([a-z' ]+?) \| (\d+\.\d\d) \|", page, re.MULTILINE)
    shown = {what: float(dollars) for what, dollars in lines}
    expected = {what: pytest.approx(dollars, abs=0.0051) for what, dollars in bill.items() if dollars >= 0.005}
    assert shown == {**expected, "together": pytest.approx(sum(bill.values()), abs=0.0051)}


def test_every_schedule_is_counted(resources: dict[str, dict[str, Any]]) -> None:
    runs = schedules(resources)
    assert len(runs) == len([each for each in resources.values() if each["Type"] == "AWS::Events::Rule"])
    assert min(runs.values()) >= HOURS // 24


def test_a_metric_more_costs_thirty_cents_and_an_alarm_more_ten(resources: dict[str, dict[str, Any]]) -> None:
    reads = dict.fromkeys(schedules(resources), 0.0)
    before = idle(resources, [], reads, 3)
    alarm = {"Type": "AWS::CloudWatch::Alarm", "Properties": {}}
    after = idle({**resources, "Another": alarm}, [("M", 60 * HOURS)], reads, 3)
    assert after["alarms"] - before["alarms"] == pytest.approx(0.10)
    assert after["metrics"] - before["metrics"] == pytest.approx(0.30)
