"""Run all benchmarks, print one table, and write it to docs/figures.md: ``make bench`` (FEED=path, LONG=1)."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import ban_index, cost, handlers, imports, latency, seconds, submission
from bench.figures import Figure, aligned, markdown
from bench.local import local
from bench.reports import ROWS, rows_of
from dev.package import ROOT

DOCUMENT = ROOT / "docs" / "figures.md"
BEGIN, END = "<!-- measured: make bench writes from here", "<!-- to here -->"
PACKAGES = ("ada-url", "boto3", "botocore", "chalice", "requests")


def main() -> None:
    """Measure everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before all was measured"))
    feed, long = os.environ.get("FEED", ""), os.environ.get("LONG", "") not in {"", "0"}
    rows, managed = rows_of(feed, ROWS)
    begun, load = time.monotonic(), os.getloadavg()[0]
    figures: list[Figure] = []
    with local(managed) as aws:
        sections: list[tuple[str, Callable[[], list[Figure]]]] = [
            ("cold starts", lambda: imports.measure(aws, rows)),
            ("CPU of the intake", lambda: handlers.cpu(aws, rows)),
            ("memory of the intake", lambda: handlers.memory(aws, rows)),
            ("whole pipeline, and the naive one", lambda: handlers.capacity(aws, rows, ROWS if long else 2_000)),
            ("backlog", lambda: submission.measure(aws, 300_000 if long else 100_000)),
            ("latency", latency.measure),
            ("where each second goes", seconds.measure),
            ("lists of bans", lambda: ban_index.measure(aws, rows)),
            ("money", lambda: cost.measure(aws, rows)),
            ("growth", lambda: handlers.growth(aws, rows, GROWTH_LONG if long else GROWTH)),
        ]
        left = [name for name, _ in sections]
        try:
            for name, measure in sections:
                before = time.monotonic()
                print(f"{name} ...", end=" ", flush=True)
                figures += measure()
                left.remove(name)
                print(f"{time.monotonic() - before:.0f} s", flush=True)
        finally:  # Write what was measured, also where the run is cut short.
            took = time.monotonic() - begun
            print(f"\n{aligned(figures)}\n")
            write(DOCUMENT, f"{header(feed, long=long, seconds=took, load=load)}{_cut(left)}\n\n{markdown(figures)}\n")
            print(f"{took:.0f} s; written to {DOCUMENT.relative_to(ROOT)}")
    missed = [figure.what for figure in figures if figure.met is False]
    print("all targets met" if not missed else "targets missed: " + "; ".join(missed))


def _cut(left: list[str]) -> str:
    return f"\n- The run was cut short. Not measured: {', '.join(left)}" if left else ""


GROWTH = (1_000, 10_000, 100_000)
GROWTH_LONG = (*GROWTH, 1_000_000)


def header(feed: str, *, long: bool, seconds: float, load: float) -> str:
    """Return where, when and how the table was measured."""
    arguments = (f" FEED={Path(feed).name}" if feed else "") + (" LONG=1" if long else "")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return "\n".join(
        [
            f"- **{datetime.now(UTC):%Y-%m-%d %H:%M} UTC**, `make bench{arguments}`, {seconds:.0f} s",
            f"- {_processor()}, {os.cpu_count()} cores, load {load:.1f} before, {os.getloadavg()[0]:.1f} after",
            f"- Python {platform.python_version()}, {versions}; {platform.system()} {platform.machine()}",
        ]
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def write(document: Path, measured: str) -> None:
    """Replace the text between the marks. The text around them, written by hand, stays."""
    text = document.read_text() if document.exists() else f"# Figures\n\n{BEGIN} -->\n{END}\n"
    before, mark, rest = text.partition(BEGIN)
    if not mark:
        sys.exit(f"{document} has lost its mark {BEGIN!r}")
    document.write_text(f"{before}{BEGIN} -->\n\n{measured}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
