"""Routes for operators: tasks, pause and resume, and the audit of their decisions."""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import operator, page
from chalicelib.web import answer, json_body, page_size, query, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.audit import Decision

# --- tasks ----------------------------------------------------------------------------------------------------------


def list_tasks(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/tasks``: the tasks under way, or with ``day=`` the tasks that ended on a UTC day."""
    from chalicelib.ledger import journal, tasks
    from chalicelib.pipeline.answers import as_json

    operator(services, request, "reader")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    day = query(request, "day", needed=False, longest=10)
    if day:
        task_ids = [event.subject for event in journal.read(services.rows, _day(day)) if event.kind == "task"]
    else:
        task_ids = [task.id for account in services.policy.accounts for task in tasks.live(services.rows, account)]
    following = sorted(task_id for task_id in task_ids if task_id > after)[: limit + 1]
    tasks_by_id = tasks.read(services.rows, following)
    there = [tasks_by_id[task_id] for task_id in following if task_id in tasks_by_id]
    return answer(200, page("tasks", there, limit, show=as_json.task, token=lambda task: task.id))


def read_task(services: Services, task_id: str, request: Request) -> Response:
    """Answer ``GET /v1/tasks/{id}``, by edgeban's task id, or with ``account=`` by the vendor's."""
    from chalicelib.ledger import chunks, tasks
    from chalicelib.pipeline.answers import as_json
    from chalicelib.pipeline.lifecycle.splitting import urls_of

    operator(services, request, "reader")
    account = query(request, "account", needed=False, longest=100)
    ours = tasks.of_vendor_task(services.rows, account, task_id) if account else task_id
    task = tasks.read(services.rows, [ours]).get(ours) if ours else None
    if task is None:
        raise NotFound("there is no such task; to ask by the vendor's task id, name the account=")
    chunks_by_id = chunks.read(services.rows, [part.chunk for part in task.slices])
    body = as_json.task(task)
    if chunks_by_id.keys() >= {part.chunk for part in task.slices}:
        body["urls_carried"] = urls_of(task, chunks_by_id)
    return answer(200, body)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError("day must be a UTC day such as 2026-01-15") from None


# --- pause and resume ----------------------------------------------------------------------------------------------


def pause(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/pause``: pause submission, for one account or for all."""
    from chalicelib.ledger import audit, control

    actor, account, reason = _read_switch(services, request)
    audit.record(services.rows, audit.Decision(actor, "pause", f"account:{account}", reason, now(), after="paused"))
    control.set_paused(services.rows, account, actor=actor, reason=reason, now=now())
    services.emit("paused", account=account, actor=actor, reason=reason)
    return answer(200, {"account": account, "paused": True, "by": actor, "reason": reason})


def resume(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/resume``: resume submission, also after the vendor refused the credentials or the quota."""
    from chalicelib.ledger import audit, control

    actor, account, reason = _read_switch(services, request)
    audit.record(services.rows, audit.Decision(actor, "resume", f"account:{account}", reason, now(), after="running"))
    control.resume(services.rows, account, actor=actor, now=now())
    for name in services.policy.accounts if account == control.EVERYWHERE else [account]:
        control.unblock(services.rows, name)  # a vendor's refusal blocks one account, whether or not it is paused
        services.wake(name, now=now())
    services.emit("resumed", account=account, actor=actor, reason=reason)
    return answer(200, {"account": account, "paused": False, "by": actor, "reason": reason})


def _read_switch(services: Services, request: Request) -> tuple[str, str, str]:
    """Return the actor, the account and the reason of a pause or a resume."""
    from chalicelib.ledger.control import EVERYWHERE

    asking = operator(services, request, "operator")
    document = json_body(request, {"account": str, "reason": str})
    account = document.get("account", EVERYWHERE)
    if account != EVERYWHERE and account not in services.policy.accounts:
        raise InputError(f"account must be one of {', '.join(services.policy.accounts)}, or left out for all")
    return asking.name, account, text_field(document, "reason")


# --- audit ------------------------------------------------------------------------------------------------------------


def read_audit(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/audit?actor=`` or ``?about=`` (``hold:<id>``, ``account:<name>``, ``source:<name>`` …)."""
    from chalicelib.ledger import audit

    operator(services, request, "reader")
    actor, about = (query(request, name, needed=False, longest=300) for name in ("actor", "about"))
    if bool(actor) == bool(about):
        raise InputError("name exactly one of actor= and about=")
    limit, after = page_size(request), query(request, "next_token", needed=False, longest=200)
    read = audit.of_actor if actor else audit.about
    named_decisions = read(services.rows, actor or about, limit=limit + 1, after=after)
    return answer(200, page("decisions", named_decisions, limit, show=_show_decision, token=lambda named: named[0]))


def _show_decision(named_decision: tuple[str, Decision]) -> dict[str, Any]:
    """Return a decision as the answer has it."""
    decision = named_decision[1]
    return {
        "at": decision.at.astimezone(UTC).isoformat(),
        "actor": decision.actor,
        "action": decision.action,
        "about": decision.subject,
        "reason": decision.reason,
        "before": decision.before,
        "after": decision.after,
    }
