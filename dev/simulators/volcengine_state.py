"""The state of a simulated Volcengine or BytePlus account: tasks by URL, blocks, quotas, and a log of every call."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dev.simulators.huawei_state import Call, Window

DAY = 86_400.0
KEPT = 92 * DAY
"""How long the list shows a task."""

ZONE = 8 * 3_600.0
"""The vendor does not say when its day begins; we take it to be midnight in UTC+8."""


@dataclass
class Task:
    """A task. Times are in seconds since 1970. ``bad`` are those of its URLs that will fail."""

    id: str
    kind: str
    urls: tuple[str, ...]
    created: float
    ends: float
    bad: frozenset[str]

    def status(self, url: str, now: float) -> str:
        """Return the vendor's word for the state of one URL."""
        if now < self.ends:
            return "running"
        return "failed" if url in self.bad else "complete"

    def row(self, url: str, now: float) -> dict[str, Any]:
        """Return the row that DescribeContentBlockTasks shows for one URL."""
        return {
            "TaskID": self.id,
            "TaskType": self.kind,
            "Url": url,
            "Status": self.status(url, now),
            "CreateTime": int(self.created),
            "BlockReason": "",
        }


@dataclass
class Account:
    """Tasks and blocks of one account. ``task_seconds`` is how long a task takes; 0 finishes it at once."""

    task_seconds: float = 0.0
    tasks: dict[str, Task] = field(default_factory=dict)
    blocked: dict[str, float] = field(default_factory=dict)
    """Blocked URLs with the time of their block. A block never ends by itself."""
    doubles: Counter[str] = field(default_factory=Counter)
    """URLs that a task asked to block while an earlier block of theirs was under way or in force."""
    used: Counter[tuple[str, int]] = field(default_factory=Counter)
    """URLs by kind of task and day."""
    _running: list[Task] = field(default_factory=list)

    def spent(self, kind: str, now: float) -> int:
        """Return how many URLs the day's tasks of a kind had."""
        return self.used[kind, int((now + ZONE) // DAY)]

    def create(self, kind: str, urls: Sequence[str], bad: frozenset[str], *, now: float) -> Task:
        """Make a task."""
        self.settle(now)
        self.used[kind, int((now + ZONE) // DAY)] += len(urls)
        if kind == "block_url":
            under_way = {url for task in self._running if task.kind == kind for url in task.urls}
            self.doubles.update(url for url in urls if url in under_way or url in self.blocked)
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now + ZONE))
        verb = kind.removesuffix("_url")
        task = Task(f"url_{verb}_{stamp}{secrets.token_hex(9)}", kind, tuple(urls), now, now + self.task_seconds, bad)
        self.tasks[task.id] = task
        self._running.append(task)
        self.settle(now)
        return task

    def settle(self, now: float) -> None:
        """Finish the tasks that are due, in order: all take equally long."""
        while self._running and self._running[0].ends <= now:
            task = self._running.pop(0)
            for url in task.urls:
                if url in task.bad:
                    continue
                if task.kind == "block_url":
                    self.blocked[url] = task.ends
                else:
                    self.blocked.pop(url, None)

    def rows(self, wanted: dict[str, Any], *, now: float, shown_before: float) -> list[dict[str, Any]]:
        """Return the rows of DescribeContentBlockTasks that match, newest task first: no order is documented."""
        start, end = wanted.get("StartTime", now - KEPT), wanted.get("EndTime", now)
        return [
            row
            for task in reversed(self.tasks.values())
            if max(start, int(now - KEPT)) <= int(task.created) <= end and task.created <= shown_before
            if wanted.get("TaskID", task.id) == task.id
            if wanted.get("TaskType", task.kind) == task.kind
            for url in task.urls
            if wanted.get("URL", url) == url and wanted.get("DomainName", host(url)) == host(url)
            if wanted.get("Status", status := task.status(url, now)) == status
            for row in (task.row(url, now),)
        ]


def host(url: str) -> str:
    """Return the host of a URL in lower case, without its port."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].partition(":")[0].lower()


class CallLog:
    """A log of every call, with the figures that tests and benchmarks need."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.windows: dict[str, Window] = {}

    def open(self, endpoint: str, now: float) -> Call:
        call = Call(n=len(self.calls) + 1, time=now, endpoint=endpoint)
        self.calls.append(call)
        self.windows.setdefault(endpoint, Window()).add(now)
        return call

    def stats(self, account: Account) -> dict[str, Any]:
        return {
            "calls": dict(Counter(call.endpoint for call in self.calls)),
            "statuses": dict(Counter(str(call.status) for call in self.calls)),
            "throttled": sum(call.status == 429 for call in self.calls),
            "tasks": len(account.tasks),
            "urls_created": sum(len(task.urls) for task in account.tasks.values()),
            "most_calls_per_second": {name: window.most for name, window in self.windows.items()},
            "doubles": len(account.doubles),
            "double_urls": sorted(account.doubles)[:100],
            "blocked": len(account.blocked),
        }
