"""Routes for operators: how far the vendors' exports are archived, and requests to archive days again."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError, NotFound
from chalicelib.handlers.http import listed, only, operator, page
from chalicelib.web import answer, json_body, page_size, query

if TYPE_CHECKING:
    from chalicelib.domain.export_calendar import ExportCalendar
    from chalicelib.ledger.export_days import ExportDay

COLUMNS = (
    "day",
    "state",
    "attempt",
    "rows",
    "rejected",
    "archived_at",
    "reason",
    "requested_by",
    "vendor_task_id",
    "manifest",
)


def list_days(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/exports``: the days of an account, newest first."""
    from chalicelib.ledger import export_days

    operator(services, request, "reader")
    only(request, "account", "limit", "next_token")
    account, _ = _find_account(services, query(request, "account", needed=False, longest=100))
    limit, before = page_size(request), query(request, "next_token", needed=False, longest=10)
    try:
        before = before and date.fromisoformat(before).isoformat()
    except ValueError:
        raise InputError("next_token must be the one of the page before: the last day on it") from None
    days = export_days.read(services.rows, account, after=before, limit=limit + 1, newest_first=True)
    body = page("days", days, limit, show=_show_day, token=lambda day: day.day.isoformat())
    return listed(request, "days", {"account": account, **body}, COLUMNS)


def request_days(services: Services, request: Request) -> Response:
    """Answer ``POST /v1/exports``: a day that is archived or failed begins its next attempt."""
    from chalicelib.ledger import audit, export_days

    actor = operator(services, request, "operator").name
    only(request)
    document = json_body(request, {"from": str, "to": str, "account": str, "reason": str})
    account, calendar = _find_account(services, document.get("account", ""))
    window = calendar.finished_days(now())
    first, last = _read_day(document, "from"), _read_day(document, "to")
    if not window[0] <= first <= last <= window[-1]:
        raise InputError(f"from and to must be days, in this order, from {window[0]} to {window[-1]} ({calendar.zone})")
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    reason = str(document.get("reason", ""))[:500] or "asked for again"
    decision = audit.Decision(actor, "export", f"account:{account}", reason, now(), after=f"{first}..{last}")
    audit.record(services.rows, decision)
    requested = [export_days.ask_again(services.rows, account, day, actor=actor, now=now()) for day in days]
    services.emit("exports_asked_for", account=account, actor=actor, first=str(first), last=str(last), days=len(days))
    return answer(202, {"account": account, "days": [_show_day(day) for day in requested]})


def _find_account(services: Services, name: str) -> tuple[str, ExportCalendar]:
    """Return the named account, or the only one there is, with its vendor's calendar."""
    from chalicelib.ledger import export_days

    calendars = export_days.accounts(services.rows)
    if not calendars:
        raise NotFound("no account has exports yet: configure one in the vendors secret, and wait five minutes")
    if not name and len(calendars) == 1:
        name = next(iter(calendars))
    if name not in calendars:
        raise InputError(f"account must be one of {', '.join(calendars)}")
    return name, calendars[name]


def _read_day(document: dict[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(document.get(name, ""))
    except ValueError:
        raise InputError(f"{name} must be a day such as 2026-01-15") from None


def _show_day(day: ExportDay) -> dict[str, Any]:
    """Return a day as the answer has it."""
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
