"""A drain holds its wake-up only while it lives: another drain takes over from a dead one within seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.aws.sqs import HOLD_SECONDS, HeldMessage, WakeQueue
from chalicelib.domain.errors import Throttled
from chalicelib.ledger import control
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.pipeline.waking import wake_submitter, wake_submitter_anew
from dev.fakes.fifo import FifoQueue
from dev.fakes.world import ACCOUNT, World, pages

TAKEN_OVER = timedelta(seconds=15)

QUEUE_URL = "https://sqs/submit.fifo"


class Account:
    """A world whose wake-ups go through a FIFO queue."""

    def __init__(self) -> None:
        self.world = World()
        self.queue = FifoQueue(self.world.clock)
        self.wake = WakeQueue(self.queue, QUEUE_URL)

    def run(self, record: dict[str, Any] | None = None) -> Run:
        run = replace(self.world.run(seconds=140), wake=self.wake, account=ACCOUNT)
        if record is None:
            return run
        message = HeldMessage(
            self.queue,
            QUEUE_URL,
            record,
            emit=self.world.emit,
            clock=lambda: self.world.clock().timestamp(),
        )
        message.beat()
        return replace(run, beat=message.beat)

    def report(self) -> None:
        self.world.queue({"urls": pages(3)})
        self.world.intake()
        wake_submitter(self.run(), ACCOUNT)

    def drain(self) -> Drained | None:
        record = self.queue.receive()
        if record is None:
            return None
        drained = submit_tasks(self.run(record), self.world.crasher.wrap(self.world.vendor), workers=0)
        self.queue.answered(record, {"batchItemFailures": []})
        return drained


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 12))
def test_another_submitter_takes_over_from_a_dead_one_within_15_seconds(at: int, *, after: bool) -> None:
    account = Account()
    account.report()
    with account.world.crash(at, after=after):
        account.drain()
    dead_since = account.world.clock()
    while account.queue.messages and account.drain() is None:
        account.world.clock.advance(seconds=1)
        assert account.world.clock() - dead_since <= TAKEN_OVER
    assert account.world.events("drained")


def test_a_drain_that_waits_long_holds_its_wake_up() -> None:
    account = Account()
    account.report()
    account.world.vendor.errors = [Throttled("slow down", retry_after=60.0)]
    delivered: list[Any] = []
    sleep = account.world.clock.sleep

    def sleep_and_look(seconds: float) -> None:
        sleep(seconds)
        delivered.append(account.queue.receive())

    account.world.clock.sleep = sleep_and_look  # type: ignore[method-assign]
    assert account.drain()
    assert len(delivered) > HOLD_SECONDS
    accounts = [json.loads(record["body"])["account"] for record in delivered if record]
    assert ACCOUNT not in accounts, "only the tracker of what was submitted may be woken meanwhile"


def test_wake_ups_that_mean_the_same_are_one_and_those_after_a_drain_began_are_not() -> None:
    account = Account()
    for _ in range(3):
        wake_submitter(account.run(), ACCOUNT)
    assert len(account.queue.messages) == 1
    control.begin_drain(account.world.rows, ACCOUNT, now=account.world.clock())
    wake_submitter(account.run(), ACCOUNT)
    assert len(account.queue.messages) == 2


def test_another_process_wakes_although_this_one_has() -> None:
    """Each process remembers its own wake-ups; SQS drops those that another one has sent."""
    account = Account()
    wake_submitter(account.run(), ACCOUNT)
    account.wake = WakeQueue(account.queue, "url")
    wake_submitter(account.run(), ACCOUNT)
    assert len(account.queue.messages) == 1


def test_the_sweep_wakes_whatever_became_of_the_wake_up_of_the_same_epoch() -> None:
    account = Account()
    wake_submitter(account.run(), ACCOUNT)
    account.queue.messages.clear()  # The wake-up has become a dead letter.
    wake_submitter_anew(account.run(), ACCOUNT)
    wake_submitter_anew(account.run(), ACCOUNT)
    assert len(account.queue.messages) == 1


def test_a_function_whose_clock_was_ahead_keeps_no_later_one_waiting() -> None:
    world = World()
    world.clock.advance(hours=1)
    world.queue({"urls": pages(1)})
    world.intake()
    world.drain()
    world.clock.advance(hours=-1)
    world.queue({"urls": pages(1, "h1.example.com")})
    world.intake()
    world.drain(seconds=5)

    assert len(world.vendor.calls) == 2
