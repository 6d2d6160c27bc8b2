"""Routes for callbacks: which calls of a source were made, and make one again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import Conflict, InputError, NotFound
from chalicelib.handlers.http import REPORT_ID, listed, only, operator, token_like
from chalicelib.web import answer, json_body, page_size, query, text_field

if TYPE_CHECKING:
    from chalicelib.ledger.callbacks import Delivery

COLUMNS = ("report_id", "received_at", "state", "attempts", "last_status", "next_at", "finished_at")


def day_of(request: Request) -> date:
    """Read ``day``, by default today in UTC. Raises InputError."""
    text = query(request, "day", needed=False, longest=10)
    try:
        return date.fromisoformat(text) if text else datetime.now(tz=UTC).date()
    except ValueError:
        raise InputError("day must be a UTC day such as 2026-01-15") from None


def list_callbacks(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/callbacks``: how far the calls about a source's reports of one day are."""
    from chalicelib.ledger import callbacks, reports

    operator(services, request, "reader")
    only(request, "source", "day", "limit", "next_token")
    name = query(request, "source", longest=200)
    if name not in services.sources:
        raise NotFound(f"there is no source {name[:100]!r}")
    limit, after = page_size(request), token_like(request, REPORT_ID)
    found, more = reports.of_source(services.rows, name, day_of(request), after=after, limit=limit)
    deliveries = callbacks.deliveries(services.rows, [report.id for report in found])
    wanted = bool(services.sources[name].callback_url)
    body: dict[str, Any] = {
        "callbacks": [
            {
                "report_id": report.id,
                "received_at": report.received_at.isoformat(),
                **_show(deliveries.get(report.id), wanted=wanted),
            }
            for report in found
        ]
    }
    if more:
        body["next_token"] = more
    return listed(request, "callbacks", body, COLUMNS)


def _show(delivery: Delivery | None, *, wanted: bool) -> dict[str, Any]:
    if delivery is None:
        return {
            "state": "waiting" if wanted else "not_wanted",
            "attempts": 0,
            "last_status": None,
            "next_at": None,
            "finished_at": None,
        }
    return {
        "state": delivery.outcome or "waiting",
        "attempts": delivery.attempts,
        "last_status": delivery.status or None,
        "next_at": delivery.due.isoformat() if delivery.due else None,
        "finished_at": delivery.finished_at.isoformat() if delivery.finished_at else None,
    }


def resend(services: Services, report_id: str, request: Request) -> Response:
    """Answer ``POST /v1/callbacks/{report_id}/resend``: the source is called again within seconds."""
    from chalicelib.ledger import audit, callbacks, reports

    actor = operator(services, request, "operator").name
    only(request)
    reason = text_field(json_body(request, {"reason": str}), "reason")
    report = reports.read(services.rows, report_id)
    if report is None:
        raise NotFound("there is no report with this report_id, or it is older than the ledger keeps")
    source = services.sources.get(report.source)
    if source is None or not source.callback_url:
        raise Conflict(f"the source {report.source} has no callback_url: nobody is called about its reports")
    audit.record(services.rows, audit.Decision(actor, "resend", f"report:{report_id}", reason, now()))
    if not callbacks.resend(services.rows, report_id, now=now()):
        raise Conflict("the source was being called at this moment: look at its callbacks, and ask again if need be")
    services.call_back(report.source, [report_id], mark=f"resend-{report_id}-{now().timestamp()}")
    return answer(202, {"report_id": report_id, "source": report.source})
