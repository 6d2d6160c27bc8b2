"""Tasks for vendors that have none: an answered call is done, and an id that the client makes up tells the result.

Such a vendor is declarative (``VendorLimits.declarative``). Its client makes up an id for each answered call, and
``follow`` reads that id, without a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from chalicelib.domain.model import Action, Sent, TaskState, VendorLimits, VendorTask

_FAILED: Final = "-failed"
_TASK_ID: Final = re.compile(r"([0-9]{1,12})-[0-9a-f]{32}(-failed)?")


def task_id(answered_at: datetime, *, failed: bool = False) -> str:
    """Make up the id of a call. ``failed``: the vendor did not take all of its URLs."""
    return f"{int(answered_at.timestamp())}-{uuid4().hex}{_FAILED if failed else ''}"


def shown(task: Sent, *, now: datetime, settles: timedelta) -> VendorTask:
    """Return the state of a task, as its id tells it: it ends when every place of the edge has settled."""
    parts = _TASK_ID.fullmatch(task.id)
    if parts is None:
        return VendorTask(task.id, None, None, (), task.since)
    answered_at = datetime.fromtimestamp(int(parts[1]), UTC)
    end = TaskState.FAILED if parts[2] else TaskState.SUCCEEDED  # of a failed call, some URLs may have been taken
    return VendorTask(task.id, None, end if now >= answered_at + settles else TaskState.PROCESSING, (), answered_at)


class AnsweredCalls:
    """The part of a ``BanVendor`` that all these clients share. The client sets ``limits`` and ``_clock``."""

    limits: VendorLimits
    _clock: Callable[[], datetime]

    def find_task(  # the port names what it takes; nothing of it is of use here
        self,
        action: Action,  # noqa: ARG002
        urls: Sequence[str],  # noqa: ARG002
        since: datetime,  # noqa: ARG002
        until: datetime,  # noqa: ARG002
    ) -> Iterator[str]:
        """Find nothing: no call lists tasks, and a call whose answer was lost is repeated."""
        return iter(())

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        """Yield the state of the tasks, as their ids tell it, without a call."""
        now = self._clock()
        if tasks:
            yield [shown(task, now=now, settles=self.limits.settles) for task in tasks]
