"""The simulation agrees with the code that ships, run in virtual time, and is the same for the same seed."""

from __future__ import annotations

import json

import pytest

from bench.figures import quantile
from bench.simulate import CALL, Setting, day, simulate
from bench.virtual import Measured, VirtualPipeline, steady
from dev.package import ROOT

RUNS = [(2, 1, 60), (40, 1, 40), (10, 30, 30), (300, 1, 30), (15, 50, 20)]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: f"{run[0]} reports of {run[1]}")
def both(request: pytest.FixtureRequest) -> tuple[Measured, Setting, list[int]]:
    rate, size, seconds = request.param
    arrivals = steady(rate, seconds)
    measured = VirtualPipeline(arrivals, urls=size).run()
    return measured, Setting(urls_per_report=size), arrivals


def test_latency_tasks_and_units_agree_within_15_per_cent(both: tuple[Measured, Setting, list[int]]) -> None:
    measured, setting, arrivals = both
    simulated = simulate(arrivals, setting)
    urls = len(measured.latencies)
    for share in (0.5, 0.99):
        assert simulated.quantile(share) == pytest.approx(quantile(measured.latencies, share), rel=0.15)
    assert simulated.tasks / simulated.new == pytest.approx(len(measured.creates) / urls, rel=0.15)
    written = simulated.bill(setting).writes / simulated.new
    assert written == pytest.approx(measured.units["written"] / urls, rel=0.15)


def test_every_new_url_goes_to_the_vendor_once() -> None:
    found = simulate([3_000] * 20 + [0] * 5 + [90_000] * 2, Setting(new_share=0.5, accounts=3))
    assert found.urls == 240_000
    assert found.new == pytest.approx(120_000, abs=200)
    assert sum(weight for _, weight in found.latencies) == pytest.approx(found.new)
    assert found.waiting[-1] == 0


def test_a_backlog_goes_at_the_vendors_rate_in_full_calls() -> None:
    found = simulate([100_000] * 5, Setting(first_pollers=1_000, most_pollers=1_000))
    assert found.new / found.tasks >= 0.95 * CALL
    assert found.quantile(1.0) == pytest.approx(500_000 / CALL / 10, abs=12)


def test_more_accounts_drain_faster() -> None:
    one, four = (
        simulate([50_000] * 5, Setting(first_pollers=1_000, most_pollers=1_000, accounts=count)) for count in (1, 4)
    )
    assert four.quantile(0.99) < one.quantile(0.99) / 2


def test_a_day_is_the_same_for_the_same_seed() -> None:
    given = {"urls_per_report": 10, "bursts": 3, "factor": 10.0}
    assert day(1_000_000, **given, seed=4) == day(1_000_000, **given, seed=4)  # type: ignore[arg-type]
    assert sum(day(1_000_000, **given)) * 10 == pytest.approx(1_000_000, rel=0.02)  # type: ignore[arg-type]


def test_as_many_intakes_run_at_once_as_the_template_lets_run() -> None:
    function = json.loads((ROOT / ".chalice" / "resources.json").read_text())["Resources"]["IntakeReports"]
    source = function["Properties"]["Events"]["IntakeReportsSqsEventSource"]["Properties"]
    assert Setting().most_pollers == source["ScalingConfig"]["MaximumConcurrency"]
