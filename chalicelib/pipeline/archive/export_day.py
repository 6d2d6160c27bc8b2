"""Take one day of an export one step further: create the export, ask how far it is, download it, or handle an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
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
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import Call, DayState, ExportDay
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.archive.export_files import ExportRoute, archive_day
from chalicelib.pipeline.run import Run

T = TypeVar("T")

GAP: Final = 1.05
"""Pause after a call, as a multiple of the vendor's interval. It begins with the answer, so that a slow call and the
next one do not reach the vendor together."""

CALL_LEASE: Final = timedelta(minutes=2)
"""Longer than a vendor call may take."""

DOWNLOAD_LEASE: Final = timedelta(minutes=16)
"""Longer than a function may run: a lease that has passed means a crash."""

FIRST_POLL: Final = timedelta(seconds=5)
NEXT_POLL: Final = timedelta(minutes=1)
RETRY: Final = timedelta(minutes=1)
REFUSED_RETRY: Final = timedelta(hours=1)
COMPLETE_WITHIN: Final = timedelta(hours=1)
"""The vendor says about five minutes. After an hour it is asked for another export, and a person is told."""

PATIENCE: Final = 10.0
"""The most seconds that a run waits for its next step. Later steps are left to the next run."""

DOWNLOAD_NEEDS: Final = timedelta(minutes=4)
"""A download begins only if a run has so much time left."""

OUT_OF_WINDOW: Final = "out_of_window"


@dataclass(slots=True)
class Archiving:
    """The result of a run, in days.

    ``why`` it ended: ``done``, ``deadline``, ``blocked``, or the kind of the vendor's error.
    """

    created: int = 0
    archived: int = 0
    failed: int = 0
    overdue: int = 0
    """Exports that were not ready in time: the vendor is asked for another one."""
    open: int = 0
    late: int = 0
    why: str = "done"


def call_of(day: ExportDay) -> Call:
    """Return which of the vendor's calls comes next for a day."""
    return "create" if day.state in {DayState.WANTED, DayState.CREATING} else "describe"


@dataclass(slots=True)
class DayWork:
    """Takes the steps of days during one run, and counts their results."""

    run: Run
    route: ExportRoute
    result: Archiving = field(default_factory=Archiving)
    resting: set[Call] = field(default_factory=set)
    """Calls that the vendor's rate forbids for the rest of this run."""

    def advance(self, day: ExportDay) -> None:
        """Take the next step of a day, once the vendor's rate permits its call."""
        call = call_of(day)
        if call == "create" and day.day < self._oldest():
            self._fail(day, OUT_OF_WINDOW)
            return
        if not self._await_turn(call):
            return
        state = DayState.CREATING if call == "create" else day.state
        taken = export_days.take(self.run.rows, day, state, lease=CALL_LEASE, now=self.run.clock())
        if taken is None:
            return
        if state is DayState.CREATING:
            self._create(taken)
        else:
            self._poll(taken)

    def _oldest(self) -> date:
        """Return the oldest day that the vendor can be asked for."""
        return self.route.vendor.calendar.finished_days(self.run.clock())[0]

    # --- the vendor's rate --------------------------------------------------------------------------------------

    def _gap(self, call: Call) -> timedelta:
        limits = self.route.vendor.limits
        rate = limits.creates_per_second if call == "create" else limits.describes_per_second
        return timedelta(seconds=GAP / rate)

    def _await_turn(self, call: Call) -> bool:
        """Wait for the next permitted call; ``False`` if that takes longer than this run waits."""
        run = self.run
        while wait := export_days.take_turn(run.rows, run.account, call, gap=self._gap(call), now=run.clock()):
            if wait > PATIENCE:
                self.resting.add(call)
                return False
            run.sleep(wait)
        return True

    def _call(self, call: Call, make: Callable[[], T]) -> T:
        """Make one call, and delay the next of its kind."""
        try:
            return make()
        finally:
            export_days.delay_calls(self.run.rows, self.run.account, call, until=self.run.clock() + self._gap(call))

    # --- the steps ----------------------------------------------------------------------------------------------

    def _create(self, day: ExportDay) -> None:
        vendor = self.route.vendor
        name = vendor.task_name(day.day, day.attempt, day.task)
        try:
            vendor_task_id = self._call("create", lambda: vendor.create_export(name, vendor.calendar.start_of(day.day)))
        except ContentRefused as error:
            # The vendor may count its window in another way than we do. A day too old stays too old: do not ask again.
            if day.day <= self._oldest():
                self._fail(day, OUT_OF_WINDOW)
                return
            self._note(error, day)
            self._give_back(day, DayState.WANTED, after=REFUSED_RETRY, reason=str(error))
            return
        except VendorError as error:  # An unknown answer is among them: a second export of the day harms nothing.
            self._meet_error(error, day, "create", DayState.WANTED)
            return
        polling = export_days.await_export(
            self.run.rows,
            day,
            vendor_task_id,
            now=self.run.clock(),
            complete_within=COMPLETE_WITHIN,
            poll_after=FIRST_POLL,
        )
        if polling:
            self.result.created += 1
            self._emit("export_created", day, vendor_task_id=vendor_task_id)

    def _poll(self, day: ExportDay) -> None:
        try:
            status = self._call("describe", lambda: self.route.vendor.describe_export(day.vendor_task_id))
        except ContentRefused as error:
            self._note(error, day)
            self._ask_for_another(day, "the vendor does not know the export any more")
            return
        except VendorError as error:
            self._meet_error(error, day, "describe", day.state)
            return
        if status.complete:
            self._download(day, status.download_url)
        elif day.deadline and self.run.clock() >= day.deadline:
            reason = f"not complete within {COMPLETE_WITHIN}; the vendor says {status.status[:60]}"
            self._ask_for_another(day, reason)
        else:
            self._give_back(day, DayState.POLLING, after=NEXT_POLL)

    def _download(self, day: ExportDay, url: str) -> None:
        run = self.run
        if run.deadline - run.clock() < DOWNLOAD_NEEDS:
            self._give_back(day, DayState.POLLING)
            self.result.why = "deadline"
            return
        taken = export_days.take(run.rows, day, DayState.DOWNLOADING, lease=DOWNLOAD_LEASE, now=run.clock())
        if taken is None:
            return
        try:
            archived = archive_day(taken, url, self.route, run.clock)
        except DownloadRefused as error:
            self._fail(taken, f"download_refused: {error}")
        except DownloadExpired as error:
            self._download_again(taken, str(error), after=FIRST_POLL)
        except (Unavailable, AnswerUnknown) as error:
            self._note(error, taken)
            self._download_again(taken, str(error), after=RETRY)
        except (ArchiveIncomplete, OSError) as error:
            self._emit("export_not_stored", day, problem=str(error)[:300])
            self._give_back(taken, DayState.POLLING, after=RETRY, reason=str(error))
        else:
            if archived.manifest == taken.manifest:
                export_days.confirm(run.rows, taken)
            elif export_days.finish(run.rows, taken, archived):
                self.result.archived += 1
                self._emit(
                    "export_archived",
                    day,
                    attempt=taken.attempt,
                    rows=archived.rows,
                    rejected=archived.rejected,
                    manifest=archived.manifest,
                    rows_before=taken.rows if taken.confirms else None,
                )

    # --- errors -------------------------------------------------------------------------------------------------

    def _meet_error(self, error: VendorError, day: ExportDay, call: Call, state: DayState) -> None:
        """Give the day back. An error that concerns the account and not the day ends the run."""
        self._note(error, day)
        if isinstance(error, Throttled):
            until = self.run.clock() + timedelta(seconds=error.retry_after)
            export_days.delay_calls(self.run.rows, self.run.account, call, until=until)
            self._give_back(day, state)
            return
        self._give_back(day, state, after=RETRY, reason=str(error))
        self.result.why = error.kind

    def _ask_for_another(self, day: ExportDay, reason: str) -> None:
        self.result.overdue += 1
        self._emit("export_overdue", day, task=day.task, problem=reason)
        export_days.want_another_export(self.run.rows, day, reason)

    def _download_again(self, day: ExportDay, reason: str, *, after: timedelta) -> None:
        """Fetch the file again later. After the export's deadline, ask the vendor for another export."""
        if day.deadline and self.run.clock() >= day.deadline:
            self._ask_for_another(day, reason)
        else:
            self._give_back(day, DayState.POLLING, after=after, reason=reason)

    def _give_back(self, day: ExportDay, state: DayState, *, after: timedelta = timedelta(0), reason: str = "") -> None:
        export_days.give_back(self.run.rows, day, state, until=self.run.clock() + after, reason=reason)

    def _fail(self, day: ExportDay, reason: str) -> None:
        if day.confirms:
            export_days.confirm(self.run.rows, day, f"not compared: {reason}")
        elif export_days.fail(self.run.rows, day, reason):
            self.emit_failed(day.day, reason)

    def emit_failed(self, day: date, reason: str) -> None:
        """Say that a day cannot be archived: an alarm."""
        self.result.failed += 1
        self.run.emit("export_failed", account=self.run.account, day=day.isoformat(), problem=reason[:300])

    def _note(self, error: VendorError, day: ExportDay) -> None:
        vendor_refusals.note(self.run, error, quota="exports", day=day.day.isoformat())

    def _emit(self, event: str, day: ExportDay, **fields: object) -> None:
        self.run.emit(event, account=self.run.account, day=day.day.isoformat(), **fields)
