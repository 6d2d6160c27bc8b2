"""Alarms and the dashboard watch what is really emitted: with another name or dimension they would never ring."""

from __future__ import annotations

import ast
import json
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from chalicelib.domain import errors, export_calendar
from chalicelib.observe import ABOUT, HEARTBEATS, METRICS, NAMESPACE, REPEAT_AFTER, TROUBLES, Observer, Severity
from chalicelib.pipeline.archive import ledger
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
CODES = {each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.InputError)}
VALUES = {
    "kind": KINDS,
    "state": {"succeeded", "failed"},
    "action": {"ban", "unban"},
    "code": CODES,
    "severity": set(Severity),
}
"""Dimension → the values with which the code emits it."""


def emitted(capsys: pytest.CaptureFixture[str], emit: Observer, event: str, **fields: Any) -> list[dict[str, Any]]:
    """Emit an event; return the records of metrics that it wrote."""
    emit(event, **fields)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]


def series_of(records: list[dict[str, Any]]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return each metric of the records with its dimensions."""
    return [
        (metric["Name"], tuple((name, record[name]) for name in names))
        for record in records
        for directive in record["_aws"]["CloudWatchMetrics"]
        for names in directive["Dimensions"]
        for metric in directive["Metrics"]
    ]


@pytest.fixture
def emit(monkeypatch: pytest.MonkeyPatch) -> Observer:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "edgeban")  # config.json sets it on every function.
    return Observer(Logger(service="edgeban"), stage="prod")


def test_a_metric_has_the_one_dimension_by_which_it_is_read(capsys: pytest.CaptureFixture[str], emit: Observer) -> None:
    records = emitted(capsys, emit, "vendor_error", account="huawei-main", kind="unavailable", problem="x")
    assert series_of(records) == [
        ("VendorErrors", (("stage", "prod"), ("kind", "unavailable"))),
        ("VendorCallsFailed", (("stage", "prod"),)),
    ]
    assert {directive["Namespace"] for each in records for directive in each["_aws"]["CloudWatchMetrics"]} == {
        NAMESPACE
    }
    assert records[0]["VendorErrors"] == [1.0]


def test_a_count_of_nothing_is_no_metric(capsys: pytest.CaptureFixture[str], emit: Observer) -> None:
    """A metric costs money in each hour in which it has a value, a 0 too."""
    quiet = {"chunks_waiting": 0, "tasks_submitting": 0, "chunks_held": 2, "oldest_waiting": 0.0, "paused": 0}
    records = emitted(capsys, emit, "account_swept", account="huawei-main", holds_overdue=0, **quiet)
    assert series_of(records) == [("ChunksHeld", (("stage", "prod"),))]


def test_a_metric_whose_silence_rings_is_written_even_where_it_is_0(
    capsys: pytest.CaptureFixture[str], emit: Observer
) -> None:
    assert series_of(emitted(capsys, emit, "ledger_checked", late=0)) == [("LedgerDaysLate", (("stage", "prod"),))]
    silent = {each["MetricName"] for each in OURS.values() if each["TreatMissingData"] == "breaching"}
    assert silent == HEARTBEATS


def test_a_trouble_rings_by_its_severity_and_stands_in_the_log_with_its_cause(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, emit: Observer
) -> None:
    records = emitted(capsys, emit, "configuration_refused", kind="policy", problem="x")
    (line,) = caplog.records
    assert (vars(line)["trouble"], line.levelname, vars(line)["problem"]) == ("configuration_refused", "WARNING", "x")
    assert series_of(records) == [
        ("Trouble", (("stage", "prod"), ("severity", "now"))),
        ("Trouble", (("stage", "prod"), ("cause", "configuration_refused"))),
    ]


def test_a_field_of_0_is_no_trouble(capsys: pytest.CaptureFixture[str], emit: Observer) -> None:
    assert emitted(capsys, emit, "exports_run", accounts=1, late=0, failed=0, overdue=0) == []


def test_the_same_trouble_rings_again_after_hours_and_another_one_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """While an alarm stays on, nobody hears of the next trouble."""
    time = [1_000_000.0]
    emit = Observer(Logger(service="edgeban"), stage="prod", clock=lambda: time[0])

    def rings(**about: str) -> bool:
        return bool(emitted(capsys, emit, "vendor_refuses", **about))

    assert rings(account="huawei-main", kind="access_refused")
    time[0] += 60
    assert not rings(account="huawei-main", kind="access_refused")
    assert rings(account="huawei-main", kind="quota_exceeded")
    assert rings(account="huawei-asia", kind="access_refused")
    time[0] += REPEAT_AFTER
    assert rings(account="huawei-main", kind="access_refused")


def test_every_trouble_is_emitted_with_what_it_is_about() -> None:
    """Without one of these fields, all troubles of a cause would ring as one."""
    alone = {"exports_run", "ledger_day_lost"}  # These are about the stage, or about a day alone.
    for event, troubles in TROUBLES.items():
        fields = FIELDS_BY_EVENT.get(event, set())
        assert fields, f"nothing emits {event}"
        assert event in alone or fields & set(ABOUT) or "**" in fields, f"{event} says nothing of what it is about"
        for trouble in troubles:
            assert trouble.field == "1" or trouble.field in fields, f"{event} lacks {trouble.field}"


def test_every_metric_is_read_by_an_alarm_or_a_graph() -> None:
    """A metric that nobody reads costs $0.30 a month; the log line has its value."""
    read = {(each["MetricName"], each["Dimensions"][-1]["Name"]) for each in OURS.values()}
    read |= {(row[1], [each for each in row[2:] if isinstance(each, str)][-1 if len(row) < 6 else 1]) for row in GRAPHS}
    written = {(metric.name, metric.by or "stage") for metrics in METRICS.values() for metric in metrics}
    assert {name for name, _ in written - read} == set()


def test_the_list_of_troubles_reads_the_log_of_every_function() -> None:
    (query,) = [w["properties"]["query"]["Fn::Sub"] for w in WIDGETS if w["type"] == "log"]
    read = set(re.findall(r"SOURCE '/aws/lambda/edgeban-\$\{Stage\}-(\w+)'", query))
    assert read == {RESOURCES[name]["Properties"]["FunctionName"]["Fn::Sub"].rpartition("-")[2] for name in FUNCTIONS}
    assert "ispresent(trouble)" in query


def test_every_event_with_metrics_is_emitted_with_the_fields_that_hold_their_values() -> None:
    for event, metrics in METRICS.items():
        assert event in FIELDS_BY_EVENT, f"nothing emits {event}"
        fields = {field for metric in metrics for field in (metric.field, metric.by) if field not in {"1", ""}}
        assert fields <= FIELDS_BY_EVENT[event] or "**" in FIELDS_BY_EVENT[event], (
            f"{event} lacks {fields - FIELDS_BY_EVENT[event]}"
        )


def test_no_event_is_told_with_a_field_that_logging_keeps_for_itself() -> None:
    """Logging would raise in the middle of the work."""
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
    written = {known.by for metrics in METRICS.values() for known in metrics if known.name == metric}
    written |= {"severity", "cause"} if metric == "Trouble" else set()
    assert written, f"nothing emits {metric}"
    assert dimensions.pop("stage") == {"Ref": "Stage"}
    assert (next(iter(dimensions), "")) in written, f"{metric} is emitted by {written}"
    assert all(value in VALUES[name] for name, value in dimensions.items())
    assert len(dimensions) <= 1


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_rings_somewhere_and_says_what_is_wrong(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert alarm["AlarmDescription"].endswith(".")
    assert alarm["TreatMissingData"] in {"notBreaching", "breaching"}


def test_every_function_has_an_alarm_on_its_errors() -> None:
    """Errors of the API's functions are its 5xx; where archive_ledger fails, its day is late or the metric silent."""
    otherwise = {"APIHandler": "ApiServerErrorsAlarm", "ReceiveReport": "ApiServerErrorsAlarm"}
    otherwise["ArchiveLedger"] = "LedgerLateAlarm"
    watched = {
        alarm["Dimensions"][0]["Value"]["Ref"]
        for alarm in ALARMS.values()
        if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    }
    assert watched == FUNCTIONS - otherwise.keys()
    assert set(otherwise.values()) <= ALARMS.keys()


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
    """A schedule that is switched off makes no errors."""
    assert {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"} == {
        "SweepSilentAlarm",
        "LedgerLateAlarm",
    }


def said() -> dict[str, str]:
    """Return, for each alarm, the words with its number that its message must have."""

    def tries(queue: str) -> str:
        return f"{RESOURCES[queue]['Properties']['RedrivePolicy']['maxReceiveCount']:,} times"

    words = {
        "ReportsDeadLettersAlarm": tries("ReportsQueue"),
        "SubmitDeadLettersAlarm": tries("SubmitQueue"),
        "MassUnbanAlarm": f"Over {ALARMS['MassUnbanAlarm']['Threshold']:,} URLs",
        "RefusedSignaturesAlarm": f"Over {ALARMS['RefusedSignaturesAlarm']['Threshold']} requests in 5 minutes",
        "ExportsLateAlarm": f" {export_calendar.LATE // timedelta(hours=1)} hours after its end",
        "LedgerLateAlarm": f" {ledger.LATE // timedelta(hours=1)} hours after its end",
    }
    for name, alarm in ALARMS.items():
        minutes = alarm["EvaluationPeriods"] * alarm["Period"] // 60
        if name in {"ReportsWaitAlarm", "SubmitWaitAlarm", "BansWaitAlarm"}:
            words[name] = f"over {alarm['Threshold'] // 60} minutes"
        elif name in {"PausedAlarm", "SweepSilentAlarm"}:
            words[name] = f"for {minutes} minutes"
        elif name not in words and "DatapointsToAlarm" in alarm and alarm["Period"] == 60 and alarm["Threshold"] == 0:
            words[name] = f"in {alarm['DatapointsToAlarm']} of {minutes} minutes"
    return words


@pytest.mark.parametrize(
    "name", [name for name, alarm in ALARMS.items() if re.search(r"\d", alarm["AlarmDescription"])]
)
def test_an_alarm_says_the_number_at_which_it_rings(name: str) -> None:
    """A person who is woken reads this message first."""
    assert said()[name] in ALARMS[name]["AlarmDescription"]
