"""How long ``app`` takes to import, compared with the packages that it cannot do without."""

from __future__ import annotations

import statistics
import subprocess
import sys

from bench.figures import Figure
from dev.package import ROOT

PROCESSES = 10
LIMIT = 1.15


def seconds(statement: str) -> float:
    """Return the CPU seconds that a statement takes in a fresh process."""
    code = f"import time; before = time.process_time()\n{statement}\nprint(time.process_time() - before)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(run.stdout)


def measure() -> list[Figure]:
    """Import both in turn, so that a busy machine affects both alike."""
    app, base = [], []
    for _ in range(PROCESSES):
        app.append(seconds("import app"))
        base.append(seconds("import chalice, boto3, requests"))
    ratio = statistics.median(app) / statistics.median(base)
    return [
        Figure(
            "import of app / import of chalice + boto3 + requests",
            f"≤ {LIMIT}",
            f"{ratio:.2f}",
            met=ratio <= LIMIT,
            how=f"CPU time, medians of {PROCESSES} fresh processes each: {statistics.median(app) * 1000:.0f} ms and "
            f"{statistics.median(base) * 1000:.0f} ms",
        )
    ]
