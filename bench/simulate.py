"""Simulate a day of reports, event by event and seeded: what waits, for how long, and what it costs.

The simulation knows batches and tasks but not URLs, so that a day of 10⁸ URLs takes seconds. ``bench.virtual`` runs the
real code; a test compares the two.

    python -m bench.simulate --urls 1e8 --bursts 12 --factor 20 --accounts 1
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.cost import Bill, Load, bill
from bench.virtual import SUBMIT_SECONDS, Waits, arrivals, poisson
from chalicelib.domain.pacing import PREPARES
from chalicelib.pipeline.submission.brakes import GATHERS

DAY = 86_400
CALL = 1_000
"""URLs of a vendor call."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated. The vendor accounts share the URLs evenly, each with its own FIFO group."""

    urls_per_report: int = 1
    new_share: float = 1.0
    accounts: int = 1
    calls_a_second: float = 10.0
    first_pollers: int = 5
    more_pollers_a_second: float = 5.0
    most_pollers: int = 10
    """``MaximumConcurrency`` of the reports queue's event source in the template; AWS takes up to 1,250."""
    waits: Waits = field(default_factory=Waits)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """The URLs that one intake claimed for an account at a moment, and when their first and last reports arrived."""

    at: float
    urls: int
    first: float
    last: float


@dataclass(slots=True)
class Simulated:
    """The result. ``latencies`` are pairs of seconds and URLs."""

    urls: int = 0
    new: int = 0
    intakes: int = 0
    tasks: int = 0
    drains: int = 0
    most_pollers: int = 0
    most_queued: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    """New URLs that wait for a vendor at the end of each minute, over all accounts."""

    def quantile(self, share: float) -> float:
        """Return the seconds within which that share of the URLs reached the vendor."""
        missing, ordered = share * sum(weight for _, weight in self.latencies), sorted(self.latencies)
        for seconds, weight in ordered:
            missing -= weight
            if missing <= 0:
                return seconds
        return ordered[-1][0] if ordered else 0.0

    def bill(self, setting: Setting) -> Bill:
        """Return what AWS charges for the day."""
        return bill(
            Load(
                new=self.new,
                duplicates=self.urls - self.new,
                urls_per_report=setting.urls_per_report,
                webhooks=False,
                urls_per_batch=max(1, round(self.urls / max(1, self.intakes))),
                urls_per_task=max(1, round(self.new / max(1, self.tasks))),
                tasks_per_drain=max(1, round(self.tasks / max(1, self.drains))),
            )
        )


# --- reports ------------------------------------------------------------------------------------------------------


def day(urls: int, *, urls_per_report: int, bursts: int, factor: float, seed: int = 1) -> list[int]:
    """Draw the reports of each second: quiet nights, busy noons, and bursts of ten minutes at ``factor`` times that."""
    dice = random.Random(seed)
    weights = [1 + 0.5 * math.sin(2 * math.pi * (second / DAY - 0.25)) for second in range(DAY)]
    for _ in range(bursts):
        begin = dice.randrange(DAY - 600)
        for second in range(begin, begin + 600):
            weights[second] *= factor
    scale = urls / urls_per_report / sum(weights)
    return [poisson(dice, weight * scale) for weight in weights]


# --- AWS ----------------------------------------------------------------------------------------------------------


def batches(reports: Iterable[int], setting: Setting, result: Simulated) -> Iterator[tuple[float, int, float, float]]:
    """Yield batches of messages as the event source makes them: when, how many, first and last arrival."""
    waits = setting.waits
    end, count, first, last = 0.0, 0, 0.0, 0.0
    for at in arrivals(reports, setting.seed):
        index = 0
        while index < len(at):
            if count and at[index] > end:
                yield end + waits.receive, count, first, last
                count = 0
            if not count:
                first, end = at[index], at[index] + waits.batch_window
            taken = min(bisect_right(at, end, index) - index, waits.batch_messages - count)
            count, index = count + taken, index + taken
            last = at[index - 1]
            if count == waits.batch_messages:
                yield last + waits.receive, count, first, last
                count = 0
        result.urls += len(at) * setting.urls_per_report
    if count:
        yield end + waits.receive, count, first, last


def intakes(reports: Iterable[int], setting: Setting, result: Simulated) -> list[Batch]:
    """Let pollers take the batches: few at first, and more each minute while batches wait."""
    waits = setting.waits
    free: list[float] = []
    done: list[Batch] = []
    for at, messages, first, last in batches(reports, setting, result):
        urls = messages * setting.urls_per_report
        while free and free[0] <= at:
            heapq.heappop(free)
        begin = at
        allowed = int(min(setting.most_pollers, setting.first_pollers + at * setting.more_pollers_a_second))
        if len(free) >= allowed:
            begin = max(at, heapq.heappop(free))
            result.most_queued = max(result.most_queued, messages * (len(free) + 1 - allowed))
        end = begin + waits.intake_call + urls * waits.intake_url
        heapq.heappush(free, end)
        result.most_pollers = max(result.most_pollers, len(free))
        result.intakes += 1
        new = round(urls * setting.new_share)
        result.new += new
        if new:
            done.append(Batch(end, new, first, last))
    return sorted(done, key=lambda batch: batch.at)


# --- the submitter ------------------------------------------------------------------------------------------------


def submit(done: Sequence[Batch], setting: Setting, result: Simulated) -> list[tuple[float, int]]:
    """Drain one account; return the moments at which URLs went to the vendor, and how many."""
    pace = 1 / setting.calls_a_second
    waiting: deque[Batch] = deque()
    sent: list[tuple[float, int]] = []
    arriving = 0
    free = 0.0
    last_call, tasks = -math.inf, 0
    while arriving < len(done) or waiting:
        at = free if waiting else max(free, done[arriving].at)
        begin = at + setting.waits.wake_hop + setting.waits.drain_begin
        waits = GATHERS.total_seconds() if tasks < setting.calls_a_second else 1 + pace  # its last second may be full
        now = max(begin, last_call + waits)
        look = max(begin, now - PREPARES)
        count = sum(batch.urls for batch in waiting)
        tasks = 0
        while now < begin + SUBMIT_SECONDS:
            while arriving < len(done) and done[arriving].at <= (now if tasks else look):
                waiting.append(done[arriving])
                count += done[arriving].urls
                arriving += 1
            if not count or (tasks and count < CALL):
                break
            for _ in range(max(1, math.ceil(count / CALL))):  # A plan is sent whole, even if its last task is not full.
                if tasks:
                    now = max(now, last_call + pace)
                if now >= begin + SUBMIT_SECONDS:
                    break
                last_call = now
                size = _send(waiting, now, result)
                sent.append((now, size))
                count -= size
                tasks += 1
        result.tasks += tasks
        result.drains += tasks > 0
        free = now + setting.waits.call
    return sent


def _send(waiting: deque[Batch], now: float, result: Simulated) -> int:
    size = 0
    while waiting and size < CALL:
        batch = waiting.popleft()
        taken = min(batch.urls, CALL - size)
        size += taken
        middle = batch.first + (batch.last - batch.first) * taken / batch.urls
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            result.latencies.append((now - (batch.first + (middle - batch.first) * share), taken / 5))
        if taken < batch.urls:
            waiting.appendleft(Batch(batch.at, batch.urls - taken, middle, batch.last))
    return size


def simulate(reports: Sequence[int], setting: Setting) -> Simulated:
    """Simulate reports of each second."""
    result = Simulated()
    done = intakes(reports, setting, result)
    sent: list[tuple[float, int]] = []
    for account in range(setting.accounts):
        sent += submit([_share(batch, setting.accounts, account) for batch in done], setting, result)
    sent.sort()
    marks = sorted([*((batch.at, batch.urls) for batch in done), *((at, -size) for at, size in sent)])
    level, minute = 0, 60.0
    for at, change in marks:
        while at >= minute:
            result.waiting.append(level)
            minute += 60
        level += change
    result.waiting.append(level)
    return result


def _share(batch: Batch, accounts: int, account: int) -> Batch:
    urls = batch.urls // accounts + (account < batch.urls % accounts)
    return Batch(batch.at, urls, batch.first, batch.last)


# --- a day --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Simulate the day that the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description="Simulate a day of reports.")
    parser.add_argument("--urls", type=float, default=1e8, help="reported URLs of the day")
    parser.add_argument("--urls-per-report", type=int, default=10)
    parser.add_argument("--new-share", type=float, default=0.4, help="share of URLs that no earlier report named")
    parser.add_argument("--bursts", type=int, default=12, help="bursts of ten minutes")
    parser.add_argument("--factor", type=float, default=20.0, help="how much more a burst brings")
    parser.add_argument("--accounts", type=int, default=1, help="vendor accounts that share the URLs")
    parser.add_argument("--intakes", type=int, default=10, help="intakes at once: MaximumConcurrency")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    reports = day(
        int(options.urls),
        urls_per_report=options.urls_per_report,
        bursts=options.bursts,
        factor=options.factor,
        seed=options.seed,
    )
    setting = Setting(
        urls_per_report=options.urls_per_report,
        new_share=options.new_share,
        accounts=options.accounts,
        most_pollers=options.intakes,
        seed=options.seed,
    )
    print(report(simulate(reports, setting), setting, max(reports)))


def report(result: Simulated, setting: Setting, most_reports: int) -> str:
    """Return the result of a simulated day, in lines."""
    cost = result.bill(setting)
    worst = max(range(len(result.waiting)), key=result.waiting.__getitem__, default=0)
    lines = [
        ("reported URLs", f"{result.urls:,}, of them {result.new:,} new"),
        ("busiest second", f"{most_reports:,} reports, {most_reports * setting.urls_per_report:,} URLs"),
        ("intakes", f"{result.intakes:,}, {result.most_pollers:,} at once at most"),
        (
            "vendor tasks",
            f"{result.tasks:,}, {result.new / max(1, result.tasks):,.0f} URLs each, {result.drains:,} drains",
        ),
        (
            "report to vendor task",
            f"p50 {result.quantile(0.5):,.1f} s, p99 {result.quantile(0.99):,.1f} s, p100 {result.quantile(1):,.1f} s",
        ),
        (
            "waiting for the vendor",
            f"{max(result.waiting, default=0):,} URLs at most, at {worst // 60:02}:{worst % 60:02}",
        ),
        ("AWS, by queue", f"${cost.dollars():,.2f}: " + ", ".join(f"{k} {v:,.2f}" for k, v in cost.lines().items())),
    ]
    return "\n".join(f"{name:24}{value}" for name, value in lines)


if __name__ == "__main__":
    main()
