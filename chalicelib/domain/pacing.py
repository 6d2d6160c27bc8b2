"""Keep calls apart so that a vendor's rate is never crossed. Pure: time and sleeping are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

SHARE = 0.96
"""The share of a vendor's rate that we use. Some calls take longer to arrive than others. The rest of the rate is room,
so that eleven calls never arrive in one second if ten may. 9.6 calls/s of 10 is above the 95 % that a backlog needs."""

PREPARES = 0.1
"""Seconds that a caller needs to prepare a call: it reads the waiting chunks and records a task."""

SLACK = timedelta(milliseconds=40)
"""Added to the one-second window, so that jitter in flight cannot put an eleventh call into it."""

MAKES_UP = timedelta(seconds=1)
"""A call that is late by up to this much, for example because the ledger answered slowly, is made up: the calls behind
it follow twice as fast until they are back on schedule. A call that is later than this follows an idle while, for which
nothing is made up. In both cases the calls of the last second count, so that the vendor's rate is kept."""


class Pace:
    """Evenly spaced permissions to call. ``wait`` sleeps until the next one is due."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        last: datetime | None = None,
        last_calls: int | None = None,
    ) -> None:
        """``rate`` is in calls a second; ``last`` is when an earlier run called last.

        ``last_calls`` is how many calls that run made in its last second; as many as it may, if that is not known.
        """
        self._gap = timedelta(seconds=1 / (rate * SHARE))
        self._clock = clock
        self._sleep = sleep
        calls = max(1, int(rate))
        self._calls: deque[datetime] = deque(maxlen=calls)
        """When the last calls left, as many as a second allows."""
        self._changing = Lock()
        """Held while a call is added or moved: threads that send calls move them."""
        self._span = timedelta(seconds=calls / rate) + SLACK
        self._last = last
        self._next = last + self._gap if last else clock()
        self._on_schedule = False
        """Whether this run has called: its first call begins the schedule, however late it is."""
        if last:  # each of them counts as the latest of them
            self._calls.extend([last] * (calls if last_calls is None else last_calls))

    @property
    def last(self) -> datetime | None:
        """When the last call left, of this run or the earlier one."""
        return self._calls[-1] if self._calls else self._last

    @property
    def last_calls(self) -> int:
        """How many calls left in the second before the last one, that one included."""
        return sum(self._calls[-1] - call < self._span for call in self._calls)

    @property
    def due(self) -> datetime:
        """When the next call is due."""
        due = self._next
        if self._calls:
            due = max(due, self._calls[-1] + self._gap / 2)
        if len(self._calls) == self._calls.maxlen:
            due = max(due, self._calls[0] + self._span)
        return due

    def approach(self) -> None:
        """Sleep through a long wait, all but its last tenth of a second: the caller prepares its call then."""
        seconds = (self.due - self._clock()).total_seconds() - PREPARES
        if seconds > 0:
            self._sleep(seconds)

    def wait(self) -> datetime:
        """Sleep until the next call is due; return the time then."""
        now = self._clock()
        if self.due > now:
            self._sleep((self.due - now).total_seconds())
            now = self._clock()
        with self._changing:
            self._calls.append(now)
        made_up = self._on_schedule and now - self._next <= MAKES_UP
        self._next = (self._next if made_up else now) + self._gap
        self._on_schedule = True
        return now

    def departs(self, permitted: datetime) -> None:
        """Note that the call which ``wait`` permitted then is sent only now: a busy process may be slow to send it.

        Another thread may call this, and further calls may have been permitted meanwhile.
        """
        now = self._clock()
        with self._changing:
            try:
                self._calls[self._calls.index(permitted)] = now
            except ValueError:  # a second's calls have been permitted since
                self._calls.append(now)

    def hold(self, seconds: float) -> None:
        """Permit no call for a while."""
        self._next = max(self._next, self._clock() + timedelta(seconds=seconds))
