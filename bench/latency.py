"""From a report to the vendor task with its URL, at several rates of reports."""

from __future__ import annotations

from bench.figures import Figure, quantile
from bench.virtual import VirtualPipeline, steady

OFFERED = ((1, 600), (100, 60), (1_000, 30))
"""Reports a second, and for how many seconds."""


def measure() -> list[Figure]:
    """Let reports of one new URL each arrive at random, and look when each is in a vendor task."""
    figures = []
    for rate, seconds in OFFERED:
        found = VirtualPipeline(steady(rate, seconds)).run().latencies
        figures.append(
            Figure(
                f"report to vendor task, {rate:,} reports/s",
                "",
                f"p50 {quantile(found, 0.5):.1f} s, p99 {quantile(found, 0.99):.1f} s",
                how=f"{len(found):,} reports of one URL; the code that ships, in one process and virtual time: queue "
                "window 1 s, submit delay 5 s, intake 0.15 s and 0.3 ms a URL, 10 creates a second",
            )
        )
    return figures
