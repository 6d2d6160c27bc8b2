"""The one HTTP client of all vendors: the time limit of a whole answer, and the wait that an answer asks for."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chalicelib.domain.errors import AnswerUnknown, Unavailable
from chalicelib.vendors.http import VendorHttp, VendorResponse, retry_after

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
DRIPS = {"headers": (HEAD, b"X: y\r\n"), "body": (HEAD.replace(b"Length: 2", b"Length: 999") + b"\r\n", b"x")}


class Dripping:
    """A server that answers every request on a connection: at once if ``drip`` is empty, otherwise byte by byte."""

    def __init__(self, listening: socket.socket) -> None:
        self.head, self.drip = b"", b""
        self.connections = 0
        self._listening = listening
        self.stop = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/"

    def _serve(self) -> None:
        while not self.stop.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(65_536):
                    connection.sendall(self.head if self.drip else HEAD + b"\r\nok")
                    while self.drip and not self.stop.wait(0.05):
                        connection.sendall(self.drip)
            except OSError:
                return


@pytest.fixture
def server() -> Iterator[Dripping]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = Dripping(listening)
        yield dripping
        dripping.stop.set()


@pytest.mark.parametrize("where", DRIPS)
def test_an_answer_that_drips_is_cut_at_its_total_time(server: Dripping, where: str) -> None:
    server.head, server.drip = DRIPS[where]
    http = VendorHttp(read_timeout=5, total_timeout=0.5)
    began = time.monotonic()
    with pytest.raises(AnswerUnknown):
        http.request("GET", server.url)
    assert 0.4 <= time.monotonic() - began <= 1.5
    http.close()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://x/\xff\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n",
        b"no answer at all\r\n\r\n",
    ],
)
def test_whatever_a_vendor_answers_is_an_error_that_says_what_is_known(server: Dripping, head: bytes) -> None:
    server.head, server.drip = head, b" "
    http = VendorHttp(read_timeout=2, total_timeout=2)
    with pytest.raises(AnswerUnknown):
        http.request("POST", server.url, data=b"{}")
    http.close()


def test_a_connection_is_used_again_by_a_request_that_has_its_own_time(server: Dripping) -> None:
    http = VendorHttp(total_timeout=0.4)
    for _ in range(4):
        assert http.request("GET", server.url).body == b"ok"
        time.sleep(0.2)
    assert server.connections == 1
    http.close()


SENT_AT = "Thu, 15 Jan 2026 08:00:00 GMT"


def test_a_connection_that_idled_is_not_used_again(server: Dripping) -> None:
    """The other side may have closed it unseen, while Lambda kept the function frozen."""
    http = VendorHttp(idle_timeout=0.1)
    for _ in range(2):
        assert http.request("GET", server.url).body == b"ok"
    assert server.connections == 1
    time.sleep(0.2)
    assert http.request("GET", server.url).body == b"ok"
    assert server.connections == 2
    http.close()


def test_a_request_that_was_not_sent_to_its_end_had_no_effect() -> None:
    """The server resets the connection when it has seen the head; most of the body never leaves this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            connection, _ = listening.accept()
            connection.recv(1_000)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        threading.Thread(target=reset, daemon=True).start()
        http = VendorHttp()
        with pytest.raises(Unavailable):
            http.request("POST", f"http://127.0.0.1:{listening.getsockname()[1]}/", data=b"x" * 30_000_000)
        http.close()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("600", 600),
        ("0", 0),
        ("Thu, 15 Jan 2026 08:10:00 GMT", 600),
        ("Thu, 15 Jan 2026 07:00:00 GMT", 2),
        ("99999999", 3_600),
        ("Fri, 16 Jan 2026 08:00:00 GMT", 3_600),
        ("-5", 2),
        ("soon", 2),
        ("", 2),
        ("nan", 2),
        ("9" * 5_000, 3_600),
        (f"Thu, 15 Jan {'9' * 20} 08:10:00 GMT", 2),
        (f"Thu, 15 Jan 2026 08:10:00 +{'9' * 20}", 2),
    ],
)
def test_retry_after_is_read_in_both_forms(said: str, seconds: float) -> None:
    answer = VendorResponse(429, {"Retry-After": said, "Date": SENT_AT}, b"")
    assert retry_after(answer, default=2, longest=3_600) == seconds


@pytest.mark.parametrize(("minutes", "waits"), [(10, (595, 601)), (-10, (2, 2)), (600, (3_600, 3_600))])
def test_a_date_without_the_time_of_the_answer_is_compared_with_our_clock(
    minutes: int, waits: tuple[float, float]
) -> None:
    said = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    seconds = retry_after(VendorResponse(429, {"Retry-After": said}, b""), default=2, longest=3_600)
    assert waits[0] <= seconds <= waits[1]
