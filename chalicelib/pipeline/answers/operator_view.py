"""What an operator is told of a URL and of a task, as JSON. (What a source is told: ``status.brief``.)"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chalicelib.ledger.tasks import Task, Verified
from chalicelib.pipeline.answers.url_status import UrlStatus


def whole(status: UrlStatus) -> dict[str, Any]:
    """What an operator may know of a URL: everything."""
    return {
        "account": status.account,
        "state": status.state.value,
        "reason": status.reason,
        "rule": status.rule,
        "report_id": status.report,
        "source": status.source,
        "reporter": status.reporter,
        "category": status.category,
        "chunk_id": status.chunk,
        "until": datetime.fromtimestamp(status.until, tz=UTC).isoformat(),
        "tasks": [task_brief(each) for each in status.tasks],
    }


def task_brief(task: Task) -> dict[str, Any]:
    """A task without its URLs."""
    return {
        "task_id": task.id,
        "account": task.account,
        "action": task.action.value,
        "state": task.state.value,
        "urls": task.count,
        "ban_days": task.ban_days,
        "vendor_task_id": task.vendor_task_id,
        "created_at": task.created_at.isoformat(),
        "submitted_at": task.submitted_at.isoformat() if task.submitted_at else None,
        "finished_at": task.finished_at.isoformat() if task.finished_at else None,
        "reason": task.reason,
        "withheld": task.withheld.value if task.withheld else None,
        "parent": task.parent or None,
        "children": list(task.children),
        "verification": _verification(task.verified) if task.verified else None,
    }


def _verification(verified: Verified) -> dict[str, Any]:
    return {
        "verified_at": verified.at.isoformat(),
        "sampled": verified.sampled,
        "blocked": verified.blocked,
        "open": verified.open,
        "open_urls": list(verified.open_urls),
    }
