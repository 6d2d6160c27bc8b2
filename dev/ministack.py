"""MiniStack, the local AWS: a process in a virtual environment of its own, which leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from dev.local_clients import REGION, Clients
from dev.package import ROOT

PYTHON = ROOT / ".venv-aws" / "bin" / "python"
BOOT_SECONDS = 60


class LocalAwsError(Exception):
    """The local AWS did not start, deploy or answer; the message says what happened."""


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class MiniStack(Clients):
    """MiniStack's process and its files, without the app.

    ``functions_endpoint`` is where the functions in it send their own AWS calls; MiniStack itself if it is empty.
    ``enforce_iam`` makes MiniStack check every role.
    """

    def __init__(self, *, port: int = 0, functions_endpoint: str = "", enforce_iam: bool = False) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = Path()
        self._functions_endpoint = functions_endpoint
        self._enforce_iam = enforce_iam
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start MiniStack; ``wait`` says when it answers."""
        if not PYTHON.exists():
            raise LocalAwsError("the local AWS is not installed: run `make .venv-aws/.ready`")
        # Each worker unpacks the layer, thousands of files: memory is faster than a disk.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="edgeban-aws-", dir=memory))
        with (self.directory / "ministack.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [
                    sys.executable,
                    str(ROOT / "dev" / "supervise.py"),
                    str(self.directory),
                    str(PYTHON),
                    "-m",
                    "ministack",
                ],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach this process alone: it ends the others in order.
            )

    def _environment(self) -> dict[str, str]:
        """Return MiniStack's environment. Its functions inherit it: nothing of the caller's own may leak into it."""
        environment = {
            "PATH": f"{ROOT / '.venv-aws' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONUNBUFFERED": "1",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_DATA_DIR": str(self.directory / "s3"),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": str(self._enforce_iam).lower(),
        }
        if self._functions_endpoint:
            environment["AWS_ENDPOINT_URL"] = self._functions_endpoint
        return environment

    def wait(self) -> None:
        """Return once MiniStack answers. Raises LocalAwsError."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self._supervisor is None or self._supervisor.poll() is not None:
                raise LocalAwsError(f"the local AWS ended while starting:\n{self._last_words()}")
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise LocalAwsError(f"the local AWS did not answer within {BOOT_SECONDS} s:\n{self._last_words()}")

    def _last_words(self) -> str:
        try:
            return (self.directory / "ministack.log").read_text(errors="replace")[-2000:]
        except OSError:
            return "(it left no log)"

    @property
    def supervisor_pid(self) -> int:
        """Return the process below which MiniStack and its workers run; 0 if there is none."""
        return self._supervisor.pid if self._supervisor else 0

    def stop(self) -> None:
        """End MiniStack, its workers and their files."""
        if self._supervisor is not None:
            assert self._supervisor.stdin is not None
            self._supervisor.stdin.close()
            self._supervisor.wait(timeout=60)
            self._supervisor = None
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)  # The supervisor does so, if it ever started.
