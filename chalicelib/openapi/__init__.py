"""The description of the whole API, OpenAPI 3.1, held against the routes and the errors by the tests."""

from __future__ import annotations

from typing import Any

from chalicelib.openapi import components, errors, operators, reports

Document = dict[str, Any]

DESCRIPTION = """\
Abuse reports in, URL bans at CDNs out, and the record of every decision.

Abuse systems report to `POST /v1/reports/{source}` and ask for what became of each URL. Operators look things up,
decide about what is held, unban and pause. Lists page with `limit` and `next_token`. Every error has one shape:
`{"error": {"code", "message", "request_id"}}`; what API Gateway answers by itself has it as well.
"""


def document(version: str) -> Document:
    """Build the description; it is made of new objects each time."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgeban", "version": version, "description": DESCRIPTION},
        "tags": [
            {"name": "reports", "description": "For abuse systems, and for operators who look over their shoulder"},
            {"name": "operators", "description": "For people: look up, decide, undo"},
            {"name": "service", "description": "About the service itself"},
        ],
        "paths": {**reports.paths(), **operators.paths()},
        "components": {
            "schemas": components.schemas(),
            "responses": errors.responses(),
            "securitySchemes": SECURITY,
        },
    }


SECURITY: Document = {
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "An operator's token, with the role reader, operator or approver",
    },
    "standardWebhooks": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": (
            "Standard Webhooks: with `webhook-id` and `webhook-timestamp`; signed is `{id}.{timestamp}.{raw body}`, "
            "without a body `{id}.{timestamp}.`"
        ),
    },
    "hub": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": (
            "`sha256=` and the HMAC-SHA256 of the raw body in hexadecimal; without a body, of the report_id or the "
            "correlation_id that is asked for"
        ),
    },
    "sourceToken": {"type": "http", "scheme": "bearer", "description": "The token of a source whose scheme is bearer"},
}
