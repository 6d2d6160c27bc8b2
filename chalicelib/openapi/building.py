"""Pieces of which the description is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Part = dict[str, Any]

TEXT: Part = {"type": "string"}
COUNT: Part = {"type": "integer", "minimum": 0}
FLAG: Part = {"type": "boolean"}
TIME: Part = {"type": "string", "format": "date-time"}


def ref(name: str) -> Part:
    """Refer to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def said(kind: Part, words: str, **more: Any) -> Part:
    """Describe a value."""
    return {**kind, "description": words, **more}


def several(kind: Part, **more: Any) -> Part:
    """Describe an array."""
    return {"type": "array", "items": kind, **more}


def thing(fields: Mapping[str, Part], *, optional: Mapping[str, Part] | None = None, closed: bool = False) -> Part:
    """Describe an object: the fields that it must have, and those that it may. ``closed``: and no other."""
    made: Part = {"type": "object", "properties": {**fields, **(optional or {})}}
    if fields:
        made["required"] = list(fields)
    if closed:
        made["additionalProperties"] = False
    return made


def in_query(name: str, words: str, *, kind: Part = TEXT, required: bool = False) -> Part:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "required": required, "description": words, "schema": kind}


def in_path(name: str, words: str, *, kind: Part | None = None) -> Part:
    """Describe a part of the path."""
    given = kind or {"type": "string", "minLength": 1, "maxLength": 200}
    return {"name": name, "in": "path", "required": True, "description": words, "schema": given}


def paging(most: int = 1_000) -> list[Part]:
    """Describe how lists page."""
    return [
        in_query("limit", "How many to answer at the most", kind={"type": "integer", "minimum": 1, "maximum": most}),
        in_query("next_token", "As the page before came with it", kind={"type": "string", "maxLength": 200}),
    ]


def json_of(schema: Part) -> Part:
    """Describe a JSON body."""
    return {"application/json": {"schema": schema}}


def operation(
    name: str,
    words: str,
    *,
    tag: str,
    answers: Mapping[int, tuple[str, Part]],
    refusals: Iterable[int],
    parameters: Iterable[Part] = (),
    body: Part | None = None,
    security: list[Part] | None = None,
) -> Part:
    """Describe an operation. ``refusals`` are the statuses of its own errors; those of the gateway are always there."""
    from chalicelib.openapi.errors import ALWAYS

    responses: Part = {
        str(status): {"description": description, "content": json_of(schema)}
        for status, (description, schema) in answers.items()
    }
    for status in sorted({*refusals, *ALWAYS}):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    responses["5XX"] = {"$ref": "#/components/responses/5XX"}
    made: Part = {"operationId": name, "summary": words, "tags": [tag], "responses": responses}
    if parameters:
        made["parameters"] = list(parameters)
    if body:
        made["requestBody"] = body
    made["security"] = security if security is not None else []
    return made
