"""The bounded form of the run in which everything breaks; ``make fault`` is the long one."""

from __future__ import annotations

import os

import pytest

from dev.fault.plan import BOUNDED
from dev.fault.storm import run


def test_nothing_is_lost_doubled_or_out_of_bounds_while_everything_breaks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("SEED") or 1)
    outcome = run(seed, BOUNDED)
    with capsys.disabled():  # the figures belong to what CI shows
        print(f"\n{outcome.summary()}")
    assert not outcome.problems, f"run it again: make fault BOUNDED=1 SEED={seed}\n{outcome.summary()}"
    assert outcome.faults.total() >= 30, outcome.summary()
