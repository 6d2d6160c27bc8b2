"""Routes for abuse systems: report, and ask what became of it."""

from __future__ import annotations

from typing import Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import NotFound
from chalicelib.handlers.http import operator
from chalicelib.web import answer, raw_body


def receive(made: Services, source: str, request: Request) -> Response:
    """Answer ``POST /v1/reports/{source}``."""
    from chalicelib.pipeline.receive import receive_report

    receipt = receive_report(
        source, headers=request.headers, body=raw_body(request), sources=made.sources, policy=made.policy,
        rows=made.rows, queue=made.reports_queue, tell=made.tell, now=now(),
    )  # fmt: skip
    body: dict[str, Any] = {
        "report_id": receipt.report_id,
        "accepted": receipt.accepted,
        "rejected": [{"url": each.url, "rule": each.rule, "reason": each.reason} for each in receipt.refusals],
    }
    if receipt.skipped:
        body["skipped"] = [{"where": where, "reason": reason} for where, reason in receipt.skipped]
    if receipt.correlation_id:
        body["correlation_id"] = receipt.correlation_id
    return answer(202, body)


def read(made: Services, report_id: str, request: Request) -> Response:
    """Answer ``GET /v1/reports/{report_id}``."""
    from chalicelib.ledger import reports
    from chalicelib.pipeline import status

    operator(made, request, "reader")
    report = reports.read(made.rows, report_id)
    if report is None:
        raise NotFound("there is no report with this report_id, or it is older than the ledger keeps")
    states = status.of_report(report, rows=made.rows, policy=made.policy, now=now())
    body = {
        "report_id": report.id,
        "source": report.source,
        "received_at": report.received_at.isoformat(),
        "complete": status.terminal(states),
        "urls": states,
    }
    if report.correlation_id:
        body["correlation_id"] = report.correlation_id
    return answer(200, body)
