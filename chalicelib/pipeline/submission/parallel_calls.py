"""Several calls of a vendor under way at once, each answer recorded as soon as it comes.

A vendor that takes 300 ms to answer is called ten times a second only if the calls overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from types import TracebackType
from typing import Self

from chalicelib.domain.errors import AnswerUnknown, VendorError
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.ports import BanVendor, Rows


class Calls:
    """Calls the vendor beside the caller's thread; ``handle`` hears of each answer in the caller's own."""

    def __init__(
        self,
        vendor: BanVendor,
        rows: Rows,
        clock: Callable[[], datetime],
        *,
        workers: int,
        leaves: Callable[[], None],
        handle: Callable[[Task, VendorError | None], None],
    ) -> None:
        """``workers`` 0 makes every call at once, in the caller's thread: a test can then stop it anywhere.

        ``leaves`` is told right before each call.
        """
        self._leaves = leaves
        self._vendor, self._rows, self._clock, self._handle = vendor, rows, clock, handle
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._futures: dict[Future[VendorError | None], Task] = {}

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
        return len(self._futures)

    def start(self, task: Task, urls: Sequence[str]) -> None:
        """Call the vendor for a task."""
        if self._pool:
            self._futures[self._pool.submit(self._call, task, urls)] = task
        else:
            self._handle(task, self._call(task, urls))

    def settle(self, room: int) -> None:
        """Handle what is answered, and wait until fewer than ``room`` calls are under way."""
        while True:
            for future in [each for each in self._futures if each.done()]:
                self._handle(self._futures.pop(future), future.result())
            if not self._futures or len(self._futures) < room:
                return
            wait(self._futures, return_when=FIRST_COMPLETED)

    def _call(self, task: Task, urls: Sequence[str]) -> VendorError | None:
        self._leaves()
        try:
            vendor_task_id = self._vendor.create_task(task.action, urls, task.ban_days)
        except VendorError as error:
            return error
        if not tasks.record_processing(self._rows, task, vendor_task_id, now=self._clock()):
            return AnswerUnknown(f"the vendor task {vendor_task_id} is recorded for another task already")
        return None
