"""A small HTTP/1.1 server on 127.0.0.1. Its answers can also be late, dripped, cut short, or a reset connection.

>>> with SimulatorServer(lambda request: Reply(200, b"hello")) as server:
...     print(server.url)
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """A request as received: header names in lower case, ``path`` and ``query`` still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer and how to send it: ``whole``, ``truncate`` (half the body, then the end) or ``reset`` (RST alone)."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay: float = 0.0
    """Seconds to wait before the answer is sent."""
    wire: Literal["whole", "truncate", "reset"] = "whole"


def json_reply(status: int, document: Any, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **names})


WireKind = Literal[
    "late",  # the answer waits `seconds`, its work is done
    "drip_headers",  # done, then the answer comes byte by byte, `seconds` apart
    "drip_body",  # the same, after whole headers
    "stale",  # a connection that was used before is reset before the request is read: nothing done
    "down",  # answered 503 with a proxy's page, nothing done
    "gone",  # the connection is reset, nothing done
]


@dataclass
class WireFault:
    """A fault of the connection, whatever the vendor. ``times`` 0 means as often as it can until it ends.

    ``until`` is by the vendor's clock, ``seconds`` by that of the machine.
    """

    kind: WireKind
    times: int = 1
    seconds: float = 1.0
    until: float = float("inf")

    def __post_init__(self) -> None:
        if self.kind not in get_args(WireKind):
            raise ValueError(f"no such fault of the connection: {self.kind}")


class WireFaults:
    """The faults of a server's connections, in the order in which they strike."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[WireFault] = []
        self.clock: Callable[[], float] = time.time
        self.struck: Counter[str] = Counter()

    def add(self, *faults: WireFault) -> None:
        """Add faults; without any, clear them."""
        with self._lock:
            self._pending = [*self._pending, *faults] if faults else []

    def take(self, *, reused: bool) -> WireFault | None:
        """Return the fault that strikes the next request of a connection; ``reused``: it is not its first one."""
        with self._lock:
            now = self.clock()
            self._pending = [fault for fault in self._pending if fault.until > now]
            for fault in self._pending:
                if fault.kind != "stale" or reused:
                    self.struck[fault.kind] += 1
                    if fault.times:
                        fault.times -= 1
                        if not fault.times:
                            self._pending.remove(fault)
                    return fault
        return None


class SimulatorServer:
    """Serves ``handle`` in threads, from ``start`` to ``stop`` or as a context manager. ``port`` 0 takes a free one."""

    def __init__(self, handle: Callable[[Request], Reply], *, port: int = 0) -> None:
        self._server = _Server(handle, port)
        self.wire = self._server.wire
        self._thread: threading.Thread | None = None
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()  # joins the threads of the connections

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, handle: Callable[[Request], Reply], port: int) -> None:
        self.handle = handle
        self.wire = WireFaults()
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for the next request of a connection."""
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show an error of the simulator. A client that has gone away is none."""
        import sys

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simulator"
    sys_version = ""
    disable_nagle_algorithm = True
    server: _Server
    served = 0
    """Requests of this connection that were read."""

    def _serve(self) -> None:
        fault = self.server.wire.take(reused=self.served > 0)
        self.served += 1
        if fault and fault.kind in ("stale", "gone"):
            self._reset()
            return
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY or "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            self.close_connection = True
            self._send(Reply(413, b"too large", {"Content-Type": "text/plain"}))
            return
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        if fault and fault.kind == "down":
            self._send(Reply(503, b"<html>Service Unavailable</html>", {"Content-Type": "text/html"}))
            return
        reply = self.server.handle(Request(self.command, path, query, headers, body))
        if fault and fault.kind == "late":
            reply.delay += fault.seconds
        self._send(reply, drip=fault if fault and fault.kind.startswith("drip") else None)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server looks for these names

    def _send(self, reply: Reply, *, drip: WireFault | None = None) -> None:
        if reply.delay:
            self.server.stopping.wait(reply.delay)
        if reply.wire == "reset":
            self._reset()
            return
        lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, '')}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {len(reply.body)}", "", ""]
        body = reply.body
        if reply.wire == "truncate":
            body = body[: len(body) // 2]
            self.close_connection = True
        if self.close_connection:
            lines.insert(1, "Connection: close")
        head = "\r\n".join(lines).encode("latin-1")
        if drip:
            self._drip(head + body, at_once=0 if drip.kind == "drip_headers" else len(head), seconds=drip.seconds)
        else:
            self.wfile.write(head + body)  # one write, so that a small answer is one packet

    def _drip(self, answer: bytes, *, at_once: int, seconds: float) -> None:
        """Send an answer byte by byte, until the other side has had enough of it."""
        self.wfile.write(answer[:at_once])
        for at in range(at_once, len(answer)):
            if self.server.stopping.wait(seconds):
                return
            self.wfile.write(answer[at : at + 1])

    def _reset(self) -> None:
        """Send RST: with a linger time of 0, the last close drops the connection instead of ending it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Print nothing: the simulator has its own log of calls."""


class Served:
    """A server that a simulator runs. A context manager from start to stop."""

    _server: SimulatorServer

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Simulated(Served):
    """A simulator's server and its clock, which tests may set forward."""

    _clock: Callable[[], float]
    _advanced: float

    def break_wire(self, *faults: WireFault) -> None:
        """Add faults of the connections; without any, clear them."""
        self._server.wire.clock = self.now
        self._server.wire.add(*faults)

    def wire_struck(self) -> Counter[str]:
        """Count the faults of the connections that have struck, by kind."""
        return Counter(self._server.wire.struck)

    def now(self) -> float:
        """Return the time of the vendor, in Unix seconds."""
        return self._clock() + self._advanced


class Logged(Simulated):
    """A simulator that keeps a log of its calls, and the faults that are to strike the next ones."""

    fault: ClassVar[Callable[..., Any]]
    """Makes a fault of its fields."""
    log: list[Any]
    _lock: threading.RLock
    _faults: list[Any]

    def add_faults(self, *faults: Mapping[str, Any]) -> None:
        """Add faults; without any, clear them."""
        with self._lock:
            self._faults = self._faults + [type(self).fault(**fault) for fault in faults] if faults else []

    def advance(self, seconds: float) -> None:
        """Set the vendor's time forward."""
        with self._lock:
            self._advanced += seconds

    def calls(self) -> list[dict[str, Any]]:
        """Return the log of the calls."""
        with self._lock:
            return [asdict(call) for call in self.log]


class Startable(Protocol):
    """A simulator."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def serve_until_interrupted(server: Startable) -> None:
    """Run in the foreground until Ctrl-C or SIGTERM."""
    import signal

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    server.start()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.stop()
