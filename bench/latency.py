"""The time from a report to the vendor task with its URL, at several rates of reports."""

from __future__ import annotations

from bench.cost import PRICES
from bench.figures import Figure, quantile
from bench.virtual import Measured, VirtualPipeline, Waits, steady
from chalicelib.pipeline.answers.receiver_calls import FEWEST, MOST

OFFERED = ((1, 600), (100, 60), (1_000, 30))
"""Reports a second, and the seconds that this lasts."""


BY_WEBHOOK = ((1, 300), (10, 60), (150, 20))
"""The same for reports that come by webhook, of a source that is called back."""

P50, P99 = 1.3, 3.0
BANNED_P50, BANNED_P99 = 3.0, 10.0
TOLD_P50, TOLD_P99 = BANNED_P50 + 5, BANNED_P99 + 5
TASK_SECONDS = 30.0
TRICKLE_DOLLARS = 3
INTAKE_GB = 1.73
LOOK_SECONDS = 0.3
"""Seconds of a look at the vendor's list: reading the live tasks, and one call."""


def measure() -> list[Figure]:
    """Let reports of one new URL arrive at random, and measure where each second goes."""
    figures = []
    for rate, seconds in OFFERED:
        waits = Waits(task=TASK_SECONDS)
        measured = VirtualPipeline(steady(rate, seconds), waits=waits).run()
        how = (
            f"{len(measured.latencies):,} reports of one URL; the code that ships, in one process and virtual time: "
            f"queue window {waits.batch_window:.0f} s, intake {waits.intake_call} s and {waits.intake_url * 1000} ms "
            f"a URL, from a wake-up to its drain {waits.wake_hop} s, reading what waits {waits.drain_begin} s, 10 "
            "creates a second"
        )
        figures.append(_within(f"report to vendor task, {rate:,} reports/s", measured.latencies, (P50, P99), how))
        how = f"same; the vendor works {TASK_SECONDS:.0f} s on each task"
        ends = (BANNED_P50, BANNED_P99)
        figures.append(_within(f"vendor task's end to banned, {rate:,} reports/s", measured.until_banned, ends, how))
        if rate == 1:
            figures.append(_trickle(measured, waits, seconds))
    return [*figures, *(figure for rate, seconds in BY_WEBHOOK for figure in _by_webhook(rate, seconds))]


def _by_webhook(rate: int, seconds: int) -> list[Figure]:
    waits = Waits(task=TASK_SECONDS)
    measured = VirtualPipeline(steady(rate, seconds), waits=waits, by_webhook=True).run()
    how = f"{len(measured.latencies):,} reports of one URL by webhook; the function at the door takes {waits.door} s"
    told = (
        f"same; {measured.calls} messages for the source, whose receiver takes {waits.receiver} s, {FEWEST} to "
        f"{MOST} calls at once; reading the states of some reports takes {waits.look} s"
    )
    return [
        _within(f"webhook to vendor task, {rate:,} reports/s", measured.latencies, (P50, P99), how),
        _within(f"vendor task's end to callback, {rate:,} reports/s", measured.until_told, (TOLD_P50, TOLD_P99), told),
    ]


def _within(what: str, seconds: list[float], most: tuple[float, float], how: str) -> Figure:
    p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
    target = f"p50 ≤ {most[0]} s, p99 ≤ {most[1]} s"
    return Figure(
        what, target, f"p50 {p50:.2f} s, p99 {p99:.2f} s", met=bool(p50 <= most[0] and p99 <= most[1]), how=how
    )


def _trickle(measured: Measured, waits: Waits, seconds: int) -> Figure:
    """Price the run that gave the latency: one new URL a second, by queue, for a day."""
    urls = len(measured.latencies)
    gigabyte_seconds = (
        measured.intakes * waits.intake_call * INTAKE_GB
        + urls * waits.intake_url * INTAKE_GB
        + measured.drain_seconds
        + measured.looks * LOOK_SECONDS
    )
    dollars = (
        measured.units["written"] * PRICES["writes"]
        + measured.units["halves read"] / 2 * PRICES["reads"]
        + 3 * urls * PRICES["sqs"]
        + (4 * (measured.drains + measured.looks) + 3 * measured.calls) * PRICES["fifo"]
        + (measured.intakes + measured.drains + measured.looks + measured.calls) * PRICES["invocations"]
        + gigabyte_seconds * PRICES["gb_seconds"]
    )
    a_day = dollars * 86_400 / seconds
    return Figure(
        "$ a day, one new URL a second by queue",
        f"≤ {TRICKLE_DOLLARS}",
        f"{a_day:.2f}",
        met=a_day <= TRICKLE_DOLLARS,
        how=f"the run of 1 reports/s: {measured.intakes} intakes, {measured.drains} drains, {measured.looks} looks at "
        f"the vendor's list, {measured.units['written'] / urls:.1f} write units a URL",
    )
