"""Fetch the file of an export from where the vendor says it lies, and from nowhere else.

The URL comes out of a vendor's answer, so it is treated as a stranger's: only allowed hosts over https, every address
that the name stands for is checked, the connection goes to the very address that was checked (a name that changes its
address in between gains nothing), and redirects are followed by hand through the same checks.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import certifi

from chalicelib.domain.errors import AnswerUnknown, DownloadExpired, DownloadRefused, Unavailable
from chalicelib.vendors.download_target import Target, read_target, refused_address

BLOCK: Final = 64 * 1024
"""Bytes of a block at the most; also all that is held in memory."""

MAX_REDIRECTS: Final = 3

Resolve = Callable[[str, int], list[str]]
"""Host and port → its addresses. Raises ``OSError``."""


@dataclass(frozen=True, slots=True)
class DownloadPolicy:
    """What may be fetched. Times in seconds; ``total_timeout`` holds for all of it, the reader's own pace included."""

    hosts: tuple[str, ...] = ("*.aliyuncs.com",)
    """Hosts, or ``*.`` and what must stand below. Storage of the vendor is meant, which also other customers fill."""
    loopback: tuple[str, ...] = ()
    """``host:port`` of simulators on this machine: the only ones where http and a port may be used."""
    max_bytes: int = 2 * 1024**3
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    total_timeout: float = 600.0


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class ExportDownload:
    """The port ``Download``. Safe to share: every call opens a connection of its own."""

    def __init__(
        self, policy: DownloadPolicy | None = None, *, resolve: Resolve = resolve, cafile: str | None = None
    ) -> None:
        self._policy = policy or DownloadPolicy()
        self._resolve = resolve
        self._cafile = cafile

    def __call__(self, url: str) -> Iterator[bytes]:
        """Yield the file's bytes as received, in blocks of at most 64 KiB; nothing is opened before the first.

        Raises while it is read: ``DownloadRefused`` (host, address, redirect, size or answer not allowed),
        ``DownloadExpired`` (403, 404, 410), ``Unavailable`` (no connection, 429, 5xx) and ``AnswerUnknown`` (cut
        short, too slow). The last two are worth another try from the beginning. No message repeats the URL's query.
        """
        deadline = time.monotonic() + self._policy.total_timeout
        target = read_target(url, self._policy.hosts, self._policy.loopback)
        for _ in range(MAX_REDIRECTS + 1):
            with closing(self._connect(target)) as connection, _watch(connection, deadline) as late:
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
        """Read a redirect by the same rules as the first URL; raises ``DownloadRefused``."""
        try:
            url = urljoin(target.url, location)
        except ValueError:
            raise DownloadRefused(f"{target.host} redirects to what is no URL") from None
        return read_target(url, self._policy.hosts, self._policy.loopback)

    def _connect(self, target: Target) -> _PinnedConnection:
        """Connect to an address of the target that was checked; raises ``Unavailable`` or ``DownloadRefused``."""
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as exc:
            raise Unavailable(f"the address of {target.host} cannot be found ({type(exc).__name__})") from None
        for address in addresses:
            reason = refused_address(address, loopback=target.loopback)
            if reason:
                raise DownloadRefused(f"{target.host} stands for {address}, {reason}")
        failure = "it has no address"
        for address in addresses:
            connection = _PinnedConnection(target, address, self._policy, self._context(target))
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as exc:
                failure = f"its certificate is not valid: {exc.verify_message}"
            except OSError as exc:
                failure = type(exc).__name__
            else:
                return connection
            connection.close()
        raise Unavailable(f"no connection to {target.host}: {failure}")

    def _context(self, target: Target) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self._cafile or certifi.where()) if target.tls else None

    def _read(self, response: http.client.HTTPResponse, target: Target) -> Iterator[bytes]:
        """Yield the body, and raise ``AnswerUnknown`` where it ends before its end."""
        limit = self._policy.max_bytes
        expected = response.length
        if expected is None and not response.chunked:
            raise AnswerUnknown(f"{target.host} does not say how long the file is, so a cut would not be seen")
        if expected is not None and expected > limit:
            raise DownloadRefused(f"the file at {target.host} has {expected} bytes, the limit is {limit}")
        received = 0
        # read1 returns what one receive brought, so a slow sender cannot hold us inside of it.
        while block := response.read1(BLOCK):
            received += len(block)
            if received > limit:
                raise DownloadRefused(f"the file at {target.host} is longer than the limit of {limit} bytes")
            yield block
        if expected is not None and received != expected:
            raise AnswerUnknown(f"the download from {target.host} ended after {received} of {expected} bytes")


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one address that presents itself, and demands a certificate, under the target's name."""

    def __init__(self, target: Target, address: str, policy: DownloadPolicy, context: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port, timeout=policy.read_timeout)
        self._name = target.host
        self._address = (address, target.port)
        self._connect_timeout = policy.connect_timeout
        self._context = context

    def connect(self) -> None:
        """Connect, with TLS where the target has it. Raises ``OSError``."""
        raw = socket.create_connection(self._address, self._connect_timeout)
        try:
            self.sock = self._context.wrap_socket(raw, server_hostname=self._name) if self._context else raw
        except BaseException:
            raw.close()
            raise
        self.sock.settimeout(self.timeout)


@contextmanager
def _watch(connection: _PinnedConnection, deadline: float) -> Iterator[threading.Event]:
    """Cut the connection at the deadline, whatever is being waited for; the event says that it was done."""
    late = threading.Event()
    sock = connection.sock

    def cut() -> None:
        late.set()
        with suppress(OSError):
            # Past SSLSocket's own shutdown, which is not made for two threads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _ask(connection: _PinnedConnection, target: Target) -> http.client.HTTPResponse:
    connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", target.authority)
    connection.putheader("User-Agent", "edgeban")
    # The archive holds the bytes as they are at the vendor, and Content-Length then counts what we count.
    connection.putheader("Accept-Encoding", "identity")
    connection.putheader("Connection", "close")
    connection.endheaders()
    return connection.getresponse()


def _judge(response: http.client.HTTPResponse, target: Target) -> str | None:
    """Return where to go instead, or ``None`` where the file itself begins."""
    status = response.status
    if status in (301, 302, 303, 307, 308):
        location = response.headers.get("Location", "")
        if not location or not location.isascii() or any(sign <= " " or sign == "\\" for sign in location):
            raise DownloadRefused(f"{target.host} redirects without a usable Location")
        return location
    if status in (403, 404, 410):
        raise DownloadExpired(f"{target.host} answers {status}: the URL is over, or was never right")
    if status == 429 or status >= 500:
        raise Unavailable(f"{target.host} answers {status}")
    if status != 200:
        raise DownloadRefused(f"{target.host} answers {status} where a file is expected")
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise DownloadRefused(f"{target.host} sends the file encoded ({coding[:20]}) although it was asked not to")
    return None
