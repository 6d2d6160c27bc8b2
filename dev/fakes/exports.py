"""All of the export archive in one process, without a socket: fakes with their state in the open, and a clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chalicelib.domain.errors import ContentRefused
from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import ExportDay
from chalicelib.pipeline.archive.export_day import Archiving
from chalicelib.pipeline.archive.export_files import ExportRoute
from chalicelib.pipeline.archive.exports import archive_exports
from chalicelib.pipeline.archive.keys import ExportKeys, export_keys
from chalicelib.pipeline.run import Run
from chalicelib.ports import ExportLimits, ExportRow, ExportStatus, RejectedRow, Rows
from chalicelib.vendors.alibaba import export_rows, reasons
from chalicelib.vendors.alibaba.client import CALENDAR
from dev.fakes import limits, rights
from dev.fakes.objects import MemoryObjects
from dev.fakes.rows import MemoryRows
from dev.fakes.world import Clock
from dev.fakes.wrappers import Crash, Crasher

ACCOUNT = "ali-main"
VENDOR = "alibaba"
HEADER = b"gmt_created,punish_domain,punish_url,user_id,reason\r\n"


def file_of(day: date) -> bytes:
    """Return the vendor's file of a day: five good rows and a bad one."""
    rows = [
        f"{day} 08:30:0{n},www.example.com,https://www.example.com/{day}/{n},123,{('PR102', 'PR002', 'XX9')[n % 3]}\r\n"
        for n in range(5)
    ]
    return HEADER + "".join(rows).encode() + b"no time,www.example.com,https://www.example.com/bad,123,PR002\r\n"


@dataclass
class FakeExports:
    """A vendor that has a file for every day, some minutes after it is asked; each call takes ``seconds``."""

    clock: Clock
    limits: ExportLimits = field(default_factory=lambda: ExportLimits(1, 1))
    calendar: ExportCalendar = CALENDAR
    download_hosts: tuple[str, ...] = ("files.example.com",)
    minutes: float = 5
    seconds: float = 0.1
    never: set[date] = field(default_factory=set)
    outside: set[date] = field(default_factory=set)
    create_errors: list[Exception | None] = field(default_factory=list)
    describe_errors: list[Exception | None] = field(default_factory=list)
    download_errors: list[Exception | None] = field(default_factory=list)
    tasks: dict[str, tuple[str, date, datetime]] = field(default_factory=dict)
    calls: list[tuple[str, datetime, str]] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)

    def task_name(self, day: date, attempt: int, task: int) -> str:
        """See ``ExportVendor.task_name``."""
        return f"fake-{day:%Y%m%d}-{attempt}-{task}"

    def create_export(self, task_name: str, day_start: datetime) -> str:
        """See ``ExportVendor.create_export``."""
        self.calls.append(("create", self.clock(), task_name))
        self.clock.sleep(self.seconds)
        self._fail(self.create_errors)
        day = day_start.astimezone(self.calendar.zone).date()
        if day in self.outside:
            raise ContentRefused("not within the last 31 days", code="InvalidParameter")
        task_id = f"tu_{len(self.tasks) + 1}"
        self.tasks[task_id] = (task_name, day, self.clock())
        return task_id

    def describe_export(self, task_id: str) -> ExportStatus:
        """See ``ExportVendor.describe_export``."""
        self.calls.append(("describe", self.clock(), task_id))
        self.clock.sleep(self.seconds)
        self._fail(self.describe_errors)
        _, day, created = self.tasks[task_id]
        if day in self.never or self.clock() - created < timedelta(minutes=self.minutes):
            return ExportStatus("processing", complete=False)
        return ExportStatus("complete", complete=True, download_url=f"https://files.example.com/{task_id}")

    def read_rows(self, blocks: Iterable[bytes]) -> Iterator[ExportRow | RejectedRow]:
        """See ``ExportVendor.read_rows``."""
        return export_rows.read_rows(blocks)

    def reason_in_words(self, code: str) -> tuple[str, str]:
        """See ``ExportVendor.reason_in_words``."""
        return reasons.reason_in_words(code)

    def download(self, url: str) -> Iterator[bytes]:
        """See ``Download``. The file comes in two blocks, and an error between them."""
        self.downloads.append(url)
        body = file_of(self.tasks[url.rpartition("/")[2]][1])
        yield body[:100]
        self._fail(self.download_errors)
        yield body[100:]

    @staticmethod
    def _fail(errors: list[Exception | None]) -> None:
        error = errors.pop(0) if errors else None
        if error:
            raise error

    def gaps(self, call: str) -> list[float]:
        """Seconds between the calls of a kind."""
        times = [at for kind, at, _ in self.calls if kind == call]
        return [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(times)]


@dataclass
class ExportWorld:
    """The function's runs against fakes."""

    rows: Rows = field(default_factory=MemoryRows)
    clock: Clock = field(default_factory=Clock)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    sent: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    emitted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    crasher: Crasher = field(default_factory=Crasher)
    reporting: bool = True

    def __post_init__(self) -> None:
        self.vendor = FakeExports(self.clock)

    def emit(self, event: str, /, **fields: object) -> None:
        """See ``Emit``."""
        json.dumps(fields)  # every event must be loggable
        self.emitted.append((event, fields))

    def send(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """See ``ReportQueue.send``."""
        for body, attributes in messages:
            limits.check_message(body, attributes)
            rights.note("sqs:SendMessage", "ReportsQueue")
        self.sent += messages

    def run(self, *, minutes: float = 15) -> Archiving:
        """Run the function that archives exports."""
        wrap = self.crasher.wrap
        run = Run(
            rows=wrap(self.rows),
            emit=self.emit,
            wake=self._wake,
            clock=self.clock,
            read_policy=self._read_policy,
            sleep=self.clock.sleep,
            deadline=self.clock() + timedelta(minutes=minutes),
            account=ACCOUNT,
        )
        route = ExportRoute(
            vendor_name=VENDOR,
            vendor=wrap(self.vendor),
            download=wrap(self.vendor.download),
            objects=wrap(self.objects),
            reports=wrap(self) if self.reporting else None,
        )
        return archive_exports(run, route)

    @staticmethod
    def _wake(group: str, *, mark: str) -> None:
        raise AssertionError("the archive wakes nobody")

    @staticmethod
    def _read_policy() -> Policy:
        raise AssertionError("the archive has no right to the policy")

    def runs(self, count: int) -> None:
        """Let the schedule run a number of times, every five minutes."""
        for _ in range(count):
            self.clock.advance(minutes=5)
            self.run()

    @contextmanager
    def crash(self, at: int, *, after: bool) -> Iterator[None]:
        """Kill what runs in this context at its n-th call to anything outside."""
        self.crasher.at, self.crasher.after, self.crasher.calls = at, after, 0
        try:
            yield
        except Crash:
            pass
        finally:
            self.crasher.at = 0

    # --- results ----------------------------------------------------------------------------------------------------

    @property
    def window(self) -> list[date]:
        """The days whose exports the vendor still makes."""
        return self.vendor.calendar.finished_days(self.clock())

    def days(self) -> dict[date, ExportDay]:
        """Return the days on record."""
        return {each.day: each for each in export_days.read(self.rows, ACCOUNT)}

    def only(self, *days: date) -> None:
        """Record every other day of the window as archived."""
        export_days.want(
            self.rows, ACCOUNT, [day for day in self.window if day not in days], now=self.clock(), lost="-"
        )

    def keys(self, day: date, attempt: int = 1) -> ExportKeys:
        """Return where the objects of a day stand."""
        return export_keys(VENDOR, day, ACCOUNT, attempt)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the fields of each event of a name."""
        return [fields for event, fields in self.emitted if event == name]


__all__ = ["ACCOUNT", "UTC", "VENDOR", "ExportWorld", "FakeExports", "file_of"]
