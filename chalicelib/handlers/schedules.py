"""Functions that a schedule starts: run the pipeline at every account, and answer with the results.

The names of the Lambda functions stand in ``app.py``; the work itself at one account stands in ``pipeline/``. Each
``MARGIN`` is the time that a run leaves unused at its end, so that the function ends by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chalicelib.bootstrap import Services
from chalicelib.pipeline.run import Run, all_accounts_at_once, each_account

TRACK_MARGIN = timedelta(seconds=20)
RENEW_MARGIN = timedelta(seconds=20)
DRIFT_MARGIN = timedelta(seconds=120)
ARCHIVE_MARGIN = timedelta(seconds=30)
SWEEP_MARGIN = timedelta(seconds=15)
INDEX_MARGIN = timedelta(seconds=30)
"""Writing half a million bans, and slack."""

VERIFY_MARGIN = timedelta(seconds=30)
"""One URL that uses up its whole timeout, reading a task, and slack."""


# --- submission -------------------------------------------------------------------------------


def track_every_account(services: Services, context: Any) -> dict[str, Any]:
    """Follow the tasks of every account."""
    from chalicelib.pipeline.submission.track import Tracked, track_tasks

    def track(run: Run) -> Tracked:
        return track_tasks(run, services.vendor(run.account))

    run = services.run(context, TRACK_MARGIN)
    tracked_accounts = all_accounts_at_once(run, list(services.policy.accounts), track)
    return {account: {"open": tracked.open, "why": tracked.why} for account, tracked in tracked_accounts.items()}


def sweep_every_account(services: Services, context: Any) -> dict[str, Any]:
    """Sweep every account, go on with the unbans whose request ran out of time, name the reports that are due.

    Then the version of the policy is kept, for statements. A failure of one keeps no other waiting.
    """
    from chalicelib.pipeline.answers import statement_words
    from chalicelib.pipeline.answers.due_outcomes import name_due_reports
    from chalicelib.pipeline.decisions import unban
    from chalicelib.pipeline.submission.sweep import sweep

    run = services.run(context, SWEEP_MARGIN)
    try:
        return dict(sweep(run, services.tell_of_holds))
    finally:
        try:
            unban.carry_on(run)
        finally:
            try:
                name_due_reports(run)
            finally:
                document = services.policy_document()[0]
                services.policy_kept = statement_words.keep(run, services.policy_kept, document)


# --- upkeep -----------------------------------------------------------------------------------


def renew_every_account(services: Services, context: Any) -> dict[str, Any]:
    """Renew the bans of every account that the vendor would end before their planned end."""
    from chalicelib.pipeline.upkeep.left_accounts import tell_of_left_accounts
    from chalicelib.pipeline.upkeep.renew import renew_bans

    run = services.run(context, RENEW_MARGIN)
    try:
        return each_account(run, list(services.policy.accounts), renew_bans)
    finally:
        tell_of_left_accounts(run)


def verify_every_account(services: Services, context: Any) -> dict[str, Any]:
    """Ask the edge about a sample of the bans of every account, and bring its canary on."""
    from chalicelib.pipeline.upkeep.canary import fly
    from chalicelib.pipeline.upkeep.verify import verify_bans

    def verify(run: Run) -> int:
        if run.policy.canary:
            fly(run, services.probe, services.reports_queue)
        return verify_bans(run, services.probe)

    return each_account(services.run(context, VERIFY_MARGIN), list(services.policy.accounts), verify)


def compare_or_take_over(services: Services, detail: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Compare every account with its vendor, or take bans over if a person asks for that (``make take-over``)."""
    if "take_over" not in detail:
        return compare_every_account(services, context)
    from chalicelib.pipeline.upkeep.take_over import Request, take_over

    asked = detail["take_over"]
    request = Request(str(asked["actor"]), str(asked["reason"]), int(asked["days"]))
    run = services.run(context, DRIFT_MARGIN).at(str(asked["account"]))
    return dataclasses.asdict(take_over(run, services.vendor(run.account), request))


def compare_every_account(services: Services, context: Any) -> dict[str, Any]:
    """Compare the ledger's bans of every account with the vendor's list, and the index of bans with both."""
    from chalicelib.pipeline.answers.index_check import check_index
    from chalicelib.pipeline.upkeep.drift import Drift, detect_drift

    def compare(run: Run) -> Drift:
        drift = detect_drift(run, services.vendor(run.account), services.objects)
        if drift.complete:
            check_index(run, services.bans, listed=drift.listed | drift.missing_keys, agreed=drift.agreed)
        drift.listed, drift.agreed = set(), set()  # many megabytes, while other accounts are compared
        return drift

    drifts = each_account(services.run(context, DRIFT_MARGIN), list(services.policy.accounts), compare)
    return {
        account: {"missing": len(drift.missing), "unknown": len(drift.unknown)} for account, drift in drifts.items()
    }


# --- answers and archive ----------------------------------------------------------------------


def index_every_ban(services: Services, context: Any) -> dict[str, Any]:
    """Bring the index of bans up to date, and tell people once a day of the bans that end soon."""
    from chalicelib.pipeline.answers.ban_index import index_bans

    return {"bans": index_bans(services.run(context, INDEX_MARGIN), services.bans, services.tell_of_holds)}


def archive_every_export(services: Services, context: Any) -> dict[str, Any]:
    """Archive the exports of every account whose vendor has exports."""
    from chalicelib.pipeline.archive.export_day import Archiving
    from chalicelib.pipeline.archive.export_files import ExportRoute
    from chalicelib.pipeline.archive.exports import archive_exports
    from chalicelib.vendors.registry import EXPORT_VENDORS

    archivings: dict[str, Archiving] = {}

    def archive(run: Run) -> None:
        account = services.accounts[run.account]
        vendor, download = services.export_vendor(account)
        reporting = account.credentials.get("report_to_queue") == "yes"
        route = ExportRoute(
            vendor_name=account.vendor,
            vendor=vendor,
            download=download,
            objects=services.objects,
            reports=services.reports_queue if reporting else None,
        )
        archivings[run.account] = archive_exports(run, route)

    run = services.run(context, ARCHIVE_MARGIN)
    try:
        each_account(run, [name for name, it in services.accounts.items() if it.vendor in EXPORT_VENDORS], archive)
    finally:
        run.emit(
            "exports_run",
            accounts=len(archivings),
            late=sum(archiving.late for archiving in archivings.values()),
            failed=sum(archiving.failed for archiving in archivings.values()),
            overdue=sum(archiving.overdue for archiving in archivings.values()),
        )
    return {
        account: {"archived": archiving.archived, "open": archiving.open, "why": archiving.why}
        for account, archiving in archivings.items()
    }


def archive_finished_days(services: Services, context: Any) -> dict[str, Any]:
    """Archive the ledger's finished days."""
    from chalicelib.pipeline.archive.ledger import LedgerRoute, archive_ledger

    route = LedgerRoute(services.objects, lambda: {name: account.vendor for name, account in services.accounts.items()})
    archived = archive_ledger(services.run(context, ARCHIVE_MARGIN), route)
    return {"archived": [day.isoformat() for day in archived.archived], "left": archived.left}
