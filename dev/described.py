"""Hold requests and answers of the API against ``chalicelib/openapi.json``."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from jsonschema_rs import Draft202012Validator

from chalicelib.handlers.service import OPENAPI

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part refers to, or the part itself."""
    while set(part) == {"$ref"}:
        target: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return every operation by its path and its method in lower case."""
    return {(path, method): each for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()}


def parameters(operation: dict[str, Any], place: str) -> dict[str, dict[str, Any]]:
    """Return the parameters of an operation in ``path``, ``query`` or ``header``, by name."""
    resolved = [resolve(each) for each in operation.get("parameters", ())]
    return {each["name"]: each for each in resolved if each["in"] == place}


def find(path: str, method: str) -> tuple[str, str] | None:
    """Return the key of the operation that serves a path as it is called; ``None`` if none does."""
    called = path.partition("?")[0]
    for template, described in operations():
        pattern = re.sub(r"{\w+}", "[^/]+", template)
        if described == method.lower() and re.fullmatch(pattern, called):
            return template, described
    return None


def check_answer(path: str, method: str, status: int, body: Any) -> None:
    """Hold an answer against its description. Raises jsonschema_rs.ValidationError, or AssertionError.

    A field that the description lacks is as wrong as one that is missing. A path that no operation serves is not
    checked: no code of ours answers it.
    """
    operation = find(path, method)
    if operation:
        _validator(*operation, status).validate(body)


def check_csv(path: str, method: str, status: int) -> None:
    """Hold an answer of CSV against its description. Raises AssertionError where that has none."""
    operation = find(path, method)
    assert operation
    response = resolve(DOCUMENT["paths"][operation[0]][operation[1]]["responses"][str(status)])
    assert "text/csv" in response["content"], f"{method} {path} answered CSV, which the description does not have"


@functools.cache
def _validator(path: str, method: str, status: int) -> Draft202012Validator:
    responses = DOCUMENT["paths"][path][method]["responses"]
    name = str(status) if status < 500 else "5XX"
    assert name in responses, f"{method} {path} answered {status}, which the description does not have"
    schema = resolve(responses[name])["content"]["application/json"]["schema"]
    return Draft202012Validator(_closed({**schema, "components": DOCUMENT["components"]}))


def _closed(part: Any) -> Any:
    """Return a copy of a schema in which an object has the described fields and no others."""
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    copy = {name: _closed(each) for name, each in part.items()}
    if isinstance(copy.get("properties"), dict) and copy.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy
