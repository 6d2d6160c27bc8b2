"""Every few minutes: archive each finished day of a vendor's illegal-URL export that is not archived yet.

A run does what can be done now, oldest day first, and leaves: an export takes the vendor about five minutes, and the
next run goes on from the days' rows. After an outage the whole window is caught up, one call a second at the most.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from chalicelib.domain.exports import time_point
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import ExportDay
from chalicelib.pipeline.archive.export_work import OUT_OF_WINDOW, PATIENCE, Archiving, ExportWork, call_of
from chalicelib.ports import Download, Emit, ExportVendor, Objects, ReportQueue, Rows

LATE: Final = timedelta(hours=12)
"""A day that is not archived so long after its end is late: an alarm."""

STILL_OPEN: Final = timedelta(days=31)
"""How long before the window a day may lie whose export was asked for in time and is awaited still."""


def archive_exports(
    account: str,
    *,
    vendor_name: str,
    vendor: ExportVendor,
    download: Download,
    rows: Rows,
    objects: Objects,
    queue: ReportQueue | None,
    emit: Emit,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    deadline: datetime,
    directory: Path | None = None,
) -> Archiving:
    """Carry every open day of an account as far as it goes now. ``queue``: report the URLs there, if given."""
    work = ExportWork(
        account, vendor_name, vendor, download, rows, objects, queue, emit, clock, sleep, deadline, directory
    )
    _begin(work)
    while _step(work):
        pass
    return _end(work)


def _begin(work: ExportWork) -> None:
    """Note every day of the window, and those that have left it before they could be had."""
    now = work.clock()
    export_days.register(
        work.rows, work.account, vendor=work.vendor_name, window_days=work.vendor.limits.window_days, now=now
    )
    window = work.window()
    known = {each.day for each in export_days.read(work.rows, work.account)}
    export_days.want(work.rows, work.account, [day for day in window if day not in known], now=now)
    if known:  # no run for longer than the window: say what is lost for good, and only then note it
        span = (window[0] - min(known)).days
        lost = [day for n in range(span) if (day := min(known) + timedelta(days=n)) not in known]
        for day in lost:
            work.told_failed(day, OUT_OF_WINDOW)
        export_days.want(work.rows, work.account, lost, now=now, lost=OUT_OF_WINDOW)


def _open(work: ExportWork) -> list[ExportDay]:
    after = (work.window()[0] - STILL_OPEN).isoformat()
    return [each for each in export_days.read(work.rows, work.account, after=after) if not each.ended]


def _step(work: ExportWork) -> bool:
    """Do the next thing, waiting for it a little; ``False`` if the run is over."""
    now = work.clock()
    if work.came_to.why != "done":
        return False
    if now >= work.deadline:
        work.came_to.why = "deadline"
        return False
    days = [each for each in _open(work) if call_of(each) not in work.resting]
    ready = [each for each in days if not each.ready_at or each.ready_at <= now]
    if not ready:
        soonest = min((each.ready_at for each in days if each.ready_at), default=None)
        wait = (soonest - now).total_seconds() if soonest else PATIENCE + 1
        if wait > PATIENCE:
            return False
        work.sleep(wait)
        return True
    # First what the vendor can prepare meanwhile; of each kind the oldest.
    day = min(ready, key=lambda each: (call_of(each) != "create", each.day))
    work.do(day)
    return True


def _end(work: ExportWork) -> Archiving:
    """Count what is left, and how much of it is late."""
    now, left = work.clock(), _open(work)
    work.came_to.open = len(left)
    work.came_to.late = sum(now - time_point(each.day + timedelta(days=1)) > LATE for each in left)
    oldest = min((each.day for each in left), default=None)
    work.emit(
        "exports_checked",
        account=work.account,
        asked=work.came_to.created,
        archived=work.came_to.archived,
        failed=work.came_to.failed,
        overdue=work.came_to.overdue,
        open=work.came_to.open,
        late=work.came_to.late,
        why=work.came_to.why,
        oldest=oldest.isoformat() if oldest else None,
    )
    return work.came_to
