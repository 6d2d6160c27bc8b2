"""The edge is asked as a visitor asks, at the public address that was checked, and not for ever."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, Unavailable
from chalicelib.outbound.edge import EdgePolicy, EdgeProbe
from chalicelib.outbound.pinned import Resolve


def standing_for(*addresses: str) -> Resolve:
    return lambda _host, _port: list(addresses)


def never(host: str, port: int) -> list[str]:
    pytest.fail(f"{host} was looked up")


class Edge(http.server.BaseHTTPRequestHandler):
    """Answers HEAD and GET with the statuses in the path, as ``/head=405&get=403``. ``got`` holds the requests."""

    got: list[tuple[str, str, dict[str, str]]]

    def do_HEAD(self) -> None:
        self.got.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        said = dict(part.split("=") for part in self.path.strip("/").partition("?")[0].split("&"))
        self.send_response(int(said[self.command.lower()]))
        self.send_header("Location", "/head=403&get=403")
        self.send_header("Content-Length", "1000000000")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


@contextlib.contextmanager
def edge() -> Iterator[tuple[int, type[Edge]]]:
    handler = type("One", (Edge,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, handler
        finally:
            server.shutdown()
            thread.join(5)


def ask(port: int, path: str = "/head=403", **policy: Any) -> int:
    host = f"127.0.0.1:{port}"
    return EdgeProbe(EdgePolicy(loopback=(host,), **policy), resolve=standing_for("127.0.0.1"))(f"http://{host}{path}")


def test_a_url_is_asked_for_with_head_alone_where_that_is_taken() -> None:
    with edge() as (port, handler):
        assert ask(port, "/head=403?q={a}|b^%2F'\\") == 403
    ((method, path, headers),) = handler.got
    assert (method, path) == ("HEAD", "/head=403?q={a}|b^%2F'\\")  # As a browser sends it.
    assert headers["host"] == f"127.0.0.1:{port}"
    assert headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "connection"}


@pytest.mark.parametrize("refused", [405, 501])
def test_one_byte_is_asked_for_where_head_is_refused(refused: int) -> None:
    with edge() as (port, handler):
        began = time.monotonic()
        assert ask(port, f"/head={refused}&get=206") == 206
    assert time.monotonic() - began < 3  # The answer claims a gigabyte, of which nothing is read.
    assert [(method, headers.get("range")) for method, _, headers in handler.got] == [
        ("HEAD", None),
        ("GET", "bytes=0-0"),
    ]


@pytest.mark.parametrize("status", [200, 301, 302, 307, 308, 403, 404, 500])
def test_any_other_status_is_the_answer_and_no_redirect_is_followed(status: int) -> None:
    with edge() as (port, handler):
        assert ask(port, f"/head={status}") == status
    assert len(handler.got) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "::1",
        "fd00:ec2::254",
        "fe80::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "224.0.0.1",
    ],
)
@pytest.mark.parametrize("url", ["https://www.example.com/x", "http://www.example.com:8080/x"])
def test_a_host_that_stands_for_an_address_inside_is_not_asked_even_beside_a_public_one(url: str, address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not asked: www\.example\.com has the address"):
        EdgeProbe(resolve=standing_for("93.184.216.34", address))(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "http://[::1]/x", "http://localhost/x", "http://2130706433/x"])
def test_an_address_inside_is_not_asked_by_its_name_either(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not asked"):
        EdgeProbe()(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://www.example.com/x",
        "www.example.com/x",
        "https://www.example.com",
        "https://u:p@www.example.com/x",
        "https://www.example.com:99999/x",
        "https://www.example.com:0/x",
        "https://www.example.com\\@10.0.0.1/x",
        "https://www.example.com/x y",
        "https://www.example.com/x\r\nHost: y",
        "https://www.example.com/é",
        "https://www.example.com/x#y",
        "https://WWW.example.com/x",
        "https://[::1/x",
        "https:///x",
    ],
)
def test_what_is_no_canonical_url_is_refused_before_it_is_looked_up(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not canonical"):
        EdgeProbe(resolve=never)(url)


@pytest.mark.parametrize(
    ("url", "port"),
    [("http://a.example.com/", 80), ("https://a.example.com/", 443), ("https://a.example.com:8443/x?y", 8443)],
)
def test_the_port_is_the_urls_own(url: str, port: int) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, number: int) -> list[str]:
        asked.append((host, number))
        return ["10.0.0.1"]

    with pytest.raises(ConfigurationError):
        EdgeProbe(resolve=resolve)(url)
    assert asked == [("a.example.com", port)]


def test_loopback_is_for_the_ports_that_were_named_alone() -> None:
    with edge() as (port, handler), pytest.raises(ConfigurationError, match="not public"):
        EdgeProbe(EdgePolicy(loopback=(f"127.0.0.1:{port + 1}",)))(f"http://127.0.0.1:{port}/head=200")
    assert handler.got == []


def test_the_name_is_looked_up_for_each_request_and_checked_each_time() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    with edge() as (port, handler):
        name = f"www.example.com:{port}"
        probe = EdgeProbe(EdgePolicy(loopback=(name,)), resolve=lambda _host, _port: answers.pop(0))
        with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1"):
            probe(f"http://{name}/head=405&get=200")
    assert [method for method, _, _ in handler.got] == ["HEAD"]


def test_an_edge_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            ask(taken.getsockname()[1])


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"nonsense\r\n"]
)
def test_an_edge_that_does_not_come_to_an_end_is_cut(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                while not stop.wait(0.02):
                    connection.sendall(said or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(AnswerUnknown):
                ask(listening.getsockname()[1], total_timeout=0.5)
            assert time.monotonic() - began < 3
        finally:
            stop.set()
            thread.join(5)


def test_an_accounts_own_edge_is_asked_in_the_name_of_the_urls_host_and_its_address_is_checked_too() -> None:
    with edge() as (port, handler):
        asked: list[str] = []

        def resolve(host: str, _port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        name = f"www.example.com:{port}"
        probe = EdgeProbe(EdgePolicy(loopback=(name,)), resolve=resolve)
        assert probe(f"http://{name}/head=403", edge="edge.cdn.example.net") == 403
        assert asked == ["edge.cdn.example.net"]
        with pytest.raises(ConfigurationError, match="not asked"):
            EdgeProbe(resolve=standing_for("10.0.0.1"))("http://www.example.com/x", edge="edge.cdn.example.net")
    ((_, _, headers),) = handler.got
    assert headers["host"] == name
