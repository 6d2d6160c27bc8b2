"""Events as API Gateway hands them to the functions, and what it does to paths, headers, bodies and answers.

Chalice's client of the other tests hands bodies on as they are. On AWS every body comes in base64, since the template
takes every type for binary.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote

import pytest

from app import app, receive_report
from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.sources import parse as parse_sources
from chalicelib.handlers.http import LONGEST_ID
from chalicelib.pipeline.intake.receive import MAX_BODY
from chalicelib.web import ANSWER_BYTES
from dev.fakes import limits
from dev.fakes.api import OPERATORS, SOURCES, TOKEN, UNCOUNTED, Api, fixed, signed
from dev.fakes.world import SECRET, pages

ODD = "Abteilung für Missbrauch #1/EU 50%+"
"""A source's name that a path holds only in percent-encoding."""

GATEWAY_BODY = 10 * 1024 * 1024
"""https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html: API Gateway refuses larger ones itself."""

BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id, function_name = "r-1", "edgeban-prod-api_handler"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


@dataclass(frozen=True)
class Call:
    """A request as it reaches API Gateway."""

    method: str
    resource: str
    """The path with the names of its parameters in braces."""
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, list[str]] = field(default_factory=dict)
    body: bytes | None = None
    prefix: str = "/api"
    """The stage, or the path at which a domain of one's own begins."""
    decoded: bool = False
    """Whether path parameters are decoded. A REST API leaves them as in the path, other kinds of API decode them."""

    @property
    def event(self) -> dict[str, Any]:
        """The event of a proxy integration, payload format 1.0."""
        parts = dict(zip(self.resource.split("/"), self.path.split("/"), strict=False))
        named = {name[1:-1]: value for name, value in parts.items() if name.startswith("{")}
        if self.decoded:
            named = {name: unquote(value) for name, value in named.items()}
        return {
            "resource": self.resource,
            "path": self.path,
            "httpMethod": self.method,
            "headers": dict(self.headers) or None,
            "multiValueHeaders": {name: [value] for name, value in self.headers.items()} or None,
            "queryStringParameters": {name: values[-1] for name, values in self.query.items()} or None,
            "multiValueQueryStringParameters": dict(self.query) or None,
            "pathParameters": {name: unquote(value) if self.decoded else value for name, value in named.items()}
            or None,
            "stageVariables": {"made_after": "nothing"},
            "requestContext": {
                "resourcePath": self.resource,
                "httpMethod": self.method,
                "path": f"{self.prefix}{self.path}",
                "stage": "api",
                "requestId": "r-1",
                "identity": {"sourceIp": "192.0.2.1"},
            },
            "body": None if self.body is None else base64.b64encode(self.body).decode(),
            "isBase64Encoded": self.body is not None,
        }

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the document of the function that the template names for the request."""
        report = self.method == "POST" and self.resource == "/v1/reports/{source}"
        answered = (receive_report if report else app)(self.event, Context())
        limits.check_function_answer(answered)
        assert not answered.get("isBase64Encoded")
        return int(answered["statusCode"]), json.loads(answered["body"])


def report(name: str, document: Any, **fields: Any) -> Call:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"content-type": "application/json", **signed(body)}
    return Call("POST", "/v1/reports/{source}", f"/v1/reports/{name}", headers=headers, body=body, **fields)


@pytest.fixture
def api(api: Api) -> Api:
    """Give the API a source with an odd name, and its operator every role."""
    odd = {ODD: {"auth": "standard-webhooks", "secrets": [SECRET], "format": "native", **UNCOUNTED}}
    api.services._sources = fixed(parse_sources({**SOURCES, **odd}))
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    api.services._operators = fixed(parse_operators({"tester": {**OPERATORS["tester"], "role": "approver"}}))
    assert OPERATORS["tester"]["token_sha256"] == digest
    return api


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoded", [False, True])
def test_a_source_of_any_name_reports_by_its_name_in_the_path(api: Api, *, decoded: bool) -> None:
    status, said = report(quote(ODD, safe=""), {"urls": pages(1)}, decoded=decoded).answer()
    assert status == 202, said
    asked = Call("GET", "/v1/reports", "/v1/reports", headers=BEARER, query={"of": [ODD]})
    assert [found["report_id"] for found in asked.answer()[1]["reports"]] == [said["report_id"]]


NAMED = [
    ("GET", "/v1/reports/{source}"),
    ("GET", "/v1/tasks/{task_id}"),
    ("GET", "/v1/unbans/{unban_id}"),
    ("GET", "/v1/holds/{hold_id}"),
    ("POST", "/v1/holds/{hold_id}/approve"),
    ("POST", "/v1/holds/{hold_id}/refuse"),
    ("POST", "/v1/callbacks/{report_id}/resend"),
    ("POST", "/v1/unbans/{unban_id}/approve"),
    ("POST", "/v1/unbans/{unban_id}/cancel"),
]


def test_every_route_with_a_name_in_its_path_is_tried_here() -> None:
    there = {(method, path) for path, by_method in app.routes.items() for method in by_method if "{" in path}
    console = {("GET", "/console/{version}/{name}")}
    assert there == {*NAMED, *console, ("POST", "/v1/reports/{source}")}


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize(
    "name", ["%2F", "a%2Fb", "..%2F..", "%00", "a+b", "%25", "%2525", "%ED%A0%80", "%", "%zz", "é"]
)
@pytest.mark.parametrize(("method", "resource"), NAMED)
def test_a_name_of_nothing_is_not_found_in_any_encoding(
    api: Api, method: str, resource: str, name: str, *, decoded: bool
) -> None:
    path = "/".join(name if part.startswith("{") else part for part in resource.split("/"))
    headers = {**BEARER, "content-type": "application/json"}
    body = b'{"reason": "r"}' if method == "POST" else None
    status, said = Call(method, resource, path, headers=headers, body=body, decoded=decoded).answer()
    assert (status, said["error"]["code"]) == (404, "not_found")


def test_a_name_counts_by_its_own_bytes_and_not_by_those_of_its_encoding(api: Api) -> None:
    name = quote("é" * (LONGEST_ID // 2))
    said = Call("GET", "/v1/tasks/{task_id}", f"/v1/tasks/{name}", headers=BEARER).answer()[1]
    assert "so long" not in said["error"]["message"]


@pytest.mark.parametrize("name", ["%2F", "%00", "%25", "..%2Fdesk", "desk%00", "desk%20", "DESK"])
def test_a_source_under_another_spelling_of_its_name_is_nobody(api: Api, name: str) -> None:
    assert report(name, {"urls": pages(1)}).answer()[0] == 401


@pytest.mark.parametrize("prefix", ["/api", "", "/abuse/v1"])
@pytest.mark.parametrize("end", ["", "/"])
def test_stage_domain_and_a_trailing_slash_change_nothing(api: Api, prefix: str, end: str) -> None:
    """API Gateway matches the resource without them, and hands the path on with them."""
    asked = Call("GET", "/v1/tasks", f"/v1/tasks{end}", headers=BEARER, prefix=prefix)
    assert asked.answer() == (200, {"tasks": []})


# --- methods, headers, queries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_method_that_no_route_has_is_refused_in_our_shape(api: Api, method: str) -> None:
    """API Gateway answers 404 itself. Who invokes the function directly bypasses it."""
    status, said = Call(method, "/v1/tasks", "/v1/tasks", headers=BEARER).answer()
    assert (status, said["error"]["code"]) == (405, "method_not_allowed")


def test_a_query_parameter_that_stands_twice_is_refused(api: Api) -> None:
    asked = Call("GET", "/v1/urls", "/v1/urls", headers=BEARER, query={"url": pages(2)})
    status, said = asked.answer()
    assert (status, said["error"]["message"]) == (400, "the query parameter url stands twice: give it once")


def test_a_query_is_taken_as_the_gateway_has_decoded_it(api: Api) -> None:
    """The gateway decodes once, so that an encoding inside a URL stays as it is."""
    url = "https://www.example.com/a%2Fb?c=%2525&d=+"
    report("desk", {"urls": [url]}).answer()
    api.settle()
    asked = Call("GET", "/v1/urls", "/v1/urls", headers=BEARER, query={"url": [url]})
    assert asked.answer()[1]["url"] == url


@pytest.mark.parametrize("change", [str.upper, str.title, str.lower])
def test_names_of_headers_count_in_any_case(api: Api, change: Any) -> None:
    call = report("desk", {"urls": pages(1)})
    sent = Call(
        "POST", call.resource, call.path, headers={change(k): v for k, v in call.headers.items()}, body=call.body
    )
    assert sent.answer()[0] == 202


def test_a_header_that_stands_twice_has_the_value_that_the_gateway_hands_on(api: Api) -> None:
    """The gateway puts the last one into ``headers``. The list of all is ignored: no other one lets anybody in."""
    call = report("desk", {"urls": pages(1)})
    event = call.event
    right = event["headers"]["webhook-signature"]
    event["multiValueHeaders"]["webhook-signature"] = [right, "v1,bm90IHRoaXM="]
    event["headers"]["webhook-signature"] = "v1,bm90IHRoaXM="
    assert receive_report(event, Context())["statusCode"] == 401


# --- bodies ---------------------------------------------------------------------------------------------------------


def test_a_report_comes_in_base64_and_its_signature_is_that_of_the_bytes(api: Api) -> None:
    body = json.dumps({"urls": pages(1), "note": "ö"}, ensure_ascii=False).encode()
    assert report("desk", body).answer()[0] == 202
    changed = report("desk", body)
    event = {**changed.event, "body": base64.b64encode(body + b" ").decode()}
    assert receive_report(event, Context())["statusCode"] == 401


def test_a_decision_comes_in_base64(api: Api) -> None:
    headers = {**BEARER, "content-type": "application/json"}
    asked = Call("POST", "/v1/pause", "/v1/pause", headers=headers, body=b'{"reason": "r"}')
    assert asked.answer()[0] == 200


@pytest.mark.parametrize("body", [None, b"", b"\xff\xfe", b"\x1f\x8b nothing"])
def test_a_body_that_cannot_be_read_is_refused_and_is_no_error_of_ours(api: Api, body: bytes | None) -> None:
    headers = {**BEARER, "content-type": "application/json"}
    assert Call("POST", "/v1/pause", "/v1/pause", headers=headers, body=body).answer()[0] == 400
    assert replace(report("desk", body or b""), body=body).answer()[0] == 400


def test_a_report_of_the_limit_reaches_the_function_and_is_refused_by_us_above_it(api: Api) -> None:
    """Lambda takes 6 MB a call, in which a body has a third more for base64; the gateway itself refuses above 10 MB."""
    full = {name: "x" * (limits.GATEWAY_HEADERS // 2 - len(name)) for name in ("a", "b")}
    event = report("desk", b"x" * MAX_BODY).event
    event["headers"] |= full
    event["multiValueHeaders"] |= {name: [value] for name, value in full.items()}
    assert MAX_BODY < len(json.dumps(event).encode()) <= limits.FUNCTION_PAYLOAD < GATEWAY_BODY
    status, said = report("desk", b"x" * (MAX_BODY + 1)).answer()
    assert (status, said["error"]["code"]) == (413, "too_large")
    assert ANSWER_BYTES < limits.FUNCTION_PAYLOAD // 2
