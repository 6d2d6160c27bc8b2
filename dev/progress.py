"""What ``make run`` watches: the functions that it starts more often than their schedules, and what they log."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from typing import Any

from dev.local_aws import FunctionBusy, FunctionFailed, LocalAws


class Ticker:
    """Invoke a scheduled function more often than its schedule, until stopped."""

    def __init__(self, aws: LocalAws, function: str, seconds: float) -> None:
        self._aws = aws
        self._function = function
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._aws.invoke(self._function)
                self.problem = ""
            except FunctionBusy:
                continue  # its own schedule was quicker
            except FunctionFailed as error:
                self.problem = str(error)
            except Exception as error:  # noqa: BLE001, whatever it is belongs to the ending of the local AWS
                if not self._stop.is_set():
                    self.problem = f"{self._function}: {error}"


@dataclass(slots=True)
class Progress:
    """What the functions say in their logs that they have done."""

    unique: int = 0
    duplicates: int = 0
    refused: int = 0
    held: int = 0
    tasks: int = 0
    tasks_ended: int = 0
    banned: int = 0
    failed: int = 0
    unreadable: int = 0

    @classmethod
    def read(cls, aws: LocalAws) -> Progress:
        seen = cls()
        for function in ("intake_reports", "submit_tasks", "track_tasks"):
            for line in aws.logs(function):
                if line.startswith("{"):
                    with contextlib.suppress(ValueError):
                        seen.add(json.loads(line))
        return seen

    def add(self, event: dict[str, Any]) -> None:
        match event.get("message"):
            case "reports_taken":
                self.unique += event.get("ban", 0) + event.get("hold", 0)
                self.held += event.get("hold", 0)
                self.duplicates += event.get("duplicate", 0)
                self.refused += event.get("rejected", 0) + event.get("suppressed", 0)
                self.unreadable += event.get("unreadable", 0)
            case "task_submitted" | "task_adopted":
                self.tasks += 1
            case "task_finished":
                self.tasks_ended += 1
                if event.get("state") == "succeeded":
                    self.banned += event.get("urls", 0)
                self.failed += event.get("given_up", 0)
            case _:
                pass
