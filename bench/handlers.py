"""Measure the functions over 20,000 reported URLs: CPU, memory, capacity and calls, also as the ledger grows."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.figures import Figure, spread
from bench.local import FURTHER, SOURCE, Local
from bench.process import Process, Ran
from bench.reports import SCHEDULE, WAKE_UP, bodies, events, fresh_rows
from dev.feed import FeedRow
from dev.simulators.huawei import HuaweiSimulator

BATCH_URLS = 1_000
REPORT_URLS = 100
TURNS = 12
FILL = 20 * BATCH_URLS
NAIVE_ROWS = 2_000
VERDICTS = ("ban", "duplicate", "rejected", "suppressed", "hold")

NEW_CPU, DUPLICATE_CPU = 120, 45
NEW_UNITS, DUPLICATE_READS, FURTHER_UNITS = 1.1, 0.6, 1.1
MEMORY_MB, MEMORY_MESSAGES = 256, 10_000


def event_list(
    rows: Iterable[FeedRow], size: int = REPORT_URLS, start: int = 0, source: str = SOURCE
) -> list[dict[str, Any]]:
    """Make events of ``BATCH_URLS`` URLs, in reports of ``size`` URLs, all by one source."""
    return events(bodies(rows, size), max(1, BATCH_URLS // size), start=start, source=source)


def per_url(ran: Ran) -> list[float]:
    """Return the CPU microseconds a URL, one value for each batch."""
    return [seconds / BATCH_URLS * 1e6 for seconds in ran.cpu]


# --- CPU and memory -----------------------------------------------------------------------------------------------


def cpu(local: Local, rows: Sequence[FeedRow], count: int = 20_000) -> list[Figure]:
    """Measure the CPU of the function's process. Everything else runs in other processes."""
    batches = event_list(fresh_rows(rows, local.managed, count))
    with Process(local.environment()) as process:
        warm = event_list(fresh_rows(rows, local.managed, 2 * BATCH_URLS, generation="warm"))
        process.run("intake_reports", [*warm, *warm])
        new = per_url(process.run("intake_reports", batches))
        duplicate = per_url(process.run("intake_reports", batches))
    how = (
        f"process CPU time of intake_reports, {count:,} URLs, {REPORT_URLS} a report, {BATCH_URLS:,} a batch; quartiles"
    )
    return [
        Figure(f"CPU µs a {name} URL", f"≤ {target}", spread(values), met=statistics.median(values) <= target, how=how)
        for name, values, target in (("new", new, NEW_CPU), ("duplicate", duplicate, DUPLICATE_CPU))
    ]


def memory(local: Local, rows: Sequence[FeedRow]) -> list[Figure]:
    """Measure the peak memory of a process that takes one batch, as large as SQS delivers."""
    fresh = fresh_rows(rows, local.managed, MEMORY_MESSAGES, generation="memory")
    with Process(local.environment()) as process:
        peak = process.run("intake_reports", events(bodies(fresh, 1), MEMORY_MESSAGES)).peak_kb / 1024
    return [
        Figure(
            f"memory of a batch of {MEMORY_MESSAGES:,} messages",
            f"≤ {MEMORY_MB} MB",
            f"{peak:.0f} MB",
            met=peak <= MEMORY_MB,
            how="peak resident size of the function's process, the event in it included",
        )
    ]


# --- capacity and calls -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Whole:
    """One run of the whole pipeline over reports: its verdicts, its costs, its duration."""

    verdicts: Counter[str] = field(default_factory=Counter)
    counts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0
    vendor_calls: int = 0
    sizes: list[int] = field(default_factory=list)
    """URLs of each create."""

    def add(self, ran: Ran) -> None:
        """Add runs of a function."""
        self.counts += ran.counts
        self.seconds += sum(ran.wall)
        self.cpu += sum(ran.cpu)

    @property
    def aws_calls(self) -> int:
        """All requests to AWS."""
        return int(sum(line["requests"] for line in self.counts))

    def units(self, kind: str, function: str = "") -> float:
        """Return the capacity units, ``read`` or ``written``."""
        return sum(float(line.get(kind, 0)) for line in self.counts if function in {"", line["function"]})

    @property
    def urls(self) -> int:
        """All reported URLs, whatever their verdict."""
        return sum(self.verdicts.values())


def whole(
    local: Local,
    batches: Sequence[Mapping[str, Any]],
    *,
    again_batches: Sequence[Mapping[str, Any]] | None = None,
    metered: bool = True,
    rates: bool = False,
) -> tuple[Whole, Whole]:
    """Run reports through intake, submission and tracking, then through intake again. Return both results.

    ``again_batches`` are the reports of the second run, if they differ. With ``rates`` the vendor takes at most ten
    creates a second.
    """
    run, again = Whole(), Whole()
    with HuaweiSimulator(rates=rates) as vendor, Process(local.environment(vendor)) as process:
        run.add(process.run("intake_reports", batches, metered=metered, seconds=600))
        for function, event in (("submit_tasks", WAKE_UP), ("track_tasks", SCHEDULE)):
            run.add(process.run(function, [event], metered=metered, seconds=600))
        run.vendor_calls = len(vendor.log.calls)
        run.sizes = list(vendor.log.creates)
        again.add(process.run("intake_reports", batches if again_batches is None else again_batches, metered=metered))
        lines = process.logged("reports_taken")
    for result, logged in ((run, lines[: len(batches)]), (again, lines[len(batches) :])):
        for line in logged:
            result.verdicts.update({kind: line[kind] for kind in VERDICTS if line.get(kind)})
    return run, again


def naive(local: Local, rows: Sequence[FeedRow]) -> Whole:
    """Run reports through the naive implementation, with the same vendor."""
    run = Whole()
    with HuaweiSimulator(rates=False) as vendor, Process(local.environment(vendor)) as process:
        ran = process.run("ban_urls", event_list(rows), module="bench.naive", seconds=900)
        run.add(ran)
        for result in ran.results:
            run.verdicts.update({"ban": result["banned"], "duplicate": result["seen"], "rejected": result["refused"]})
        run.counts = [{"function": "ban_urls", "operation": "dynamodb.PutItem", "requests": run.urls}]
        run.vendor_calls = len(vendor.log.calls)
        run.sizes = list(vendor.log.creates)
    return run


def capacity(local: Local, rows: Sequence[FeedRow], naive_rows: int = NAIVE_ROWS) -> list[Figure]:
    """Measure the feed's rows, as many new URLs, the same URLs again, and some rows by the naive implementation."""
    first, _ = whole(local, event_list(rows))
    quick, _ = whole(local, event_list(rows), metered=False)
    limited, _ = whole(local, event_list(rows), metered=False, rates=True)
    reported = fresh_rows(rows, local.managed, len(rows), generation="units")
    fresh, again = whole(local, event_list(reported))
    _, further = whole(local, event_list(reported), again_batches=event_list(reported, source=FURTHER))
    plain = naive(local, rows[:naive_rows])
    new_units = fresh.units("written") / fresh.verdicts["ban"]
    calls, naive_calls = (result.aws_calls + result.vendor_calls for result in (first, plain))
    fewer = (naive_calls / plain.urls) / (calls / first.urls)
    most = 10 * plain.urls / plain.verdicts["ban"]
    limited_pace = limited.urls / limited.seconds
    pace, naive_pace = quick.urls / quick.seconds, plain.urls / plain.seconds
    shown = ", ".join(f"{count:,} {kind}" for kind, count in first.verdicts.items() if count)
    return [
        Figure(
            "write units a new URL",
            f"≤ {NEW_UNITS}",
            f"{new_units:.3f}",
            "1",
            new_units <= NEW_UNITS,
            f"{len(rows):,} new URLs through intake, submission and tracking; the naive one keeps no state of a task",
        ),
        Figure(
            "write units a duplicate",
            "0, but for 1 a batch",
            f"{again.units('written') / len(rows):.3f}",
            "1",
            again.units("written") <= len(rows) / BATCH_URLS,
            f"the same {len(rows):,} URLs reported again, {BATCH_URLS:,} a batch: its counts by source are one row",
        ),
        Figure(
            "write units a URL of a further source",
            f"≤ {FURTHER_UNITS}",
            f"{further.units('written') / len(rows):.3f}",
            "1",
            further.units("written") / len(rows) <= FURTHER_UNITS,
            f"the same {len(rows):,} URLs, reported by a source that had not reported them: its word is kept",
        ),
        Figure(
            "read units a duplicate",
            f"≤ {DUPLICATE_READS}",
            f"{again.units('read') / len(rows):.3f}",
            "0",
            again.units("read") / len(rows) <= DUPLICATE_READS,
            "same",
        ),
        Figure(
            "calls of AWS and vendor for 1,000 reported URLs",
            "naive / 10",
            f"{calls / first.urls * 1000:.0f}",
            f"{naive_calls / plain.urls * 1000:.0f}",
            fewer >= 10,
            f"{first.urls:,} reported URLs ({shown}), naive the first {plain.urls:,} of them: {fewer:.0f} × fewer",
        ),
        Figure(
            "URLs a second, vendor takes 10 calls/s",
            "naive × 10",
            f"{limited_pace:,.0f}",
            f"{most:.0f} at most",
            limited_pace >= 10 * most,
            "same reports, not metered, elapsed time; naive bans 10 new URLs a second",
        ),
        Figure(
            "URLs a second, vendor without a limit",
            "naive × 10",
            f"{pace:,.0f}",
            f"{naive_pace:,.0f}",
            pace >= 10 * naive_pace,
            f"same, {pace / naive_pace:.1f} × more: here the local AWS is the limit",
        ),
        Figure(
            "CPU µs a reported URL, whole pipeline",
            "",
            f"{quick.cpu / quick.urls * 1e6:.0f}",
            f"{plain.cpu / plain.urls * 1e6:.0f}",
            how="same runs",
        ),
    ]


# --- growth -------------------------------------------------------------------------------------------------------


def growth(local: Local, rows: Sequence[FeedRow], steps: Sequence[int]) -> list[Figure]:
    """Measure ledgers of several sizes side by side, a batch in each in turn, so that a busy machine affects all alike.

    The function itself fills each ledger, from reports of one URL. The measured processes start at the same time.
    """
    with ExitStack() as stack:
        processes = [
            stack.enter_context(Process(environment)) for environment in [_grown(local, rows, step) for step in steps]
        ]
        ledgers = [Grown() for _ in steps]
        for turn in range(-1, TURNS):  # The first turn warms up.
            for index in sorted(range(len(steps)), key=lambda position: (position + turn) % len(steps)):
                batch = event_list(fresh_rows(rows, local.managed, BATCH_URLS, generation=f"turn-{turn}-"))
                new, again = (per_url(processes[index].run("intake_reports", batch)) for _ in range(2))
                if turn >= 0:
                    ledgers[index].new += new
                    ledgers[index].duplicate += again
        batches = event_list(fresh_rows(rows, local.managed, 5 * BATCH_URLS, generation="metered-"))
        for ledger, process in zip(ledgers, processes, strict=True):
            counts = process.run("intake_reports", batches, metered=True).counts
            ledger.units = sum(count.get("written", 0) for count in counts) / (5 * BATCH_URLS)
            ledger.requests = sum(count["requests"] for count in counts) / (5 * BATCH_URLS)
    sizes = ", ".join(f"{step:,}" for step in steps)
    figures = []
    turns = f", medians of {TURNS} batches taken in turn"
    for values, what, digits, note in (
        ([ledger.units for ledger in ledgers], "write units a new URL", 3, ""),
        ([ledger.requests for ledger in ledgers], "AWS calls a new URL", 3, ""),
        ([statistics.median(ledger.new) for ledger in ledgers], "CPU µs a new URL", 0, turns),
        ([statistics.median(ledger.duplicate) for ledger in ledgers], "CPU µs a duplicate", 0, turns),
    ):
        ratio = max(values) / min(values)
        figures.append(
            Figure(
                f"growth: {what}",
                "flat within 10 %",
                " → ".join(f"{value:.{digits}f}" for value in values),
                met=ratio <= 1.1,
                how=f"ledgers of {sizes} URLs, intake alone{note}; largest / smallest {ratio:.2f}",
            )
        )
    return figures


@dataclass(slots=True)
class Grown:
    """The costs of a URL in a ledger of one size: CPU microseconds of each batch, units and calls."""

    new: list[float] = field(default_factory=list)
    duplicate: list[float] = field(default_factory=list)
    units: float = 0.0
    requests: float = 0.0


def _grown(local: Local, rows: Sequence[FeedRow], size: int) -> dict[str, str]:
    """Make a ledger of ``size`` URLs, each in its own report; return the environment of its functions."""
    environment = local.environment()
    with Process(environment) as process:
        for held in range(0, size, FILL):
            some = fresh_rows(rows, local.managed, min(FILL, size - held), generation=f"{held}-")
            process.run("intake_reports", event_list(some, size=1))
    return environment
