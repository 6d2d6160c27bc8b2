"""Routes for operators: tasks, pause and resume, and the audit of their decisions."""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import OURS, choice, decision_token, listed, only, operator, page, token_like
from chalicelib.web import answer, first_position, json_body, page_size, query, text_field, within_bytes

if TYPE_CHECKING:
    from chalicelib.ledger.audit import Decision

TASK_COLUMNS = (
    "task_id",
    "account",
    "action",
    "state",
    "urls",
    "ban_days",
    "vendor_task_id",
    "created_at",
    "submitted_at",
    "finished_at",
    "reason",
    "withheld",
    "parent",
    "children",
)

# --- tasks ----------------------------------------------------------------------------------------------------------


def list_tasks(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/tasks``: the tasks under way, or with ``day=`` the tasks that ended on a UTC day."""
    from chalicelib.ledger import journal, tasks
    from chalicelib.pipeline.answers import as_json

    operator(services, request, "reader")
    only(request, "day", "limit", "next_token")
    limit, after = page_size(request), token_like(request, OURS)
    day = query(request, "day", needed=False, longest=10)
    if day:
        task_ids = [event.subject for event in journal.read(services.rows, _day(day)) if event.kind == "task"]
    else:
        task_ids = [task.id for account in services.policy.accounts for task in tasks.live(services.rows, account)]
    following = sorted(task_id for task_id in task_ids if task_id > after)[: limit + 1]
    tasks_by_id = tasks.read(services.rows, following)
    there = [tasks_by_id[task_id] for task_id in following if task_id in tasks_by_id]
    body = page("tasks", there, limit, show=as_json.task, token=lambda task: task.id)
    return listed(request, "tasks", body, TASK_COLUMNS)


def read_task(services: Services, task_id: str, request: Request) -> Response:
    """Answer ``GET /v1/tasks/{id}``, by edgeban's task id, or with ``account=`` by the vendor's."""
    from chalicelib.ledger import chunks, tasks, vendor_task_ids
    from chalicelib.pipeline.answers import as_json
    from chalicelib.pipeline.lifecycle.splitting import urls_of

    operator(services, request, "reader")
    only(request, "account", "next_token")
    account, start = query(request, "account", needed=False, longest=100), first_position(request)
    ours = vendor_task_ids.ours_of(services.rows, account, task_id) if account else task_id
    task = tasks.read(services.rows, [ours]).get(ours) if ours else None
    if task is None:
        raise NotFound("there is no such task; to ask by the vendor's task id, name the account=")
    chunks_by_id = chunks.read(services.rows, [part.chunk for part in task.slices])
    body = as_json.task(task)
    if chunks_by_id.keys() >= {part.chunk for part in task.slices}:
        urls = urls_of(task, chunks_by_id)
        body["urls_carried"] = within_bytes(urls[start:])
        if start + len(body["urls_carried"]) < len(urls):
            body["next_token"] = str(start + len(body["urls_carried"]))
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
    from chalicelib.pipeline.waking import wake_submitter

    actor, account, reason = _read_switch(services, request)
    audit.record(services.rows, audit.Decision(actor, "resume", f"account:{account}", reason, now(), after="running"))
    control.resume(services.rows, account, actor=actor, now=now())
    for name in services.policy.accounts if account == control.EVERYWHERE else [account]:
        control.unblock(services.rows, name)  # a vendor's refusal blocks one account, whether or not it is paused
        wake_submitter(services.run(), name)
    services.emit("resumed", account=account, actor=actor, reason=reason)
    return answer(200, {"account": account, "paused": False, "by": actor, "reason": reason})


def _read_switch(services: Services, request: Request) -> tuple[str, str, str]:
    """Return the actor, the account and the reason of a pause or a resume."""
    from chalicelib.ledger.control import EVERYWHERE

    asking = operator(services, request, "operator")
    only(request)
    document = json_body(request, {"account": str, "reason": str})
    account = document.get("account", EVERYWHERE)
    if account != EVERYWHERE and account not in services.policy.accounts:
        raise InputError(f"account must be one of {', '.join(services.policy.accounts)}, or left out for all")
    return asking.name, account, text_field(document, "reason")


# --- audit ------------------------------------------------------------------------------------------------------------


AUDIT_COLUMNS = ("at", "actor", "action", "about", "reason", "before", "after", "target_count")

ACTION_PAGES = 10
"""How many pages a request searches for decisions of one action, before it returns a token for the rest."""


def read_audit(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/audit``: what people decided, newest first.

    ``actor=`` chooses whose decisions, ``about=`` about what (``hold:<id>``, ``account:<name>``, ``source:<name>``,
    ``url:<url>`` …), ``day=`` of which day, and ``action=`` which action.
    """
    from chalicelib.ledger.audit import ACTIONS

    operator(services, request, "reader")
    only(request, "actor", "about", "day", "action", "limit", "next_token")
    actor = query(request, "actor", needed=False, longest=300)
    about = query(request, "about", needed=False, longest=2_000)
    day = query(request, "day", needed=False, longest=10)
    action = choice(request, "action", ACTIONS)
    if (bool(actor), bool(about), bool(day)).count(True) > 1:
        raise InputError("name at most one of actor=, about= and day=")
    limit, after = page_size(request), decision_token(request)
    if day:
        _day(day)
    found: list[tuple[str, Decision]] = []
    exhausted = False
    for _ in range(ACTION_PAGES):
        page_of_all = _decisions(services, (actor, about, day), limit=limit + 1, after=after)
        found += [named for named in page_of_all if action in {"", named[1].action}]
        exhausted = len(page_of_all) <= limit
        if len(found) > limit or exhausted:
            break
        after = page_of_all[-1][0]
    body = page("decisions", found, limit, show=_show_decision, token=lambda named: named[0])
    if len(found) <= limit and not exhausted:
        body["next_token"] = after
    return listed(request, "decisions", body, AUDIT_COLUMNS)


def _decisions(
    services: Services, wanted: tuple[str, str, str], *, limit: int, after: str
) -> list[tuple[str, Decision]]:
    from chalicelib.ledger import audit

    actor, about, day = wanted
    if actor:
        return audit.of_actor(services.rows, actor, limit=limit, after=after)
    if about:
        return audit.about(services.rows, about, limit=limit, after=after)
    return audit.recent(services.rows, now=now(), day=day, limit=limit, after=after)


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
        "target_count": decision.targets or None,
    }
