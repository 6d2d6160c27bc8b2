"""What URLs cost on AWS: a formula, list prices with their date, and a metered run that checks the formula.

docs/cost.md explains the formula. Its constants are the rows that the code writes; tests count them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bench.figures import Figure
from bench.handlers import event_list
from bench.local import Local
from bench.meter import SQS_CHUNK
from bench.process import Process, Ran
from bench.reports import SCHEDULE, WAKE_UP, batched, bodies, fresh_rows, webhook
from dev.feed import FeedRow
from dev.simulators.huawei import HuaweiSimulator

MILLION = 1_000_000

PRICES: Mapping[str, float] = {
    "writes": 0.625 / MILLION,
    "reads": 0.125 / MILLION,
    "sqs": 0.40 / MILLION,
    "fifo": 0.50 / MILLION,
    "webhooks": 3.50 / MILLION,  # API Gateway, REST
    "invocations": 0.20 / MILLION,
    "gb_seconds": 0.0000166667,  # x86
}
"""Dollars for one: us-east-1, on demand, beyond the free tiers, noted in 2026. Lambda's prices are unchecked.

https://aws.amazon.com/dynamodb/pricing/on-demand/, and the pages for SQS, API Gateway and Lambda."""

# --- what the code writes and reads, in capacity units ------------------------------------------------------------

CLAIM = 1.0
LOOK = 0.5
CHUNK = 3.0
"""A chunk's journal entry, its row among the waiting chunks, and its sealing. The bytes of its URLs are added."""
USAGE = 1.0
"""The caps' counts, once for a batch with something new. Up to 7 with hundreds of hosts in an hour."""
TAKEN = 2.0
"""Taking a chunk into a task: the row that links them, and the end of its waiting."""
TASK = 10.0
"""Two transactions, which count double: the begin (row and index), and the vendor's id (row and index)."""
END = 6.0
"""One transaction: the task's end, the removal of its index, its journal entry."""
DRAIN = 2.0
DRAIN_READS = 8.0
CHUNK_BYTES, URL_BYTES, ORIGIN_BYTES = 250.0, 29.0, 21.0
"""Compressed bytes of a chunk, of each URL with its key (real-shaped, 60 characters), and of each report in it."""
REPORT_BYTES, REPORTED_BYTES = 330.0, 9.0
"""Bytes of a webhook report's row, and of each URL in it."""
REPORT_DAY = 1.0625
"""The row by which a webhook report is found by source and day; and the count of its rate, for one of 16."""
REPORT_READS = 1.0
"""The key that seals, and the count of its source's rate."""

# --- durations, in seconds: assumed, see docs/cost.md -------------------------------------------------------------

RECEIVE_SECONDS, RECEIVE_GB = 0.03, 1.0
INTAKE_SECONDS, INTAKE_URL_SECONDS, INTAKE_GB = 0.15, 0.0003, 1769 / 1024
DRAIN_SECONDS, CALL_SECONDS, DRAIN_GB = 0.5, 0.1, 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is reported, and how it arrives. A batch is the input of one invocation of ``intake_reports``."""

    new: int
    duplicates: int = 0
    urls_per_report: int = 100
    urls_per_batch: int = 1_000
    webhooks: bool = False
    bytes_per_url: int = 100
    """Bytes of a message's body for each URL."""
    urls_per_task: int = 1_000
    tasks_per_drain: int = 10

    @property
    def urls(self) -> int:
        """All reported URLs."""
        return self.new + self.duplicates


@dataclass(frozen=True, slots=True)
class Bill:
    """The amounts that AWS charges for."""

    writes: float = 0.0
    reads: float = 0.0
    sqs: float = 0.0
    fifo: float = 0.0
    webhooks: float = 0.0
    invocations: float = 0.0
    gb_seconds: float = 0.0

    def lines(self, prices: Mapping[str, float] = PRICES) -> dict[str, float]:
        """Return the dollars for each amount."""
        return {amount.name: getattr(self, amount.name) * prices[amount.name] for amount in fields(self)}

    def dollars(self, prices: Mapping[str, float] = PRICES) -> float:
        """Return the sum in dollars."""
        return sum(self.lines(prices).values())


def bill(load: Load) -> Bill:
    """Apply the formula of docs/cost.md."""
    reports = math.ceil(load.urls / load.urls_per_report)
    webhooks = reports if load.webhooks else 0
    batches = math.ceil(load.urls / load.urls_per_batch)
    share = load.new / load.urls if load.urls else 0.0
    chunks = math.ceil(batches * max(1.0, share * load.urls_per_batch / 1_000)) if load.new else 0
    tasks = math.ceil(load.new / load.urls_per_task)
    drains = math.ceil(tasks / load.tasks_per_drain)
    per_chunk = load.new / chunks if chunks else 0.0
    chunk_bytes = CHUNK_BYTES + per_chunk * (URL_BYTES + ORIGIN_BYTES / load.urls_per_report)
    writes = (
        load.new * CLAIM
        + chunks * (CHUNK + _kilobytes(chunk_bytes) + TAKEN)
        + (batches if load.new else 0) * USAGE
        + tasks * (TASK + END)
        + drains * DRAIN
        + webhooks * (_kilobytes(REPORT_BYTES + load.urls_per_report * REPORTED_BYTES) + REPORT_DAY)
    )
    reads = load.urls * LOOK + chunks * math.ceil(chunk_bytes / 4096) + drains * DRAIN_READS + webhooks * REPORT_READS
    size = load.urls_per_report * load.bytes_per_url
    return Bill(
        writes=writes,
        reads=reads,
        sqs=reports * (_sent(size) if load.webhooks else 0) + _delivered(reports, size),
        fifo=(batches if load.new else 0) + 2 * drains,
        webhooks=webhooks,
        invocations=batches + drains + webhooks,
        gb_seconds=seconds(webhooks, batches, load.urls, drains, tasks),
    )


def seconds(webhooks: float, batches: float, urls: float, drains: float, tasks: float) -> float:
    """Return the gigabyte-seconds of the functions."""
    return (
        webhooks * RECEIVE_SECONDS * RECEIVE_GB
        + (batches * INTAKE_SECONDS + urls * INTAKE_URL_SECONDS) * INTAKE_GB
        + (drains * DRAIN_SECONDS + tasks * CALL_SECONDS) * DRAIN_GB
    )


def _kilobytes(size: float) -> int:
    return max(1, math.ceil(size / 1024))


def _sent(size: float) -> int:
    return max(1, math.ceil(size / SQS_CHUNK))


def _delivered(messages: int, size: float) -> float:
    """Count the requests that receive and delete, ten messages at a time. Receiving also counts by bytes."""
    tens = math.ceil(messages / 10)
    return max(tens, math.ceil(messages * size / SQS_CHUNK)) + tens


# --- the meter ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Metered:
    """What was counted in a run."""

    bill: Bill
    counts: list[dict[str, Any]] = field(default_factory=list)


def metered(
    local: Local, rows: Sequence[FeedRow], *, urls: int, size: int, webhooks: bool, duplicates: bool = False
) -> Metered:
    """Run reports of ``size`` URLs through all functions and count what they cost. Durations are the formula's."""
    fresh = fresh_rows(rows, local.managed, urls, generation=f"cost-{size}-")
    texts = bodies(fresh, size)
    counts: list[dict[str, Any]] = []
    with HuaweiSimulator(rates=False) as vendor, Process(local.environment(vendor)) as process:
        if duplicates:  # The source that reports again is the one on record: another source's word would be written.
            if webhooks:
                received_by_webhook(process, texts, prefix="first-")
            process.run("intake_reports", process.queued() if webhooks else event_list(fresh, 100))
            process.run("submit_tasks", [WAKE_UP], seconds=600)
            vendor.reset()
        if webhooks:
            counts += received_by_webhook(process, texts, metered=True).counts
            messages = process.queued()
        else:
            messages = event_list(fresh, size)
        records = [record for event in messages for record in event["Records"]]
        batches = [{"Records": list(part)} for part in batched(records, max(1, 1_000 // size))]
        counts += process.run("intake_reports", batches, metered=True).counts
        tasks = 0
        if not duplicates:
            counts += process.run("submit_tasks", [WAKE_UP], metered=True, seconds=600).counts
            tasks = len(vendor.log.creates)
            counts += process.run("track_tasks", [SCHEDULE], metered=True).counts
    size_of_all = sum(math.ceil(sum(len(r["body"]) for r in ten) / SQS_CHUNK) for ten in batched(records, 10))
    drains = 0 if duplicates else 1
    taken = len(texts) if webhooks else 0
    return Metered(
        Bill(
            writes=_sum(counts, "written"),
            reads=_sum(counts, "read"),
            sqs=_sum(counts, "sqs_chunks", "sqs.SendMessageBatch") + size_of_all + math.ceil(len(records) / 10),
            fifo=_sum(counts, "sqs_chunks", "sqs.SendMessage") + 2 * drains,
            webhooks=taken,
            invocations=taken + len(batches) + drains,
            gb_seconds=seconds(taken, len(batches), urls, drains, tasks),
        ),
        counts,
    )


def received_by_webhook(process: Process, texts: Sequence[str], *, prefix: str = "", metered: bool = False) -> Ran:
    """Post reports to the webhook. With another ``prefix`` of the delivery ids, the same texts are new reports.

    Raises ``RuntimeError`` if one is not accepted.
    """
    requests = [webhook(text, f"{prefix}{number}") for number, text in enumerate(texts)]
    received = process.run("receive_report", requests, metered=metered)
    refused = [answer for answer in received.results if answer["statusCode"] != 202]
    if refused:
        raise RuntimeError(f"a report was not accepted: {refused[0]}")
    return received


def _sum(counts: Iterable[Mapping[str, Any]], kind: str, operation: str = "") -> float:
    return sum(float(line.get(kind, 0)) for line in counts if operation in {"", line["operation"]})


URLS = 1_000
SIZES = (1, 10, 100, 1_000)


def measure(local: Local, rows: Sequence[FeedRow]) -> list[Figure]:
    """Measure the dollars for a million URLs, and how far the formula is from them."""
    figures = []
    for duplicates, webhooks in ((False, False), (False, True), (True, False), (True, True)):
        shown, worst = [], 0.0
        for size in SIZES:
            run = metered(local, rows, urls=URLS, size=size, webhooks=webhooks, duplicates=duplicates)
            load = Load(
                new=0 if duplicates else URLS,
                duplicates=URLS if duplicates else 0,
                urls_per_report=size,
                webhooks=webhooks,
                tasks_per_drain=URLS // 1_000,
            )
            worst = max(worst, abs(bill(load).dollars() / run.bill.dollars() - 1))
            shown.append(f"{run.bill.dollars() / URLS * MILLION:.2f}")
        what = "duplicates" if duplicates else "new URLs"
        by = "webhook" if webhooks else "queue"
        figures.append(
            Figure(
                f"$ a million {what}, by {by}",
                "formula within 5 %",
                " · ".join(shown),
                met=worst <= 0.05,
                how=f"reports of {', '.join(f'{size:,}' for size in SIZES)} URLs; formula off by {worst:.1%}",
            )
        )
    return figures
