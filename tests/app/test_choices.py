"""A query parameter with one of a few values refuses every other value, and names the values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import Rule
from chalicelib.ledger.audit import ACTIONS
from chalicelib.ledger.journal import KINDS
from dev.fakes.api import Api, fixed, refused
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, pages
from dev.package import ROOT

FREE = {"q", "host", "source", "of", "category", "url", "correlation_id", "actor", "about", "report_id"}
"""Parameters whose values edgeban does not choose: parts of URLs, and names that senders and operators choose."""

NEEDED: dict[str, dict[str, str]] = {
    "/v1/statements": {"from": f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"},
    "/v1/callbacks": {"source": "desk"},
    "/v1/reports": {"of": "desk"},
    "/v1/bans/counts": {"by": "host"},
}
"""What a request needs beside the parameter that is tried."""

OPENAPI: dict[str, Any] = json.loads((ROOT / "chalicelib" / "openapi.json").read_text())


def parameters() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schemas of the query parameters of lists. This API has no account with exports."""
    shared = OPENAPI["components"]["parameters"]
    described = [
        (path, shared[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter)
        for path, operations in OPENAPI["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if "{" not in path and path != "/v1/exports"
    ]
    return {
        (path, each["name"]): OPENAPI["components"]["schemas"].get(each["schema"].get("$ref", "/")[21:], each["schema"])
        for path, each in described
        if each["in"] == "query" and each["name"] not in FREE
    }


PARAMETERS = parameters()
CHOICES = {
    **{at: schema["enum"] for at, schema in PARAMETERS.items() if "enum" in schema},
    ("/v1/events", "kinds"): KINDS,
    **{(path, "account"): [ACCOUNT] for path in ("/v1/bans", "/v1/bans/counts", "/v1/holds")},
}


@pytest.mark.parametrize(("path", "name"), PARAMETERS)
def test_a_wrong_value_is_refused(api: Api, path: str, name: str) -> None:
    answer = api.as_operator(path.removeprefix("/v1/"), **{**NEEDED.get(path, {}), name: "dance"})
    assert answer.status_code == 400, answer.body
    assert name in answer.json_body["error"]["message"]


@pytest.mark.parametrize(("path", "name"), CHOICES)
def test_the_refusal_names_the_values_and_each_of_these_is_taken(api: Api, path: str, name: str) -> None:
    values, route = CHOICES[path, name], path.removeprefix("/v1/")
    answer = api.as_operator(route, **{**NEEDED.get(path, {}), name: "dance"})
    refused(answer, 400, "bad_request", f"{name} must be one of {', '.join(values)}")
    for value in values:
        assert api.as_operator(route, **{**NEEDED.get(path, {}), name: value}).status_code == 200, value


def test_every_rule_and_action_is_described() -> None:
    assert CHOICES["/v1/bans", "rule"] == CHOICES["/v1/holds", "rule"] == [*Rule]
    assert CHOICES["/v1/audit", "action"] == [*ACTIONS]


def test_of_several_kinds_each_is_looked_at(api: Api) -> None:
    assert api.as_operator("events", kinds="task,words").status_code == 200
    refused(api.as_operator("events", kinds="task,dance"), 400, "bad_request", "kinds must be one of taken, chunk")


def test_bans_at_an_account_that_the_policy_no_longer_names_are_still_listed(api: Api) -> None:
    api.world.clock.advance(minutes=-10)
    api.post({"urls": pages(2)})
    api.settle()
    assert api.as_operator("bans", account=ACCOUNT).json_body["total"] == 2
    api.services._policy = fixed(parse_policy({**POLICY, "accounts": {"elsewhere": POLICY["accounts"][ACCOUNT]}}))
    assert api.as_operator("bans", account=ACCOUNT).json_body["total"] == 2
    refused(api.as_operator("bans", account="nowhere"), 400, "bad_request", "account must be one of elsewhere")


def test_bans_by_a_rule_that_version_1_alone_wrote_are_still_listed(api: Api) -> None:
    """Version 1 called bans that it took over ``adopted``. The counts by rule lead to them."""
    api.world.clock.advance(minutes=-10)
    api.post({"urls": pages(2)})
    api.settle()
    assert isinstance(api.world.rows, MemoryRows)
    for (pk, sk), row in api.world.rows.rows.items():
        if pk.startswith("chunk#") and sk == "chunk":
            row["rule"] = "adopted"
    assert api.as_operator("bans/counts", by="rule").json_body["counts"] == [{"value": "adopted", "bans": 2}]
    assert api.as_operator("bans", rule="adopted").json_body["total"] == 2
    refused(api.as_operator("bans", rule="dance"), 400, "bad_request", "rule must be one of default")
