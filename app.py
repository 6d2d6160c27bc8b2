"""Every route and every Lambda function of edgeban: the table of contents."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, Request, Response, SQSEvent

from chalicelib.bootstrap import services
from chalicelib.handlers import (
    activity,
    ban_by_hand,
    ban_list,
    callbacks,
    console,
    counts,
    exports,
    holds,
    operators,
    outcomes,
    queues,
    reports,
    schedules,
    second_person,
    service,
    statements,
    trials,
    unbans,
    urls,
    webhook,
)
from chalicelib.handlers.http import View, served
from chalicelib.web import REPORT_CONTENT_TYPES, in_our_shape

app = Chalice(app_name="edgeban", configure_logs=False)


@app.middleware("all")
def observed(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Write the invocation's id into every log line and every answer."""
    services().begin(event.lambda_context if isinstance(event, Request) else event.context)
    return in_our_shape(get_response(event), services().request_id)


def request() -> Request:
    """Return the request that is being served."""
    assert app.current_request
    return app.current_request


def serve(method: str, path: str, view: View, content_types: Sequence[str] = ("application/json",)) -> None:
    """Route a path to a function of ``handlers``; it gets the services, the named parts of the path and the request."""

    def answer(**parts: str) -> Response:
        return served(view, services(), parts, request())

    app.route(path, methods=[method], name=view.__name__, content_types=list(content_types))(answer)


# --- for abuse systems ---------------------------------------------------------------------------------

serve("POST", "/v1/reports/{source}", webhook.receive, REPORT_CONTENT_TYPES)
serve("GET", "/v1/reports", reports.find)
serve("GET", "/v1/reports/{source}", reports.read)  # the report_id: API Gateway allows one name for a place


@app.lambda_function(name="receive_report")
def receive_report(event: dict[str, Any], context: Any) -> Any:
    """Serve ``POST /v1/reports/{source}``, which the template routes here: this function has a role of its own."""
    return app(event, context)


# --- for operators: what stands at the edge, and why ------------------------------------------------------------

serve("GET", "/v1/urls", urls.read)
serve("GET", "/v1/bans", ban_list.list_bans)
serve("GET", "/v1/bans/counts", ban_list.count_bans)
serve("GET", "/v1/tasks", operators.list_tasks)
serve("GET", "/v1/tasks/{task_id}", operators.read_task)
serve("GET", "/v1/unbans", activity.list_unbans)
serve("GET", "/v1/unbans/{unban_id}", activity.read_unban)
serve("GET", "/v1/holds", holds.list_holds)
serve("GET", "/v1/holds/{hold_id}", holds.read_hold)
serve("GET", "/v1/policy", trials.read_policy)
serve("POST", "/v1/policy/test", trials.try_policy)
serve("GET", "/v1/statements", statements.list_statements)

# --- for operators: decide ----------------------------------------------------------------------------------------

serve("POST", "/v1/bans", ban_by_hand.ban)
serve("PATCH", "/v1/bans", ban_by_hand.change_end)
serve("POST", "/v1/unbans", unbans.unban)
serve("POST", "/v1/unbans/{unban_id}/approve", second_person.approve_unban)
serve("POST", "/v1/unbans/{unban_id}/cancel", second_person.cancel_unban)
serve("POST", "/v1/holds/{hold_id}/approve", holds.approve_hold)
serve("POST", "/v1/holds/{hold_id}/refuse", holds.refuse_hold)
serve("POST", "/v1/holds/decisions", holds.decide_holds)
serve("POST", "/v1/pause", operators.pause)
serve("POST", "/v1/resume", operators.resume)

# --- for operators: what goes on ----------------------------------------------------------------------------------

serve("GET", "/v1/overview", activity.overview)
serve("GET", "/v1/stats", counts.stats)
serve("GET", "/v1/events", activity.list_events)
serve("GET", "/v1/sources", counts.list_sources)
serve("GET", "/v1/callbacks", callbacks.list_callbacks)
serve("POST", "/v1/callbacks/{report_id}/resend", callbacks.resend)
serve("GET", "/v1/exports", exports.list_days)
serve("POST", "/v1/exports", exports.request_days)
serve("GET", "/v1/audit", operators.read_audit)

# --- the service itself -------------------------------------------------------------------------------------------

serve("GET", "/v1/me", service.me)
serve("GET", "/v1/health", service.health)
serve("GET", "/v1/openapi.json", service.openapi)

# --- the console in the browser: left out of a package that is made with SERVE_CONSOLE=no -------------------------

if os.environ.get("SERVE_CONSOLE", "yes") != "no":
    app.route("/console", methods=["GET"])(console.enter)
    app.route("/console/index.html", methods=["GET"], name="page")(lambda: console.page(request()))
    app.route("/console/{version}/{name}", methods=["GET"])(console.file)

# --- the pipeline --------------------------------------------------------------------------------------------


@app.on_sqs_message(queue="reports", name="intake_reports", batch_size=1000, maximum_batching_window_in_seconds=1)
def intake_reports(event: SQSEvent) -> dict[str, Any]:
    """Turn queued reports into claims and chunks; return the messages that SQS must deliver again."""
    return queues.take_queued_reports(services(), event.to_dict(), event.context)


@app.on_sqs_message(queue="submit.fifo", name="submit_tasks", batch_size=1)
def submit_tasks(event: SQSEvent) -> dict[str, Any]:
    """Pack waiting chunks into ban tasks and submit them to the vendor; follow young tasks to their end."""
    return queues.follow_wake_up(services(), event.to_dict(), event.context)


@app.on_sqs_message(queue="outcomes.fifo", name="deliver_outcomes", batch_size=1)
def deliver_outcomes(event: SQSEvent) -> dict[str, Any]:
    """Call a source back with the outcomes of its reports."""
    return outcomes.call_source_back(services(), event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="track_tasks")
def track_tasks(event: CloudWatchEvent) -> dict[str, Any]:
    """Follow submitted tasks to their end."""
    return schedules.track_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: CloudWatchEvent) -> dict[str, Any]:
    """Finish what a crash left open, and wake the submitters of what waits."""
    return schedules.sweep_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="index_bans")
def index_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Bring the index of bans up to date."""
    return schedules.index_every_ban(services(), event.context)


@app.schedule(Rate(1, unit=Rate.DAYS), name="detect_drift")
def detect_drift(event: CloudWatchEvent) -> dict[str, Any]:
    """Compare the ledger with the vendors' lists of bans, or take bans over from them if a person asks for that."""
    return schedules.compare_or_take_over(services(), event.detail, event.context)


@app.schedule(Rate(5, unit=Rate.MINUTES), name="verify_bans")
def verify_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Ask the edge whether bans are in force."""
    return schedules.verify_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.HOURS), name="renew_bans")
def renew_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Renew bans that are planned to last longer than one ban of the vendor."""
    return schedules.renew_every_account(services(), event.context)


@app.schedule(Rate(5, unit=Rate.MINUTES), name="archive_exports")
def archive_exports(event: CloudWatchEvent) -> dict[str, Any]:
    """Archive the days of the vendors' exports that are not archived yet."""
    return schedules.archive_every_export(services(), event.context)


@app.schedule(Rate(1, unit=Rate.HOURS), name="archive_ledger")
def archive_ledger(event: CloudWatchEvent) -> dict[str, Any]:
    """Archive the ledger's finished days. It runs every hour, so that a day that failed is tried again soon."""
    return schedules.archive_finished_days(services(), event.context)
