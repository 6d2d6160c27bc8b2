"""Connect to the address that was checked, so that a host that changes its address in between gains nothing."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache

import certifi

from chalicelib.domain.errors import AnswerUnknown, DownloadRefused, Unavailable
from chalicelib.outbound.target import Target, refused_address

Resolve = Callable[[str, int], list[str]]
"""Host and port → the host's addresses. Raises ``OSError``."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(
    target: Target,
    *,
    resolve: Resolve,
    cafile: str | None,
    connect_timeout: float,
    read_timeout: float,
    deadline: float,
) -> PinnedConnection:
    """Check every address of the target and connect to the first that answers, with TLS if the target has it.

    One forbidden address refuses the host, so that it cannot hide a private address behind a public one. ``deadline``
    is in the time of ``time.monotonic``. Raises ``DownloadRefused`` for a forbidden address, and ``Unavailable``.
    """
    try:
        addresses = resolve(target.host, target.port)
    except (OSError, UnicodeError) as exc:
        raise Unavailable(f"the address of {target.host} cannot be found ({type(exc).__name__})") from None
    for address in addresses:
        reason = refused_address(address, loopback=target.loopback)
        if reason:
            raise DownloadRefused(f"{target.host} has the address {address}, {reason}")
    context = _tls(cafile or certifi.where()) if target.tls else None
    failure = "it has no address"
    for address in addresses:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            failure = "it took too long"
            break
        connection = PinnedConnection(
            target, address, context, connect_timeout=min(connect_timeout, remaining), read_timeout=read_timeout
        )
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


@cache
def _tls(cafile: str) -> ssl.SSLContext:
    """Read the trusted certificates once a process: that takes 28 ms of CPU."""
    return ssl.create_default_context(cafile=cafile)


class PinnedConnection(http.client.HTTPConnection):
    """A connection to one address. It names the target's host, and demands the certificate of that host."""

    def __init__(
        self,
        target: Target,
        address: str,
        context: ssl.SSLContext | None,
        *,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        super().__init__(target.host, target.port, timeout=read_timeout)
        self._name = target.host
        self._address = (address, target.port)
        self._connect_timeout = connect_timeout
        self._context = context

    def connect(self) -> None:
        """Connect, with TLS if the target has it. Raises ``OSError``."""
        sock = socket.create_connection(self._address, self._connect_timeout)
        try:
            if self._context:
                # The socket still has the timeout for connecting, which bounds the whole handshake.
                sock = self._context.wrap_socket(sock, server_hostname=self._name)
        except BaseException:
            sock.close()
            raise
        self.sock = sock
        self.sock.settimeout(self.timeout)


def status_of(
    connection: PinnedConnection,
    method: str,
    target: Target,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    deadline: float,
) -> int:
    """Send one request, close the connection, and return the status of the answer. The body is not read.

    Raises ``AnswerUnknown``.
    """
    with closing(connection), cut_at(connection.sock, deadline) as late:
        try:
            connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**headers, "Host": target.authority, "Connection": "close"}.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            with closing(connection.getresponse()) as response:
                answered = response.status
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = "took too long" if late.is_set() else f"broke ({type(error).__name__})"
            raise AnswerUnknown(f"the call of {target.host} {what}") from None
    if late.is_set():  # Headers that are cut look like complete ones.
        raise AnswerUnknown(f"the call of {target.host} took too long")
    return answered


@contextmanager
def cut_at(sock: socket.socket, deadline: float) -> Iterator[threading.Event]:
    """Shut a connection down at the deadline, whatever it waits for. The event says that this has happened."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            # Not SSLSocket.shutdown: it is not safe to call from a second thread.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
