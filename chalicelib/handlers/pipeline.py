"""The functions that queues and schedules start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from chalicelib.bootstrap import Services, now

T = TypeVar("T")

SUBMIT_MARGIN = timedelta(seconds=40)
"""What a drain leaves of its function's time: one vendor call's timeout, its record, and room."""

TRACK_MARGIN = timedelta(seconds=20)
OUTCOMES_MARGIN = timedelta(seconds=30)
"""One receiver that takes all its time, the reading of a large report, and room."""

DRIFT_MARGIN = timedelta(seconds=120)
ARCHIVE_MARGIN = timedelta(seconds=30)
SWEEP_MARGIN = timedelta(seconds=15)
VERIFY_MARGIN = timedelta(seconds=30)
"""One URL that takes all its time, the reading of a task, and room."""


def intake_reports(made: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Take a batch of SQS records; answer which are to come again."""
    from chalicelib.pipeline.intake.batch import intake_reports

    outcome = intake_reports(
        event["Records"],
        sources=made.sources,
        policy=made.policy,
        rows=made.rows,
        wake=made.wake,
        emit=made.emit,
        now=now(),
        fetch=made.intake_bodies(),
    )
    return {"batchItemFailures": [{"itemIdentifier": each} for each in outcome.failed]}


def submit_tasks(made: Services, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Drain the accounts that the batch of kicks names."""
    from chalicelib.pipeline.submission.submit import submit_tasks

    accounts = dict.fromkeys(json.loads(record["body"])["account"] for record in event["Records"])
    _each_account(
        made,
        context,
        SUBMIT_MARGIN,
        lambda account, deadline: submit_tasks(
            account,
            vendor=made.vendor(account),
            rows=made.rows,
            policy=lambda: made.policy,
            emit=made.emit,
            clock=now,
            sleep=time.sleep,
            deadline=deadline,
        ),
        accounts=accounts,
    )
    return {"batchItemFailures": []}


def track_tasks(made: Services, context: Any) -> dict[str, Any]:
    """Follow the tasks of every account."""
    from chalicelib.pipeline.submission.track import track_tasks

    tracked = _each_account(
        made,
        context,
        TRACK_MARGIN,
        lambda account, deadline: track_tasks(
            account,
            vendor=made.vendor(account),
            rows=made.rows,
            wake=made.wake,
            emit=made.emit,
            clock=now,
            sleep=time.sleep,
            deadline=deadline,
        ),
    )
    return {name: {"open": each.open, "why": each.why} for name, each in tracked.items()}


def sweep(made: Services, context: Any) -> dict[str, Any]:
    """Sweep every account, and go on with unbans whose request ran out of time."""
    from chalicelib.pipeline.decisions import unban
    from chalicelib.pipeline.submission.sweep import sweep

    try:
        return dict(sweep(made.policy, rows=made.rows, wake=made.wake, emit=made.emit, now=now()))
    finally:  # an account that failed keeps no unban of another one waiting
        unban.carry_on(
            rows=made.rows,
            policy=made.policy,
            wake=made.wake,
            emit=made.emit,
            clock=now,
            deadline=_deadline(context, SWEEP_MARGIN),
        )


def renew_bans(made: Services, context: Any) -> dict[str, Any]:
    """Renew what is due at every account."""
    from chalicelib.pipeline.upkeep.renew import renew_bans

    return _each_account(
        made,
        context,
        TRACK_MARGIN,
        lambda account, deadline: renew_bans(
            account, rows=made.rows, policy=made.policy, wake=made.wake, emit=made.emit, clock=now, deadline=deadline
        ),
    )


def verify_bans(made: Services, context: Any) -> dict[str, Any]:
    """Verify what is due at every account, each with its share of the time."""
    from chalicelib.pipeline.upkeep.verify import verify_bans

    return _each_account(
        made,
        context,
        VERIFY_MARGIN,
        lambda account, deadline: verify_bans(
            account, rows=made.rows, policy=made.policy, probe=made.probe, emit=made.emit, clock=now, deadline=deadline
        ),
    )


def deliver_outcomes(made: Services, context: Any) -> dict[str, Any]:
    """Tell every source what is due."""
    from chalicelib.pipeline.answers.outcomes import deliver_outcomes

    return deliver_outcomes(
        sources=made.sources,
        policy=made.policy,
        rows=made.rows,
        post=made.post,
        emit=made.emit,
        clock=now,
        deadline=_deadline(context, OUTCOMES_MARGIN),
    )


def detect_drift(made: Services, context: Any) -> dict[str, Any]:
    """Compare every account with its vendor."""
    from chalicelib.pipeline.upkeep.drift import detect_drift

    found = _each_account(
        made,
        context,
        DRIFT_MARGIN,
        lambda account, deadline: detect_drift(
            account,
            vendor=made.vendor(account),
            rows=made.rows,
            objects=made.objects,
            wake=made.wake,
            emit=made.emit,
            clock=now,
            sleep=time.sleep,
            deadline=deadline,
            policy=made.policy,
        ),
    )
    return {name: {"missing": len(each.missing), "unknown": len(each.unknown)} for name, each in found.items()}


def archive_exports(made: Services, context: Any) -> dict[str, Any]:
    """Archive the exports of every account that has some."""
    from chalicelib.bootstrap import EXPORT_VENDORS
    from chalicelib.pipeline.archive.export_work import Archiving
    from chalicelib.pipeline.archive.exports import archive_exports

    runs: dict[str, Archiving] = {}

    def work(name: str, deadline: datetime) -> None:
        account = made.accounts[name]
        vendor, download = made.export_vendor(account)
        reporting = account.credentials.get("report_to_queue") == "yes"
        runs[name] = archive_exports(
            name,
            vendor_name=account.vendor,
            vendor=vendor,
            download=download,
            rows=made.rows,
            objects=made.objects,
            queue=made.reports_queue if reporting else None,
            emit=made.emit,
            clock=now,
            sleep=time.sleep,
            deadline=deadline,
        )

    names = [each.name for each in made.accounts.values() if each.vendor in EXPORT_VENDORS]
    try:
        _each_account(made, context, ARCHIVE_MARGIN, work, accounts=names)
    finally:
        made.emit(
            "exports_run",
            accounts=len(runs),
            late=sum(each.late for each in runs.values()),
            failed=sum(each.failed for each in runs.values()),
            overdue=sum(each.overdue for each in runs.values()),
        )
    return {name: {"archived": each.archived, "open": each.open, "why": each.why} for name, each in runs.items()}


def archive_ledger(made: Services, context: Any) -> dict[str, Any]:
    """Archive the ledger's finished days."""
    from chalicelib.pipeline.archive.ledger import archive_ledger

    run = archive_ledger(
        rows=made.rows,
        objects=made.objects,
        emit=made.emit,
        clock=now,
        deadline=_deadline(context, ARCHIVE_MARGIN),
        vendors=lambda: {name: each.vendor for name, each in made.accounts.items()},
    )
    return {"archived": [day.isoformat() for day in run.archived], "left": run.left}


def _each_account(
    made: Services,
    context: Any,
    margin: timedelta,
    work: Callable[[str, datetime], T],
    *,
    accounts: Iterable[str] | None = None,
) -> dict[str, T]:
    """Work at every account, each until its share of the time that is left; what one leaves is the next ones'."""
    from chalicelib.pipeline.accounts import each_account

    names = list(made.policy.accounts if accounts is None else accounts)
    end = _deadline(context, margin)
    return each_account(
        names,
        lambda account: work(account, now() + (end - now()) / (len(names) - names.index(account))),
        emit=made.emit,
    )


def _deadline(context: Any, margin: timedelta) -> datetime:
    """When to stop work, so that the function ends by itself."""
    return now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - margin
