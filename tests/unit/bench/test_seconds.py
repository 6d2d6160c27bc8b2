"""Seconds until a source's callback, and the calls and rows for it, counted in virtual time."""

from __future__ import annotations

import pytest

from bench.figures import quantile
from bench.latency import TOLD_P50, TOLD_P99
from bench.virtual import Measured, VirtualPipeline, Waits, steady


@pytest.fixture(scope="module")
def measured() -> Measured:
    return VirtualPipeline(steady(1, 60), waits=Waits(task=30.0), by_webhook=True).run()


def test_a_source_is_called_within_seconds_of_the_end_of_its_reports_task(measured: Measured) -> None:
    assert quantile(measured.until_told, 0.5) <= TOLD_P50 / 2
    assert quantile(measured.until_told, 0.99) <= TOLD_P99 / 2


def test_each_report_is_told_once_by_one_message_a_task(measured: Measured) -> None:
    assert len(measured.until_told) == len(measured.latencies)
    assert measured.calls == len(measured.creates)


def test_naming_the_reports_writes_nothing() -> None:
    """A callback adds to the costs of a report its row of the callback, and its row by which it is due."""
    told = VirtualPipeline([0, 1], waits=Waits(task=30.0), by_webhook=True).run()
    queued = VirtualPipeline([0, 1], waits=Waits(task=30.0)).run()
    assert told.units["written"] - queued.units["written"] <= 9
