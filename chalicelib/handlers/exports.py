"""Routes for operators: how far the vendors' exports are archived, and asking for days again."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import operator
from chalicelib.web import answer, json_body, page_size, query

if TYPE_CHECKING:
    from chalicelib.domain.export_calendar import ExportCalendar
    from chalicelib.ledger.export_days import ExportDay


def listed(made: Services, request: Request) -> Response:
    """Answer ``GET /v1/exports``: the days of an account, newest first."""
    from chalicelib.ledger import export_days

    operator(made, request, "reader")
    account, _ = _account(made, query(request, "account", needed=False, longest=100))
    limit, before = page_size(request), query(request, "next_token", needed=False, longest=10)
    try:
        before = before and date.fromisoformat(before).isoformat()
    except ValueError:
        raise InputError("next_token must be the one of the page before: the day it ended with") from None
    found = export_days.read(made.rows, account, after=before, limit=limit + 1, newest_first=True)
    body: dict[str, Any] = {"account": account, "days": [_shown(each) for each in found[:limit]]}
    if len(found) > limit:
        body["next_token"] = found[limit - 1].day.isoformat()
    return answer(200, body)


def ask(made: Services, request: Request) -> Response:
    """Answer ``POST /v1/exports``: each day that has ended, archived or failed, begins its next attempt."""
    from chalicelib.ledger import audit, export_days

    who = operator(made, request, "operator")
    document = json_body(request, {"from": str, "to": str, "account": str, "reason": str})
    account, calendar = _account(made, document.get("account", ""))
    window = calendar.finished_days(now())
    first, last = _day(document, "from"), _day(document, "to")
    if not window[0] <= first <= last <= window[-1]:
        raise InputError(f"from and to must be days, in this order, from {window[0]} to {window[-1]} ({calendar.zone})")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    reason = str(document.get("reason", ""))[:500] or "asked for again"
    audit.record(
        made.rows, audit.Decision(who.name, "export", f"account:{account}", reason, now(), after=f"{first}..{last}")
    )
    asked = [export_days.ask_again(made.rows, account, day, actor=who.name, now=now()) for day in days]
    made.emit("exports_asked_for", account=account, actor=who.name, first=str(first), last=str(last), days=len(days))
    return answer(202, {"account": account, "days": [_shown(each) for each in asked]})


def _account(made: Services, name: str) -> tuple[str, ExportCalendar]:
    """Return the account that is meant, with its vendor's calendar."""
    from chalicelib.ledger import export_days

    known = export_days.accounts(made.rows)
    if not known:
        raise NotFound("no account has exports yet: configure one in the vendors secret, and wait five minutes")
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        raise InputError(f"account must be one of {', '.join(known)}")
    return name, known[name]


def _day(document: dict[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(document.get(name, ""))
    except ValueError:
        raise InputError(f"{name} must be a day such as 2026-01-15") from None


def _shown(day: ExportDay) -> dict[str, Any]:
    shown: dict[str, Any] = {"day": day.day.isoformat(), "state": day.state.value, "attempt": day.attempt}
    if day.reason:
        shown["reason"] = day.reason
    if day.requested_by:
        shown["requested_by"] = day.requested_by
    if day.vendor_task_id:
        shown["vendor_task_id"] = day.vendor_task_id
    if day.archived_at:
        shown |= {"rows": day.rows, "rejected": day.rejected, "manifest": day.manifest}
        shown["archived_at"] = day.archived_at.isoformat()
    return shown
