"""The bounded forms of the runs in which everything breaks; ``make fault`` has the long ones."""

from __future__ import annotations

import os

import pytest

from dev.fault import virtual
from dev.fault.plan import BOUNDED
from dev.fault.storm import run


def test_nothing_is_lost_doubled_or_out_of_bounds_while_everything_breaks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("SEED") or 1)
    outcome = run(seed, BOUNDED)
    with capsys.disabled():  # CI shows the figures.
        print(f"\n{outcome.summary()}")
    assert not outcome.problems, f"run it again: make fault BOUNDED=1 SEED={seed}\n{outcome.summary()}"
    assert outcome.faults.total() >= 30, outcome.summary()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_vendor_bans_and_lifts_all_while_everything_breaks_in_virtual_time(seed: int) -> None:
    outcome = virtual.run(seed)
    assert not outcome.problems, f"run it again: make fault-virtual SEED={seed}\n{outcome.summary()}"
    assert outcome.faults.total() >= 100, outcome.summary()
    assert outcome.faults["killed"] >= 10, outcome.summary()
