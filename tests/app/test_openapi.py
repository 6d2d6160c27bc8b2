"""The description of the API holds what the code has: every route, every error, and the answers that were seen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

import app as app_module
from chalicelib.domain.errors import InputError
from chalicelib.handlers.urls import VERSION
from chalicelib.openapi import document
from chalicelib.openapi.errors import ALWAYS, kinds
from chalicelib.reports import CONTENT_TYPES
from dev.fakes.world import pages
from dev.package import ROOT
from tests.app.conftest import Api

DOCUMENT = document(VERSION)
ADD = "describe it in chalicelib/openapi/operators.py or reports.py: operation, parameters, body and answers"


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, method): each for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()}


def test_every_route_is_described_and_nothing_else() -> None:
    routes = {(path, method.lower()) for path, methods in app_module.app.routes.items() for method in methods}
    described = set(operations())
    assert not routes - described, f"the OpenAPI description lacks {sorted(routes - described)}: {ADD}"
    assert not described - routes, f"the OpenAPI description has what the app has not: {sorted(described - routes)}"


def test_every_part_of_a_path_is_a_parameter() -> None:
    for (path, _), operation in operations().items():
        named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path)), path


def test_every_operation_says_who_may_call_it_and_has_a_name_of_its_own() -> None:
    names = [each["operationId"] for each in operations().values()]
    assert len(set(names)) == len(names)
    known = DOCUMENT["components"]["securitySchemes"]
    for (path, method), operation in operations().items():
        assert {name for each in operation["security"] for name in each} <= known.keys()
        assert bool(operation["security"]) == ("401" in operation["responses"]), (path, method)


def test_every_error_of_the_code_is_among_the_answers_of_its_status() -> None:
    answers = DOCUMENT["components"]["responses"]
    for kind in kinds():
        schema = answers[str(kind.status)]["content"]["application/json"]["schema"]
        assert kind.code in schema["properties"]["error"]["properties"]["code"]["enum"], kind.__name__
    used = {status for each in operations().values() for status in each["responses"]}
    assert {str(kind.status) for kind in kinds()} <= used
    assert InputError in kinds()


def test_what_the_gateway_answers_by_itself_is_described_for_every_operation() -> None:
    resources = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
    answers = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    statuses = {int(each["statusCode"]) for each in answers.values() if "statusCode" in each}
    assert statuses <= set(ALWAYS)
    for operation in operations().values():
        assert {str(status) for status in ALWAYS} <= operation["responses"].keys()
        assert "5XX" in operation["responses"]
    codes = {
        "5XX" if kind.endswith("5XX") else each.get("statusCode", "400"): json.loads(
            each["responseTemplates"]["application/json"].replace("$context.error.messageString", '"words"')
        )["error"]["code"]
        for kind, each in answers.items()
    }
    for status, code in codes.items():
        schema = DOCUMENT["components"]["responses"][status]["content"]["application/json"]["schema"]
        assert code in schema["properties"]["error"]["properties"]["code"]["enum"], (status, code)


def test_every_content_type_that_a_format_has_is_described() -> None:
    described = DOCUMENT["paths"]["/v1/reports/{source}"]["post"]["requestBody"]["content"]
    assert described.keys() == {*CONTENT_TYPES, "application/json", "text/csv"}


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for section, name in re.findall(r'"#/components/(\w+)/([\w]+)"', text):
        assert name in DOCUMENT["components"][section], (section, name)


def test_the_description_is_served(api: Api) -> None:
    answer = api.get("openapi.json")
    assert answer.status_code == 200
    assert answer.json_body == json.loads(json.dumps(DOCUMENT))


# --- answers --------------------------------------------------------------------------------------------------


def conforms(answer: Any, path: str, method: str = "get") -> None:
    """Hold an answer against what is described for its status."""
    response = DOCUMENT["paths"][path][method]["responses"][str(answer.status_code)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = {**response["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(answer.json_body)


def test_answers_are_as_described(api: Api) -> None:
    receipt = api.post({"urls": [*pages(1), "https://www.example.org/"], "correlation_id": "c", "test": True})
    conforms(receipt, "/v1/reports/{source}", "post")
    api.settle()
    report = receipt.json_body["report_id"]
    api.post({"urls": pages(3)})
    api.settle()
    conforms(api.as_operator(f"reports/{report}"), "/v1/reports/{source}")
    conforms(api.as_operator("reports", correlation_id="c"), "/v1/reports")
    conforms(api.as_operator("reports"), "/v1/reports")
    conforms(api.get(f"reports/{report}"), "/v1/reports/{source}")
    conforms(api.as_operator("urls", url=pages(1)[0]), "/v1/urls")
    conforms(api.as_operator("urls", url="https://www.example.com/nobody-asked"), "/v1/urls")
    conforms(api.as_operator("tasks"), "/v1/tasks")
    conforms(api.as_operator("holds"), "/v1/holds")
    conforms(api.as_operator("audit", actor="tester"), "/v1/audit")
    conforms(api.get("health"), "/v1/health")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_chalice_refuses_by_itself_has_our_shape(api: Api, content_type: str) -> None:
    answer = api.client.http.post("/v1/pause", headers={"Content-Type": content_type}, body=b"x")
    assert answer.status_code == 415
    conforms(answer, "/v1/pause", "post")
