"""Download the file of an export from the URL that the vendor names.

The URL comes from a vendor's answer, so it is treated as a stranger's: only allowed hosts over https, every address of
the host is checked, the connection goes to the address that was checked (so a host that changes its address in between
gains nothing), and redirects pass the same checks.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from chalicelib.domain.errors import AnswerUnknown, DownloadExpired, DownloadRefused, Unavailable
from chalicelib.outbound.pinned import PinnedConnection, Resolve, connect, cut_at, resolve
from chalicelib.outbound.target import Target, read_target

BLOCK: Final = 64 * 1024
"""Most bytes of a block, and so the most that is held in memory."""

MAX_REDIRECTS: Final = 3

EXPORT_BYTES = 1024**3
"""The most bytes of an export's file. The disk and the time of archive_exports suffice for it and its derived files."""


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """What may be downloaded. Times are in seconds; ``total_timeout`` includes the time that the reader takes."""

    hosts: tuple[str, ...] = ()
    """Allowed hosts. ``*.`` stands for every name below a domain."""
    loopback: tuple[str, ...] = ()
    """``host:port`` of simulators on this machine. Only there may http and a port be used."""
    max_bytes: int = 2 * 1024**3
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    total_timeout: float = 600.0


class ExportDownload:
    """Implements the port ``Download``. Safe to share: every call opens its own connection."""

    def __init__(
        self, policy: DownloadPolicy | None = None, *, resolve: Resolve = resolve, cafile: str | None = None
    ) -> None:
        self._policy = policy or DownloadPolicy()
        self._resolve = resolve
        self._cafile = cafile

    def __call__(self, url: str) -> Iterator[bytes]:
        """Yield the file's bytes as received, in blocks of at most 64 KiB. The first block opens the connection.

        Raises while it is read: ``DownloadRefused`` (host, address, redirect, size or answer not allowed),
        ``DownloadExpired`` (403, 404, 410), ``Unavailable`` (no connection, 429, 5xx) and ``AnswerUnknown`` (cut
        short, too slow). After the last two, another try from the beginning may succeed. No message repeats the URL's
        query, which may hold a signature.
        """
        deadline = time.monotonic() + self._policy.total_timeout
        target = read_target(url, self._policy.hosts, self._policy.loopback)
        for _ in range(MAX_REDIRECTS + 1):
            with closing(self._connect(target, deadline)) as connection, cut_at(connection.sock, deadline) as late:
                try:
                    with closing(_ask(connection, target)) as response:
                        location = _judge(response, target)
                        if location is None:
                            yield from self._read(response, target)
                            return
                except (OSError, http.client.HTTPException, ValueError) as exc:
                    what = "took too long" if late.is_set() else f"broke ({type(exc).__name__})"
                    raise AnswerUnknown(f"the download from {target.host} {what}") from None
            target = self._follow(target, location)
        raise DownloadRefused(f"{target.host} is behind more than {MAX_REDIRECTS} redirects")

    def _follow(self, target: Target, location: str) -> Target:
        """Read a redirect by the rules of the first URL. Raises ``DownloadRefused``."""
        try:
            url = urljoin(target.url, location)
        except ValueError:
            raise DownloadRefused(f"{target.host} redirects to something that is not a URL") from None
        return read_target(url, self._policy.hosts, self._policy.loopback)

    def _connect(self, target: Target, deadline: float) -> PinnedConnection:
        return connect(
            target,
            resolve=self._resolve,
            cafile=self._cafile,
            connect_timeout=self._policy.connect_timeout,
            read_timeout=self._policy.read_timeout,
            deadline=deadline,
        )

    def _read(self, response: http.client.HTTPResponse, target: Target) -> Iterator[bytes]:
        """Yield the body. Raises ``AnswerUnknown`` if it is cut short."""
        limit = self._policy.max_bytes
        expected = response.length
        if expected is None and not response.chunked:
            raise AnswerUnknown(f"{target.host} does not say how long the file is, so a cut would go unnoticed")
        if expected is not None and expected > limit:
            raise DownloadRefused(f"the file at {target.host} has {expected} bytes, the limit is {limit}")
        received = 0
        # read1 returns after one receive, so a slow sender cannot hold us inside it.
        while block := response.read1(BLOCK):
            received += len(block)
            if received > limit:
                raise DownloadRefused(f"the file at {target.host} is longer than the limit of {limit} bytes")
            yield block
        if expected is not None and received != expected:
            raise AnswerUnknown(f"the download from {target.host} ended after {received} of {expected} bytes")


def _ask(connection: PinnedConnection, target: Target) -> http.client.HTTPResponse:
    connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", target.authority)
    connection.putheader("User-Agent", "edgeban")
    # The archive keeps the vendor's bytes, and Content-Length counts the bytes that we count.
    connection.putheader("Accept-Encoding", "identity")
    connection.putheader("Connection", "close")
    connection.endheaders()
    return connection.getresponse()


def _judge(response: http.client.HTTPResponse, target: Target) -> str | None:
    """Return where the answer redirects to; ``None`` if it is the file."""
    status = response.status
    if status in (301, 302, 303, 307, 308):
        location = response.headers.get("Location", "")
        if not location or not location.isascii() or any(sign <= " " or sign == "\\" for sign in location):
            raise DownloadRefused(f"{target.host} redirects without a usable Location")
        return location
    if status in (403, 404, 410):
        raise DownloadExpired(f"{target.host} answers {status}: the URL has expired, or was never valid")
    if status == 429 or status >= 500:
        raise Unavailable(f"{target.host} answers {status}")
    if status != 200:
        raise DownloadRefused(f"{target.host} answers {status} instead of the file")
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise DownloadRefused(f"{target.host} sends the file encoded ({coding[:20]}), although the request forbids it")
    return None
