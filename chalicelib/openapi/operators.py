"""The routes for operators, and about the service."""

from __future__ import annotations

from typing import Any

from chalicelib.openapi.building import (
    COUNT,
    FLAG,
    TEXT,
    TIME,
    Part,
    in_path,
    in_query,
    json_of,
    operation,
    paging,
    ref,
    said,
    several,
    thing,
)

REASON: Part = {"type": "string", "minLength": 1, "maxLength": 500, "description": "Recorded with the decision"}
URL_LIST: Part = several(TEXT, maxItems=1_000)


def _get(name: str, words: str, answered: Part, *parameters: Part, more: tuple[int, ...] = ()) -> Part:
    return {
        "get": operation(
            name,
            words,
            tag="operators",
            answers={200: ("What there is", answered)},
            refusals=[401, *more],
            parameters=parameters,
            security=[{"operator": []}],
        )
    }


def _post(
    name: str,
    words: str,
    asked: Part,
    answers: dict[int, tuple[str, Part]],
    *parameters: Part,
    more: tuple[int, ...] = (),
) -> Part:
    return {
        "post": operation(
            name,
            words,
            tag="operators",
            answers=answers,
            refusals=[401, *more],
            parameters=parameters,
            body={"required": True, "content": json_of(asked)},
            security=[{"operator": []}],
        )
    }


def _decided(words: str, schema: Part) -> dict[int, tuple[str, Part]]:
    return {200: (words, schema)}


def paths() -> Part:
    """Describe them."""
    hold, task = in_path("hold_id", "As the list of holds names it"), in_path("task_id", "Ours, or the vendor's")
    url = in_query(
        "url",
        "The URL, in any spelling",
        required=True,
        kind={"type": "string", "minLength": 1, "examples": ["https://www.example.com/page"]},
    )
    reason = thing({"reason": REASON}, closed=True)
    switch = thing({"reason": REASON}, optional={"account": said(TEXT, "One account; without it, all")}, closed=True)
    return {
        "/v1/urls": _get("readUrl", "Explain what is decided about a URL", ref("UrlExplained"), url),
        "/v1/tasks": _get(
            "listTasks",
            "List the tasks under way, or those that ended on a day",
            thing({"tasks": several(ref("Task"))}, optional={"next_token": TEXT}),
            in_query("day", "A UTC day", kind={"type": "string", "format": "date"}),
            *paging(),
        ),
        "/v1/tasks/{task_id}": _get(
            "readTask",
            "Show a task with its URLs",
            ref("TaskWithUrls"),
            task,
            in_query("account", "Whose task id it is, if it is a vendor's", kind={"type": "string", "maxLength": 100}),
        ),
        "/v1/unbans": _post(
            "unban",
            "Undo bans by URL, task, report or source",
            ref("Unban"),
            {
                200: ("Only shown", ref("UnbanPreview")),
                202: ("Recorded; what is not done yet goes on by itself", ref("UnbanDone")),
            },
            more=(409,),
        ),
        "/v1/holds": _get(
            "listHolds",
            "List what waits for a person",
            thing({"holds": several(ref("Hold"))}, optional={"next_token": TEXT}),
            *paging(),
        ),
        "/v1/holds/{hold_id}": _get("readHold", "Show the URLs of a hold", ref("HoldWithUrls"), hold),
        "/v1/holds/{hold_id}/approve": _post(
            "approveHold",
            "Let the URLs of a hold be banned",
            reason,
            _decided("Approved, or approved once of twice", thing({"hold_id": TEXT, "complete": FLAG, "state": TEXT})),
            hold,
            more=(409,),
        ),
        "/v1/holds/{hold_id}/refuse": _post(
            "refuseHold",
            "Reject the URLs of a hold",
            reason,
            _decided("Refused", thing({"hold_id": TEXT, "state": TEXT, "urls": COUNT})),
            hold,
            more=(409,),
        ),
        "/v1/pause": _post("pause", "Stop submission", switch, _decided("Paused", ref("Switched"))),
        "/v1/resume": _post("resume", "Go on with submission", switch, _decided("Running", ref("Switched"))),
        "/v1/adoptions": _post(
            "adoptBans",
            "Take bans as ours that a vendor holds and nobody here asked for",
            thing({"account": TEXT, "reason": REASON}, optional={"urls": URL_LIST}, closed=True),
            _decided(
                "Adopted, but for what the vendor's list does not show",
                thing({"account": TEXT, "adopted": COUNT, "known_before": COUNT, "not_banned": several(TEXT)}),
            ),
        ),
        "/v1/audit": _get(
            "readAudit",
            "Show what an operator did, or what was done about something",
            thing({"decisions": several(ref("Decision"))}, optional={"next_token": TEXT}),
            in_query("actor", "The name of an operator; this or about", kind={"type": "string", "maxLength": 300}),
            in_query("about", "For instance hold:<id> or account:<name>", kind={"type": "string", "maxLength": 300}),
            *paging(),
        ),
        **_exports(),
        **_service(),
    }


def _exports() -> Part:
    days = thing({"account": TEXT, "days": several(ref("ExportDay"))}, optional={"next_token": TEXT})
    day: Part = {"type": "string", "format": "date"}
    account = {"type": "string", "maxLength": 100}
    asked = thing({"from": day, "to": day}, optional={"account": account, "reason": {"type": "string"}}, closed=True)
    return {
        "/v1/exports": {
            **_get(
                "listExports",
                "Show how far each day of a vendor's export is, newest first",
                days,
                in_query("account", "Whose; needed if there are several", kind=account),
                *paging(),
            ),
            **_post(
                "askForExports",
                "Ask for days of a vendor's export again",
                asked,
                {202: ("Recorded; a scheduled function does it", days)},
            ),
        }
    }


def _service() -> Part:
    ok = thing({"status": {"const": "ok"}, "version": TEXT, "stage": TEXT})

    def about(name: str, words: str, answered: Part) -> Part:
        return {"get": operation(name, words, tag="service", answers={200: ("As it is", answered)}, refusals=[])}

    return {
        "/v1/health": about("readHealth", "Say whether the ledger answers, and which version this is", ok),
        "/v1/openapi.json": about("readOpenapi", "This description", {"type": "object"}),
    }


def schemas() -> Part:
    """The schemas of these routes."""
    selected: dict[str, Any] = {"urls": {**URL_LIST, "minItems": 1}, "task_id": TEXT, "report_id": TEXT, "source": TEXT}
    unban = thing(
        {},
        optional={
            **selected,
            "reason": REASON,
            "cool_down_days": {
                "type": "integer",
                "minimum": 0,
                "maximum": 365,
                "description": "No report bans the URL for so long",
            },
            "preview": {"type": "boolean", "description": "Only show what would be unbanned"},
        },
        closed=True,
    )
    unban["oneOf"] = [{"required": [name]} for name in selected]
    origin = {"report_id": TEXT, "source": TEXT, "reporter": TEXT, "category": TEXT}
    return {
        "UrlExplained": thing(
            {
                "url": TEXT,
                "protected": {
                    "anyOf": [
                        thing({"entry": TEXT, "comment": TEXT, "expires": {"anyOf": [TIME, {"type": "null"}]}}),
                        {"type": "null"},
                    ]
                },
                "accounts": several(
                    thing(
                        {
                            "account": TEXT,
                            "state": ref("State"),
                            "reason": TEXT,
                            "rule": TEXT,
                            **origin,
                            "chunk_id": TEXT,
                            "until": TIME,
                            "tasks": several(ref("Task")),
                            "history": several(ref("PastDecision")),
                        }
                    )
                ),
            }
        ),
        "PastDecision": thing(
            {
                "at": TIME,
                "action": TEXT,
                "rule": TEXT,
                "actor": {"type": ["string", "null"]},
                "reason": {"type": ["string", "null"]},
                **origin,
                "report_id": {"type": ["string", "null"]},
                "chunk_id": TEXT,
                "tasks": several(TEXT),
            }
        ),
        "Unban": unban,
        "UnbanPreview": thing(
            {
                "preview": {"const": True},
                "urls": COUNT,
                "counted_all": FLAG,
                "first": several(thing({"url": TEXT, "account": TEXT})),
            }
        ),
        "UnbanDone": thing({"unban_id": TEXT, "complete": FLAG}, optional={"urls": COUNT, "message": TEXT}),
        "Hold": thing(
            {
                "hold_id": TEXT,
                "account": TEXT,
                "rule": TEXT,
                "urls": COUNT,
                "since": TIME,
                "ban_days": COUNT,
                "approved_by": {"type": ["string", "null"]},
            }
        ),
        "HoldWithUrls": thing(
            {"hold_id": TEXT, "account": TEXT, "rule": TEXT, "urls": several(thing({"url": TEXT, **origin}))}
        ),
        "ExportDay": thing(
            {"day": {"type": "string", "format": "date"}, "state": TEXT, "attempt": COUNT},
            optional={
                "reason": TEXT,
                "requested_by": TEXT,
                "vendor_task_id": TEXT,
                "rows": COUNT,
                "rejected": COUNT,
                "manifest": TEXT,
                "archived_at": TIME,
            },
        ),
        "Switched": thing({"account": TEXT, "paused": FLAG, "by": TEXT, "reason": TEXT}),
        "Decision": thing(
            {
                "at": TIME,
                "actor": TEXT,
                "action": TEXT,
                "about": TEXT,
                "reason": TEXT,
                "before": TEXT,
                "after": TEXT,
            }
        ),
    }
