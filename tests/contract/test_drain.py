"""A backlog of 100,000 URLs against the simulator over HTTP: signatures, rate limits, threads and time are real."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest

from chalicelib.domain.model import VendorAccount
from chalicelib.ledger import remaining, tasks
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.huawei.client import connect
from dev.fakes.world import ACCOUNT, World, pages
from dev.simulators.huawei_gate import Identity

URLS = 100_000
RATE = 9.5
"""Calls a second that a backlog is owed: 95 % of the vendor's 10."""

ATTEMPTS = 4
"""Drains to try: a busy machine wakes threads late and delivers calls unevenly. One drain must be right in rate, peak
and throttling at once; everything else must hold each time."""


@pytest.fixture(scope="module")
def urls() -> list[str]:
    return pages(URLS)


class Simulator:
    """The simulator in a process of its own, as a vendor is: its threads do not wait for those of the drain."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "dev.simulators.huawei", "--port", "0", "--task-seconds", "1"]
        self._process = subprocess.Popen([*command, "--domains", "*.example.com"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = self._process.stdout.readline().split()[-1]

    def get(self, path: str) -> Any:
        with urlopen(f"{self.url}/_sim/{path}", timeout=60) as answer:
            return json.load(answer)

    def reset(self) -> None:
        urlopen(Request(f"{self.url}/_sim/reset", data=b"{}", method="POST"), timeout=60).close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    running = Simulator()
    try:
        yield running
    finally:
        running.stop()


def now() -> datetime:
    return datetime.now(tz=UTC)


def backlog(urls: list[str]) -> World:
    """Claim the URLs by intake's own code, in batches that do not fit tasks evenly."""
    world = World()
    world.clock.now = now()
    for start in range(0, len(urls), 8_300):
        world.queue({"urls": urls[start : start + 8_300]})
        world.intake()
        world.clock.advance(milliseconds=1)
    return world


def drain(world: World, simulator: Simulator) -> Drained:
    http = VendorHttp()
    identity = Identity()
    credentials = {"access_key": identity.access_key, "secret_key": identity.secret_key}
    vendor = connect(VendorAccount(ACCOUNT, "huawei", simulator.url, credentials), clock=now, http=http)
    deadline = now() + timedelta(seconds=140)
    try:
        return submit_tasks(
            replace(world.run(), clock=now, sleep=time.sleep, deadline=deadline, account=ACCOUNT), vendor
        )
    finally:
        http.close()


@dataclass(frozen=True)
class Figures:
    """The figures of a drain, from the simulator's log."""

    calls_per_second: float
    throttled: int
    busiest_second: int
    urls_per_call: float

    @property
    def good(self) -> bool:
        return self.calls_per_second >= RATE and self.throttled == 0 and self.busiest_second <= 10


def drained(simulator: Simulator, urls: list[str]) -> Figures:
    """Drain the backlog, and assert what no load of the machine may change."""
    simulator.reset()
    world = backlog(urls)
    done = drain(world, simulator)
    stats = simulator.get("stats")
    creates = [call for call in simulator.get("calls") if call["endpoint"] == "create"]
    times: list[float] = [call["time"] for call in creates]

    assert (done.why, done.urls) == ("done", URLS)
    assert set(stats["statuses"]) <= {"200", "429"}
    assert stats["urls_per_create"] >= 950
    assert max(call["urls"] for call in creates) <= 1_000
    assert stats["doubles"] == 0
    assert sorted(url for task in simulator.get("tasks?urls=1") for url in task["urls"]) == sorted(urls)
    assert remaining.of_account(world.rows, ACCOUNT) == []
    assert {task.state.value for task in tasks.live(world.rows, ACCOUNT)} == {"processing"}
    return Figures(
        calls_per_second=(len(times) - 1) / (max(times) - min(times)),
        throttled=stats["throttled"],
        busiest_second=stats["max_creates_per_second"],
        urls_per_call=stats["urls_per_create"],
    )


def test_a_backlog_of_100_000_urls_goes_out_in_full_calls_at_9_5_a_second_and_none_is_throttled(
    simulator: Simulator, urls: list[str]
) -> None:
    seen: list[Figures] = []
    while len(seen) < ATTEMPTS and not any(figures.good for figures in seen):
        seen.append(drained(simulator, urls))
        print(f"\n{URLS:,} URLs: {seen[-1]}")

    assert any(figures.good for figures in seen), seen
