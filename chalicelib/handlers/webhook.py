"""The webhook: take the report of an abuse system; answer how many URLs are accepted, and which are refused at once."""

from __future__ import annotations

from typing import Any

from chalice.app import Request, Response

from chalicelib.bootstrap import Services
from chalicelib.web import answer, raw_body, within_bytes


def receive(services: Services, source: str, request: Request) -> Response:
    """Answer ``POST /v1/reports/{source}``."""
    from chalicelib.pipeline.intake.deliveries import WebhookCall
    from chalicelib.pipeline.intake.receive import receive_report

    call = WebhookCall(source, request.headers, raw_body(request))
    receipt = receive_report(services.run(), call, services.sources, services.reports_queue)
    body: dict[str, Any] = {
        "report_id": receipt.report_id,
        "accepted": receipt.accepted,
        "rejected": within_bytes(
            {"url": refusal.url, "rule": refusal.rule, "reason": refusal.reason} for refusal in receipt.refusals
        ),
    }
    left_out = len(receipt.refusals) - len(body["rejected"])
    if left_out:  # the report's pages have them all
        body["rejected_left_out"] = left_out
    if receipt.skipped:
        body["skipped"] = [{"where": where, "reason": reason} for where, reason in receipt.skipped]
    if receipt.correlation_id:
        body["correlation_id"] = receipt.correlation_id
    if receipt.test:
        body["test"] = True
    return answer(202, body)
