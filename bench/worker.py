"""Run functions in a process, as Lambda would: it reads a job a line, and writes its results and costs a line.

``python -m bench.worker LOG``, started by ``bench.process``. What the functions print goes to LOG.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.meter import Meter


class Context:
    """The part of Lambda's context that the functions use."""

    aws_request_id = "bench"

    def __init__(self, function: str, seconds: float) -> None:
        self.function_name = f"edgeban-bench-{function}"
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function's timeout."""
        return int((self._end - time.monotonic()) * 1000)


def main() -> None:
    """Answer jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(Path(sys.argv[1]), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    meter = Meter()
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line), meter)) + "\n")
        answers.flush()


def run(job: Mapping[str, Any], meter: Meter) -> dict[str, Any]:
    """Run a function once for each event: see ``bench.process.Process.run``."""
    before = time.process_time()
    function: Callable[[Any, Any], Any] = getattr(importlib.import_module(job["module"]), job["function"])
    importing = time.process_time() - before
    if job["metered"]:
        from chalicelib.aws.client import client

        for service in ("dynamodb", "sqs"):
            meter.attach(client(service))
    meter.function = job["function"]
    profile = cProfile.Profile() if job["profile"] else None
    cpu, wall, results = [], [], []
    for event in job["events"]:
        context = Context(job["function"], job["seconds"])
        cpu_before, wall_before = time.process_time(), time.perf_counter()
        results.append(profile.runcall(function, event, context) if profile else function(event, context))
        cpu.append(time.process_time() - cpu_before)
        wall.append(time.perf_counter() - wall_before)
    if profile:
        profile.dump_stats(job["profile"])
    return {
        "importing": importing,
        "cpu": cpu,
        "wall": wall,
        "results": results,
        "counts": meter.take(),
        "peak_kb": peak_kb(),
    }


def peak_kb() -> int:
    """Return the most memory that this process has had, in KB.

    ``getrusage`` would count what the benchmark had when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
