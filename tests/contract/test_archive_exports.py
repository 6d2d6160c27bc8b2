"""The archive against the vendor's simulator: its calls, its files and its log; ledger and bucket are in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import VendorAccount
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import DayState
from chalicelib.outbound.download import DownloadPolicy, ExportDownload
from chalicelib.pipeline.archive.export_day import Archiving
from chalicelib.pipeline.archive.export_files import ExportRoute
from chalicelib.pipeline.archive.exports import archive_exports
from chalicelib.pipeline.archive.keys import export_keys
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows
from chalicelib.vendors.alibaba.client import CALENDAR, connect
from dev.fakes.objects import MemoryObjects
from dev.fakes.rows import MemoryRows
from dev.fakes.world import POLICY
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

ROOT = Path(__file__).parents[2]


class FastClock:
    """A clock that begins in a morning and passes sleeps at once. Threads share it.

    So no run of the tests passes the vendor's midnight, whenever it begins.
    """

    def __init__(self) -> None:
        now = datetime.now(UTC)
        self._ahead = now.replace(hour=2, minute=0) + timedelta(days=1) - now
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return datetime.now(UTC) + self._ahead

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._ahead += timedelta(seconds=seconds)


@dataclass
class Archive:
    simulator: AlibabaSimulator
    clock: FastClock
    rows: Rows = field(default_factory=MemoryRows)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    emitted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def run(self) -> Archiving:
        keys = {"access_key": "testid", "secret_key": "testsecret"}
        route = ExportRoute(
            vendor_name="alibaba",
            vendor=connect(VendorAccount("main", "alibaba", self.simulator.url, keys), clock=self.clock),
            download=ExportDownload(DownloadPolicy(loopback=(self.simulator.host,))),
            objects=self.objects,
            reports=None,
        )
        run = Run(
            rows=self.rows,
            emit=self.emit,
            wake=lambda group, *, mark: None,
            clock=self.clock,
            read_policy=lambda: parse_policy(POLICY),
            sleep=self.clock.sleep,
            deadline=self.clock() + timedelta(minutes=15),
            account="main",
        )
        return archive_exports(run, route)

    def runs(self, count: int) -> None:
        for _ in range(count):
            self.run()
            self.clock.sleep(300)

    def emit(self, event: str, /, **fields: object) -> None:
        self.emitted.append((event, dict(fields)))

    def only_yesterday(self) -> Any:
        days = CALENDAR.finished_days(self.clock())
        export_days.want(self.rows, "main", days[:-1], now=self.clock(), lost="-")
        return days[-1]

    def gaps(self, action: str) -> list[float]:
        times = [datetime.fromisoformat(each["at"]) for each in self.simulator.state.calls if each["action"] == action]
        return [(later - sooner).total_seconds() for sooner, later in pairwise(times)]


@contextmanager
def archive(**settings: Any) -> Iterator[Archive]:
    clock = FastClock()
    given: dict[str, Any] = {"calls_per_second": 0, "complete_after": 300, "rows": 120, "clock": clock}
    with AlibabaSimulator(Settings(**(given | settings))) as simulator:
        yield Archive(simulator, clock)


def check(world: Archive, day: Any) -> dict[str, Any]:
    """Check a day's archive against what the simulator served, without the archive's own code."""
    keys = export_keys("alibaba", day, "main", 1)
    world.objects.sound(keys.manifest)
    (manifest,) = world.objects.documents(keys.manifest)
    served = world.simulator.file(day)
    assert gzip.decompress(world.objects.objects[keys.raw]) == served
    assert manifest["objects"]["raw"]["content_sha256"] == hashlib.sha256(served).hexdigest()
    rows = world.objects.documents(keys.rows)
    assert manifest["rows"] == len(rows) == sum(manifest["rows_by_reason"].values())
    assert manifest["rejected"] == len(world.objects.documents(keys.rejects))
    return manifest


def test_31_missing_days_are_caught_up_by_themselves_at_one_call_a_second_at_the_most() -> None:
    with archive() as world:
        days = CALENDAR.finished_days(world.clock())
        world.runs(3)
        assert [each.state for each in export_days.read(world.rows, "main")] == [DayState.ARCHIVED] * 31
        calls = world.simulator.state.calls
        created = [each["params"]["TimePoint"] for each in calls if each["action"].startswith("Create")]
        assert created == [f"{day - timedelta(days=1)}T16:00:00Z" for day in days], "oldest first, each once"
        names = [each["params"]["TaskName"] for each in calls if each["action"].startswith("Create")]
        assert names == [f"edgeban-{day:%Y%m%d}-1-1" for day in days]
        assert {each["status"] for each in calls} == {200}
        for action in ("CreateIllegalUrlExportTask", "DescribeIllegalUrlExportTask"):
            assert len(world.gaps(action)) >= 30
            assert min(world.gaps(action)) >= 1.0
        print(f"31 days: {len(calls)} calls, gaps from {min(world.gaps('CreateIllegalUrlExportTask')):.2f} s")
        for day in days:
            assert check(world, day)["rows"] == 120


def test_days_are_archived_once_however_often_and_at_once_it_runs() -> None:
    with archive(complete_after=60) as world:
        for _ in range(3):
            threads = [threading.Thread(target=world.runs, args=(2,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        world.runs(2)
        assert {each.state for each in export_days.read(world.rows, "main")} == {DayState.ARCHIVED}
        assert len(world.objects.puts) == len(set(world.objects.puts)) == 31 * 4
        assert sum(event == "export_archived" for event, _ in world.emitted) == 31
        for day in CALENDAR.finished_days(world.clock()):
            check(world, day)


@pytest.mark.parametrize("fault", ["truncated", "truncated_chunked", "reset_download", "busy", "expired"])
def test_a_download_that_breaks_is_made_again_and_whole(fault: str) -> None:
    with archive() as world:
        day = world.only_yesterday()
        world.simulator.fault(fault)
        world.runs(4)
        assert check(world, day)["rows"] == 120
        assert len(world.simulator.state.downloads) == 2


@pytest.mark.parametrize("fault", ["throttling", "throttling_user", "internal_error", "reset_after", "html", "xml"])
def test_a_call_that_breaks_is_made_again(fault: str) -> None:
    with archive() as world:
        day = world.only_yesterday()
        world.simulator.fault(fault, times=2)
        world.runs(5)
        check(world, day)


@pytest.mark.parametrize("fault", ["gb18030", "gb18030_bom", "utf8_bom", "no_header", "unknown_codes", "formulas"])
def test_whatever_form_the_file_has_its_bytes_are_kept_and_its_rows_read(fault: str) -> None:
    with archive() as world:
        day = world.only_yesterday()
        world.simulator.fault(fault)
        world.runs(2)
        manifest = check(world, day)
        assert (manifest["rows"], manifest["rejected"]) == (120, 0)
        if fault == "unknown_codes":
            assert "NEW_REASON" in manifest["rows_by_reason"]


def test_bad_rows_never_stop_the_day() -> None:
    with archive() as world:
        day = world.only_yesterday()
        world.simulator.fault("bad_rows")
        world.runs(2)
        manifest = check(world, day)
        assert (manifest["rows"], manifest["rejected"]) == (120, 4)
        rejects = world.objects.documents(export_keys("alibaba", day, "main", 1).rejects)
        assert [each["line"] for each in rejects] == [122, 123, 124, 125]
        assert all(each["reason"] for each in rejects)


def test_a_vendor_without_exports_for_this_account_is_told_and_asked_once_a_run() -> None:
    with archive() as world:
        world.simulator.fault("api_gone", times=0)
        assert world.run().why == "access_refused"
        assert len(world.simulator.state.calls) == 1


MEASURE = """
import json, os, sys, tempfile, hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
import boto3, requests, chalice  # what a function has in memory besides
import app
from chalicelib.domain.model import VendorAccount
from chalicelib.ledger.export_days import DayState, ExportDay
from chalicelib.outbound.download import DownloadPolicy, ExportDownload
from chalicelib.pipeline.archive.export_files import ExportRoute, archive_day
from chalicelib.vendors.alibaba.client import connect

class OnDisk:
    "Objects that take a file without reading it into memory, as Bucket does."
    def __init__(self):
        self.keys = {}
    def put_new_file(self, key, path, *, sha256, content_type):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 18):
                digest.update(block)
        assert digest.hexdigest() == sha256
        self.keys[key] = sha256
        return True
    def put_new(self, key, body, *, content_type):
        self.keys[key] = body
        return True
    def get(self, key):
        return self.keys.get(key)
    def sha256(self, key):
        return self.keys.get(key)

url, host = sys.argv[1:]
clock = lambda: datetime.now(UTC)
keys = {"access_key": "testid", "secret_key": "testsecret"}
vendor = connect(VendorAccount("main", "alibaba", "http://localhost", keys), clock=clock)
day = ExportDay("main", date(2026, 1, 14), DayState.DOWNLOADING, 1, 1, 1, vendor_task_id="tu_1")
objects, sent = OnDisk(), []
class Queue:
    def send(self, messages):
        sent.append(len(messages))
route = ExportRoute("alibaba", vendor, ExportDownload(DownloadPolicy(loopback=(host,))), objects, Queue())
done = archive_day(day, url, route, clock)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
manifest = json.loads(objects.get(done.manifest))
print(json.dumps({"peak_kib": peak, "raw": manifest["objects"]["raw"], "rows": done.rows, "messages": len(sent)}))
"""


def test_a_file_of_200_mb_is_archived_in_less_than_256_mb(tmp_path: Path) -> None:
    # The URLs are long, so that the test is about bytes: two million short rows take a minute of CPU.
    urls = [f"https://www.example.com/{number}/{'x' * 600}" for number in range(200)]
    with archive(complete_after=0, urls=urls) as world:
        world.simulator.fault("bytes", bytes=200 * 1024**2)
        keys = {"access_key": "testid", "secret_key": "testsecret"}
        vendor = connect(VendorAccount("main", "alibaba", world.simulator.url, keys), clock=world.clock)
        day = CALENDAR.finished_days(world.clock())[-1]
        url = vendor.describe_export(vendor.create_export("t", CALENDAR.start_of(day))).download_url
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, url, world.simulator.host],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        said = json.loads(done.stdout)
        print(f"200 MB: {said['peak_kib'] / 1024:.0f} MB at most, {said['rows']:,} rows, {said['messages']} messages")
        assert said["raw"]["content_bytes"] > 199 * 1024**2
        assert said["peak_kib"] < 256 * 1024
        assert list(tmp_path.iterdir()) == [], "nothing is left on the function's disk"
