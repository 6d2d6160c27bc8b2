"""Alarms and the dashboard watch what is really emitted: a name or a dimension beside it would stay silent for ever."""

from __future__ import annotations

import ast
import json
import logging
import re
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from chalicelib.domain import errors
from chalicelib.observe import DIMENSIONS, METRICS, NAMESPACE, Observer
from dev.package import ROOT

RESOURCES = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
ALARMS = {name: each["Properties"] for name, each in RESOURCES.items() if each.get("Type") == "AWS::CloudWatch::Alarm"}
OURS = {name: each for name, each in ALARMS.items() if each["Namespace"] == NAMESPACE}
WIDGETS = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::ToJsonString"]["widgets"]
GRAPHS = [row for widget in WIDGETS for row in widget["properties"].get("metrics", []) if row[0] == NAMESPACE]
FUNCTIONS = {name for name, each in RESOURCES.items() if "Environment" in each.get("Properties", {})}

EMITTERS = {"emit", "_emit"}

FIELDS_BY_EVENT: dict[str, set[str]] = {}
"""Event → the fields with which the code emits it."""
for path in sorted((ROOT / "chalicelib").rglob("*.py")):
    for node in ast.walk(ast.parse(path.read_text())):
        is_emit = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in EMITTERS
        if is_emit and isinstance(node, ast.Call) and node.args:
            name = node.args[0]
            names = [name.value] if isinstance(name, ast.Constant) else []
            if isinstance(name, ast.JoinedStr):  # f"outcome_{outcome}" or f"{work}_blocked"
                parts = [re.escape(str(it.value)) if isinstance(it, ast.Constant) else r"\w+" for it in name.values]
                names = [event for event in METRICS if re.fullmatch("".join(parts), event)]
            for event in names:
                FIELDS_BY_EVENT.setdefault(str(event), set()).update(word.arg or "**" for word in node.keywords)

KINDS = {each.kind for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "kind")}
VALUES = {"kind": KINDS, "state": {"succeeded", "failed"}, "action": {"ban", "unban"}, "code": {"not_authenticated"}}


def events_of(metric: str) -> list[str]:
    return [event for event, metrics in METRICS.items() if metric in {name for name, _, _ in metrics}]


def emitted(event: str, capsys: pytest.CaptureFixture[str], **fields: Any) -> dict[str, Any]:
    Observer(Logger(service="edgeban"), stage="prod")(event, **fields)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    record: dict[str, Any] = lines[-1]
    return record


def test_a_record_counts_for_the_stage_and_again_for_each_of_its_dimensions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "edgeban")  # as config.json sets it on every function
    record = emitted("vendor_error", capsys, account="huawei-main", kind="unavailable", problem="x")
    (metrics,) = record["_aws"]["CloudWatchMetrics"]
    assert metrics["Namespace"] == NAMESPACE
    assert metrics["Dimensions"] == [["stage"], ["stage", "account"], ["stage", "kind"]]
    assert record["stage"] == "prod"
    assert record["VendorErrors"] == [1.0]


def test_every_event_with_metrics_is_emitted_with_the_fields_that_hold_their_values() -> None:
    for event, metrics in METRICS.items():
        assert event in FIELDS_BY_EVENT, f"nothing emits {event}"
        fields = {source for _, source, _ in metrics if source != "1"}
        assert fields <= FIELDS_BY_EVENT[event] or "**" in FIELDS_BY_EVENT[event], (
            f"{event} lacks {fields - FIELDS_BY_EVENT[event]}"
        )


def test_no_event_is_told_with_a_field_that_logging_keeps_for_itself() -> None:
    """It would raise in the middle of the work."""
    kept = {*vars(logging.makeLogRecord({})), "message", "asctime"}
    assert {event: fields & kept for event, fields in FIELDS_BY_EVENT.items() if fields & kept} == {}


@pytest.mark.parametrize("name", OURS)
def test_every_alarm_of_ours_watches_a_metric_with_just_these_dimensions(name: str) -> None:
    alarm = OURS[name]
    dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
    _is_emitted(alarm["MetricName"], dimensions)


@pytest.mark.parametrize("row", GRAPHS, ids=lambda row: "-".join(each for each in row if isinstance(each, str)))
def test_every_graph_of_ours_shows_a_metric_with_just_these_dimensions(row: list[Any]) -> None:
    dimensions: list[Any] = [each for each in row[2:] if not isinstance(each, dict) or "Ref" in each]
    _is_emitted(row[1], dict(zip(dimensions[::2], dimensions[1::2], strict=True)))


def _is_emitted(metric: str, dimensions: dict[str, Any]) -> None:
    events = events_of(metric)
    assert events, f"nothing emits {metric}"
    assert dimensions.pop("stage") == {"Ref": "Stage"}
    assert len(dimensions) <= 1, "a record is counted by one dimension beside the stage"
    for name, value in dimensions.items():
        assert name in DIMENSIONS
        assert value in VALUES[name]
        assert any(name in FIELDS_BY_EVENT[event] for event in events), f"{metric} is emitted without {name}"


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_rings_somewhere_and_says_what_is_wrong(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert alarm["AlarmDescription"].endswith(".")
    assert alarm["TreatMissingData"] in {"notBreaching", "breaching"}


def test_every_function_has_an_alarm_on_its_errors() -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Ref"]
        for alarm in ALARMS.values()
        if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    }
    assert watched == FUNCTIONS


def test_every_queue_has_an_alarm() -> None:
    watched = {
        (alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0], alarm["MetricName"])
        for alarm in ALARMS.values()
        if alarm["Namespace"] == "AWS/SQS"
    }
    assert watched == {
        ("ReportsQueue", "ApproximateAgeOfOldestMessage"),
        ("SubmitQueue", "ApproximateAgeOfOldestMessage"),
        ("ReportsDeadLetters", "ApproximateNumberOfMessagesVisible"),
        ("SubmitDeadLetters", "ApproximateNumberOfMessagesVisible"),
    }


def test_silence_is_an_alarm_where_nothing_else_would_tell() -> None:
    """A schedule that was switched off makes no errors."""
    assert {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"} == {
        "SweepSilentAlarm",
        "LedgerLateAlarm",
    }
