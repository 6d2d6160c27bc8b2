"""Drain a backlog at a vendor that enforces its rate: how fast the drain is, and whether it is ever too fast."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.figures import Figure
from bench.local import ACCOUNT, Local, vendor_process
from bench.process import Process
from bench.reports import WAKE_UP
from chalicelib.aws.dynamodb import Table
from chalicelib.domain.model import CHUNK_URLS, Action, ChunkState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import remaining
from chalicelib.ledger.chunks import Chunk, Origin

CALLS_A_SECOND = 9.5
FILL = 0.95


def backlog(table: Table, urls: int) -> None:
    """Write waiting chunks as an intake leaves them, without claims: a submitter does not read claims."""
    now = datetime.now(UTC)
    for number in range(urls // CHUNK_URLS):
        urls_of_chunk = tuple(f"https://www.example.com/backlog/{number}/{index}" for index in range(CHUNK_URLS))
        keys = tuple(url_key(ACCOUNT, url) for url in urls_of_chunk)
        chunk = Chunk(
            account=ACCOUNT,
            action=Action.BAN,
            ban_days=7,
            rule="",
            urls=urls_of_chunk,
            keys=keys,
            origins=(Origin("r-bench", "bench", "", ""),) * CHUNK_URLS,
            created_at=now,
            received_at=now,
            until=now + timedelta(days=7),
        )
        remaining.open_chunk(table, chunk, then=ChunkState.WAITING)
        remaining.seal(table, chunk, set(keys), then=ChunkState.WAITING)


ANSWER_SECONDS = (0.3, 1.5, 3.0)


def measure(local: Local, urls: int) -> list[Figure]:
    """Drain a backlog at vendors that take ever longer to answer."""
    figures: list[Figure] = []
    for answer_seconds in ANSWER_SECONDS:
        calls = _drain(local, urls, answer_seconds)
        done = [call for call in calls if call["status"] == 200]
        refused = sum(call["status"] == 429 for call in calls)
        rate = (len(done) - 1) / (done[-1]["time"] - done[0]["time"])
        fill = statistics.mean(call["urls"] for call in done)
        how = (
            f"backlog of {urls:,} URLs, simulator that enforces 10 creates a second, its log; it answered a call before"
        )
        when = f"with a backlog, the vendor answering in {answer_seconds:g} s"
        if not figures:
            target = f"≥ {FILL * CHUNK_URLS:.0f}"
            figures.append(
                Figure(
                    "URLs a vendor call, with a backlog", target, f"{fill:,.0f}", "1", fill >= FILL * CHUNK_URLS, how
                )
            )
        met = rate >= CALLS_A_SECOND
        figures += [
            Figure(f"creates a second, {when}", f"≥ {CALLS_A_SECOND}", f"{rate:.2f}", "10 at most", met, how),
            Figure(f"creates refused for their rate, {when}", "0", str(refused), met=refused == 0, how=how),
        ]
    return figures


def _drain(local: Local, urls: int, answer_seconds: float) -> list[dict[str, Any]]:
    """Drain a backlog with the app's function, in as many runs as its time limit needs; return the vendor's calls.

    A first drain makes one call: until a vendor has answered well, calls go one at a time.
    """
    with vendor_process(answer_seconds=answer_seconds) as vendor:
        environment = local.environment(vendor)
        table = Table(local.aws.dynamodb, environment["EDGEBAN_TABLE"])
        with Process(environment) as process:
            backlog(table, CHUNK_URLS)
            process.run("submit_tasks", [WAKE_UP], seconds=180)
            first = len(vendor.creates())
            backlog(table, urls)
            sent = 0
            while sent < urls:
                process.run("submit_tasks", [WAKE_UP], seconds=180)
                calls = vendor.creates()[first:]
                before, sent = sent, sum(call["urls"] for call in calls if call["status"] == 200)
                if sent == before:
                    raise RuntimeError(f"the drain stopped at {sent:,} of {urls:,} URLs: {process.logged('drained')}")
    return calls
