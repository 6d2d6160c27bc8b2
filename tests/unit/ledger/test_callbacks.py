"""A source is called again on request about a report that it was told of, also where the request is cut short."""

from __future__ import annotations

import pytest

from chalicelib.ledger import callbacks
from dev.fakes.operations import deliver, world_with_callbacks
from dev.fakes.world import pages


@pytest.mark.parametrize("after", [False, True])
def test_a_delivered_outcome_is_delivered_again(after: bool) -> None:
    for at in range(1, 4):
        world, receiver = world_with_callbacks()
        report = world.post({"urls": pages(1)}).report_id
        world.minutes(4)
        deliver(world, receiver)
        told = len(receiver.got)
        assert told == 1
        with world.crash(at, after=after):
            callbacks.resend(world.run().rows, report, now=world.clock())
        assert callbacks.resend(world.rows, report, now=world.clock())
        world.minutes(1)
        deliver(world, receiver)
        assert len(receiver.got) in {told + 1, told + 2}
        assert callbacks.deliveries(world.rows, [report])[report].outcome == "delivered"
