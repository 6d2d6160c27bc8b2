"""Connections to a vendor that stay open, and whose answers must meet a deadline."""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

IDLE_TIMEOUT: Final = 5.0
"""A connection that was unused for so many seconds is replaced before the next request. While Lambda keeps a function
frozen, the other side may drop its connections unseen. A request on such a connection is reset, and this reset looks
like a lost answer."""

CONNECTIONS: Final = 40
"""How many connections stay open: as many as calls may overlap (``VendorLimits.parallel``)."""


class _Request(threading.local):
    """The request that this thread makes. ``deadline`` is in the time of ``time.monotonic``."""

    deadline = math.inf
    sent_in_part = False
    """Whether the connection broke before the whole request was sent."""


request_at_work = _Request()


class _TimedReader(io.RawIOBase):
    """Reads an answer from a socket until the deadline of its request.

    A socket's own timeout begins again with every byte, also while the headers arrive.
    """

    def __init__(self, sock: socket.socket, file: io.BufferedIOBase) -> None:
        self._sock, self._file = sock, file
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See ``io.RawIOBase``. Raises ``TimeoutError`` once the deadline has passed."""
        remaining = request_at_work.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(remaining if self._timeout is None else min(self._timeout, remaining))
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """Close the file that the answer came with, which lets go of the socket."""
        if not self.closed:
            self._file.close()
            super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp))


class _Watched(HTTPConnection):
    """A connection that notes how it is used."""

    response_class = _TimedResponse
    used_at = math.inf
    """When its last request ended, in seconds of the wall clock: a monotonic clock stands still while Lambda sleeps."""

    def send(self, data: Any) -> None:
        """See ``HTTPConnection``. urllib3 goes on to read after a failure, so the failure is noted here."""
        try:
            super().send(data)
        except OSError:
            request_at_work.sent_in_part = True
            raise


class _WatchedTls(_Watched, HTTPSConnection):
    """The same, encrypted."""


class _Pool(HTTPConnectionPool):
    """Keeps connections. Before it uses one again that was idle for too long, it closes it."""

    ConnectionCls = _Watched
    idle_timeout = IDLE_TIMEOUT

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if time.time() - getattr(connection, "used_at", math.inf) > self.idle_timeout:
            connection.close()  # it connects anew with its next request
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.used_at = time.time()
        super()._put_conn(conn)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class TimedAdapter(HTTPAdapter):
    """The adapter for ``requests``, with watched connections and answers that must meet their deadline."""

    def __init__(self, idle_timeout: float) -> None:
        self._idle_timeout = idle_timeout
        super().__init__(pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See ``HTTPAdapter``."""
        super().init_poolmanager(*args, **kwargs)
        idle = {"idle_timeout": self._idle_timeout}
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_HttpPool", (_Pool,), idle),
            "https": type("_HttpsPool", (_TlsPool,), idle),
        }
