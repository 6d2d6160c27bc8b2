"""Routes for operators: tasks, pause and resume, and who did what."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import operator
from chalicelib.web import answer, json_body, page_size, query, text_field

# --- tasks ----------------------------------------------------------------------------------------------------------


def list_tasks(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/tasks``: those under way, or with ``day=`` those that ended on a UTC day."""
    from chalicelib.ledger import journal, tasks
    from chalicelib.pipeline.answers.operator_view import task_brief

    operator(made, request, "reader")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    day = query(request, "day", needed=False, longest=10)
    if day:
        found = [event.subject for event in journal.read(made.rows, _day(day)) if event.kind == "task"]
    else:
        found = [each.id for account in made.policy.accounts for each in tasks.live(made.rows, account)]
    found = sorted(each for each in found if each > after)
    page = tasks.read(made.rows, found[:limit])
    body: dict[str, Any] = {"tasks": [task_brief(page[each]) for each in found[:limit] if each in page]}
    if len(found) > limit:
        body["next_token"] = found[limit - 1]
    return answer(200, body)


def read_task(made: Services, task_id: str, request: Request) -> Response:
    """Answer ``GET /v1/tasks/{id}``, by our id or the vendor's (with ``account=``)."""
    from chalicelib.ledger import chunks, tasks
    from chalicelib.pipeline.answers.operator_view import task_brief
    from chalicelib.pipeline.lifecycle.splitting import urls_of

    operator(made, request, "reader")
    account = query(request, "account", needed=False, longest=100)
    ours = tasks.of_vendor_task(made.rows, account, task_id) if account else task_id
    task = tasks.read(made.rows, [ours]).get(ours) if ours else None
    if task is None:
        raise NotFound("there is no such task; to ask by the vendor's task id, name the account=")
    found = chunks.read(made.rows, [each.chunk for each in task.slices])
    body = task_brief(task)
    if found.keys() >= {each.chunk for each in task.slices}:
        body["urls_carried"] = urls_of(task, found)
    return answer(200, body)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError("day must be a UTC day such as 2026-01-15") from None


# --- pause and resume ----------------------------------------------------------------------------------------------


def pause(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/pause``: stop submission, of one account or of all."""
    from chalicelib.ledger import audit, control

    who, account, reason = _switch(made, request)
    audit.record(made.rows, audit.Decision(who, "pause", f"account:{account}", reason, now(), after="paused"))
    control.set_paused(made.rows, account, actor=who, reason=reason, now=now())
    made.emit("paused", account=account, actor=who, reason=reason)
    return answer(200, {"account": account, "paused": True, "by": who, "reason": reason})


def resume(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/resume``: go on, also where the vendor had refused credentials or quota."""
    from chalicelib.ledger import audit, control

    who, account, reason = _switch(made, request)
    audit.record(made.rows, audit.Decision(who, "resume", f"account:{account}", reason, now(), after="running"))
    control.resume(made.rows, account, actor=who, now=now())
    for each in made.policy.accounts if account == control.EVERYWHERE else [account]:
        control.unblock(made.rows, each)  # a block stands at the account, whatever was resumed
        made.wake(each, now=now())
    made.emit("resumed", account=account, actor=who, reason=reason)
    return answer(200, {"account": account, "paused": False, "by": who, "reason": reason})


def _switch(made: Services, request: Request) -> tuple[str, str, str]:
    from chalicelib.ledger.control import EVERYWHERE

    who = operator(made, request, "operator")
    document = json_body(request, {"account": str, "reason": str})
    account = document.get("account", EVERYWHERE)
    if account != EVERYWHERE and account not in made.policy.accounts:
        raise InputError(f"account must be one of {', '.join(made.policy.accounts)}, or left out for all")
    return who.name, account, text_field(document, "reason")


# --- audit ------------------------------------------------------------------------------------------------------------


def read_audit(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/audit?actor=`` or ``?about=`` (``hold:<id>``, ``account:<name>``, ``source:<name>`` …)."""
    from chalicelib.ledger import audit

    operator(made, request, "reader")
    actor, about = (query(request, name, needed=False, longest=300) for name in ("actor", "about"))
    if bool(actor) == bool(about):
        raise InputError("name exactly one of actor= and about=")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    read = audit.of_actor if actor else audit.about
    found = read(made.rows, actor or about, limit=limit + 1, after=after)
    body: dict[str, Any] = {
        "decisions": [
            {
                "at": each.at.astimezone(UTC).isoformat(),
                "actor": each.actor,
                "action": each.action,
                "about": each.subject,
                "reason": each.reason,
                "before": each.before,
                "after": each.after,
            }
            for _, each in found[:limit]
        ]
    }
    if len(found) > limit:
        body["next_token"] = found[limit - 1][0]
    return answer(200, body)
