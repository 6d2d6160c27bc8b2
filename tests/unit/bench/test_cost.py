"""The formula of docs/cost.md comes to what the code writes and reads, counted row by row."""

from __future__ import annotations

import re

import pytest

import app
from bench.cost import PRICES, Bill, Load, bill
from bench.virtual import VirtualPipeline, steady
from dev.package import ROOT

SECONDS = 20


@pytest.fixture(scope="module", params=[(20, 1), (10, 10), (5, 100), (2, 1_000)], ids=lambda pair: f"{pair[1]} URLs")
def run(request: pytest.FixtureRequest) -> tuple[VirtualPipeline, Load]:
    rate, size = request.param
    pipeline = VirtualPipeline(steady(rate, SECONDS), urls=size)
    measured = pipeline.run()
    urls = len(measured.latencies)
    load = Load(
        new=urls,
        urls_per_report=size,
        urls_per_batch=round(urls / measured.intakes),
        urls_per_task=round(urls / len(measured.creates)),
        tasks_per_drain=max(1, round(len(measured.creates) / measured.drains)),
    )
    return pipeline, load


def test_write_units_are_within_five_per_cent_of_the_formula(run: tuple[VirtualPipeline, Load]) -> None:
    pipeline, load = run
    assert bill(load).writes == pytest.approx(pipeline.measured.units["written"], rel=0.05)


def test_a_full_batch_of_new_urls_costs_at_most_1_1_write_units_each() -> None:
    assert bill(Load(new=1_000_000)).writes <= 1.1 * 1_000_000


def test_duplicates_cost_half_a_read_and_no_write() -> None:
    cost = bill(Load(new=0, duplicates=1_000_000))
    assert (cost.writes, cost.reads) == (0, 500_000)


def test_every_kind_of_charge_has_its_price() -> None:
    assert set(Bill().lines()) == set(PRICES)


@pytest.mark.parametrize(("size", "chunks"), [(1, 1), (1_000, 2)])
def test_a_webhook_is_one_request_and_one_message_for_each_64_kb(size: int, chunks: int) -> None:
    cost = bill(Load(new=1_000, urls_per_report=size, webhooks=True))
    reports = 1_000 // size
    assert cost.webhooks == reports
    assert cost.sqs - bill(Load(new=1_000, urls_per_report=size)).sqs == reports * chunks


def test_every_function_that_the_bench_runs_is_one_of_the_app() -> None:
    texts = [file.read_text() for file in (ROOT / "bench").glob("*.py")]
    called = {match[1] for text in texts for match in re.finditer(r'process\.run\("(\w+)"(?![^\n]*module=)', text)}
    assert called > {"receive_report", "intake_reports", "submit_tasks"}
    assert [name for name in sorted(called) if not hasattr(app, name)] == []
