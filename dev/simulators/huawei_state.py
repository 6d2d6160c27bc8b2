"""The state of the simulated Huawei Cloud account: tasks, bans, and a log of every call."""

from __future__ import annotations

import heapq
import json
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

DAY = 86_400.0


@dataclass
class Task:
    """A task. Times are in seconds since 1970. ``fails`` says how it will end."""

    id: str
    action: str
    urls: tuple[str, ...]
    created: float
    ends: float
    days: int
    fails: bool
    state: str = "processing"
    urls_json: str = field(default="", repr=False)

    def to_json(self) -> str:
        """Return the task as ListAccessControlTask shows it. Its URLs are encoded once, not at every poll."""
        self.urls_json = self.urls_json or json.dumps(self.urls)
        head = {"id": self.id, "status": self.state, "action": self.action, "create_time": int(self.created * 1000)}
        return f'{json.dumps(head)[:-1]}, "urls": {self.urls_json}}}'


@dataclass(slots=True)
class Ban:
    """A URL that is banned until ``ends``."""

    created: float
    modified: float
    ends: float


@dataclass
class Call:
    """One line of the log. ``status`` 0 means that the connection was reset instead of an answer."""

    n: int
    time: float
    endpoint: str
    action: str = ""
    urls: int = 0
    status: int = 0
    code: str = ""
    task_id: str = ""
    fault: str = ""


class Window:
    """Counts the events of the last second, and keeps the highest count."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.most = 0

    def count(self, now: float) -> int:
        while self._times and self._times[0] <= now - 1.0:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        self._times.append(now)
        self.most = max(self.most, self.count(now))


class Account:
    """Tasks and bans of one account. ``task_seconds`` is how long a task takes; 0 finishes it at once."""

    def __init__(self, *, task_seconds: float = 0.0) -> None:
        self.task_seconds = task_seconds
        self.tasks: dict[str, Task] = {}
        self.bans: dict[str, Ban] = {}
        self.doubles: Counter[str] = Counter()
        """URLs that a create asked to ban while an earlier ban of theirs was processing or in force."""
        self._processing: dict[str, int] = {}
        self._due: list[tuple[float, int, Task]] = []
        self._order = count()

    def create(self, action: str, urls: Sequence[str], days: int, *, now: float, fails: bool) -> Task:
        self.settle(now)
        task = Task(
            id=uuid.uuid4().hex,
            action=action,
            urls=tuple(urls),
            created=now,
            ends=now + self.task_seconds,
            days=days,
            fails=fails,
        )
        if action == "ban":
            for url in set(urls):
                under_way = self._processing.get(url, 0)
                if under_way or self.in_force(url, now):
                    self.doubles[url] += 1
                self._processing[url] = under_way + 1
        self.tasks[task.id] = task
        heapq.heappush(self._due, (task.ends, next(self._order), task))
        self.settle(now)
        return task

    def settle(self, now: float) -> None:
        """Finish the tasks that are due, in order."""
        while self._due and self._due[0][0] <= now:
            self._finish(heapq.heappop(self._due)[2])

    def _finish(self, task: Task) -> None:
        task.state = "failed" if task.fails else "succeed"
        for url in set(task.urls):
            if task.action == "ban":
                under_way = self._processing.pop(url) - 1
                if under_way:
                    self._processing[url] = under_way
                if not task.fails:
                    self.ban(url, task.days, task.ends)
            elif not task.fails:
                self.bans.pop(url, None)

    def ban(self, url: str, days: float, now: float) -> None:
        earlier = self.bans.get(url)
        if earlier is not None and earlier.ends > now:
            earlier.modified, earlier.ends = now, now + days * DAY
            return
        if earlier is not None:
            del self.bans[url]  # It has ended, and a new ban stands at the end of the list.
        self.bans[url] = Ban(now, now, now + days * DAY)

    def in_force(self, url: str, now: float) -> bool:
        ban = self.bans.get(url)
        return ban is not None and ban.ends > now

    def find_tasks(self, start: float, end: float, status: str) -> list[Task]:
        """Return the tasks created in a window, in milliseconds, newest first: the vendor documents no order."""
        return [
            task
            for task in reversed(self.tasks.values())
            if start <= int(task.created * 1000) <= end and status in ("", task.state)
        ]

    def find_bans(self, start: float, end: float, url: str, now: float) -> list[tuple[str, Ban]]:
        """Return the bans in force that were created in a window, in milliseconds; oldest first."""
        of_url = ((url, self.bans[url]),) if url in self.bans else ()
        candidates: Iterable[tuple[str, Ban]] = of_url if url else self.bans.items()
        in_force = [(name, ban) for name, ban in candidates if ban.ends > now]
        if start <= 0 and end == float("inf"):
            return in_force
        return [(name, ban) for name, ban in in_force if start <= int(ban.created * 1000) <= end]


class CallLog:
    """A log of every call, with the figures that tests and benchmarks need."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.windows: dict[str, Window] = {}
        self.creates: list[int] = []
        """The number of URLs of each create that made a task."""

    def open(self, endpoint: str, now: float) -> Call:
        call = Call(n=len(self.calls) + 1, time=now, endpoint=endpoint)
        self.calls.append(call)
        self.windows.setdefault(endpoint, Window()).add(now)
        return call

    def stats(self, account: Account) -> dict[str, Any]:
        lists = ("list_tasks", "list_banned")
        return {
            "calls": dict(Counter(call.endpoint for call in self.calls)),
            "statuses": dict(Counter(str(call.status) for call in self.calls)),
            "throttled": sum(call.status == 429 for call in self.calls),
            "tasks": len(account.tasks),
            "creates": len(self.creates),
            "urls_created": sum(self.creates),
            "urls_per_create": sum(self.creates) / len(self.creates) if self.creates else 0.0,
            "max_creates_per_second": self.windows["create"].most if "create" in self.windows else 0,
            "max_lists_per_second": max((self.windows[name].most for name in lists if name in self.windows), default=0),
            "doubles": len(account.doubles),
            "double_urls": sorted(account.doubles)[:100],
        }
