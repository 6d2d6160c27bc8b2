"""Start functions more often than their schedules, and read their logs, for ``make run``."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.model import ChunkState, UrlState
from chalicelib.ledger import chunks, remaining
from chalicelib.ports import Rows
from dev.check import Checked
from dev.local_aws import FunctionBusy, FunctionFailed, LocalAws
from dev.showing import ACCOUNT


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
                continue  # Its own schedule has already started it.
            except FunctionFailed as error:
                self.problem = str(error)
            except Exception as error:  # noqa: BLE001, whatever it is belongs to the ending of the local AWS
                if not self._stop.is_set():
                    self.problem = f"{self._function}: {error}"


@dataclass(slots=True)
class Progress:
    """What the functions have done, by their logs."""

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


def what_is_held(rows: Rows, checked: Checked) -> Iterator[str]:
    """Say how much of a feed waits for a person under the policy in force, by which rules, and what would ban it."""
    works = [work for work in remaining.of_account(rows, ACCOUNT) if work.state is ChunkState.HELD]
    urls_by_rule = Counter[str]()
    for chunk in chunks.read(rows, [work.chunk for work in works]).values():
        urls_by_rule[chunk.rule] += len(chunk.urls)
    rules = ", ".join(f"{count:,} by {rule}" for rule, count in urls_by_rule.most_common())
    taken = checked.states.total() - checked.states[UrlState.REJECTED.value]
    share = checked.states[UrlState.HELD.value] / taken
    yield f"{share:.0%} of the URLs wait for a person, in {len(works):,} holds ({rules}): this is the default policy."
    yield 'In the policy, "bare_hosts": "ban" bans roots, of all or of one source, "forced_hosts" those of some hosts'
