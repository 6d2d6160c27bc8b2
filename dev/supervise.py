"""Run a command, and end it with everything it started once our own standard input closes.

The process that starts this one holds the other end of that pipe. The pipe closes however that process ends, even by
``kill -9``: then nothing is left running, and the directory named first is removed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def main(directory: Path, command: list[str]) -> int:
    """Supervise ``command`` until it ends or the pipe closes; return its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that holds the pipe.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    try:
        while child.poll() is None:
            readable, _, _ = select.select([sys.stdin], [], [], 0.2)
            if readable and not os.read(sys.stdin.fileno(), 1024):
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # Its workers too.
        child.wait()
        shutil.rmtree(directory, ignore_errors=True)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
