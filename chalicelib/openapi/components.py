"""What bodies and answers hold."""

from __future__ import annotations

from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.openapi import operators, reports
from chalicelib.openapi.building import COUNT, TEXT, TIME, Part, ref, several, thing


def schemas() -> Part:
    """All schemas by name."""
    return {
        "State": {
            "type": "string",
            "enum": [each.value for each in UrlState],
            "description": "`pending` and `processing` go on by themselves; everything else is an end",
        },
        "Task": task(),
        "TaskWithUrls": task({"urls_carried": several(TEXT)}),
        "Verification": thing(
            {"verified_at": TIME, "sampled": COUNT, "blocked": COUNT, "open": COUNT, "open_urls": several(TEXT)}
        ),
        **reports.schemas(),
        **operators.schemas(),
    }


def task(more: Part | None = None) -> Part:
    """A ban task."""
    return thing(
        {
            "task_id": TEXT,
            "account": TEXT,
            "action": {"type": "string", "enum": [each.value for each in Action]},
            "state": {"type": "string", "enum": [each.value for each in TaskState]},
            "urls": COUNT,
            "ban_days": COUNT,
            "vendor_task_id": TEXT,
            "created_at": TIME,
            "submitted_at": {"anyOf": [TIME, {"type": "null"}]},
            "finished_at": {"anyOf": [TIME, {"type": "null"}]},
            "reason": TEXT,
            "withheld": {"type": ["string", "null"]},
            "parent": {"type": ["string", "null"]},
            "children": several(TEXT),
            "verification": {"anyOf": [ref("Verification"), {"type": "null"}]},
        },
        optional=more,
    )
