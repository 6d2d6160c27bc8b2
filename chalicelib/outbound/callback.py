"""Send the outcome of a report to the callback URL of its source, and never to an internal address.

The URL is configuration, but its host belongs to the receiver, who may point it at any address tomorrow. So the URL is
treated as a stranger's, as in downloads: only https, only public addresses, the connection goes to the address that was
checked, and no redirect is followed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.domain.errors import ConfigurationError, DownloadRefused
from chalicelib.outbound.pinned import Resolve, connect, resolve, status_of
from chalicelib.outbound.target import Target, read_target


@dataclass(frozen=True, slots=True)
class CallbackPolicy:
    """How long a receiver may take, in seconds. ``total_timeout`` bounds the whole call."""

    connect_timeout: float = 3.05
    total_timeout: float = 10.0
    loopback: tuple[str, ...] = ()
    """``host:port`` of receivers on this machine, for tests. Only there may http and a port be used."""


class CallbackPost:
    """Implements the port ``Post``. Every call opens its own connection."""

    def __init__(
        self, policy: CallbackPolicy | None = None, *, resolve: Resolve = resolve, cafile: str | None = None
    ) -> None:
        self._policy = policy or CallbackPolicy()
        self._resolve = resolve
        self._cafile = cafile

    def __call__(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """See ``Post``. The answer's body is not read."""
        deadline = time.monotonic() + self._policy.total_timeout
        try:
            target = _target(url, self._policy.loopback)
            connection = connect(
                target,
                resolve=self._resolve,
                cafile=self._cafile,
                deadline=deadline,
                connect_timeout=self._policy.connect_timeout,
                read_timeout=self._policy.total_timeout,
            )
        except DownloadRefused as error:
            raise ConfigurationError(f"the callback URL cannot be used: {error}") from None
        return status_of(connection, "POST", target, headers=headers, body=body, deadline=deadline)


def _target(url: str, loopback: tuple[str, ...]) -> Target:
    """Read the URL by the rules of downloads, with its own host allowed. Raises ``DownloadRefused``."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise DownloadRefused("it is not a URL") from None
    return read_target(url, (host,), loopback)
