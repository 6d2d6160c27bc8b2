"""Send the outcome of a report to the URL that its source's configuration names, and to nowhere inside.

The URL is configuration, but its name is the receiver's: it may stand for any address tomorrow. So it is treated like
a stranger's, as downloads are: https alone, public addresses alone, the connection goes to the address that was
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
    """How long a receiver may take, in seconds: one call in all, whatever it does."""

    connect_timeout: float = 3.05
    total_timeout: float = 10.0
    loopback: tuple[str, ...] = ()
    """``host:port`` of receivers on this machine, for tests: the only ones where http and a port may be used."""


class CallbackPost:
    """The port ``Post``. Every call opens a connection of its own."""

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
    """Read the URL by the rules of downloads; its own host is the one that is allowed. Raises ``DownloadRefused``."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise DownloadRefused("it is no URL") from None
    return read_target(url, (host,), loopback)
