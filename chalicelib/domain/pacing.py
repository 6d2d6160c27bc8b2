"""Keep calls apart so that a vendor's rate is never crossed. Time and sleeping are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

SHARE = 0.96
"""How much of a vendor's rate we use: the rest is room for calls that are on the way for unequal times, so that
eleven never arrive within one second where ten may. 9.6 calls/s of 10 is above the 95 % we owe a backlog."""


ROOM = timedelta(milliseconds=40)
"""How much longer than a second the calls that a second allows take at the least, even where one that woke late is
made up for: so much faster may the next one travel."""


class Pace:
    """Evenly spaced permissions to call. ``wait`` sleeps until the next one is due."""

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        last: datetime | None = None,
    ) -> None:
        """``rate`` is in calls a second; ``last`` is when somebody else made the last one."""
        self._gap = timedelta(seconds=1 / (rate * SHARE))
        self._clock = clock
        self._sleep = sleep
        calls = max(1, int(rate))
        self._made: deque[datetime] = deque(maxlen=calls)
        self._span = timedelta(seconds=calls / rate) + ROOM
        # Whoever called last may have used the whole of its second.
        self._next = last + timedelta(seconds=1) + self._gap if last else clock()

    @property
    def due(self) -> datetime:
        """When the next call is due."""
        full = len(self._made) == self._made.maxlen
        return max(self._next, self._made[0] + self._span) if full else self._next

    def approach(self) -> None:
        """Sleep through a long wait but for its last quarter of a second, so that what is prepared then is fresh."""
        left = (self.due - self._clock()).total_seconds() - 0.25
        if left > 0:
            self._sleep(left)

    def wait(self) -> datetime:
        """Sleep until the next call is due; return the time then."""
        now = self._clock()
        if self.due > now:
            self._sleep((self.due - now).total_seconds())
            now = self._clock()
        self._made.append(now)
        self._next = max(self._next, now - self._gap / 4) + self._gap
        return now

    def leaves(self) -> None:
        """Note that the call that was permitted last leaves only now: a busy process may be slow to come to it.

        May be called by another thread. If a later call was permitted meanwhile, that one counts as later than it is.
        """
        self._made[-1] = self._clock()

    def hold(self, seconds: float) -> None:
        """Let no call go for a while."""
        self._next = max(self._next, self._clock() + timedelta(seconds=seconds))
