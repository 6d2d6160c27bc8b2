"""Ask the edge what a visitor gets for a URL, and never an internal address.

A stranger reported the URL, and its host may point at any address. So the connection goes to a public address that was
checked, no redirect is followed, and the answer's body is not read.
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
"""Statuses of a server that does not take ``HEAD``."""

_URL = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?(/[!-\"$-~]*)")  # no space, no fragment


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """How long the edge may take for one URL, in seconds. ``total_timeout`` bounds both requests."""

    connect_timeout: float = 3.05
    total_timeout: float = 8.0
    loopback: tuple[str, ...] = ()
    """``host:port`` of edges on this machine, for tests."""


class EdgeProbe:
    """Implements the port ``Probe``. Every request opens its own connection."""

    def __init__(
        self, policy: EdgePolicy | None = None, *, resolve: Resolve = resolve, cafile: str | None = None
    ) -> None:
        self._policy = policy or EdgePolicy()
        self._resolve = resolve
        self._cafile = cafile

    def __call__(self, url: str, *, edge: str = "") -> int:
        """See ``Probe``. ``url`` is canonical. TLS and ``Host`` name the URL's host, whatever address is asked."""
        deadline = time.monotonic() + self._policy.total_timeout
        target = _target(url, self._policy.loopback)
        status = self._ask("HEAD", target, edge, deadline)
        return self._ask("GET", target, edge, deadline) if status in NO_HEAD else status

    def _ask(self, method: str, target: Target, edge: str, deadline: float) -> int:
        try:
            connection = connect(
                target,
                resolve=(lambda _host, port: self._resolve(edge, port)) if edge else self._resolve,
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
    """Read a canonical URL. Raises ``ConfigurationError``; its message does not repeat the URL."""
    match = _URL.fullmatch(url)
    if not match:
        raise ConfigurationError("the edge is not asked: the URL is not canonical")
    scheme, host, port_text, path = match.groups()
    port = int(port_text or (443 if scheme == "https" else 80))
    if not 0 < port < 65_536:
        raise ConfigurationError("the edge is not asked: the URL is not canonical")
    return Target(host.strip("[]"), port, tls=scheme == "https", path=path, loopback=f"{host}:{port}" in loopback)
