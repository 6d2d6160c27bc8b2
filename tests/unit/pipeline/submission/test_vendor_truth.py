"""edgeban heeds the vendor's own figures: waits, granted days, the time of a task, calls at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.domain.errors import Throttled
from chalicelib.domain.model import Action, TaskState
from chalicelib.ledger import control, tasks
from chalicelib.pipeline.run import NEVER
from chalicelib.pipeline.submission.submit import submit_tasks
from dev.fakes.operations import lasting, renew
from dev.fakes.vendor import LIMITS
from dev.fakes.world import ACCOUNT, World, pages

URL = pages(1)[0]


def reported(world: World, urls: list[str], **report: object) -> World:
    world.queue({"urls": urls, **report})
    world.intake()
    return world


def assert_banned_without_a_gap(world: World, *, days: int) -> None:
    """Renew every hour for ``days`` days, and assert that the vendor always bans the URL."""
    for _ in range(days * 24):
        world.vendor.settle()
        assert URL in world.vendor.bans, world.clock()
        world.clock.advance(hours=1)
        renew(world)
        if world.wakes:
            world.wakes.clear()
            world.drain()
            world.track()


# --- waits -----------------------------------------------------------------------------------------------------------


def test_a_wait_that_the_vendor_asks_for_is_kept_by_the_drains_that_follow() -> None:
    world = World()
    world.vendor.errors = [Throttled("slower", retry_after=600)] * 500
    began = world.clock()
    while world.clock() < began + timedelta(minutes=7):
        reported(world, [f"https://www.example.com/{len(world.emitted)}"])
        world.drain()
        world.clock.advance(seconds=5)
    assert len(world.vendor.calls) == 1

    world.vendor.errors = []
    world.minutes(4)
    assert world.state("https://www.example.com/0") == "banned"


def test_a_person_ends_a_wait() -> None:
    world = reported(World(), [URL])
    world.vendor.errors = [Throttled("slower", retry_after=600)]
    world.drain()
    control.resume(world.rows, ACCOUNT, actor="a", now=world.clock())
    world.drain()

    assert len(world.vendor.calls) == 2


def test_a_wait_that_the_list_asks_for_keeps_tracking_alone() -> None:
    world = reported(World(), [URL])
    world.drain()
    world.vendor.list_errors = [Throttled("slower", retry_after=600)]
    world.minutes(9)
    assert world.vendor.lists == ["follow"]
    reported(world, pages(2)[1:])
    world.drain()
    assert len(world.vendor.calls) == 2

    world.minutes(3)
    assert world.states(pages(2)) == {"banned": 2}


# --- days ------------------------------------------------------------------------------------------------------------


def test_a_ban_counts_from_when_the_vendor_made_the_task_however_late_it_is_found() -> None:
    world = lasting(ban_for_days=90)
    reported(world, [URL], category="phishing")
    world.vendor.lose_answer = True
    world.drain(seconds=2)
    control.set_paused(world.rows, ACCOUNT, actor="a", reason="r", now=world.clock())
    world.clock.advance(days=6)
    control.resume(world.rows, ACCOUNT, actor="a", now=world.clock())
    world.minutes(3)

    (theirs,) = world.vendor.tasks.values()
    (ours,) = tasks.read(world.rows, [event["task_id"] for event in world.events("task_adopted")]).values()
    assert ours.state is TaskState.SUCCEEDED
    assert ours.submitted_at == theirs.created_at
    assert_banned_without_a_gap(world, days=40)


def test_a_plan_that_is_longer_than_the_vendor_grants_is_cut_and_renewed() -> None:
    world = World()
    world.vendor.limits = replace(LIMITS, longest_ban=timedelta(days=14))
    reported(world, [URL], ban_duration=30)
    world.minutes(2)
    assert_banned_without_a_gap(world, days=29)

    assert [days for _, _, days in world.vendor.calls] == [14, 14, 4]
    world.clock.advance(days=20)
    world.vendor.settle()
    assert URL not in world.vendor.bans


# --- calls under way -------------------------------------------------------------------------------------------------


class _Slow:
    """An account whose creates take real time, and that notes when each begins."""

    def __init__(self, vendor: Any, *, seconds: float) -> None:
        self.vendor, self.seconds = vendor, seconds
        self.limits = vendor.limits
        self.began: list[float] = []
        self._lock = threading.Lock()

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> Any:
        self.began.append(time.monotonic())
        time.sleep(self.seconds)
        with self._lock:
            return self.vendor.create_task(action, urls, ban_days)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.vendor, name)


def test_a_backlog_goes_out_at_the_full_rate_though_each_answer_takes_as_long_as_thirty_calls() -> None:
    """The test runs four times as fast: 40 creates a second and answers of 0.7 s stand for 10 a second and 3 s."""
    world = World()
    world.vendor.limits = replace(LIMITS, creates_per_second=40, urls_per_task=1)
    slow = _Slow(world.vendor, seconds=0.7)
    world.vendor = slow  # type: ignore[assignment]
    reported(world, pages(80))
    run = replace(world.run().at(ACCOUNT), clock=lambda: datetime.now(UTC), sleep=time.sleep, deadline=NEVER)
    submit_tasks(run, slow)

    assert len(slow.began) == 80
    after_the_first = slow.began[1:]
    assert (len(after_the_first) - 1) / (after_the_first[-1] - after_the_first[0]) >= 30
    assert max(sum(at <= other < at + 1 for other in slow.began) for at in slow.began) <= 40
