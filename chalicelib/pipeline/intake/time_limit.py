"""Stop reading a message that takes too long, so that it cannot use up the time of the messages beside it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

READ_SECONDS = 10.0
"""Time to read one message. The largest one that is accepted takes a fraction of it."""


class TookTooLong(BaseException):
    """The time of a block is up. No ``except Exception`` on the way stops it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in the block after ``seconds``.

    It uses a signal, which Python delivers only to the main thread, where Lambda runs a handler. In any other thread
    there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
