"""The answers to requests that cannot be served: one for each status, with the codes of ``domain.errors``."""

from __future__ import annotations

from typing import Final

from chalicelib.domain.errors import InputError
from chalicelib.openapi.building import Part, json_of

ALWAYS: Final = (400, 403, 404, 413, 415, 429)
"""What API Gateway answers by itself, whatever the operation: its responses stand in ``.chalice/resources.json``."""

WORDS: Final = {
    400: "The request cannot be understood; the message names the field and the remedy",
    401: "Nobody signed, or not rightly",
    403: "The role of the token does not suffice, or API Gateway refuses the request",
    404: "There is no such thing, or none that the caller may see; or no such path or method",
    409: "The request contradicts what is recorded",
    413: "Too large; the message says which limit is crossed",
    415: "No format is known for the content type or the body",
    429: "Too many requests: the same one works later",
}

SERVER: Final = ("internal", "unavailable")
"""Our own failure, and API Gateway's that reached no answer of ours."""


def kinds() -> list[type[InputError]]:
    """Every error that a client can cause."""
    found, left = [], [InputError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return found


def codes() -> dict[int, list[str]]:
    """The codes of each status."""
    found: dict[int, set[str]] = {status: set() for status in WORDS}
    for kind in kinds():
        found.setdefault(kind.status, set()).add(kind.code)
    return {status: sorted(each) for status, each in found.items()}


def responses() -> Part:
    """Describe them all."""
    made = {str(status): _response(WORDS[status], each) for status, each in codes().items()}
    made["429"]["headers"] = {
        "Retry-After": {
            "required": True,
            "description": "Seconds after which the same request works",
            "schema": {"type": "integer", "minimum": 1},
        }
    }
    made["5XX"] = _response("Something failed on our side; the same request may be sent again", list(SERVER))
    return made


def _response(words: str, codes: list[str]) -> Part:
    error = {
        "type": "object",
        "required": ["code", "message", "request_id"],
        "additionalProperties": False,
        "properties": {
            "code": {"type": "string", "enum": codes},
            "message": {"type": "string", "minLength": 1},
            "request_id": {"type": "string", "description": "To quote to the operators"},
        },
    }
    schema = {"type": "object", "required": ["error"], "additionalProperties": False, "properties": {"error": error}}
    return {"description": words, "content": json_of(schema)}
