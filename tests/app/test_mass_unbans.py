"""One token that unbans a whole source is previewed and on record, and rings an alarm that leads to its owner."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from chalice.test import HTTPResponse

from chalicelib.config.operators import parse as parse_operators
from chalicelib.handlers import schedules
from chalicelib.observe import Observer
from dev.fakes.api import Api, fixed
from dev.fakes.world import pages
from dev.package import ROOT

RESOURCES = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
ALARM = RESOURCES["MassUnbanAlarm"]["Properties"]
ROLES = {"olaf": "operator", "anna": "approver"}


@pytest.fixture
def desk(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Give the API an operator and an approver, and have the functions write their metrics."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "edgeban")
    tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in ROLES}
    operators = {name: {"token_sha256": tokens[name], "role": role} for name, role in ROLES.items()}
    api.services._operators = fixed(parse_operators(operators))
    observer = Observer(Logger(service="edgeban"), stage="prod")

    def emit(event: str, /, **fields: Any) -> None:
        api.world.emit(event, **fields)
        observer(event, **fields)

    api.services.emit = emit
    return api


def ask(api: Api, who: str, path: str, **document: Any) -> HTTPResponse:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {who}"}
    return api.client.http.post(f"/v1/{path}", headers=headers, body=json.dumps(document).encode())


def banned(api: Api, count: int) -> list[str]:
    urls = pages(count)
    for start in range(0, count, 500):
        api.post({"urls": urls[start : start + 500]})
    api.settle()
    return urls


def watched(written: str) -> float:
    """Return the sum of the alarm's metric, as CloudWatch counts it from the functions' standard output."""
    wanted = {each["Name"] for each in ALARM["Dimensions"]}
    total = 0.0
    for record in [json.loads(line) for line in written.splitlines() if '"_aws"' in line]:
        for directive in record["_aws"]["CloudWatchMetrics"]:
            names = [metric["Name"] for metric in directive["Metrics"]]
            if directive["Namespace"] == ALARM["Namespace"] and ALARM["MetricName"] in names:
                assert [set(dimensions) for dimensions in directive["Dimensions"]] == [wanted]
                total += sum(record[ALARM["MetricName"]])
    return total


def rings(written: str) -> bool:
    assert (ALARM["Statistic"], ALARM["ComparisonOperator"]) == ("Sum", "GreaterThanThreshold")
    return bool(watched(written) > ALARM["Threshold"])


def test_a_source_that_one_token_unbans_is_previewed_recorded_and_rings(
    desk: Api, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    count = ALARM["Threshold"] + 1
    urls = banned(desk, count)
    capsys.readouterr()
    preview = ask(desk, "olaf", "unbans", source="desk", preview=True)
    assert (preview.json_body["urls"], preview.json_body["counted_all"]) == (count, True)
    assert desk.world.states(urls) == {"banned": count}
    assert watched(capsys.readouterr().out) == 0
    with caplog.at_level(logging.INFO):
        answer = ask(desk, "olaf", "unbans", source="desk", reason="ticket 4711", expect=count)
    assert answer.json_body["urls"] == count
    assert rings(capsys.readouterr().out)
    assert "unban_carried_out" in ALARM["AlarmDescription"]
    (line,) = [vars(record) for record in caplog.records if record.message == "unban_carried_out"]
    assert (line["actor"], line["subject"], line["job_id"]) == ("olaf", "source:desk", answer.json_body["unban_id"])
    (decision,) = desk.get("audit", {"Authorization": "Bearer olaf"}, about="source:desk").json_body["decisions"]
    assert (decision["actor"], decision["action"], decision["reason"]) == ("olaf", "unban", "ticket 4711")


def test_what_a_desk_unbans_in_an_ordinary_hour_rings_nothing(desk: Api, capsys: pytest.CaptureFixture[str]) -> None:
    banned(desk, 300)
    capsys.readouterr()
    ask(desk, "olaf", "unbans", source="desk", reason="ticket 4711")
    written = capsys.readouterr().out
    assert watched(written) == 300
    assert not rings(written)


def test_what_the_sweep_carries_on_counts_as_what_the_request_did(
    desk: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request has no time, so that the sweep does all."""
    count = ALARM["Threshold"] + 1
    urls = banned(desk, count)
    monkeypatch.setattr("chalicelib.handlers.unbans.UNBAN_TIME", -desk.world.clock().resolution)
    capsys.readouterr()
    assert ask(desk, "olaf", "unbans", source="desk", reason="ticket 4711").json_body["complete"] is False

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 110_000

    for _ in range(5):
        schedules.sweep_every_account(desk.services, Context())
    assert rings(capsys.readouterr().out)
    desk.settle()
    assert desk.world.states(urls) == {"unbanned": count}


def test_bans_that_an_approver_lifts_since_they_were_withdrawn_count_too(
    desk: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = banned(desk, 3)
    desk.post({"withdrawn": [{"url": url} for url in urls]})
    desk.settle()
    (hold,) = desk.get("holds", {"Authorization": "Bearer anna"}).json_body["holds"]
    assert hold["rule"] == "withdrawn"
    capsys.readouterr()
    ask(desk, "anna", f"holds/{hold['hold_id']}/approve", reason="withdrawn by its source")
    assert watched(capsys.readouterr().out) == 3
