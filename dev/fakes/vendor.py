"""A CDN account in memory: the port ``BanVendor`` with visible state and failures on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.domain.errors import AnswerUnknown, ContentRefused, VendorError
from chalicelib.domain.model import Action, Sent, TaskState, VendorLimits, VendorTask
from chalicelib.vendors.windows import Window, windows

LONGEST_BAN = timedelta(days=30)
LIMITS = VendorLimits(
    urls_per_task=1_000,
    creates_per_second=10,
    lists_per_second=30,
    task_window=timedelta(days=7),
    longest_ban=LONGEST_BAN,
)
TASKS_PER_PAGE = 100
BANNED_PER_PAGE = 50


@dataclass
class FakeTask:
    """A task as this vendor keeps it."""

    id: str
    action: Action
    urls: tuple[str, ...]
    days: int
    created_at: datetime
    finishes_at: datetime
    state: TaskState = TaskState.PROCESSING


@dataclass
class FakeBan:
    """A ban in force. A later ban of the same URL keeps ``created_at``."""

    created_at: datetime
    modified_at: datetime
    ends_at: datetime


@dataclass
class FakeVendor:
    """Set what shall go wrong, call, look at ``calls``, ``tasks`` and ``bans``.

    ``errors`` is consumed one per create (``None``: no error), before anything is done; ``list_errors`` one per step of
    a list. ``lose_answer`` makes the next create work and raise ``AnswerUnknown`` all the same. A create with a URL in
    ``refuse`` is refused whole; a task with a URL in ``fail`` fails. Tasks finish ``task_time`` after their creation by
    ``clock``; with ``None`` they never do. Lists come in pages, read when their step is taken.
    """

    clock: Callable[[], datetime]
    task_time: timedelta | None = timedelta(0)
    limits: VendorLimits = LIMITS
    errors: list[VendorError | None] = field(default_factory=list)
    list_errors: list[VendorError | None] = field(default_factory=list)
    lose_answer: bool = False
    names_failed: bool = False
    """Whether the vendor names the URLs that failed: the others of their task are done."""
    not_shown: set[str] = field(default_factory=set)
    """URLs that the list of tasks does not show."""
    list_lags: timedelta = timedelta(0)
    """How long after its creation the list of tasks shows a task."""
    has_list: bool = True
    """Whether the vendor has a list of bans."""
    refuse: set[str] = field(default_factory=set)
    fail: set[str] = field(default_factory=set)
    calls: list[tuple[Action, tuple[str, ...], int]] = field(default_factory=list)
    """Every create, whatever became of it."""
    lists: list[str] = field(default_factory=list)
    """The name of the list of every step that was taken: one call to the vendor each."""
    tasks: dict[str, FakeTask] = field(default_factory=dict)
    bans: dict[str, FakeBan] = field(default_factory=dict)
    """The bans in force, brought up to date by each call and by ``settle``."""

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Make a task, unless something shall go wrong."""
        self.calls.append((action, tuple(urls), ban_days))
        if not 1 <= len(urls) <= self.limits.urls_per_task:
            raise ValueError("too few or too many URLs")
        longest = self.limits.longest_ban or LONGEST_BAN
        if action is Action.BAN and not timedelta(days=1) <= timedelta(days=ban_days) <= longest:
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

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        """Look for tasks of exactly these URLs, as Huawei's client does."""
        for page in self._pages("find_task", [(since, until)]):
            ids = [task.id for task in page if task.action is action and frozenset(task.urls) == frozenset(urls)]
            yield from ids or [""]

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        """Yield the pages of the task list that cover these tasks."""
        return self._pages("follow", [(task.since, task.until) for task in tasks])

    def banned(self, url: str = "") -> Iterator[Sequence[str]] | None:
        """Yield the pages of the list of bans, if there is such a list."""
        return self._banned(url) if self.has_list else None

    def _banned(self, url: str) -> Iterator[Sequence[str]]:
        read = 0
        while True:
            self._list("banned")
            urls = [name for name in self.bans if url in ("", name)]
            page = urls[read : read + BANNED_PER_PAGE]
            yield page
            read += len(page)
            if not page or read >= len(urls):
                return

    def _pages(self, name: str, spans: Sequence[Window]) -> Iterator[Sequence[VendorTask]]:
        """Yield tasks created in spans of time, newest first, a page a step."""
        for start, end in windows(spans, longest=self.limits.task_window):
            offset, total = 0, 1
            while offset < total:
                self._list(name)
                newest = min(end, self._now() - self.list_lags)
                tasks = [task for task in reversed(self.tasks.values()) if start <= task.created_at <= newest]
                page = tasks[offset : offset + TASKS_PER_PAGE]
                yield [self._shown(task) for task in page]
                if not page:
                    break
                offset, total = offset + len(page), len(tasks)

    def _shown(self, task: FakeTask) -> VendorTask:
        urls = tuple(url for url in task.urls if url not in self.not_shown)
        failed = tuple(url for url in urls if url in self.fail) if self.names_failed else ()
        return VendorTask(task.id, task.action, task.state, urls, task.created_at, failed, by_url=self.names_failed)

    def _list(self, name: str) -> None:
        self.lists.append(name)
        _raise_next(self.list_errors)
        self.settle()

    def settle(self) -> None:
        """Finish the tasks whose time has come, and end the bans whose days are over."""
        now = self._now()
        for task in self.tasks.values():
            if task.state is TaskState.PROCESSING and task.finishes_at <= now:
                self._finish(task)
        self.bans = {url: ban for url, ban in self.bans.items() if ban.ends_at > now}

    def _finish(self, task: FakeTask) -> None:
        failed = self.fail.intersection(task.urls)
        task.state = TaskState.FAILED if failed else TaskState.SUCCEEDED
        if failed and not self.names_failed:
            return
        at = task.finishes_at
        for url in (url for url in task.urls if url not in failed):
            if task.action is Action.UNBAN:
                self.bans.pop(url, None)
            else:
                earlier = self.bans.get(url)
                created = earlier.created_at if earlier and earlier.ends_at > at else at
                lasts = self.limits.longest_ban is None
                ends_at = datetime.max.replace(tzinfo=at.tzinfo) if lasts else at + timedelta(days=task.days)
                self.bans[url] = FakeBan(created, at, ends_at)

    def _now(self) -> datetime:
        """Cut a time to whole milliseconds, as the vendor's are."""
        now = self.clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _raise_next(errors: list[VendorError | None]) -> None:
    error = errors.pop(0) if errors else None
    if error is not None:
        raise error
