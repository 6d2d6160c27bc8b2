"""What a cold start pays: the import of ``app``, and each function until its first answer."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import Figure
from bench.local import Local
from bench.process import Process, Ran
from bench.reports import SCHEDULE, WAKE_UP, bodies, fresh_rows, webhook
from dev.feed import FeedRow
from dev.package import ROOT
from dev.simulators.huawei import HuaweiSimulator

PROCESSES = 10
STARTS = 5
LIMIT = 1.15


def measure(local: Local, rows: Sequence[FeedRow]) -> list[Figure]:
    """Measure with bytecode that is up to date, as the package has it: a developer's caches may be old or missing."""
    with tempfile.TemporaryDirectory(prefix="edgeban-bench-") as directory:
        cached = {"PYTHONPYCACHEPREFIX": directory}
        return [_ratio(cached), *_cold_starts(local, rows, cached)]


def seconds(statement: str, cached: Mapping[str, str]) -> float:
    """Return the CPU seconds that a statement takes in a fresh process."""
    code = f"import time; before = time.process_time()\n{statement}\nprint(time.process_time() - before)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=_writing({**os.environ, **cached}),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


def _writing(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Python keeps what it compiles."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _ratio(cached: Mapping[str, str]) -> Figure:
    """Import both in turn, so that a busy machine affects both alike. The first import of each compiles."""
    app, base = [], []
    for _ in range(PROCESSES + 1):
        app.append(seconds("import app", cached))
        base.append(seconds("import chalice, boto3, requests", cached))
    app_seconds, base_seconds = statistics.median(app[1:]), statistics.median(base[1:])
    ratio = app_seconds / base_seconds
    return Figure(
        "import of app / import of chalice + boto3 + requests",
        f"≤ {LIMIT}",
        f"{ratio:.2f}",
        met=ratio <= LIMIT,
        how=f"CPU time, medians of {PROCESSES} fresh processes each, with bytecode: {app_seconds * 1000:.0f} ms and "
        f"{base_seconds * 1000:.0f} ms",
    )


def _cold_starts(local: Local, rows: Sequence[FeedRow], cached: Mapping[str, str]) -> list[Figure]:
    """Take reports of one URL all the way, each function in a process of its own. The first report's compile."""
    ran: dict[str, list[Ran]] = {}
    with HuaweiSimulator(rates=False) as vendor:
        environment = _writing({**local.environment(vendor), **cached})

        def first(function: str, event: object) -> list[dict[str, Any]]:
            with Process({**environment, "AWS_LAMBDA_FUNCTION_NAME": function}) as process:
                ran.setdefault(function, []).append(process.run(function, [event]))
                return process.queued() if function == "receive_report" else []

        fresh = fresh_rows(rows, local.managed, STARTS + 1, generation="cold")
        for number, body in enumerate(bodies(fresh, 1)):
            (messages,) = first("receive_report", webhook(body, f"cold-{number}"))
            first("intake_reports", messages)
            first("submit_tasks", WAKE_UP)
            first("track_tasks", SCHEDULE)
    return [_cold_start(function, starts[1:]) for function, starts in ran.items()]


def _cold_start(function: str, starts: Sequence[Ran]) -> Figure:
    importing = statistics.median(run.importing for run in starts) * 1000
    answering = statistics.median(run.cpu[0] for run in starts) * 1000
    return Figure(
        f"CPU of {function} until its first answer",
        "",
        f"{importing + answering:.0f} ms",
        how=f"medians of {len(starts)} fresh processes, with bytecode: import of app with the clients of AWS "
        f"{importing:.0f} ms, first event {answering:.0f} ms",
    )
