"""Operators see the state of each day of an export and ask for days again. The functions run as ``app`` wires them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from chalice.test import HTTPResponse

import app as app_module
from chalicelib.config.operators import parse as parse_operators
from chalicelib.domain.errors import ConfigurationError
from chalicelib.ledger import audit, export_days
from chalicelib.ledger.export_days import DayState
from chalicelib.vendors.alibaba.client import CALENDAR
from chalicelib.vendors.registry import parse_accounts
from dev.fakes.api import OPERATORS, Api, fixed, refused
from dev.fakes.objects import MemoryObjects
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

ROSA = "operator-token-of-rosa"


def ask(api: Api, document: dict[str, Any], token: str = ROSA) -> HTTPResponse:
    known = {"rosa": {"token_sha256": hashlib.sha256(ROSA.encode()).hexdigest(), "role": "operator"}, **OPERATORS}
    api.services._operators = fixed(parse_operators(known))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return api.client.http.post("/v1/exports", headers=headers, body=json.dumps(document).encode())


def window() -> list[date]:
    return CALENDAR.finished_days(datetime.now(UTC))


def has_exports(api: Api, *accounts: str) -> None:
    for account in accounts:
        export_days.register(api.world.rows, account, vendor="alibaba", calendar=CALENDAR, now=datetime.now(UTC))


def test_each_day_is_shown_with_its_state_newest_first_in_pages(api: Api) -> None:
    has_exports(api, "main")
    days = window()
    export_days.want(api.world.rows, "main", days[:3], now=datetime.now(UTC))
    export_days.want(api.world.rows, "main", days[3:4], now=datetime.now(UTC), lost="out_of_window")
    first = api.as_operator("exports", limit="2").json_body
    assert first["account"] == "main"
    assert first["days"] == [
        {"day": days[3].isoformat(), "state": "failed", "attempt": 1, "reason": "out_of_window"},
        {"day": days[2].isoformat(), "state": "wanted", "attempt": 1},
    ]
    rest = api.as_operator("exports", limit="2", next_token=first["next_token"]).json_body
    assert [each["day"] for each in rest["days"]] == [days[1].isoformat(), days[0].isoformat()]
    assert "next_token" not in rest


@pytest.mark.parametrize("token", ["calls", "2026-13-01", "x", "2026-1-1"])
def test_a_next_token_that_no_page_gave_is_refused(api: Api, token: str) -> None:
    has_exports(api, "main")
    refused(api.as_operator("exports", next_token=token), 400, "bad_request", "next_token must be")


def test_days_that_have_ended_begin_anew_and_it_is_on_record_who_asked(api: Api) -> None:
    has_exports(api, "main")
    days = window()
    export_days.want(api.world.rows, "main", days[-2:-1], now=datetime.now(UTC), lost="download_refused")
    answer = ask(api, {"from": days[-3].isoformat(), "to": days[-2].isoformat(), "reason": "the vendor says so"})
    assert answer.status_code == 202
    assert answer.json_body["days"] == [
        {"day": days[-3].isoformat(), "state": "wanted", "attempt": 1, "requested_by": "rosa"},
        {"day": days[-2].isoformat(), "state": "wanted", "attempt": 2, "requested_by": "rosa"},
    ]
    ((_, decision),) = audit.of_actor(api.world.rows, "rosa")
    assert (decision.action, decision.subject, decision.reason) == ("export", "account:main", "the vendor says so")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"from": "yesterday"}, "from must be a day"),
        ({"to": None}, "to must be of type str"),
        ({"from": (window()[0] - timedelta(days=1)).isoformat()}, "from and to must be days"),
        ({"to": (window()[-1] + timedelta(days=1)).isoformat()}, "from and to must be days"),
        ({"from": window()[-1].isoformat(), "to": window()[-2].isoformat()}, "in this order"),
        ({"account": "huawei-main"}, "account must be one of main"),
        ({"until": "x"}, "unknown field"),
    ],
)
def test_a_request_that_cannot_be_served_says_why(api: Api, change: dict[str, Any], problem: str) -> None:
    has_exports(api, "main")
    day = window()[-1].isoformat()
    answer = ask(api, {"from": day, "to": day, **change})
    assert answer.status_code == 400
    assert problem in answer.json_body["error"]["message"]
    assert export_days.read(api.world.rows, "main") == []


def test_a_reader_may_look_and_not_ask_and_a_stranger_neither(api: Api) -> None:
    has_exports(api, "main")
    day = window()[-1].isoformat()
    assert ask(api, {"from": day, "to": day}, token="app-test-operator-token").status_code == 403
    assert ask(api, {"from": day, "to": day}, token="nobody").status_code == 401
    assert api.get("exports").status_code == 401
    assert export_days.read(api.world.rows, "main") == []


def test_an_account_must_be_named_where_there_are_several(api: Api) -> None:
    has_exports(api, "main", "second")
    assert "main, second" in api.as_operator("exports").json_body["error"]["message"]
    assert api.as_operator("exports", account="second").json_body == {"account": "second", "days": []}


def test_without_an_account_there_is_nothing_to_see(api: Api) -> None:
    answer = api.as_operator("exports")
    assert answer.status_code == 404
    assert "vendors secret" in answer.json_body["error"]["message"]


# --- the functions, as they are wired -----------------------------------------------------------------------------


class Context:
    """What Lambda tells a function of its invocation, with more time left than Chalice's test client has."""

    aws_request_id, function_name = "r-1", "f"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def scheduled(function: str) -> Any:
    event = {
        "time": "2026-01-15T08:30:00Z",
        "region": "us-east-1",
        "detail": {},
        "source": "aws.events",
        "account": "1",
        "id": "1",
        "version": "0",
        "detail-type": "Scheduled Event",
        "resources": [],
    }
    return app_module.app.handler_map[function](event, Context())


def wired(api: Api, simulator: AlibabaSimulator, **fields: str) -> MemoryObjects:
    account = {"vendor": "alibaba", "endpoint": simulator.url, "access_key": "testid", "secret_key": "testsecret"}
    huawei = {"vendor": "huawei", "endpoint": "https://cdn.example", "access_key": "a", "secret_key": "b"}
    api.services._accounts = fixed(parse_accounts({"main": {**account, **fields}, "huawei-main": huawei}))
    api.services.objects = objects = MemoryObjects()
    days = CALENDAR.finished_days(datetime.now(UTC))
    export_days.want(api.world.rows, "main", days[:-1], now=datetime.now(UTC), lost="-")
    return objects


@pytest.mark.parametrize("report_to_queue", ["yes", "no"])
def test_archive_exports_archives_what_the_accounts_with_exports_have(api: Api, report_to_queue: str) -> None:
    settings = type(api.services.settings)(stage="local")
    api.services.settings = settings
    with AlibabaSimulator(Settings(complete_after=0, calls_per_second=0, rows=5)) as simulator:
        objects = wired(api, simulator, report_to_queue=report_to_queue)
        said = scheduled("archive_exports")
    assert said == {"main": {"archived": 1, "open": 0, "why": "done"}}
    (day,) = [each for each in export_days.read(api.world.rows, "main") if each.state is DayState.ARCHIVED]
    objects.sound(day.manifest)
    assert bool(api.world.queued) == (report_to_queue == "yes")
    assert [event for event, _ in api.world.emitted][-1] == "exports_run"


def test_a_simulator_is_only_fetched_from_on_a_local_stage(api: Api) -> None:
    api.services.settings = type(api.services.settings)(stage="prod")
    with AlibabaSimulator(Settings(complete_after=0, calls_per_second=0, rows=5)) as simulator:
        wired(api, simulator)
        scheduled("archive_exports")
    assert export_days.read(api.world.rows, "main")[-1].reason.startswith("download_refused")


def test_archive_ledger_archives_yesterday(api: Api) -> None:
    with AlibabaSimulator() as simulator:
        objects = wired(api, simulator)
        (day,) = scheduled("archive_ledger")["archived"]
    objects.sound(f"ledger-manifest/dt={day}/manifest.json")


# --- the accounts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("a/b", {}, "use letters, digits, - and _"),
        ("main", {"report_to_queue": "true"}, 'main.report_to_queue is a string: write "no" or "yes"'),
        ("main", {"vendor": "acme"}, 'main.vendor is a string: write "alibaba" or "'),
    ],
)
def test_an_account_that_cannot_be_used_is_refused_by_name(name: str, fields: dict[str, str], problem: str) -> None:
    account = {"vendor": "alibaba", "endpoint": "https://cdn.aliyuncs.com", **fields}
    with pytest.raises(ConfigurationError, match=problem):
        parse_accounts({name: account})


def test_an_account_with_exports_cannot_be_banned_at(api: Api) -> None:
    with AlibabaSimulator() as simulator:
        wired(api, simulator)
        with pytest.raises(ConfigurationError, match="bans nothing"):
            api.services.vendor("main")
