"""``chalicelib/openapi.json`` says what the code does: routes, roles, limits, enums, errors, and every answer.

The answers of all tests of this directory are held against it as well, by the ``api`` fixture.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse
from jsonschema_rs import ValidationError

import app as app_module
from chalicelib import VERSION
from chalicelib.config.operators import ROLES
from chalicelib.config.operators import parse as parse_operators
from chalicelib.domain.errors import InputError
from chalicelib.domain.model import Action, Rule, TaskState, UrlState
from chalicelib.domain.policy.duration import BAN_DAYS
from chalicelib.domain.policy.statement import Ground, Notice
from chalicelib.handlers.unbans import UNBAN_URLS
from chalicelib.ledger import export_days
from chalicelib.ledger.control import AccountState
from chalicelib.ledger.export_days import DayState
from chalicelib.pipeline.answers.url_status import ReviewedState
from chalicelib.pipeline.decisions.holds import ApprovalState
from chalicelib.pipeline.decisions.several_holds import DecidedStatus
from chalicelib.reports import CONTENT_TYPES, PARSERS, reading
from chalicelib.vendors.alibaba.client import CALENDAR
from dev.described import DOCUMENT, check_answer, operations, parameters, resolve
from dev.fakes.api import Api, fixed
from dev.fakes.world import pages
from dev.package import ROOT

COMPONENTS = DOCUMENT["components"]
SCHEMAS = COMPONENTS["schemas"]
SELECTIONS = ["urls", "task_id", "report_id", "chunk_id", "source", "host", "category"]
"""Fields that select the bans to undo."""

BY_GATEWAY = {"400", "403", "404", "413", "415", "429", "5XX"}
"""What API Gateway answers by itself, whatever the operation."""


def error_codes(status: str) -> set[str]:
    """Return the codes that the description has for a status."""
    schema = COMPONENTS["responses"][status]["content"]["application/json"]["schema"]
    return set(schema["properties"]["error"]["properties"]["code"]["enum"])


def error_kinds() -> list[type[InputError]]:
    """Return every error that a client can cause."""
    kinds, unvisited = [], [InputError]
    while unvisited:
        kind = unvisited.pop()
        kinds.append(kind)
        unvisited += kind.__subclasses__()
    return kinds


# --- routes -------------------------------------------------------------------------------------------------------


def test_every_route_is_described_and_nothing_else() -> None:
    served = app_module.app.routes.items()
    routes = {(path, method.lower()) for path, methods in served if path.startswith("/v1/") for method in methods}
    assert routes == set(operations()), "chalicelib/openapi.json and the routes of app.py must have the same operations"


def test_every_list_that_pages_is_described_as_csv_too() -> None:
    without = set()
    for (path, method), operation in operations().items():
        content = resolve(operation["responses"].get("200", {})).get("content", {})
        schema = resolve(content.get("application/json", {}).get("schema", {}))
        if method == "get" and {"next_token", "next"} & schema.get("properties", {}).keys():
            without |= {path} if "text/csv" not in content else set()
    assert without == {"/v1/tasks/{task_id}"}, "a task is one document, whose URLs may take several answers"


def test_the_document_is_served_as_it_is_with_the_version(api: Api) -> None:
    answer = api.get("openapi.json")
    assert answer.status_code == 200
    assert answer.json_body == DOCUMENT
    assert DOCUMENT["info"]["version"] == VERSION
    assert api.get("health").json_body["version"] == VERSION


def test_every_part_of_a_path_is_a_parameter() -> None:
    for (path, _), operation in operations().items():
        assert set(parameters(operation, "path")) == set(re.findall(r"{(\w+)}", path)), path


READERS = {"query", "choice", "choices"}
"""Functions by which a handler reads a query parameter."""


def test_every_query_parameter_that_a_handler_reads_is_described_and_no_other() -> None:
    read = {"limit", "account"}  # ``page_size`` and ``account_served`` read them.
    for file in (ROOT / "chalicelib" / "handlers").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in READERS:
                read |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
    described = {name for operation in operations().values() for name in parameters(operation, "query")}
    assert described == read


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    referred = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(DOCUMENT)))
    for section in ("parameters", "responses", "schemas"):
        assert {name for where, name in referred if where == section} == set(COMPONENTS[section])


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [each["operationId"] for each in operations().values()]
    assert len(set(names)) == len(names)


# --- who may call -------------------------------------------------------------------------------------------------


def test_every_operation_says_who_may_call_it() -> None:
    for (path, method), operation in operations().items():
        assert {name for each in operation["security"] for name in each} <= COMPONENTS["securitySchemes"].keys()
        assert bool(operation["security"]) == ("401" in operation["responses"]), (path, method)


OPERATOR_ROLES = {
    key: role
    for key, operation in operations().items()
    for each in operation["security"]
    for role in each.get("operator", ())
}


@pytest.mark.parametrize(("key", "needed"), OPERATOR_ROLES.items(), ids=str)
def test_the_role_of_an_operation_suffices_and_the_one_below_does_not(
    api: Api, key: tuple[str, str], needed: str
) -> None:
    query = _query(key)
    for role in ROLES:
        answer = ask(api, key, token=operator_token(api, role), query=query)
        may = ROLES.index(role) >= ROLES.index(needed)
        assert (answer.status_code != 403) == may, (role, answer.json_body)
        assert answer.status_code != 401, (role, answer.json_body)
    assert ask(api, key, token="nobody's", query=query).status_code == 401


def operator_token(api: Api, role: str) -> str:
    """Let the API know a token with this role, and return it."""
    token = f"token of the {role}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    api.services._operators = fixed(parse_operators({role: {"token_sha256": digest, "role": role}}))
    return token


def ask(api: Api, key: tuple[str, str], *, token: str, body: Any = None, query: str = "") -> HTTPResponse:
    """Call an operation, by default with nothing but the path."""
    path, method = key
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    called = re.sub(r"{\w+}", "x", path) + query
    return api.client.http.request(method, called, headers, json.dumps({} if body is None else body).encode())


@pytest.mark.parametrize("key", operations(), ids=str)
def test_an_unknown_query_parameter_is_refused(api: Api, key: tuple[str, str]) -> None:
    if key in {("/v1/openapi.json", "get"), ("/v1/reports/{source}", "post")}:
        return  # The first answers a constant, the second reads only the body.
    asked = _query(key, "no_such_parameter", "1")
    answer = ask(api, key, token=operator_token(api, "approver"), query=asked)
    assert (answer.status_code, "no_such_parameter" in answer_text(answer)) == (400, True), answer.json_body


@pytest.mark.parametrize("key", operations(), ids=str)
def test_a_query_parameter_that_stands_twice_is_refused(api: Api, key: tuple[str, str]) -> None:
    for name in parameters(operations()[key], "query"):
        if name == "source":
            continue  # This route checks who asks before it reads the other parameters.
        asked = f"{_query(key)}{'&' if _query(key) else '?'}{name}=1&{name}=1"
        answer = ask(api, key, token=operator_token(api, "approver"), query=asked)
        assert answer.status_code == 400, answer.json_body


# --- limits ---------------------------------------------------------------------------------------------------------

LIMITED_QUERIES = [
    (key, name)
    for key, operation in operations().items()
    for name, parameter in parameters(operation, "query").items()
    if {"maxLength", "maximum"} & resolve(parameter["schema"]).keys() and name != "source"
]


@pytest.mark.parametrize(("key", "name"), LIMITED_QUERIES, ids=str)
def test_a_query_parameter_beyond_its_limit_is_refused_and_one_at_it_is_not(
    api: Api, key: tuple[str, str], name: str
) -> None:
    schema = parameters(operations()[key], "query")[name]["schema"]
    export_days.register(api.world.rows, "main", vendor="alibaba", calendar=CALENDAR, now=datetime.now(UTC))
    token = operator_token(api, "approver")
    at, beyond = (
        (str(schema["maximum"]), str(schema["maximum"] + 1))
        if "maximum" in schema
        else ("1" * schema["maxLength"], "1" * (schema["maxLength"] + 1))
    )
    too_long = f"{name} must be a whole number|{name} is longer"
    assert not re.search(too_long, answer_text(ask(api, key, token=token, query=_query(key, name, at))))
    refused = ask(api, key, token=token, query=_query(key, name, beyond))
    assert refused.status_code == 400
    assert re.search(too_long, answer_text(refused)), refused.json_body


def _query(key: tuple[str, str], name: str = "", value: str = "") -> str:
    """Return a query with this parameter, if one is named, and an example of each other one that is required."""
    required = {
        other: parameter["schema"]["examples"][0]
        for other, parameter in parameters(operations()[key], "query").items()
        if parameter["required"]
    }
    return "?" + "&".join(f"{each}={text}" for each, text in {**required, **({name: value} if name else {})}.items())


def answer_text(answer: HTTPResponse) -> str:
    """Return the message of a refusal, or nothing."""
    return str(answer.json_body.get("error", {}).get("message", ""))


def json_bodies() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the schemas of what operators send."""
    return {
        key: resolve(operation["requestBody"]["content"]["application/json"]["schema"])
        for key, operation in operations().items()
        if key in OPERATOR_ROLES and "requestBody" in operation
    }


@pytest.mark.parametrize("key", json_bodies(), ids="-".join)
def test_the_described_fields_of_a_body_are_known_and_no_others(api: Api, key: tuple[str, str]) -> None:
    schema = json_bodies()[key]
    answer = ask(api, key, token=operator_token(api, "approver"), body={"no_such_field": 1})
    assert answer.status_code == 400
    known = answer_text(answer).partition("known are ")[2].split(", ")
    assert known == sorted(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("key", json_bodies(), ids="-".join)
def test_a_field_of_a_wrong_type_is_refused(api: Api, key: tuple[str, str]) -> None:
    token = operator_token(api, "approver")
    wrong: dict[str, Any] = {"string": 1, "integer": "1", "boolean": "yes", "array": "x", "object": "x"}
    for name, field in json_bodies()[key]["properties"].items():
        answer = ask(api, key, token=token, body={name: wrong[resolve_type(field)]})
        assert (answer.status_code, f"{name} must be of type" in answer_text(answer)) == (400, True), name


def resolve_type(field: dict[str, Any]) -> str:
    """Return the JSON type of a field."""
    return str(resolve(field)["type"])


def test_the_limits_of_an_unban_are_those_of_the_code(api: Api) -> None:
    token, unban = operator_token(api, "operator"), ("/v1/unbans", "post")
    fields = SCHEMAS["Unban"]["properties"]
    most_urls, most_days = fields["urls"]["maxItems"], fields["cool_down_days"]["maximum"]
    longest = SCHEMAS["Reason"]["maxLength"]
    assert most_urls == UNBAN_URLS
    exactly_one = f"name exactly one of {', '.join(SELECTIONS[:-1])} and {SELECTIONS[-1]}"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"urls": pages(most_urls + 1), "reason": "r"}, f"at most {most_urls:,} a request"),
        ({"task_id": "t", "reason": "r", "cool_down_days": most_days + 1}, f"from 0 to {most_days}"),
        ({"task_id": "t", "reason": "r" * (longest + 1)}, f"longer than {longest} characters"),
        ({"task_id": "t"}, "reason is missing"),
        ({"task_id": "t", "source": "s", "reason": "r"}, exactly_one),
        ({"reason": "r"}, exactly_one),
    ]
    for body, message in wrong:
        assert message in answer_text(ask(api, unban, token=token, body=body)), body
    right = {"task_id": "t", "reason": "r" * longest, "cool_down_days": most_days}
    assert ask(api, unban, token=token, body=right).status_code == 404  # There is no such task.
    ways = [way for each in SCHEMAS["Unban"]["oneOf"] for way in each.get("anyOf", [each])]
    assert {name for way in ways for name in way["required"]} == set(SELECTIONS)


def test_the_limits_of_a_report_are_those_of_the_code() -> None:
    report, one_url = SCHEMAS["Report"], SCHEMAS["Report"]["properties"]["urls"]["items"]["oneOf"][1]
    for fields in (report["properties"], one_url["properties"]):
        assert fields["category"]["maxLength"] == reading.MAX_CATEGORY_LENGTH
        assert fields["reporter"]["maxLength"] == reading.MAX_REPORTER_LENGTH
        assert fields["note"]["maxLength"] == reading.MAX_NOTE_LENGTH
        duration = fields["ban_duration"]
        assert (duration["minimum"], duration["maximum"]) == (BAN_DAYS[0], BAN_DAYS[-1])
    assert report["properties"]["correlation_id"]["maxLength"] == reading.MAX_CORRELATION_ID_LENGTH
    assert report["properties"]["urls"]["maxItems"] == reading.ParserOptions().max_urls


def test_every_content_type_and_format_is_described() -> None:
    body = DOCUMENT["paths"]["/v1/reports/{source}"]["post"]["requestBody"]
    assert body["content"].keys() == {*CONTENT_TYPES, "application/json", "text/csv", "text/plain"}
    described = body["description"].removeprefix("One of the formats ").partition(":")[0]
    assert described.split(", ") == list(PARSERS)


# --- enums ----------------------------------------------------------------------------------------------------------

ENUMS: dict[str, tuple[dict[str, Any], type[StrEnum]]] = {
    "state of a URL": (SCHEMAS["State"], UrlState),
    "state that a source under review is told": (
        SCHEMAS["UrlState"]["properties"]["state"]["anyOf"][1],
        ReviewedState,
    ),
    "action": (SCHEMAS["Task"]["properties"]["action"], Action),
    "state of a task": (SCHEMAS["Task"]["properties"]["state"], TaskState),
    "state of an account": (SCHEMAS["AccountState"]["properties"]["state"], AccountState),
    "state of an approved hold": (SCHEMAS["HoldApproval"]["properties"]["state"], ApprovalState),
    "fate of a decision": (SCHEMAS["HoldDecided"]["properties"]["status"], DecidedStatus),
    "state of a day": (SCHEMAS["ExportDay"]["properties"]["state"], DayState),
    "rule": (SCHEMAS["Rule"], Rule),
    "ground of a statement": (SCHEMAS["Statement"]["properties"]["ground"]["anyOf"][0], Ground),
    "notice of a statement": (SCHEMAS["Statement"]["properties"]["notice"]["anyOf"][0], Notice),
}


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_values_of_the_code(name: str) -> None:
    schema, kind = ENUMS[name]
    assert schema["enum"] == [each.value for each in kind]


def test_every_enum_of_the_description_is_held_against_the_code() -> None:
    def enums(part: Any) -> int:
        if isinstance(part, list):
            return sum(map(enums, part))
        return (("enum" in part) + sum(map(enums, part.values()))) if isinstance(part, dict) else 0

    asked = [each["schema"] for operation in operations().values() for each in parameters(operation, "query").values()]
    tried = enums(asked)  # test_choices.py asks the API for each value of a parameter
    assert enums([DOCUMENT["paths"], SCHEMAS]) == len(ENUMS) + tried


# --- errors ---------------------------------------------------------------------------------------------------------


def test_every_error_code_is_described_and_no_other() -> None:
    codes: dict[str, set[str]] = {}
    for kind in error_kinds():
        codes.setdefault(str(kind.status), set()).add(kind.code)
    for code in _gateway_codes():
        codes.setdefault(code[0], set()).add(code[1])
    codes.setdefault("5XX", set()).add("internal")  # handlers.http.answered
    assert codes == {status: error_codes(status) for status in COMPONENTS["responses"]}
    used = {status for each in operations().values() for status in each["responses"]}
    assert codes.keys() <= used


def _gateway_codes() -> set[tuple[str, str]]:
    """Return the status and the code of every answer that API Gateway gives by itself."""
    resources = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]
    answers = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    codes = set()
    for kind, each in answers.items():
        template = each["responseTemplates"]["application/json"].replace("$context.error.messageString", '"words"')
        status = "5XX" if kind.endswith("5XX") else str(each.get("statusCode", "400"))
        codes.add((status, json.loads(template)["error"]["code"]))
    return codes


def test_what_the_gateway_answers_by_itself_is_described_for_every_operation() -> None:
    assert {status for status, _ in _gateway_codes()} <= BY_GATEWAY
    for key, operation in operations().items():
        assert operation["responses"].keys() >= BY_GATEWAY, key


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_what_chalice_refuses_by_itself_has_our_shape(api: Api, content_type: str) -> None:
    answer = api.client.http.post("/v1/pause", headers={"Content-Type": content_type}, body=b"x")
    assert (answer.status_code, answer.json_body["error"]["code"]) == (415, "unknown_format")


# --- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_that_differs_from_its_description_is_found() -> None:
    healthy = {"status": "ok", "version": VERSION, "stage": "local"}
    check_answer("/v1/health", "GET", 200, healthy)
    for wrong in ({**healthy, "more": 1}, {"status": "ok"}, {**healthy, "version": 1}):
        with pytest.raises(ValidationError):
            check_answer("/v1/health", "GET", 200, wrong)
    with pytest.raises(AssertionError, match="answered 418"):
        check_answer("/v1/health?x=1", "GET", 418, healthy)
    with pytest.raises(ValidationError):
        check_answer(
            "/v1/tasks/t-1", "GET", 404, {"error": {"code": "no_such_code", "message": "m", "request_id": "r"}}
        )


def test_every_operation_that_reads_answers_as_described(api: Api) -> None:
    """The ``api`` fixture holds each answer against the description; here each must succeed."""
    receipt = api.post({"urls": [*pages(1), "https://www.example.org/"], "correlation_id": "c", "test": True})
    api.settle()
    api.post({"urls": pages(3)})
    api.settle()
    report = receipt.json_body["report_id"]
    answers = [
        receipt,
        api.as_operator(f"reports/{report}"),
        api.as_operator("reports", correlation_id="c"),
        api.as_operator("urls", url=pages(1)[0]),
        api.as_operator("tasks"),
        api.as_operator("holds"),
        api.as_operator("audit", actor="tester"),
        api.get("health"),
    ]
    assert [each.status_code for each in answers] == [202] + [200] * 7


def test_the_document_ships_with_the_app() -> None:
    assert Path(app_module.__file__).with_name("chalicelib").joinpath("openapi.json").is_file()
