"""Make several calls of a vendor at once, and record each answer as soon as it comes.

A vendor that takes 300 ms to answer is called ten times a second only if the calls overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from chalicelib.domain.errors import AnswerUnknown, UrlsFailed, VendorError
from chalicelib.domain.model import Action
from chalicelib.domain.pacing import Pace
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.run import LONGEST_REST, NEVER, Run
from chalicelib.ports import BanVendor

CALL_WITHIN = timedelta(seconds=20)
"""How long after its attempt is on record a task may be called. A process that stood still for longer must not call:
the next submitter repeats the call ``vendor_tasks.LIST_LAG`` after the attempt, if the vendor shows no such task."""


class ParallelCalls:
    """Calls the vendor in threads beside the caller's; ``handle`` is called with each answer in the caller's thread."""

    def __init__(
        self,
        run: Run,
        vendor: BanVendor,
        pace: Pace,
        *,
        workers: int,
        handle: Callable[[Task, VendorError | None], None],
    ) -> None:
        """``workers`` 0 makes every call at once, in the caller's thread: a test can then stop it anywhere."""
        self._run, self._vendor, self._pace, self._handle = run, vendor, pace, handle
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._tasks: dict[Future[VendorError | None], Task] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown()

    @property
    def under_way(self) -> int:
        """Calls that were started and not handled yet."""
        return len(self._tasks)

    def urls_under_way(self, action: Action) -> int:
        """Return the URLs of the calls of an action that are under way."""
        return sum(task.count for task in self._tasks.values() if task.action is action)

    def start(self, task: Task, urls: Sequence[str], *, permitted: datetime) -> None:
        """Call the vendor for a task. ``permitted`` is when the pace permitted the call."""
        if self._pool:
            self._tasks[self._pool.submit(self._call, task, urls, permitted)] = task
        else:
            self._handle(task, self._call(task, urls, permitted))

    def settle(self, room: int, *, until: datetime = NEVER) -> None:
        """Handle what is answered, and wait until fewer than ``room`` calls are under way, or until a moment."""
        while True:
            for answered in [future for future in self._tasks if future.done()]:
                self._handle(self._tasks.pop(answered), answered.result())
            seconds = (until - self._run.clock()).total_seconds()
            if not self._tasks or len(self._tasks) < room or seconds <= 0:
                return
            self._run.beat()
            wait(self._tasks, timeout=min(seconds, LONGEST_REST), return_when=FIRST_COMPLETED)

    def _call(self, task: Task, urls: Sequence[str], permitted: datetime) -> VendorError | None:
        assert task.attempted_at
        if self._run.clock() - task.attempted_at > CALL_WITHIN:
            return AnswerUnknown("not called: the process stood still, and another submitter may have the task")
        self._pace.departs(permitted)
        failed_at: list[int] = []
        try:
            vendor_task_id = self._vendor.create_task(task.action, urls, task.ban_days)
        except UrlsFailed as answer:
            vendor_task_id = answer.task_id
            failed_at = [position for position, url in enumerate(urls) if url in answer.failed]
        except VendorError as error:
            return error
        if not tasks.record_processing(
            self._run.rows,
            task,
            vendor_task_id,
            now=self._run.clock(),
            carried_out=self._vendor.limits.declarative and not failed_at,
            failed_at=failed_at,
        ):
            return AnswerUnknown(f"the vendor task {vendor_task_id} is recorded for another task already")
        return None
