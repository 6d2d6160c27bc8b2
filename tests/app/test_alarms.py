"""Alarms on our own metrics watch what is really emitted: a name or a dimension beside it would never alarm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from chalicelib.observe import METRICS, NAMESPACE, Observer
from dev.package import ROOT

RESOURCES = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
OURS = {
    name: each["Properties"]
    for name, each in RESOURCES.items()
    if each.get("Type") == "AWS::CloudWatch::Alarm" and each["Properties"].get("Namespace") == NAMESPACE
}


def emitted(event: str, capsys: pytest.CaptureFixture[str], **fields: Any) -> dict[str, Any]:
    Observer(Logger(service="edgeban"))(event, **fields)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    record: dict[str, Any] = lines[-1]
    return record


def test_outcomes_given_up_raise_an_alarm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "edgeban")  # as config.json sets it on every function
    record = emitted("outcome_given_up", capsys, report_id="r-1", source="desk", attempts=30)
    (metrics,) = record["_aws"]["CloudWatchMetrics"]
    alarm = OURS["OutcomesGivenUpAlarm"]
    assert metrics["Namespace"] == alarm["Namespace"]
    assert [each["Name"] for each in metrics["Metrics"]] == [alarm["MetricName"]]
    assert metrics["Dimensions"] == [[each["Name"] for each in alarm["Dimensions"]]]
    assert all(record[each["Name"]] == each["Value"] for each in alarm["Dimensions"])


def test_every_alarm_watches_a_metric_that_exists() -> None:
    known = {name for metrics in METRICS.values() for name, _, _ in metrics}
    assert {name: each["MetricName"] for name, each in OURS.items() if each["MetricName"] not in known} == {}
