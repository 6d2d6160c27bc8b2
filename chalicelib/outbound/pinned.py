"""Connect to the very address that was checked: a name that changes its address in between gains nothing."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import certifi

from chalicelib.domain.errors import AnswerUnknown, DownloadRefused, Unavailable
from chalicelib.outbound.target import Target, refused_address

Resolve = Callable[[str, int], list[str]]
"""Host and port → its addresses. Raises ``OSError``."""


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for every address of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(
    target: Target,
    *,
    resolve: Resolve,
    cafile: str | None,
    connect_timeout: float,
    read_timeout: float,
    deadline: float,
) -> PinnedConnection:
    """Connect to an address of the target that was checked, with TLS where the target has it.

    Every address must be allowed, so that a name cannot hide a private one behind a public one. ``deadline`` is by
    ``time.monotonic``. Raises ``Unavailable``, and ``DownloadRefused`` at an address that is not allowed.
    """
    try:
        addresses = resolve(target.host, target.port)
    except (OSError, UnicodeError) as exc:
        raise Unavailable(f"the address of {target.host} cannot be found ({type(exc).__name__})") from None
    for address in addresses:
        reason = refused_address(address, loopback=target.loopback)
        if reason:
            raise DownloadRefused(f"{target.host} stands for {address}, {reason}")
    context = ssl.create_default_context(cafile=cafile or certifi.where()) if target.tls else None
    failure = "it has no address"
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            failure = "it took too long"
            break
        connection = PinnedConnection(
            target, address, context, connect_timeout=min(connect_timeout, left), read_timeout=read_timeout
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


class PinnedConnection(http.client.HTTPConnection):
    """A connection to one address that presents itself, and demands a certificate, under the target's name."""

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
        """Connect, with TLS where the target has it. Raises ``OSError``."""
        sock = socket.create_connection(self._address, self._connect_timeout)
        try:
            if self._context:
                # The socket's timeout, still the one for connecting, bounds the handshake as a whole.
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
    """Send one request and return the status of its answer, whose body is not read. Closes the connection.

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
    if late.is_set():  # headers that were cut look like headers that have ended
        raise AnswerUnknown(f"the call of {target.host} took too long")
    return answered


@contextmanager
def cut_at(sock: socket.socket, deadline: float) -> Iterator[threading.Event]:
    """Cut a connection at the deadline, whatever is being waited for; the event says that it was done."""
    late = threading.Event()

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
