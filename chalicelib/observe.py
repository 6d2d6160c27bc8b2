"""Say what happened: one structured log line per outcome, and the metrics and troubles that belong to it.

The metrics are written to standard output in CloudWatch's embedded format. Each metric that has values in an hour costs
money in that hour, once for each value of its dimension. So a metric exists only if an alarm or the dashboard reads it,
and only in the form that they read. A count of 0 is not written. The log line has all that has no metric.

A *trouble* is an event that a person must hear of. All of them are one metric, ``Trouble``, with one alarm for each
severity. The alarm does not name the cause: the log line does (field ``trouble``), and so does the dashboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE = "edgeban"
COUNT, SECONDS = MetricUnit.Count, MetricUnit.Seconds


class Metric(NamedTuple):
    """A metric of an event."""

    name: str
    field: str = "1"
    """The event's field that holds the value. ``"1"`` counts the event itself."""

    unit: MetricUnit = COUNT
    by: str = ""
    """The event's field that is a dimension beside the stage. It has few values, since each value costs as a metric."""


class Severity(StrEnum):
    """When a person must look at a trouble."""

    NOW = "now"  # a page is down or stays open until somebody acts
    TODAY = "today"  # nothing gets worse within the day


class Trouble(NamedTuple):
    """An event that a person must hear of. docs/operating.md has a heading for each cause, with the remedy."""

    cause: str
    severity: Severity
    field: str = "1"
    """The event's field that is above 0 if there is trouble. ``"1"``: the event itself is trouble."""


METRICS: Mapping[str, Sequence[Metric]] = {
    "report_received": [
        Metric("ReportsReceived"),
        Metric("UrlsAccepted", "accepted"),
        Metric("UrlsRefused", "refused"),
        Metric("PartsSkipped", "skipped"),
    ],
    "request_refused": [Metric("RequestsRefused", by="code")],
    "reports_taken": [
        Metric("MessagesUnreadable", "unreadable"),
        Metric("PartsSkipped", "skipped"),
        Metric("UrlsBan", "ban"),
        Metric("UrlsDuplicate", "duplicate"),
        Metric("UrlsRejected", "rejected"),
        Metric("UrlsSuppressed", "suppressed"),
        Metric("UrlsHold", "hold"),
    ],
    "task_submitted": [
        Metric("TasksSubmitted"),
        Metric("UrlsPerTask", "urls"),
        Metric("SecondsToSubmitted", "seconds", SECONDS, by="action"),
    ],
    "task_finished": [
        Metric("TasksFinished", by="state"),
        Metric("SecondsToFinished", "seconds", SECONDS, by="action"),
        Metric("UrlsGivenUp", "given_up"),
        Metric("UrlsFinished", "urls", by="state"),
    ],
    "url_refused": [Metric("UrlsRefusedByVendor")],
    "vendor_error": [Metric("VendorErrors", by="kind"), Metric("VendorCallsFailed")],
    "submission_blocked": [Metric("SubmissionBlocked")],
    "account_swept": [
        Metric("ChunksWaiting", "chunks_waiting"),
        Metric("TasksSubmitting", "tasks_submitting"),
        Metric("ChunksHeld", "chunks_held"),
        Metric("OldestWaiting", "oldest_waiting", SECONDS),
        Metric("Paused", "paused"),
        Metric("HoldsOverdue", "holds_overdue"),
    ],
    "unban_carried_out": [Metric("UrlsUnbanned", "urls")],
    "outcome_delivered": [Metric("OutcomesDelivered")],
    "outcome_given_up": [Metric("OutcomesGivenUp")],
    "export_archived": [Metric("ExportDaysArchived")],
    "exports_run": [Metric("ExportDaysLate", "late")],
    "ledger_archived": [Metric("LedgerDaysArchived")],
    "ledger_checked": [Metric("LedgerDaysLate", "late")],
}
"""The metrics of each event. A test holds each of them to an alarm or a graph that reads it."""

HEARTBEATS = {"LedgerDaysLate"}
"""Metrics that are written even if they are 0: an alarm goes off when they stop."""

TROUBLES: Mapping[str, Sequence[Trouble]] = {
    "configuration_refused": [Trouble("configuration_refused", Severity.NOW)],
    "vendor_refuses": [Trouble("vendor_refuses", Severity.NOW)],
    "unban_failed": [Trouble("unban_failed", Severity.NOW)],
    "unban_overdue": [Trouble("unban_overdue", Severity.NOW)],
    "task_overdue": [Trouble("task_overdue", Severity.NOW)],
    "task_finished": [Trouble("urls_given_up", Severity.NOW, "given_up")],
    "urls_withheld": [Trouble("urls_withheld", Severity.NOW)],
    "canary_late": [Trouble("canary_late", Severity.NOW)],
    "bans_verified": [Trouble("bans_open", Severity.TODAY, "open")],
    "drift_detected": [
        Trouble("bans_missing", Severity.TODAY, "missing"),
        Trouble("store_nearly_full", Severity.TODAY, "nearly_full"),
        Trouble("bans_not_compared", Severity.TODAY, "cut_short"),
    ],
    "account_left": [Trouble("account_left", Severity.TODAY)],
    "index_differs": [Trouble("index_differs", Severity.TODAY)],
    "bans_renewed": [Trouble("renewals_left", Severity.TODAY, "left")],
    "bans_tried_again": [Trouble("bans_tried_again", Severity.TODAY)],
    "bans_not_renewed": [Trouble("bans_not_renewed", Severity.TODAY)],
    "vendor_word_unknown": [Trouble("vendor_word_unknown", Severity.TODAY)],
    "chunk_without_urls": [Trouble("chunk_without_urls", Severity.TODAY)],
    "report_names_nothing": [Trouble("report_names_nothing", Severity.TODAY, "unusual")],
    "outcome_given_up": [Trouble("outcome_given_up", Severity.TODAY)],
    "exports_run": [
        Trouble("exports_failed", Severity.TODAY, "failed"),
        Trouble("exports_overdue", Severity.TODAY, "overdue"),
    ],
    "ledger_day_lost": [Trouble("ledger_day_lost", Severity.TODAY)],
    "hold_notice_failed": [Trouble("hold_notice_failed", Severity.TODAY)],
}
"""The troubles of each event. A lasting state that is measured each minute, such as a pause, has its own alarm."""

ABOUT = ("account", "source", "kind", "subject", "day", "job_id", "task_id")
"""Fields that distinguish troubles of the same cause."""

REPEAT_AFTER = 6 * 3600.0
"""For so many seconds a process counts the same trouble only once. Meanwhile the alarm ends, so the next trouble
sets it off again: an alarm that stays on sends no message about the next trouble."""

MOST_REMEMBERED = 1_000

WARNINGS = {
    "vendor_error",
    "message_unreadable",
    "report_names_nothing",
    "url_refused",
    "submission_blocked",
    "vendor_refuses",
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

    def __init__(self, logger: Logger, *, stage: str, clock: Callable[[], float] = time.time) -> None:
        self._logger = logger
        self._stage = stage or "none"
        self._clock = clock
        self._told: dict[tuple[str, ...], float] = {}

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Log the event, and emit its metrics: one record for each set of dimensions."""
        values: dict[str, Any] = {**fields, "1": 1}
        troubles = [trouble for trouble in TROUBLES.get(event, ()) if values.get(trouble.field)]
        if troubles:
            fields["trouble"] = " ".join(trouble.cause for trouble in troubles)
        log = self._logger.warning if event in WARNINGS or troubles else self._logger.info
        log(event, extra=fields)
        by_dimension: dict[str, list[tuple[Metric, Any]]] = {}
        for metric in METRICS.get(event, ()):
            value = values.get(metric.field)
            if value or (value is not None and metric.name in HEARTBEATS):
                by_dimension.setdefault(metric.by, []).append((metric, value))
        for by, measured in by_dimension.items():
            self._record({by: str(fields.get(by) or "none")} if by else {}, measured)
        for trouble in troubles:
            if self._is_new(trouble, fields):
                for dimensions in ({"severity": trouble.severity.value}, {"cause": trouble.cause}):
                    self._record(dimensions, [(Metric("Trouble"), 1)])

    def _record(self, dimensions: Mapping[str, str], measured: Sequence[tuple[Metric, Any]]) -> None:
        record = EphemeralMetrics(namespace=NAMESPACE, service="")  # no dimension that never varies
        for name, text in {"stage": self._stage, **dimensions}.items():
            record.add_dimension(name=name, value=text)
        for metric, value in measured:
            record.add_metric(name=metric.name, unit=metric.unit, value=value)
        record.flush_metrics()

    def _is_new(self, trouble: Trouble, fields: Mapping[str, Any]) -> bool:
        """Whether this process has not counted the same trouble within ``REPEAT_AFTER``."""
        key = (trouble.cause, *(str(fields.get(name, "")) for name in ABOUT))
        now = self._clock()
        told_at = self._told.get(key)
        if told_at is not None and 0 <= now - told_at < REPEAT_AFTER:
            return False
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told[key] = now
        return True
