"""A CDN account in memory: the port ``BanVendor`` with visible state and failures on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.errors import AnswerUnknown, ContentRefused, VendorError
from chalicelib.domain.model import (
    Action,
    BannedUrl,
    BannedUrlPage,
    TaskState,
    VendorLimits,
    VendorTask,
    VendorTaskPage,
)

LIMITS = VendorLimits(
    urls_per_task=1_000,
    creates_per_second=10,
    ban_days_min=1,
    ban_days_max=30,
    task_window=timedelta(days=7),
    tasks_per_page=100,
    banned_urls_per_page=50,
)


@dataclass
class FakeTask:
    id: str
    action: Action
    urls: tuple[str, ...]
    days: int
    created_at: datetime
    finishes_at: datetime
    state: TaskState = TaskState.PROCESSING


@dataclass
class FakeBan:
    created_at: datetime
    modified_at: datetime
    ends_at: datetime


@dataclass
class FakeVendor:
    """Set what shall go wrong, call, look at ``calls``, ``tasks`` and ``bans``.

    ``errors`` is consumed one per create (``None``: no error), before anything is done; ``list_errors`` one per list.
    ``lose_answer`` makes the next create work and raise ``AnswerUnknown`` all the same. A create with a URL in
    ``refuse`` is refused whole; a task with a URL in ``fail`` fails. Tasks finish ``task_time`` after their creation by
    ``clock``; with ``None`` they never do.
    """

    clock: Callable[[], datetime]
    task_time: timedelta | None = timedelta(0)
    limits: VendorLimits = LIMITS
    errors: list[VendorError | None] = field(default_factory=list)
    list_errors: list[VendorError | None] = field(default_factory=list)
    lose_answer: bool = False
    refuse: set[str] = field(default_factory=set)
    fail: set[str] = field(default_factory=set)
    calls: list[tuple[Action, tuple[str, ...], int]] = field(default_factory=list)
    """Every create, whatever became of it."""
    lists: list[str] = field(default_factory=list)
    """The name of every list call."""
    tasks: dict[str, FakeTask] = field(default_factory=dict)
    bans: dict[str, FakeBan] = field(default_factory=dict)
    """The bans in force, brought up to date by each call and by ``settle``."""

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        self.calls.append((action, tuple(urls), ban_days))
        if not 1 <= len(urls) <= self.limits.urls_per_task:
            raise ValueError("too few or too many URLs")
        if action is Action.BAN and not self.limits.ban_days_min <= ban_days <= self.limits.ban_days_max:
            raise ValueError("ban_days is outside the limits")
        _raise_next(self.errors)
        if self.refuse.intersection(urls):
            raise ContentRefused("the fake vendor refuses a URL", code="FAKE.0001")
        now = self._now()
        task = FakeTask(
            id=f"vendor-task-{len(self.calls)}",
            action=action,
            urls=tuple(urls),
            days=ban_days,
            created_at=now,
            finishes_at=datetime.max.replace(tzinfo=now.tzinfo) if self.task_time is None else now + self.task_time,
        )
        self.tasks[task.id] = task
        self.settle()
        if self.lose_answer:
            self.lose_answer = False
            raise AnswerUnknown("the fake vendor lost its answer")
        return task.id

    def list_tasks(self, start: datetime, end: datetime, offset: int) -> VendorTaskPage:
        self.lists.append("list_tasks")
        if not timedelta(0) <= end - start <= self.limits.task_window:
            raise ValueError("the window is too long")
        _raise_next(self.list_errors)
        self.settle()
        found = [task for task in reversed(self.tasks.values()) if start <= task.created_at <= end]
        page = found[offset : offset + self.limits.tasks_per_page]
        return VendorTaskPage(
            total=len(found),
            tasks=tuple(VendorTask(task.id, task.action, task.state, task.urls, task.created_at) for task in page),
        )

    def list_banned_urls(self, page: int, url: str = "") -> BannedUrlPage:
        self.lists.append("list_banned_urls")
        _raise_next(self.list_errors)
        self.settle()
        found = [(name, ban) for name, ban in self.bans.items() if url in ("", name)]
        size = self.limits.banned_urls_per_page
        return BannedUrlPage(
            total=len(found),
            urls=tuple(
                BannedUrl(name, ban.created_at, ban.modified_at) for name, ban in found[(page - 1) * size : page * size]
            ),
        )

    def settle(self) -> None:
        """Finish the tasks whose time has come, and end the bans whose days are over."""
        now = self._now()
        for task in self.tasks.values():
            if task.state is TaskState.PROCESSING and task.finishes_at <= now:
                self._finish(task)
        self.bans = {url: ban for url, ban in self.bans.items() if ban.ends_at > now}

    def _finish(self, task: FakeTask) -> None:
        if self.fail.intersection(task.urls):
            task.state = TaskState.FAILED
            return
        task.state = TaskState.SUCCEEDED
        at = task.finishes_at
        for url in task.urls:
            if task.action is Action.UNBAN:
                self.bans.pop(url, None)
            else:
                earlier = self.bans.get(url)
                created = earlier.created_at if earlier and earlier.ends_at > at else at
                self.bans[url] = FakeBan(created, at, at + timedelta(days=task.days))

    def _now(self) -> datetime:
        """The vendor's times are whole milliseconds."""
        now = self.clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _raise_next(errors: list[VendorError | None]) -> None:
    error = errors.pop(0) if errors else None
    if error is not None:
        raise error
