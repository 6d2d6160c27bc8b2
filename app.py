"""Every route and every Lambda function of edgeban: the table of contents."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, Request, Response, SQSEvent

from chalicelib.bootstrap import services
from chalicelib.handlers import (
    activity,
    ban_list,
    bans,
    callbacks,
    console,
    decisions,
    exports,
    functions,
    holds,
    operators,
    reports,
    service,
    statements,
    trials,
    urls,
)
from chalicelib.handlers.http import answered
from chalicelib.web import REPORT_CONTENT_TYPES, in_our_shape

app = Chalice(app_name="edgeban", configure_logs=False)
app.api.binary_types.append("message/rfc822")


@app.middleware("all")
def observed(event: Any, get_response: Callable[[Any], Any]) -> Any:
    """Write the invocation's id into every log line and every answer."""
    services().begin(event.lambda_context if isinstance(event, Request) else event.context)
    return in_our_shape(get_response(event), services().request_id)


def request() -> Request:
    """Return the request that is being served."""
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
    """Serve the route above from a function with a role of its own: the template points its POST there."""
    return app(event, context)


@app.route("/v1/reports", methods=["GET"])
@answered
def find_reports() -> Response:
    """Find reports by ``?correlation_id=``."""
    return reports.find(services(), request())


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


@app.route("/v1/bans", methods=["GET"])
@answered
def list_bans() -> Response:
    """List the bans in force, or search among them."""
    return ban_list.list_bans(services(), request())


@app.route("/v1/bans/counts", methods=["GET"])
@answered
def count_bans() -> Response:
    """Count the bans in force by source, category, account, rule, host or day of their end."""
    return ban_list.count_bans(services(), request())


@app.route("/v1/tasks", methods=["GET"])
@answered
def list_tasks() -> Response:
    """List the tasks under way, or the tasks that ended on ``?day=``."""
    return operators.list_tasks(services(), request())


@app.route("/v1/tasks/{task_id}", methods=["GET"])
@answered
def read_task(task_id: str) -> Response:
    """Show a task with its URLs."""
    return operators.read_task(services(), task_id, request())


@app.route("/v1/overview", methods=["GET"])
@answered
def read_overview() -> Response:
    """Show what goes on now, on one page."""
    return activity.overview(services(), request())


@app.route("/v1/stats", methods=["GET"])
@answered
def read_stats() -> Response:
    """Count what was reported, banned and unbanned over time."""
    return activity.stats(services(), request())


@app.route("/v1/events", methods=["GET"])
@answered
def list_events() -> Response:
    """List what happened after a place."""
    return activity.list_events(services(), request())


@app.route("/v1/sources", methods=["GET"])
@answered
def list_sources() -> Response:
    """Show how each source is configured, and what it reported today."""
    return activity.list_sources(services(), request())


@app.route("/v1/callbacks", methods=["GET"])
@answered
def list_callbacks() -> Response:
    """Show how far the calls about a source's reports of a day are."""
    return callbacks.list_callbacks(services(), request())


@app.route("/v1/callbacks/{report_id}/resend", methods=["POST"])
@answered
def resend_callback(report_id: str) -> Response:
    """Have the source of a report called again."""
    return callbacks.resend(services(), report_id, request())


@app.route("/v1/unbans", methods=["GET"])
@answered
def list_unbans() -> Response:
    """List the unbans that were asked for."""
    return activity.list_unbans(services(), request())


@app.route("/v1/unbans/{unban_id}", methods=["GET"])
@answered
def read_unban(unban_id: str) -> Response:
    """Show one unban, and whether it is carried out."""
    return activity.read_unban(services(), unban_id, request())


@app.route("/v1/unbans", methods=["POST"])
@answered
def unban() -> Response:
    """Undo bans by URL, task, report, decision, source, host or category."""
    return decisions.unban(services(), request())


@app.route("/v1/bans", methods=["POST"])
@answered
def ban() -> Response:
    """Ban URLs by hand."""
    return bans.ban(services(), request())


@app.route("/v1/bans", methods=["PATCH"])
@answered
def change_end() -> Response:
    """Change the end of bans in force."""
    return bans.change_end(services(), request())


@app.route("/v1/holds", methods=["GET"])
@answered
def list_holds() -> Response:
    """List the holds that wait for a person."""
    return holds.list_holds(services(), request())


@app.route("/v1/holds/{hold_id}", methods=["GET"])
@answered
def read_hold(hold_id: str) -> Response:
    """Show the URLs of a hold, and who reported them."""
    return holds.read_hold(services(), hold_id, request())


@app.route("/v1/holds/{hold_id}/approve", methods=["POST"])
@answered
def approve_hold(hold_id: str) -> Response:
    """Approve a hold: its URLs are banned."""
    return holds.approve_hold(services(), hold_id, request())


@app.route("/v1/holds/{hold_id}/refuse", methods=["POST"])
@answered
def refuse_hold(hold_id: str) -> Response:
    """Refuse a hold: its URLs are rejected."""
    return holds.refuse_hold(services(), hold_id, request())


@app.route("/v1/holds/decisions", methods=["POST"])
@answered
def decide_holds() -> Response:
    """Decide about several holds at once."""
    return holds.decide_holds(services(), request())


@app.route("/v1/policy", methods=["GET"])
@answered
def read_policy() -> Response:
    """Show the policy in force, and the version that was refused, if one was."""
    return trials.read_policy(services(), request())


@app.route("/v1/policy/test", methods=["POST"])
@answered
def test_policy() -> Response:
    """Say what the policy, or a draft of one, would decide about URLs. Nothing is written."""
    return trials.try_policy(services(), request())


@app.route("/v1/pause", methods=["POST"])
@answered
def pause() -> Response:
    """Pause submission, for one account or for all."""
    return operators.pause(services(), request())


@app.route("/v1/resume", methods=["POST"])
@answered
def resume() -> Response:
    """Resume submission, for one account or for all."""
    return operators.resume(services(), request())


@app.route("/v1/exports", methods=["GET"])
@answered
def list_exports() -> Response:
    """Show how far each day of a vendor's export is archived, newest first."""
    return exports.list_days(services(), request())


@app.route("/v1/exports", methods=["POST"])
@answered
def request_exports() -> Response:
    """Request days of a vendor's export again."""
    return exports.request_days(services(), request())


@app.route("/v1/audit", methods=["GET"])
@answered
def read_audit() -> Response:
    """List what people decided, newest first."""
    return operators.read_audit(services(), request())


@app.route("/v1/statements", methods=["GET"])
@answered
def list_statements() -> Response:
    """State the reasons of bans, also in the shape of the Commission's transparency database."""
    return statements.list_statements(services(), request())


@app.route("/v1/me", methods=["GET"])
@answered
def read_me() -> Response:
    """Say who asks."""
    return service.me(services(), request())


@app.route("/v1/health", methods=["GET"])
@answered
def read_health() -> Response:
    """Say whether the ledger answers, and to operators which accounts are paused."""
    return service.health(services(), request())


@app.route("/v1/openapi.json", methods=["GET"])
@answered
def read_openapi() -> Response:
    """Describe every route, as an OpenAPI 3.1 document."""
    return service.openapi()


# --- the console in the browser: left out of a package that is made with SERVE_CONSOLE=no -------------------------

if os.environ.get("SERVE_CONSOLE", "yes") != "no":

    @app.route("/console", methods=["GET"])
    def enter_console() -> Response:
        """Send the browser to the console's page."""
        return console.enter()

    @app.route("/console/index.html", methods=["GET"])
    def show_console() -> Response:
        """Show the console's page."""
        return console.page(request())

    @app.route("/console/{version}/{name}", methods=["GET"])
    def send_console_file(version: str, name: str) -> Response:
        """Send one of the console's files."""
        return console.file(version, name)


# --- the pipeline --------------------------------------------------------------------------------------------


@app.on_sqs_message(queue="reports", name="intake_reports", batch_size=1000, maximum_batching_window_in_seconds=1)
def intake_reports(event: SQSEvent) -> dict[str, Any]:
    """Turn queued reports into claims and chunks; return the messages that SQS must deliver again."""
    return functions.take_queued_reports(services(), event.to_dict(), event.context)


@app.on_sqs_message(queue="submit.fifo", name="submit_tasks", batch_size=1)
def submit_tasks(event: SQSEvent) -> dict[str, Any]:
    """Pack waiting chunks into ban tasks and submit them to the vendor; follow young tasks to their end."""
    return functions.follow_wake_up(services(), event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="track_tasks")
def track_tasks(event: CloudWatchEvent) -> dict[str, Any]:
    """Follow submitted tasks to their end."""
    return functions.track_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: CloudWatchEvent) -> dict[str, Any]:
    """Finish what a crash left open, and wake the submitters of what waits."""
    return functions.sweep_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="deliver_outcomes")
def deliver_outcomes(event: CloudWatchEvent) -> dict[str, Any]:
    """Call sources back with the outcomes of their reports."""
    return functions.deliver_due_outcomes(services(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="index_bans")
def index_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Bring the index of bans up to date."""
    return functions.index_every_ban(services(), event.context)


@app.schedule(Rate(1, unit=Rate.DAYS), name="detect_drift")
def detect_drift(event: CloudWatchEvent) -> dict[str, Any]:
    """Compare the ledger with the vendors' lists of bans, or take bans over where a person asks for that."""
    return functions.compare_or_take_over(services(), event.detail, event.context)


@app.schedule(Rate(5, unit=Rate.MINUTES), name="verify_bans")
def verify_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Ask the edge whether bans are in force."""
    return functions.verify_every_account(services(), event.context)


@app.schedule(Rate(1, unit=Rate.HOURS), name="renew_bans")
def renew_bans(event: CloudWatchEvent) -> dict[str, Any]:
    """Renew bans that are planned to last longer than one ban of the vendor."""
    return functions.renew_every_account(services(), event.context)


@app.schedule(Rate(5, unit=Rate.MINUTES), name="archive_exports")
def archive_exports(event: CloudWatchEvent) -> dict[str, Any]:
    """Archive the days of the vendors' exports that are not archived yet."""
    return functions.archive_every_export(services(), event.context)


@app.schedule(Rate(1, unit=Rate.HOURS), name="archive_ledger")
def archive_ledger(event: CloudWatchEvent) -> dict[str, Any]:
    """Archive the ledger's finished days. It runs every hour, so that a day that failed is tried again soon."""
    return functions.archive_finished_days(services(), event.context)
