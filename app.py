"""Every route and every Lambda function of edgeban: the table of contents."""

from __future__ import annotations

from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, Response, SQSEvent

from chalicelib.bootstrap import services
from chalicelib.web import REPORT_CONTENT_TYPES, answered, lambda_observed

app = Chalice(app_name="edgeban", configure_logs=False)
app.api.binary_types.append("message/rfc822")


# --- for abuse systems ---------------------------------------------------------------------------------


@app.route("/v1/reports/{source}", methods=["POST"], content_types=REPORT_CONTENT_TYPES)
@answered
def receive_report(source: str) -> Response:
    """Verify and record a report, queue its URLs, answer 202."""
    return services().receive_report(source, app.current_request)


@app.route("/v1/reports/{source}", methods=["GET"])
@answered
def read_report(source: str) -> Response:
    """Show the state of each URL of a report; the path's last part is its report_id."""
    return services().read_report(source, app.current_request)


# --- for operators -----------------------------------------------------------------------------------------


@app.route("/v1/urls", methods=["GET"])
@answered
def read_url() -> Response:
    """Explain what is decided about ``?url=``."""
    return services().read_url(app.current_request)


@app.route("/v1/health", methods=["GET"])
@answered
def read_health() -> Response:
    """Say whether the ledger answers, and which version this is."""
    return services().read_health()


# --- the pipeline --------------------------------------------------------------------------------------------


@app.on_sqs_message(queue="reports", name="intake_reports", batch_size=1000, maximum_batching_window_in_seconds=1)
@lambda_observed
def intake_reports(event: SQSEvent) -> dict[str, Any]:
    """Turn queued reports into claims and chunks; return the messages to be redelivered."""
    return services().intake_reports(event.to_dict())


@app.on_sqs_message(queue="submit.fifo", name="submit_tasks", batch_size=1)
@lambda_observed
def submit_tasks(event: SQSEvent) -> dict[str, Any]:
    """Pack waiting chunks into ban tasks and submit them to the vendor."""
    return services().submit_tasks(event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="track_tasks")
@lambda_observed
def track_tasks(event: CloudWatchEvent) -> dict[str, Any]:
    """Follow submitted tasks to their end."""
    return services().track_tasks(event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
@lambda_observed
def sweep(event: CloudWatchEvent) -> dict[str, Any]:
    """Finish what a crash left open, and kick what waits."""
    return services().sweep()
