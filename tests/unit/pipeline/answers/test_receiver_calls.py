"""A receiver that answers quickly gets more calls at once; a slow or failing one gets no more than at first (I12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Barrier, Event, Lock
from typing import Any

import pytest

from chalicelib.aws.client import CONNECTIONS
from chalicelib.aws.dynamodb import Table
from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.pipeline.answers.outcomes import READ_URLS, deliver_outcomes
from chalicelib.pipeline.answers.receiver_calls import (
    FEWEST,
    MOST,
    MOST_BYTES,
    QUICK_SECONDS,
    READERS,
    Called,
    CallsAtOnce,
    ReceiverCalls,
)
from dev.fakes.operations import deliver, world_with_callbacks
from dev.fakes.rows import MemoryRows
from dev.fakes.world import World, pages
from dev.fakes.wrappers import Each

FOREIGN = "https://www.example.org/not-ours"
"""A URL of no managed host: a report of it has ended at once."""


def reported(world: World, reports: int) -> list[str]:
    return [world.post({"urls": [FOREIGN]}, webhook_id=f"w{number}").report_id for number in range(reports)]


def test_each_quick_answer_lets_one_more_call_overlap_up_to_a_bound() -> None:
    at_once = CallsAtOnce()
    permitted = []
    for _ in range(MOST):
        permitted.append(at_once.permitted)
        at_once.answered(QUICK_SECONDS)

    assert permitted[:3] == [FEWEST, FEWEST + 1, FEWEST + 2]
    assert at_once.permitted == MOST


def test_each_slow_answer_halves_what_may_overlap_down_to_what_it_was_at_first() -> None:
    at_once = CallsAtOnce()
    for _ in range(MOST):
        at_once.answered(0.1)
    permitted = []
    for _ in range(4):
        at_once.answered(QUICK_SECONDS + 0.1)
        permitted.append(at_once.permitted)

    assert permitted == [MOST // 2, FEWEST, FEWEST, FEWEST]


@pytest.mark.parametrize(("seconds", "then"), [(0.1, 2 * FEWEST), (2.0, FEWEST)])
def test_as_many_calls_overlap_as_the_answers_so_far_permit(seconds: float, then: int) -> None:
    gate = Event()

    def call() -> Called:
        assert gate.wait(10)
        return Called("delivered", seconds)

    def fill() -> int:
        started = 0
        while calls.has_room and started < 2 * MOST:
            calls.start(call, size=1)
            started += 1
        return started

    with ReceiverCalls(threads=True) as calls:
        try:
            first = fill()
            gate.set()
            while calls.settle():
                pass
            gate.clear()
            assert (first, fill()) == (FEWEST, then)
        finally:
            gate.set()


def test_each_thread_of_a_receiver_finds_a_connection_to_the_ledger() -> None:
    """Reports are read beside the calls, and the table reads large batches in threads of its own."""
    table = Table(None, "ledger")
    assert MOST + READERS + table._pool._max_workers <= CONNECTIONS


def test_calls_with_large_bodies_do_not_pile_up_in_memory() -> None:
    gate = Event()

    def call() -> Called:
        assert gate.wait(10)
        return Called("delivered", 0.1)

    with ReceiverCalls(threads=True) as calls:
        calls.start(call, size=MOST_BYTES)
        assert not calls.has_room
        gate.set()
        calls.settle()
        assert calls.has_room


def test_a_quick_receiver_of_many_reports_is_called_by_more_than_at_first() -> None:
    world, _ = world_with_callbacks()
    ids = reported(world, FEWEST + 2 * FEWEST)
    together, lock = Barrier(2 * FEWEST), Lock()
    began: list[str] = []

    def post(url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        with lock:
            began.append(headers["webhook-id"])
            is_late = len(began) > FEWEST
        if is_late:
            together.wait(10)  # breaks if fewer calls overlap
        return 204

    run = world.run()
    assert deliver_outcomes(run, world.sources["desk"], ids, post) == {"delivered": len(ids)}
    assert sorted(began) == sorted(f"outcome-{report}" for report in ids)


def test_a_receiver_that_fails_gets_no_further_call_and_every_report_is_due_again() -> None:
    world, receiver = world_with_callbacks()
    ids = reported(world, 3 * FEWEST)
    receiver.answers = [503] * len(ids)
    world.clock.advance(minutes=1)

    assert deliver(world, receiver) == {"failed": len(ids)}
    assert len(receiver.got) == 1


def test_a_receiver_that_fails_where_many_calls_overlap_gets_fewer_and_stops_nothing_else() -> None:
    world, receiver = world_with_callbacks()
    ids = reported(world, 6 * FEWEST)
    receiver.answers = [*[204] * FEWEST, 429]
    world.clock.advance(minutes=1)

    assert deliver(world, receiver) == {"delivered": len(ids) - 1, "failed": 1}


def test_a_receiver_that_goes_on_failing_gets_no_further_call() -> None:
    world, receiver = world_with_callbacks()
    ids = reported(world, 6 * FEWEST)
    receiver.answers = [*[204] * FEWEST, 429, *[503] * len(ids)]
    world.clock.advance(minutes=1)

    assert deliver(world, receiver) == {"delivered": FEWEST, "failed": len(ids) - FEWEST}
    assert len(receiver.got) == FEWEST + 2


def test_after_a_failure_no_more_calls_overlap_than_at_first_however_quick_the_next_ones_are() -> None:
    at_once = CallsAtOnce()
    for _ in range(MOST):
        at_once.answered(0.1)
    at_once.answered(0.1, well=False)
    at_once.answered(0.1)

    assert at_once.permitted == FEWEST
    assert not at_once.crowded


@pytest.mark.parametrize("method", ["query", "transact"])
def test_a_report_that_cannot_be_read_or_recorded_stops_no_other(method: str) -> None:
    """The function fails in the end, so that the message comes again."""
    world, _ = world_with_callbacks()
    ids = reported(world, 3 * FEWEST)
    told: set[str] = set()

    def refuse(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if f"report#{ids[0]}" in repr(args):
            raise LedgerUnavailable("throttled")
        return function(*args, **kwargs)

    def post(url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        told.add(headers["webhook-id"])
        return 204

    run = replace(world.run(), rows=Each(world.rows, refuse, method))
    with pytest.raises(LedgerUnavailable):
        deliver_outcomes(run, world.sources["desk"], ids, post)
    assert told >= {f"outcome-{report}" for report in ids[1:]}


def test_reports_are_read_together_and_cost_few_requests() -> None:
    world, receiver = world_with_callbacks()
    for number, url in enumerate(pages(FEWEST)):
        world.post({"urls": [url]}, webhook_id=f"w{number}")
    world.minutes(4)
    assert isinstance(world.rows, MemoryRows)
    world.rows.calls.clear()

    assert deliver(world, receiver) == {"delivered": FEWEST}
    assert world.rows.calls["query"] <= FEWEST + 10
    assert world.rows.calls["get"] <= 12


def test_a_report_with_more_urls_than_are_read_together_is_read_alone() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": [f"https://www.example.com/{number}" for number in range(READ_URLS + 1)]}, webhook_id="large")
    world.post({"urls": pages(1)}, webhook_id="small")
    world.minutes(4)

    assert deliver(world, receiver) == {"delivered": 2}
