"""Say what happened: one structured log line per outcome, and the metrics that belong to it.

The metrics are written to standard output in CloudWatch's embedded format. Each is counted once for its stage as a
whole, which alarms watch, and once more for each of its dimensions: an alarm does not see a metric that has a dimension
more than the alarm names. Only fields with few values are dimensions: each source or URL would be a metric of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "edgeban"
COUNT, SECONDS = MetricUnit.Count, MetricUnit.Seconds

METRICS: dict[str, Iterable[tuple[str, str, MetricUnit]]] = {
    # event: (metric, the field with its value or "1" to count the event itself, unit)
    "report_received": [
        ("ReportsReceived", "1", COUNT),
        ("UrlsAccepted", "accepted", COUNT),
        ("UrlsRefused", "refused", COUNT),
        ("PartsSkipped", "skipped", COUNT),
        ("UrlsElsewhere", "elsewhere", COUNT),
        ("UrlsWithdrawn", "withdrawn", COUNT),
    ],
    "report_names_nothing": [("ReportsNamingNothing", "1", COUNT)],
    "request_refused": [("RequestsRefused", "1", COUNT)],
    "reports_taken": [
        ("MessagesTaken", "messages", COUNT),
        ("MessagesUnreadable", "unreadable", COUNT),
        ("PartsSkipped", "skipped", COUNT),
        ("UrlsElsewhere", "elsewhere", COUNT),
        ("UrlsBan", "ban", COUNT),
        ("UrlsDuplicate", "duplicate", COUNT),
        ("UrlsRejected", "rejected", COUNT),
        ("UrlsSuppressed", "suppressed", COUNT),
        ("UrlsHold", "hold", COUNT),
        ("QueueWait", "queue_wait", SECONDS),
    ],
    "task_submitted": [
        ("TasksSubmitted", "1", COUNT),
        ("UrlsPerTask", "urls", COUNT),
        ("SecondsToSubmitted", "seconds", SECONDS),
    ],
    "task_adopted": [("TasksAdopted", "1", COUNT)],
    "task_finished": [
        ("TasksFinished", "1", COUNT),
        ("SecondsToFinished", "seconds", SECONDS),
        ("UrlsGivenUp", "given_up", COUNT),
        ("UrlsFinished", "urls", COUNT),
    ],
    "urls_withheld": [("UrlsWithheld", "urls", COUNT)],
    "url_refused": [("UrlsRefusedByVendor", "1", COUNT)],
    "vendor_error": [("VendorErrors", "1", COUNT)],
    "submission_blocked": [("SubmissionBlocked", "1", COUNT)],
    "submission_paused": [("SubmissionPaused", "1", COUNT)],
    "account_swept": [
        ("ChunksWaiting", "chunks_waiting", COUNT),
        ("TasksSubmitting", "tasks_submitting", COUNT),
        ("ChunksHeld", "chunks_held", COUNT),
        ("OldestWaiting", "oldest_waiting", SECONDS),
        ("Paused", "paused", COUNT),
        ("HoldsOverdue", "holds_overdue", COUNT),
    ],
    "account_failed": [("AccountsFailed", "1", COUNT)],
    "drift_detected": [("BansMissing", "missing", COUNT), ("BansUnknown", "unknown", COUNT)],
    "bans_renewed": [("UrlsRenewed", "urls", COUNT)],
    "bans_verified": [
        ("UrlsVerified", "sampled", COUNT),
        ("UrlsBlocked", "blocked", COUNT),
        ("UrlsOpen", "open", COUNT),
    ],
    "unban_failed": [("UnbansFailed", "1", COUNT)],
    "unban_carried_out": [("UrlsUnbanned", "urls", COUNT)],
    "chunk_finished": [("ChunksHealed", "1", COUNT)],
    "outcome_delivered": [("OutcomesDelivered", "1", COUNT)],
    "outcome_not_delivered": [("OutcomesNotDelivered", "1", COUNT)],
    "outcome_given_up": [("OutcomesGivenUp", "1", COUNT)],
    "export_archived": [
        ("ExportDaysArchived", "1", COUNT),
        ("ExportRows", "rows", COUNT),
        ("ExportRowsRejected", "rejected", COUNT),
    ],
    "exports_run": [
        ("ExportDaysLate", "late", COUNT),
        ("ExportDaysFailed", "failed", COUNT),
        ("ExportsOverdue", "overdue", COUNT),
    ],
    "ledger_archived": [("LedgerDaysArchived", "1", COUNT), ("LedgerEvents", "events", COUNT)],
    "ledger_checked": [("LedgerDaysLate", "late", COUNT)],
    "ledger_day_lost": [("LedgerDaysLost", "1", COUNT)],
    "configuration_refused": [("ConfigurationRefused", "1", COUNT)],
}

DIMENSIONS = ("account", "kind", "state", "code", "action")
"""Fields that are dimensions. Each has few values."""

WARNINGS = {
    "vendor_error",
    "message_unreadable",
    "report_names_nothing",
    "url_refused",
    "submission_blocked",
    "submitter_stale",
    "chunk_without_urls",
    "export_failed",
    "export_overdue",
    "export_not_stored",
    "ledger_day_lost",
    "configuration_refused",
    "configuration_unread",
    "outcome_not_delivered",
    "outcome_given_up",
    "account_failed",
    "unban_failed",
}


class Observer:
    """Logs events and emits their metrics: implements ``ports.Emit``."""

    def __init__(self, logger: Logger, *, stage: str) -> None:
        self._logger = logger
        self._stage = stage or "none"

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Log the event, and emit its metrics in one record."""
        log = self._logger.warning if event in WARNINGS else self._logger.info
        log(event, extra=fields)
        values: dict[str, Any] = {**fields, "1": 1}
        metrics = [
            (name, values[field], unit) for name, field, unit in METRICS.get(event, ()) if values.get(field) is not None
        ]
        if not metrics:
            return
        record = EphemeralMetrics(namespace=NAMESPACE, service="")  # no dimension that never varies
        record.add_dimension(name="stage", value=self._stage)
        for name, value, unit in metrics:
            record.add_metric(name=name, unit=unit, value=value)
        for name in DIMENSIONS:
            if fields.get(name):
                record.add_dimensions(stage=self._stage, **{name: str(fields[name])})
        record.flush_metrics()
