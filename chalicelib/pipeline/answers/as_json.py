"""Write answers as JSON: the one place where a state, a task or a decision becomes a document.

Every time is ISO 8601 in UTC, such as ``2026-01-15T08:30:00+00:00``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.model import Rule
from chalicelib.ledger.tasks import Task
from chalicelib.ledger.verified import Verified
from chalicelib.pipeline.answers.history import PastDecision
from chalicelib.pipeline.answers.statements import Statement
from chalicelib.pipeline.answers.url_status import ReportedState
from chalicelib.pipeline.lifecycle.explaining import UrlStatus


def time(moment: datetime | None) -> str | None:
    """Write a time; ``None`` if there is none."""
    return moment.astimezone(UTC).isoformat() if moment else None


def reported_state(status: ReportedState) -> dict[str, Any]:
    """Write what a source may know of a URL of its report. It may not know who else reported it."""
    document: dict[str, Any] = {"url": status.url, "account": status.account, "state": status.state.value}
    if status.reason:
        document["reason"] = status.reason
    if status.rule:
        document["rule"] = status.rule
    if status.until:
        document["until"] = time(status.until)
    if status.reported_before:
        document["reported_before"] = True
    return document


def url_status(status: UrlStatus, history: Iterable[PastDecision]) -> dict[str, Any]:
    """Write what an operator may know of a URL at an account: everything."""
    return {
        "account": status.account,
        "state": status.state.value,
        "reason": status.reason,
        "rule": status.rule or Rule.DEFAULT.value,
        "report_id": status.report,
        "source": status.source,
        "reporter": status.reporter,
        "category": status.category,
        "chunk_id": status.chunk,
        "until": time(status.until),
        "cool_until": time(status.cool_until),
        "tasks": [task(each) for each in status.tasks],
        "history": [past_decision(decision) for decision in history],
    }


def past_decision(decision: PastDecision) -> dict[str, Any]:
    """Write one decision of a URL's history, for operators."""
    return {
        "at": time(decision.at),
        "action": decision.action.value,
        "rule": decision.rule,
        "actor": decision.actor or None,
        "reason": decision.reason or None,
        "report_id": decision.report or None,
        "source": decision.source,
        "reporter": decision.reporter,
        "category": decision.category,
        "chunk_id": decision.chunk,
        "tasks": list(decision.tasks),
        "approvals": [
            {"actor": each.actor, "at": time(each.at), "reason": each.reason, "decision": each.action}
            for each in decision.approvals
        ],
    }


def task(task: Task) -> dict[str, Any]:
    """Write a task without its URLs, for operators."""
    return {
        "task_id": task.id,
        "account": task.account,
        "action": task.action.value,
        "state": task.state.value,
        "urls": task.count,
        "ban_days": task.ban_days,
        "vendor_task_id": task.vendor_task_id,
        "created_at": time(task.created_at),
        "submitted_at": time(task.submitted_at),
        "finished_at": time(task.finished_at),
        "reason": task.reason,
        "withheld": task.withheld.value if task.withheld else None,
        "parent": task.parent or None,
        "children": list(task.children),
        "verification": _verification(task.verified) if task.verified else None,
    }


def _verification(verified: Verified) -> dict[str, Any]:
    return {
        "verified_at": time(verified.at),
        "sampled": verified.sampled,
        "blocked": verified.blocked,
        "open": verified.open,
        "open_urls": list(verified.open_urls),
    }


def statement(statement: Statement) -> dict[str, Any]:
    """Write a statement of reasons. What the policy does not say is ``null``, and ``missing`` names its field."""
    ground, source, rules = statement.ground, statement.source, statement.rules
    return {
        "puid": statement.puid,
        "url": statement.url,
        "account": statement.account,
        "report_id": statement.report or None,
        "chunk_id": statement.chunk,
        "decision": "access_disabled",
        "rule": statement.rule,
        "decided_at": time(statement.decided_at),
        "applied_at": time(statement.applied_at),
        "until": time(statement.until),
        "decided_until": time(statement.decided_until),
        "territorial_scope": list(rules.territorial_scope) if rules else None,
        "facts": statement.facts,
        "notified_at": time(statement.notified_at),
        "notice": source.notice.value if source else None,
        "automated_detection": source.automated_detection if source else None,
        "automated_decision": statement.automated_decision,
        "category": statement.category,
        "ground": ground.ground.value if ground else None,
        "basis": ground.basis if ground else None,
        "explanation": ground.explanation if ground else None,
        "dsa_category": ground.dsa_category if ground else None,
        "redress": rules.redress if rules else None,
        "words_since": time(statement.words_since),
        "missing": list(statement.missing),
    }
