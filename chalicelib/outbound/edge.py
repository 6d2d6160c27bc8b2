"""Ask the edge what a visitor gets for a URL, and never anything inside.

The URL was reported by a stranger and its host may stand for any address: the connection goes to a public address that
was checked, to the URL's own port, no redirect is followed, and the answer's body is not read.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from chalicelib.domain.errors import ConfigurationError, DownloadRefused
from chalicelib.outbound.pinned import Resolve, connect, resolve, status_of
from chalicelib.outbound.target import Target

HEADERS: Final = {"User-Agent": "edgeban", "Accept": "*/*", "Accept-Encoding": "identity"}
ONE_BYTE: Final = {**HEADERS, "Range": "bytes=0-0"}

NO_HEAD: Final = {405, 501}
"""Statuses that say no more than that ``HEAD`` is not taken."""

_URL = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?(/[!-\"$-~]*)")  # no space, no fragment


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """How long the edge may take for one URL, in seconds, whatever it does."""

    connect_timeout: float = 3.05
    total_timeout: float = 8.0
    loopback: tuple[str, ...] = ()
    """``host:port`` of edges on this machine, for tests."""


class EdgeProbe:
    """The port ``Probe``. Every request opens a connection of its own."""

    def __init__(
        self, policy: EdgePolicy | None = None, *, resolve: Resolve = resolve, cafile: str | None = None
    ) -> None:
        self._policy = policy or EdgePolicy()
        self._resolve = resolve
        self._cafile = cafile

    def __call__(self, url: str) -> int:
        """See ``Probe``. ``url`` is canonical."""
        deadline = time.monotonic() + self._policy.total_timeout
        target = _target(url, self._policy.loopback)
        status = self._ask("HEAD", target, deadline)
        return self._ask("GET", target, deadline) if status in NO_HEAD else status

    def _ask(self, method: str, target: Target, deadline: float) -> int:
        try:
            connection = connect(
                target,
                resolve=self._resolve,
                cafile=self._cafile,
                deadline=deadline,
                connect_timeout=self._policy.connect_timeout,
                read_timeout=self._policy.total_timeout,
            )
        except DownloadRefused as error:
            raise ConfigurationError(f"the edge is not asked: {error}") from None
        headers = HEADERS if method == "HEAD" else ONE_BYTE
        return status_of(connection, method, target, headers=headers, deadline=deadline)


def _target(url: str, loopback: tuple[str, ...]) -> Target:
    """Read a canonical URL. Raises ``ConfigurationError``, whose message repeats nothing of it."""
    found = _URL.fullmatch(url)
    port = int(found[3] or (443 if found[1] == "https" else 80)) if found else 0
    if not found or not 0 < port < 65_536:
        raise ConfigurationError("the edge is not asked: the URL is not a canonical one")
    inside = f"{found[2]}:{port}" in loopback
    return Target(found[2].strip("[]"), port, tls=found[1] == "https", path=found[4], loopback=inside)
