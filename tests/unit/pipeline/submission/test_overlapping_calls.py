"""Calls that were under way together fail together: one cause is not counted as many."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Barrier
from typing import NoReturn

import pytest

from chalicelib.domain.errors import AnswerUnknown, Throttled, VendorError
from chalicelib.domain.model import Action
from chalicelib.ledger import control
from dev.fakes.operations import banned
from dev.fakes.world import ACCOUNT, World, pages

AT_ONCE = 40


def failing_together(error: VendorError) -> World:
    """Return a world whose vendor has answered well, and then fails a row of calls that are under way at once."""
    world = banned()
    world.workers = AT_ONCE
    gate = Barrier(AT_ONCE)

    def create_task(action: Action, urls: Sequence[str], ban_days: int) -> NoReturn:
        gate.wait(timeout=10)
        raise error

    world.vendor.create_task = create_task  # type: ignore[method-assign]
    for part in range(AT_ONCE):
        world.queue({"urls": pages(1_000, f"h{part}.example.com")})
    world.intake()
    return world


def test_a_vendor_that_leaves_forty_calls_unanswered_counts_as_down() -> None:
    world = failing_together(AnswerUnknown("no answer in time"))

    assert world.drain().why == "down"


@pytest.mark.parametrize("seconds", [10, 600])
def test_calls_that_are_throttled_together_wait_as_long_as_the_vendor_asks_and_no_longer(seconds: int) -> None:
    world = failing_together(Throttled("slower", retry_after=seconds))
    drained = world.drain(seconds=5)

    assert drained.why == "throttled"
    block = control.read(world.rows, [ACCOUNT])[ACCOUNT].blocks["creates"]
    assert (block.until - world.clock()).total_seconds() < seconds + 1
