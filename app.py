"""Every route and every Lambda function of edgeban: the table of contents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, Request, Response, SQSEvent

from chalicelib.bootstrap import services
from chalicelib.handlers import pipeline, reports, urls
from chalicelib.handlers.http import answered
from chalicelib.web import REPORT_CONTENT_TYPES

app = Chalice(app_name="edgeban", configure_logs=False)
app.api.binary_types.append("message/rfc822")


@app.middleware("all")
def observed(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Let every log line and answer name its invocation."""
    services().begin(event.lambda_context if isinstance(event, Request) else event.context)
    return get_response(event)


def request() -> Request:
    """Return the request under way."""
    assert app.current_request
    return app.current_request


# --- for abuse systems ---------------------------------------------------------------------------------


@app.route("/v1/reports/{source}", methods=["POST"], content_types=REPORT_CONTENT_TYPES)
@answered
def receive_report(source: str) -> Response:
    """Verify and record a report, queue its URLs, answer 202."""
    return reports.receive(services(), source, request())


@app.lambda_function(name="receive_report")
def receive_report_alone(event: dict[str, Any], context: Any) -> Any:
    """Serve the first route from a function with a role of its own: the template points POST there."""
    return app(event, context)


@app.route("/v1/reports/{source}", methods=["GET"])
@answered
def read_report(source: str) -> Response:
    """Show the state of each URL of a report; the path's last part is its report_id."""
    return reports.read(services(), source, request())


# --- for operators -----------------------------------------------------------------------------------------


@app.route("/v1/urls", methods=["GET"])
@answered
def read_url() -> Response:
    """Explain what is decided about ``?url=``."""
    return urls.read(services(), request())


@app.route("/v1/health", methods=["GET"])
@answered
def read_health() -> Response:
    """Say whether the ledger answers, and which version this is."""
    return urls.health(services())


# --- the pipeline --------------------------------------------------------------------------------------------


@app.on_sqs_message(queue="reports", name="intake_reports", batch_size=1000, maximum_batching_window_in_seconds=1)
def intake_reports(event: SQSEvent) -> dict[str, Any]:
    """Turn queued reports into claims and chunks; return the messages to be redelivered."""
    return pipeline.intake_reports(services(), event.to_dict())


@app.on_sqs_message(queue="submit.fifo", name="submit_tasks", batch_size=1)
def submit_tasks(event: SQSEvent) -> dict[str, Any]:
    """Pack waiting chunks into ban tasks and submit them to the vendor."""
    return pipeline.submit_tasks(services(), event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="track_tasks")
def track_tasks(event: CloudWatchEvent) -> dict[str, Any]:
    """Follow submitted tasks to their end."""
    return pipeline.track_tasks(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(_event: CloudWatchEvent) -> dict[str, Any]:
    """Finish what a crash left open, and kick what waits."""
    return pipeline.sweep(services())
