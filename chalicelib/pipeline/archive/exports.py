"""Every few minutes: archive each finished day of a vendor's export that is not archived yet.

The vendor takes about five minutes for an export. So a run does what can be done now, oldest day first, and the next
run continues from the days' rows. After an outage the whole window is caught up, at the rate that the vendor allows.
``export_day`` takes the steps of one day, ``export_files`` makes its files.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from chalicelib.domain.export_calendar import LATE
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import DayState, ExportDay
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.archive.export_day import OUT_OF_WINDOW, PATIENCE, Archiving, DayWork, call_of
from chalicelib.pipeline.archive.export_files import ExportRoute
from chalicelib.pipeline.run import Run

ASK_TWICE_AFTER: Final = timedelta(hours=36)
"""How long after its end a day is asked for once more, if it was archived sooner. The vendor may still have added to it
then, and nothing in its answer says so."""

STILL_OPEN: Final = timedelta(days=31)
"""A day may be this much older than the window if its export was asked for in time and is still awaited."""


def archive_exports(run: Run, route: ExportRoute) -> Archiving:
    """Take every open day of the run's account as far as it goes now."""
    work = DayWork(run, route)
    _begin(work)
    if vendor_refusals.blocked(run, "exports"):
        work.result.why = "blocked"
    while _step(work):
        pass
    return _end(work)


def _begin(work: DayWork) -> None:
    """Begin every day of the window, and record the days that left it before any run saw them."""
    run, route = work.run, work.route
    now, calendar = run.clock(), route.vendor.calendar
    export_days.register(run.rows, run.account, vendor=route.vendor_name, calendar=calendar, now=now)
    window = calendar.finished_days(now)
    days = export_days.read(run.rows, run.account)
    begun = {day.day for day in days}
    for known_day in days:
        if _may_have_grown(known_day, calendar.end_of(known_day.day), now) and known_day.day in window[1:]:
            export_days.ask_to_confirm(run.rows, known_day)
    export_days.want(run.rows, run.account, [day for day in window if day not in begun], now=now)
    if begun:  # No run for longer than the window: emit first, so that a crash in between loses no alarm.
        first = min(begun)
        passed = [first + timedelta(days=number) for number in range((window[0] - first).days)]
        lost = [day for day in passed if day not in begun]
        for lost_day in lost:
            work.emit_failed(lost_day, OUT_OF_WINDOW)
        export_days.want(run.rows, run.account, lost, now=now, lost=OUT_OF_WINDOW)


def _may_have_grown(day: ExportDay, end: datetime, now: datetime) -> bool:
    """Return whether a day was archived soon after its end, and must now be asked for once more."""
    settled = end + ASK_TWICE_AFTER
    return (
        day.state is DayState.ARCHIVED
        and not day.asked_twice
        and day.archived_at is not None
        and day.archived_at < settled <= now
    )


def _known_days(work: DayWork) -> list[ExportDay]:
    oldest = work.route.vendor.calendar.finished_days(work.run.clock())[0]
    after = (oldest - STILL_OPEN).isoformat()
    return export_days.read(work.run.rows, work.run.account, after=after)


def _open_days(work: DayWork) -> list[ExportDay]:
    return [day for day in _known_days(work) if not day.ended]


def _step(work: DayWork) -> bool:
    """Take the next step, after a short wait if it needs one; ``False`` if the run is over."""
    now = work.run.clock()
    if work.result.why != "done":
        return False
    if work.run.time_is_up:
        work.result.why = "deadline"
        return False
    days = [day for day in _open_days(work) if call_of(day) not in work.resting]
    ready = [day for day in days if not day.ready_at or day.ready_at <= now]
    if not ready:
        soonest = min((day.ready_at for day in days if day.ready_at), default=None)
        wait = (soonest - now).total_seconds() if soonest else PATIENCE + 1
        if wait > PATIENCE:
            return False
        work.run.sleep(wait)
        return True
    # Create before describing: the vendor prepares new exports in the meantime. The oldest day of each kind first.
    work.advance(min(ready, key=lambda day: (call_of(day) != "create", day.day)))
    return True


def _end(work: DayWork) -> Archiving:
    """Count the days that stay open, and how many of them are late."""
    now, days, calendar = work.run.clock(), _open_days(work), work.route.vendor.calendar
    result = work.result
    result.open = len(days)
    missing = [day for day in days if not day.confirms]
    result.late = sum(now - calendar.end_of(day.day) > LATE for day in missing)
    oldest = min((day.day for day in missing), default=None)
    work.run.emit(
        "exports_checked",
        account=work.run.account,
        asked=result.created,
        archived=result.archived,
        failed=result.failed,
        overdue=result.overdue,
        open=result.open,
        late=result.late,
        empty=sum(day.state is DayState.ARCHIVED and not day.rows for day in _known_days(work)),
        why=result.why,
        oldest=oldest.isoformat() if oldest else None,
    )
    return result
