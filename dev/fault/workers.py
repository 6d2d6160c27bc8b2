"""The processes in which the local AWS runs the functions of one deployment, found by their parents, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

PROC = Path("/proc")


def workers(root: int) -> dict[int, str]:
    """Return the workers below the process ``root``, by process id: the function that each runs."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                children.setdefault(_stat(int(entry.name))[0], []).append(int(entry.name))
    below, waiting = [], [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        below += found
        waiting += found
    return {pid: name for pid in below if (name := _function(pid))}


def busy(pids: dict[int, str], *, seconds: float = 0.05) -> dict[int, str]:
    """Return the workers that use the processor during a short wait."""
    before = {pid: _time(pid) for pid in pids}
    time.sleep(seconds)
    return {pid: name for pid, name in pids.items() if _time(pid) > before[pid] >= 0}


def kill(pid: int) -> bool:
    """End a process at once; ``False`` if it was gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _stat(pid: int) -> tuple[int, int]:
    """Return a process's parent, and its processor time in ticks."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[11]) + int(fields[12])


def _time(pid: int) -> int:
    try:
        return _stat(pid)[1]
    except (OSError, ValueError, IndexError):
        return -1


def _function(pid: int) -> str:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    names = [each.partition(b"=")[2].decode() for each in environment if each.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")]
    return names[0].rpartition("-")[2] if names else ""
