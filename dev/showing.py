"""What ``make run`` and ``make tour`` have in common."""

from __future__ import annotations

ACCOUNT = "huawei-main"
UNCAPPED = {"per_source_per_hour": 0, "per_host_per_hour": 0, "per_account_per_hour": 0, "share_of_live": 0}
"""Caps that hold nothing: the feed brings the reports of months within a minute."""


def say(line: str) -> None:
    """Show a line at once."""
    print(line, flush=True)
