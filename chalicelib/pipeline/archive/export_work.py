"""Work on one day of an export: ask the vendor for it, ask how far it is, fetch and archive it, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from chalicelib.domain.errors import (
    AnswerUnknown,
    ArchiveIncomplete,
    ContentRefused,
    DownloadExpired,
    DownloadRefused,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.exports import finished_days, time_point
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import Call, DayState, ExportDay
from chalicelib.ledger.row import millis
from chalicelib.pipeline.archive.export_day import archive_day
from chalicelib.ports import Download, Emit, ExportVendor, Objects, ReportQueue, Row, Rows

T = TypeVar("T")

GAP: Final = 1.05
"""Pause after a call, in those that the vendor's rate asks for. It is counted from the answer, so that a call that was
long on its way does not arrive together with the next."""

CALL_LEASE: Final = timedelta(minutes=2)
"""Longer than a vendor call may take."""

DOWNLOAD_LEASE: Final = timedelta(minutes=16)
"""Longer than a function may run: a lease that has passed means a crash."""

FIRST_POLL: Final = timedelta(seconds=5)
NEXT_POLL: Final = timedelta(minutes=1)
RETRY: Final = timedelta(minutes=1)
REFUSED_RETRY: Final = timedelta(hours=1)
COMPLETE_WITHIN: Final = timedelta(hours=1)
"""The vendor says about five minutes; then it is asked for another export, and a person is told."""

PATIENCE: Final = 10.0
"""Seconds that a run waits for something to do before it leaves it to the next."""

DOWNLOAD_NEEDS: Final = timedelta(minutes=4)
"""What must be left of a run to begin a download."""

OUT_OF_WINDOW: Final = "out_of_window"


@dataclass(slots=True)
class Archiving:
    """What a run came to, in days. ``why`` it ended: ``done``, ``deadline``, or the kind of the vendor's error."""

    created: int = 0
    archived: int = 0
    failed: int = 0
    overdue: int = 0
    """Exports that were not ready in time and are made anew."""
    open: int = 0
    late: int = 0
    why: str = "done"


def call_of(day: ExportDay) -> Call:
    """Which of the vendor's calls comes next for a day."""
    return "create" if day.state in {DayState.WANTED, DayState.CREATING} else "describe"


@dataclass(slots=True)
class ExportWork:
    """What a run works with, and what it came to so far."""

    account: str
    vendor_name: str
    vendor: ExportVendor
    download: Download
    rows: Rows
    objects: Objects
    queue: ReportQueue | None
    emit: Emit
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    deadline: datetime
    directory: Path | None
    came_to: Archiving = field(default_factory=Archiving)
    resting: set[Call] = field(default_factory=set)
    """Calls that the vendor will not take again during this run."""

    def window(self) -> list[date]:
        """The days that the vendor can be asked for, oldest first."""
        return finished_days(self.clock(), self.vendor.limits.window_days)

    def do(self, day: ExportDay) -> None:
        """Take the next step of a day, once the vendor's rate permits its call."""
        call = call_of(day)
        if call == "create" and day.day < self.window()[0]:
            self._fail(day, OUT_OF_WINDOW)
            return
        if not self._turn(call):
            return
        state = DayState.CREATING if call == "create" else day.state
        taken = export_days.take(self.rows, day, state, lease=CALL_LEASE, now=self.clock())
        if taken is None:
            return
        if state is DayState.CREATING:
            self._create(taken)
        else:
            self._poll(taken)

    def _gap(self, call: Call) -> timedelta:
        limits = self.vendor.limits
        rate = limits.creates_per_second if call == "create" else limits.describes_per_second
        return timedelta(seconds=GAP / rate)

    def _turn(self, call: Call) -> bool:
        """Wait for the next permitted call; ``False`` if that takes longer than this run waits."""
        while wait := export_days.turn(self.rows, self.account, call, gap=self._gap(call), now=self.clock()):
            if wait > PATIENCE:
                self.resting.add(call)
                return False
            self.sleep(wait)
        return True

    def _ask(self, call: Call, ask: Callable[[], T]) -> T:
        """Make one call of the vendor, and keep the next one off."""
        try:
            return ask()
        finally:
            export_days.hold(self.rows, self.account, call, until=self.clock() + self._gap(call))

    def _create(self, day: ExportDay) -> None:
        try:
            vendor_task_id = self._ask("create", lambda: self.vendor.create_export(day.task_name, time_point(day.day)))
        except ContentRefused as error:
            # The oldest day may be outside of the window by the vendor's count of it: it only gets older.
            if day.day <= self.window()[0]:
                self._fail(day, OUT_OF_WINDOW)
                return
            self._told(error, day)
            self._free(day, DayState.WANTED, after=REFUSED_RETRY, reason=str(error))
            return
        except VendorError as error:  # also one whose answer was lost: another export of the day harms nothing
            self._error(error, day, "create", DayState.WANTED)
            return
        now = self.clock()
        change: Row = {
            "vendor_task_id": vendor_task_id,
            "created_at": millis(now),
            "deadline": millis(now + COMPLETE_WITHIN),
            "not_before": millis(now + FIRST_POLL),
            "reason": "",
        }
        if export_days.move(self.rows, day, DayState.POLLING, set=change):
            self.came_to.created += 1
            self.emit("export_created", account=self.account, day=day.day.isoformat(), vendor_task_id=vendor_task_id)

    def _poll(self, day: ExportDay) -> None:
        try:
            status = self._ask("describe", lambda: self.vendor.describe_export(day.vendor_task_id))
        except ContentRefused as error:
            self._told(error, day)
            self._new_task(day, "the vendor does not know the export any more")
            return
        except VendorError as error:
            self._error(error, day, "describe", day.state)
            return
        now = self.clock()
        if status.complete:
            self._download(day, status.download_url)
        elif day.deadline and now >= day.deadline:
            self._new_task(day, f"not complete within {COMPLETE_WITHIN}; the vendor says {status.status[:60]}")
        else:
            self._free(day, DayState.POLLING, after=NEXT_POLL)

    def _new_task(self, day: ExportDay, reason: str) -> None:
        self.came_to.overdue += 1
        self.emit("export_overdue", account=self.account, day=day.day.isoformat(), task=day.task, problem=reason)
        change: Row = {"task": day.task + 1, "reason": reason}
        export_days.move(
            self.rows, day, DayState.WANTED, set=change, remove=("vendor_task_id", "deadline", "not_before")
        )

    def _download(self, day: ExportDay, url: str) -> None:
        if self.deadline - self.clock() < DOWNLOAD_NEEDS:
            self._free(day, DayState.POLLING)
            self.came_to.why = "deadline"
            return
        taken = export_days.take(self.rows, day, DayState.DOWNLOADING, lease=DOWNLOAD_LEASE, now=self.clock())
        if taken is None:
            return
        try:
            archived = archive_day(
                taken,
                url,
                vendor=self.vendor_name,
                download=self.download,
                objects=self.objects,
                queue=self.queue,
                clock=self.clock,
                directory=self.directory,
            )
        except DownloadRefused as error:
            self._fail(taken, f"download_refused: {error}")
        except DownloadExpired as error:
            self._again(taken, str(error), after=FIRST_POLL)
        except (Unavailable, AnswerUnknown) as error:
            self._told(error, taken)
            self._again(taken, str(error), after=RETRY)
        except (ArchiveIncomplete, OSError) as error:
            self.emit("export_not_stored", account=self.account, day=day.day.isoformat(), problem=str(error)[:300])
            self._free(taken, DayState.POLLING, after=RETRY, reason=str(error))
        else:
            change: Row = {
                "manifest": archived.manifest,
                "rows": archived.rows,
                "rejected": archived.rejected,
                "archived_at": millis(archived.archived_at),
                "reason": "",
            }
            if export_days.move(self.rows, taken, DayState.ARCHIVED, set=change, remove=("not_before", "deadline")):
                self.came_to.archived += 1
                self.emit(
                    "export_archived",
                    account=self.account,
                    day=day.day.isoformat(),
                    attempt=taken.attempt,
                    rows=archived.rows,
                    rejected=archived.rejected,
                    manifest=archived.manifest,
                )

    # --- what goes wrong ----------------------------------------------------------------------------------------

    def _error(self, error: VendorError, day: ExportDay, call: Call, state: DayState) -> None:
        """Give the day back; what concerns the account and not the day ends the run."""
        self._told(error, day)
        if isinstance(error, Throttled):
            export_days.hold(self.rows, self.account, call, until=self.clock() + timedelta(seconds=error.retry_after))
            self._free(day, state)
            return
        self._free(day, state, after=RETRY, reason=str(error))
        self.came_to.why = error.kind

    def _again(self, day: ExportDay, reason: str, *, after: timedelta) -> None:
        """Fetch the file again a little later, or have another one made if that has gone on for long enough."""
        if day.deadline and self.clock() >= day.deadline:
            self._new_task(day, reason)
        else:
            self._free(day, DayState.POLLING, after=after, reason=reason)

    def _free(self, day: ExportDay, state: DayState, *, after: timedelta = timedelta(0), reason: str = "") -> None:
        change: Row = {"not_before": millis(self.clock() + after), **({"reason": reason[:300]} if reason else {})}
        export_days.move(self.rows, day, state, set=change)

    def _fail(self, day: ExportDay, reason: str) -> None:
        if export_days.move(self.rows, day, DayState.FAILED, set={"reason": reason[:300]}):
            self.told_failed(day.day, reason)

    def told_failed(self, day: date, reason: str) -> None:
        """Tell that a day cannot be had: an alarm."""
        self.came_to.failed += 1
        self.emit("export_failed", account=self.account, day=day.isoformat(), problem=reason[:300])

    def _told(self, error: VendorError, day: ExportDay) -> None:
        self.emit(
            "vendor_error",
            account=self.account,
            kind=error.kind,
            code=error.code,
            day=day.day.isoformat(),
            vendor_request_id=error.request_id,
            problem=str(error)[:300],
        )
