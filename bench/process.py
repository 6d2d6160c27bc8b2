"""Run a function in its own process, so that its CPU time can be told from the benchmark's."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dev.package import ROOT


@dataclass(frozen=True, slots=True)
class Ran:
    """The results of runs of a function: CPU and elapsed seconds of each, and what it returned."""

    importing: float
    """CPU seconds that the import of the function's module took: next to none in a process that has it already."""
    cpu: list[float]
    wall: list[float]
    results: list[Any]
    counts: list[dict[str, Any]]
    """Lines of ``Meter.take``."""
    peak_kb: int


class Process:
    """One process with the app's functions in it, as a context manager."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="edgeban-bench-")
        self._log = Path(self._directory.name) / "log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", str(self._log)],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)
        self._directory.cleanup()

    def run(
        self,
        function: str,
        events: Sequence[object],
        *,
        module: str = "app",
        metered: bool = False,
        seconds: float = 60,
        profile: str = "",
    ) -> Ran:
        """Run a function for one event after the other.

        ``metered`` counts requests and capacity from now on, which takes CPU time too. ``seconds`` is the
        function's timeout. ``profile`` names a file for cProfile.
        """
        assert self._process.stdin
        assert self._process.stdout
        job = {
            "function": function,
            "module": module,
            "events": list(events),
            "metered": metered,
            "seconds": seconds,
            "profile": profile,
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the function's process ended with status {self._process.wait(timeout=30)}")
        return Ran(**json.loads(answer))

    def queued(self) -> list[dict[str, Any]]:
        """Take the messages that ``receive_report`` has queued, as events of ten messages."""
        return self.run("receive_all", [{}], module="bench.queue").results[0]["events"]  # type: ignore[no-any-return]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Read the events of a name from the functions' log."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        documents = [json.loads(line) for line in lines if line.startswith("{")]
        return [document for document in documents if document.get("message") == event]
