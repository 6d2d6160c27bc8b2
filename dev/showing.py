"""Show lines, and wait for Ctrl-C: shared by ``make run``, ``make tour`` and ``make local``."""

from __future__ import annotations

import signal
import threading

ACCOUNT = "huawei-main"
UNCAPPED = {"per_source_per_hour": 0, "per_host_per_hour": 0, "per_account_per_hour": 0, "share_of_live": 0}
"""Caps that hold nothing: the feed brings the reports of months within a minute."""


def say(line: str) -> None:
    """Show a line at once."""
    print(line, flush=True)


def until_interrupted() -> threading.Event:
    """Return an event that Ctrl-C or SIGTERM sets."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended
