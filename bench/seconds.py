"""Where each second goes from a webhook to the source's callback, on the local stack: one at a time, and ten a second.

The times are those that the ledger keeps of each step, beside the sender's own. The local AWS has no batching window:
what AWS adds to it stands in ``bench.virtual``. ``python -m bench.seconds`` prints the table alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from bench.figures import Figure, aligned, quantile
from chalicelib.aws.dynamodb import Table
from chalicelib.domain.urls import canonical_url, url_key
from chalicelib.ledger import callbacks, carriers, chunks, claims, reports, tasks
from dev.local_aws import LocalAws
from dev.simulators.huawei import HuaweiSimulator
from dev.stack import ACCOUNT, MANAGED, TOKEN, WEBHOOK_SECRET, Stack

ALONE = 15
"""Reports that are sent one at a time, each when the source was called about the one before."""

A_SECOND, SECONDS = 10, 10
"""Reports a second, and the seconds that they are sent for."""

TASK_SECONDS = 2.0
"""Seconds that the simulated vendor works on a task."""

PATIENCE = 180.0
SENDERS = 4
"""Threads that send at the same time. With a process for each request, the time to start it would be measured."""

STEPS = (
    "webhook to its 202",
    "to the chunk of its URL: queue and intake",
    "to the vendor's create: wake-up, and what the slot lets gather",
    "vendor's end to banned on record",
    "to the call of the source",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One report: its URL and id, when it was sent and answered, in epoch seconds."""

    url: str
    report: str
    sent_at: float
    answered_at: float


def measure() -> list[Figure]:
    """Send reports one at a time, then ten a second; return a figure for each step of both."""
    with _stack() as stack:
        _wait_for(stack, _send(stack, "warm"))
        alone = []
        for number in range(ALONE):
            sent = _send(stack, f"alone/{number}")
            alone.append(_wait_for(stack, sent))
        with ThreadPoolExecutor(SENDERS) as pool:
            for warm in [pool.submit(_send, stack, f"warm/{number}") for number in range(SENDERS * 2)]:
                _wait_for(stack, warm.result())
            begun = time.monotonic()
            started = []
            for number in range(A_SECOND * SECONDS):
                time.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))
                started.append(pool.submit(_send, stack, f"many/{number}"))
            many = [_wait_for(stack, each.result()) for each in started]
    return [*_figures("idle, one at a time", alone), *_figures(f"{A_SECOND} a second", many)]


def _figures(load: str, times: Sequence[Sequence[float]]) -> Iterator[Figure]:
    def figure(what: str, seconds: Sequence[float]) -> Figure:
        p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
        how = f"{len(seconds)} reports of one URL by webhook, local stack without a batching window"
        return Figure(f"{what}, {load}", "", f"p50 {p50:.2f} s, p99 {p99:.2f} s", how=how)

    for step, what in enumerate(STEPS):
        yield figure(what, [each[step] for each in times])
    yield figure("report to the vendor's create", [sum(each[:3]) for each in times])


@contextmanager
def _stack() -> Iterator[Stack]:
    with HuaweiSimulator(task_seconds=TASK_SECONDS) as vendor, LocalAws() as aws:
        aws.configure(
            sources={
                "demo": {
                    "auth": "standard-webhooks",
                    "secrets": [WEBHOOK_SECRET],
                    "format": "native",
                    "callback_url": "https://hooks.example.invalid/outcomes",  # the attempt is what is measured
                    "callback_secret": WEBHOOK_SECRET,
                }
            },
            operators={"bench": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "reader"}},
            vendors={ACCOUNT: {"vendor": "huawei", "endpoint": vendor.url, **vendor.credentials}},
            policy={"version": 1, "accounts": {ACCOUNT: {"managed_domains": MANAGED}}},
        )
        yield Stack(aws, vendor, Table(aws.dynamodb, aws.stack.table))


def _send(stack: Stack, path: str) -> Sent:
    """Send a report, again where the local AWS is too busy for it, as senders do."""
    url, sent_at = f"https://www.example.com/seconds/{path}", time.time()
    while (answer := stack.report([url], webhook_id=path)).status_code >= 500:
        time.sleep(1)
    answer.raise_for_status()
    return Sent(url, str(answer.json()["report_id"]), sent_at, time.time())


def _wait_for(stack: Stack, sent: Sent) -> list[float]:
    """Wait until the source was called; return the seconds of each step."""
    deadline = time.monotonic() + PATIENCE
    while not (called_at := _called_at(stack, sent.report)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody was called about {sent.url} in {PATIENCE:.0f} s")
        time.sleep(0.2)
    key = url_key(ACCOUNT, canonical_url(sent.url))
    (claim,) = claims.read(stack.table, [key], consistent=True).values()
    chunk = chunks.read(stack.table, [claim.chunk])[claim.chunk]
    ((task_id, _, _),) = carriers.links(stack.table, chunk.id)
    task = tasks.read(stack.table, [task_id])[task_id]
    assert task.attempted_at
    assert task.submitted_at
    assert task.finished_at
    at = [sent.sent_at, sent.answered_at, chunk.created_at.timestamp(), task.attempted_at.timestamp()]
    ended_at = task.submitted_at.timestamp() + TASK_SECONDS
    steps = [after - before for before, after in pairwise(at)]
    return [*steps, task.finished_at.timestamp() - ended_at, called_at.timestamp() - task.finished_at.timestamp()]


def _called_at(stack: Stack, report: str) -> datetime | None:
    received_at = reports.received_at(stack.table, report) or datetime.now(UTC)
    return next((each.first_attempt_at for each in callbacks.of_reports(stack.table, {report: received_at})), None)


if __name__ == "__main__":
    print(aligned(measure()))
