"""Callbacks go once, over TLS, to the public address that was checked, and do not wait for ever."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, Unavailable
from chalicelib.outbound.callback import CallbackPolicy, CallbackPost
from chalicelib.outbound.pinned import Resolve


def standing_for(*addresses: str) -> Resolve:
    return lambda _host, _port: list(addresses)


def never(host: str, port: int) -> list[str]:
    pytest.fail(f"{host} was looked up")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path. ``got`` holds the requests."""

    got: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(int(self.path.strip("/") or 204))
        self.send_header("Location", "/204")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


@contextlib.contextmanager
def receiving(certificate: tuple[str, str] | None = None) -> Iterator[tuple[int, type[Receiver]]]:
    handler = type("One", (Receiver,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, handler
        finally:
            server.shutdown()
            thread.join(5)


def post_to(port: int, path: str = "/204", **policy: Any) -> int:
    host = f"127.0.0.1:{port}"
    post = CallbackPost(CallbackPolicy(loopback=(host,), **policy), resolve=standing_for("127.0.0.1"))
    return post(f"http://{host}{path}", headers={"webhook-id": "outcome-r-1", "Content-Type": "text/x"}, body=b"{}")


def test_body_and_headers_arrive_and_the_status_comes_back() -> None:
    with receiving() as (port, receiver):
        assert post_to(port) == 204
        assert post_to(port, "/503") == 503
    path, headers, body = receiver.got[0]
    assert (path, body) == ("/204", b"{}")
    assert headers["webhook-id"] == "outcome-r-1"
    assert headers["content-type"] == "text/x"
    assert headers["host"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as (port, receiver):
        assert post_to(port, f"/{status}") == status
    assert len(receiver.got) == 1


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
def test_a_name_that_stands_for_an_address_inside_is_not_called_even_beside_a_public_one(address: str) -> None:
    post = CallbackPost(resolve=standing_for("93.184.216.34", address))
    with pytest.raises(ConfigurationError, match=r"cannot be used: hooks\.example\.org has the address"):
        post("https://hooks.example.org/x", headers={}, body=b"")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://hooks.example.org:8443/x",
        "https://user:word@hooks.example.org/x",
        "ftp://hooks.example.org/x",
        "https://[hooks/x",
        "https://2130706433/x",
        "",
        "https://hooks.example.org\\@10.0.0.1/x",
    ],
)
def test_a_url_that_names_no_public_host_is_refused_before_it_is_looked_up(url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        CallbackPost(resolve=never)(url, headers={}, body=b"")


def test_the_name_is_looked_up_once_so_that_what_is_checked_is_what_is_called() -> None:
    asked: list[str] = []

    def changing(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with receiving() as (port, receiver):
        name = f"hooks.example.org:{port}"
        post = CallbackPost(CallbackPolicy(loopback=(name,)), resolve=changing)
        assert post(f"http://{name}/204", headers={}, body=b"") == 204
    assert len(asked) == len(receiver.got) == 1


def test_a_receiver_that_is_not_there_has_seen_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            post_to(taken.getsockname()[1])


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_a_receiver_that_does_not_come_to_an_end_is_cut(drip: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                while drip:
                    connection.sendall(drip)
                    drip_pause.wait(0.02)
                connection.settimeout(5)
                while connection.recv(65_536):
                    pass

        drip_pause = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        with pytest.raises(AnswerUnknown):
            post_to(listening.getsockname()[1], total_timeout=0.5)
        assert time.monotonic() - began < 3
        thread.join(5)


# --- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Make a certificate for the name hooks.test alone, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=hooks.test "
        f"-addext subjectAltName=DNS:hooks.test -keyout {key} -out {cert}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return cert, key


def call_over_tls(name: str, port: int, cafile: str | None) -> int:
    policy = CallbackPolicy(loopback=(f"{name}:{port}",))
    post = CallbackPost(policy, resolve=standing_for("127.0.0.1"), cafile=cafile)
    return post(f"https://{name}:{port}/204", headers={}, body=b"{}")


def test_the_receiver_must_prove_its_name(certificate: tuple[str, str]) -> None:
    with receiving(certificate) as (port, receiver):
        assert call_over_tls("hooks.test", port, certificate[0]) == 204
        with pytest.raises(Unavailable, match="certificate"):
            call_over_tls("other.test", port, certificate[0])
        with pytest.raises(Unavailable, match="certificate"):
            call_over_tls("hooks.test", port, None)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(("addresses", "connect_timeout"), [(1, 30.0), (40, 0.2)])
def test_a_receiver_that_never_ends_its_handshake_is_cut_however_many_addresses_it_has(
    addresses: int, connect_timeout: float
) -> None:
    pause = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x3f\xff")  # A record of 16 KB begins, and never ends.
                while True:
                    connection.sendall(b"\x02")
                    pause.wait(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        policy = CallbackPolicy(connect_timeout=connect_timeout, total_timeout=0.5, loopback=(f"hooks.test:{port}",))
        began = time.monotonic()
        with pytest.raises(Unavailable):
            CallbackPost(policy, resolve=standing_for(*["127.0.0.1"] * addresses))(
                f"https://hooks.test:{port}/", headers={}, body=b""
            )
        assert time.monotonic() - began < 3
        thread.join(5)
