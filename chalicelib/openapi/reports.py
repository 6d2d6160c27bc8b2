"""The routes for abuse systems."""

from __future__ import annotations

from chalicelib.domain.policy.rules import BAN_DAYS
from chalicelib.openapi.building import (
    FLAG,
    TEXT,
    TIME,
    Part,
    in_path,
    in_query,
    operation,
    paging,
    ref,
    several,
    thing,
)
from chalicelib.reports import CONTENT_TYPES, PARSERS, reading

FROM_SOURCE: list[Part] = [{"standardWebhooks": []}, {"hub": []}, {"sourceToken": []}]

HEADERS: list[Part] = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": words,
        "schema": {"type": "string"},
    }
    for name, words in (
        ("webhook-id", "Identifies the report: the same id and body again is the same report"),
        ("webhook-timestamp", "When it was sent, in Unix seconds: at most five minutes from now"),
    )
]

AS_SOURCE: Part = {
    "name": "X-Edgeban-Source",
    "in": "header",
    "required": False,
    "description": "Which source asks, with its own credentials; without it, an operator does",
    "schema": {"type": "string", "maxLength": 200},
}
AS_SOURCE_IN_QUERY = in_query("source", "Like X-Edgeban-Source", kind={"type": "string", "maxLength": 200})


def paths() -> Part:
    """Describe them."""
    return {
        "/v1/reports": {
            "get": operation(
                "findReports",
                "Find reports by the correlation id that they came with",
                tag="reports",
                answers={200: ("The reports, in pages", ref("FoundReports"))},
                refusals=[401],
                parameters=[
                    in_query(
                        "correlation_id",
                        "As the report gave it",
                        required=True,
                        kind={
                            "type": "string",
                            "minLength": 1,
                            "maxLength": reading.MAX_CORRELATION_ID_LENGTH,
                            "examples": ["case-17"],
                        },
                    ),
                    AS_SOURCE,
                    AS_SOURCE_IN_QUERY,
                    *HEADERS,
                    *paging(),
                ],
                security=[{"operator": []}, *FROM_SOURCE],
            )
        },
        "/v1/reports/{source}": {
            "post": operation(
                "receiveReport",
                "Report URLs",
                tag="reports",
                answers={202: ("Recorded and queued; what was refused at once is named", ref("Receipt"))},
                refusals=[401, 409],
                parameters=[in_path("source", "The name of the source that reports"), *HEADERS],
                body=_report_body(),
                security=FROM_SOURCE,
            ),
            "get": operation(
                "readReport",
                "Read what became of each URL of a report",
                tag="reports",
                answers={200: ("The report, in pages", ref("ReportStatus"))},
                refusals=[401],
                parameters=[
                    in_path("source", "Here: the report_id (API Gateway has one name for a part of the path)"),
                    AS_SOURCE,
                    AS_SOURCE_IN_QUERY,
                    *HEADERS,
                    *paging(),
                ],
                security=[{"operator": []}, *FROM_SOURCE],
            ),
        },
    }


def _report_body() -> Part:
    """Every content type that a format has; only edgeban's own is described field by field."""
    own = ("application/json", "application/vnd.edgeban+json")
    others = {name: {"schema": {"type": "string"}} for name in [*CONTENT_TYPES, "text/csv"] if name not in own}
    return {
        "required": True,
        "description": f"One of the formats {', '.join(PARSERS)}: docs/formats.md says what is read of each",
        "content": {**{name: {"schema": ref("Report")} for name in own}, **others},
    }


def shared_fields() -> Part:
    """What may stand at a report or beside one of its URLs."""
    return {
        "category": {"type": "string", "maxLength": reading.MAX_CATEGORY_LENGTH},
        "reporter": {"type": "string", "maxLength": reading.MAX_REPORTER_LENGTH},
        "ban_duration": {
            "type": "integer",
            "minimum": BAN_DAYS[0],
            "maximum": BAN_DAYS[-1],
            "description": "In days",
        },
        "reported_at": TIME,
        "note": {"type": "string", "maxLength": reading.MAX_NOTE_LENGTH},
    }


def schemas() -> Part:
    """The schemas of these routes."""
    url = thing({"url": TEXT}, optional=shared_fields(), closed=True)
    urls = several({"oneOf": [TEXT, url]}, minItems=1, maxItems=reading.ParserOptions().max_urls)
    brief = {"report_id": TEXT, "source": TEXT, "received_at": TIME, "accepted": {"type": "integer", "minimum": 0}}
    more = {"correlation_id": TEXT, "test": FLAG}
    return {
        "Report": thing(
            {"urls": urls},
            optional={
                **shared_fields(),
                "correlation_id": {"type": "string", "maxLength": reading.MAX_CORRELATION_ID_LENGTH},
                "test": {"type": "boolean", "description": "Walk the whole path without effect at a vendor"},
            },
            closed=True,
        )
        | {
            "examples": [
                {"urls": ["https://www.example.com/page"], "category": "phishing", "correlation_id": "case-17"}
            ]
        },
        "Receipt": thing(
            {
                "report_id": TEXT,
                "accepted": {"type": "integer", "minimum": 0},
                "rejected": several(thing({"url": TEXT, "rule": TEXT, "reason": TEXT})),
            },
            optional={"skipped": several(thing({"where": TEXT, "reason": TEXT})), **more},
        ),
        "FoundReports": thing({"reports": several(thing(brief, optional=more))}, optional={"next_token": TEXT}),
        "UrlState": thing(
            {"url": TEXT, "account": TEXT, "state": ref("State")},
            optional={
                "reason": {"type": "string", "description": "Ours or the vendor's"},
                "rule": TEXT,
                "until": {"type": "integer", "description": "The planned end of the ban, in Unix seconds"},
                "reported_before": FLAG,
            },
        ),
        "ReportStatus": thing(
            {**brief, "urls": several(ref("UrlState"))},
            optional={
                "complete": {
                    "type": "boolean",
                    "description": "Whether all URLs have come to an end; on the first page",
                },
                "counts": {
                    "type": "object",
                    "additionalProperties": {"type": "integer"},
                    "description": "URLs in each state, of the whole report; on the first page",
                },
                "next_token": TEXT,
                **more,
            },
        ),
    }
