"""The time from a report to the vendor task with its URL, at several rates of reports."""

from __future__ import annotations

from bench.figures import Figure, quantile
from bench.virtual import VirtualPipeline, steady

OFFERED = ((1, 600), (100, 60), (1_000, 30))
"""Reports a second, and the seconds that this lasts."""


def measure() -> list[Figure]:
    """Let reports of one new URL arrive at random, and measure when each URL is in a vendor task."""
    figures = []
    for rate, seconds in OFFERED:
        latencies = VirtualPipeline(steady(rate, seconds)).run().latencies
        figures.append(
            Figure(
                f"report to vendor task, {rate:,} reports/s",
                "",
                f"p50 {quantile(latencies, 0.5):.1f} s, p99 {quantile(latencies, 0.99):.1f} s",
                how=f"{len(latencies):,} reports of one URL; the code that ships, in one process and virtual time: "
                "queue window 1 s, submit delay 5 s, intake 0.15 s and 0.3 ms a URL, 10 creates a second",
            )
        )
    return figures
