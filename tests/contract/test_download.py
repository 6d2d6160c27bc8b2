"""The file of an export comes from the vendor's storage, whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.errors import AnswerUnknown, DownloadExpired, DownloadRefused, EdgebanError, Unavailable
from chalicelib.domain.model import VendorAccount
from chalicelib.outbound.download import BLOCK, DownloadPolicy, ExportDownload
from chalicelib.outbound.pinned import Resolve
from chalicelib.outbound.target import read_target, refused_address
from chalicelib.ports import Download, ExportVendor
from chalicelib.vendors.alibaba.client import CALENDAR, DOWNLOAD_HOSTS, connect
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

ROOT = Path(__file__).parents[2]
DAY = CALENDAR.finished_days(datetime.now(UTC))[-1]
VENDOR = DOWNLOAD_HOSTS
GOOD = "bucket.oss-cn-hangzhou.aliyuncs.com"


def never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host}:{port} must not even be looked up")


def only_this_machine(host: str, port: int) -> list[str]:
    return ["127.0.0.1"] if host == "127.0.0.1" else never(host, port)


def standing_for(*addresses: str) -> Resolve:
    return lambda _host, _port: list(addresses)


def read_all(url: str, resolve: Resolve = never, **policy: Any) -> bytes:
    return b"".join(ExportDownload(DownloadPolicy(**({"hosts": VENDOR} | policy)), resolve=resolve)(url))


@contextlib.contextmanager
def simulator(**settings: Any) -> Iterator[AlibabaSimulator]:
    given: dict[str, Any] = {"calls_per_second": 0, "complete_after": 0}
    with AlibabaSimulator(Settings(**(given | settings))) as started:
        yield started


def export_url(server: AlibabaSimulator) -> str:
    keys = {"access_key": "testid", "secret_key": "testsecret"}
    client: ExportVendor = connect(VendorAccount("a", "alibaba", server.url, keys), clock=lambda: datetime.now(UTC))
    status = client.describe_export(client.create_export("t", CALENDAR.start_of(DAY)))
    assert status.complete
    return status.download_url


def fetch(server: AlibabaSimulator, url: str = "", **policy: Any) -> bytes:
    given: dict[str, Any] = {"hosts": VENDOR, "loopback": (server.host,)}
    download: Download = ExportDownload(DownloadPolicy(**(given | policy)))
    return b"".join(download(url or export_url(server)))


# --- what is fetched -------------------------------------------------------------------------------------


def test_the_bytes_are_those_that_are_served() -> None:
    with simulator(rows=2_000) as server:
        assert fetch(server) == server.file(DAY)
        headers = server.state.downloads[0]["headers"]
        assert headers["accept-encoding"] == "identity"
        assert headers["host"] == server.host


def test_a_chunked_file_is_read_to_its_end() -> None:
    with simulator(rows=2_000) as server:
        server.fault("chunked")
        assert fetch(server) == server.file(DAY)


def test_blocks_are_small_and_nothing_is_opened_before_the_first() -> None:
    ExportDownload(DownloadPolicy(), resolve=never)("http://169.254.169.254/")  # Nothing is opened.
    with simulator(rows=5_000) as server:
        url = export_url(server)
        sizes = [len(block) for block in ExportDownload(DownloadPolicy(loopback=(server.host,)))(url)]
        assert max(sizes) <= BLOCK
        assert len(sizes) > 1


# --- allowed places --------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "http://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/latest/meta-data/",
    "127.0.0.1/x.csv",
    "http://127.0.0.1:80/x.csv",
    "http://localhost/x.csv",
    "http://2130706433/x.csv",
    "http://0x7f.1/x.csv",
    "http://0177.0.0.1/x.csv",
    "http://[::1]/x.csv",
    "http://[::ffff:169.254.169.254]/x.csv",
    "https://evil.example/x.csv",
    "https://evil.example/bucket.aliyuncs.com/x.csv",
    "https://aliyuncs.com.evil.example/x.csv",
    "https://evilaliyuncs.com/x.csv",
    "https://aliyuncs.com/x.csv",
    "https://.aliyuncs.com/x.csv",
    f"https://{GOOD}@evil.example/x.csv",
    f"https://evil.example#@{GOOD}/x.csv",
    f"https://evil.example\\@{GOOD}/x.csv",
    f"https://evil.example\\.{GOOD}/x.csv",
    f"https://evil.example?.{GOOD}/x.csv",
    f"https://user:secret@{GOOD}/x.csv",
    f"https://{GOOD}:22/x.csv",
    f"https://{GOOD}:443:80/x.csv",
    f"http://{GOOD}:80/x.csv",
    f"https://{GOOD}./x.csv",
    f"https://{GOOD}%2eevil.example/x.csv",
    "https://evil.example%00.aliyuncs.com/x.csv",
    f"ftp://{GOOD}/x.csv",
    f"file://{GOOD}/etc/passwd",
    "file:///etc/passwd",
    f"gopher://{GOOD}/x",
    f"javascript://{GOOD}/%0aalert(1)",
    f"https:{GOOD}/x.csv",
    f"https:///{GOOD}/x.csv",
    f"//{GOOD}/x.csv",
    f"https://{GOOD}/x.csv\r\nHost: evil.example",
    f"https://{GOOD}/x.csv HTTP/1.1",
    f"https://{GOOD}/x\ty.csv",
    f"https://{GOOD}/x.csv#fragment",
    "https://bucket。aliyuncs.com/x.csv",
    "https://buc\u212aet.aliyuncs.com/x.csv",  # the Kelvin sign, whose lower case is a k
    "https://ⓑucket.aliyuncs.com/x.csv",
    f"https://{GOOD}/" + "x" * 5_000,
    "https://" + "a." * 130 + "aliyuncs.com/x.csv",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_download_url_is_refused_before_its_host_is_looked_up(url: str) -> None:
    with pytest.raises(DownloadRefused):
        read_all(url)


# URLs that a header can carry and that are not relative: a relative one stays on the host that redirects.
REDIRECTS = [url for url in HOSTILE if "://" in url and url.isascii() and "\r" not in url]


@pytest.fixture(scope="module")
def redirecting() -> Iterator[AlibabaSimulator]:
    with simulator(rows=1) as server:
        yield server


@pytest.mark.parametrize("location", REDIRECTS)
def test_a_redirect_to_a_hostile_url_is_refused(redirecting: AlibabaSimulator, location: str) -> None:
    url = export_url(redirecting)
    redirecting.fault("redirect", to=location)
    with pytest.raises(DownloadRefused):
        read_all(url, only_this_machine, loopback=(redirecting.host,))
    assert redirecting.state.downloads[-1]["status"] == 302


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2001:0:1::1",
        "2002:7f00:1::",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "2408:4000::1%eth0",
        "ff02::1",
        "4000::1",
        "nonsense",
    ],
)
def test_a_name_that_stands_for_a_private_address_is_refused_even_beside_a_public_one(address: str) -> None:
    with pytest.raises(DownloadRefused):
        read_all(f"{GOOD}/x.csv", standing_for("47.110.1.1", address))


@pytest.mark.parametrize("address", ["47.110.1.1", "8.8.8.8", "2408:4000::1"])
def test_public_addresses_are_not_refused(address: str) -> None:
    assert refused_address(address, loopback=False) == ""


def test_a_simulators_name_must_stand_for_this_machine() -> None:
    with pytest.raises(DownloadRefused, match="not on this machine"):
        read_all("http://sim.test:8081/x", standing_for("10.0.0.1"), loopback=("sim.test:8081",))


def test_the_address_that_was_checked_is_the_one_that_is_used() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with simulator() as server:
        path = export_url(server).partition("/")[2]
        port = server.host.rpartition(":")[2]
        # No name service knows this name: only the address from the one look-up can have been used.
        url = f"http://exports.invalid:{port}/{path}"
        got = read_all(url, lambda _host, _port: next(answers), loopback=(f"exports.invalid:{port}",))
        assert got == server.file(DAY)
        assert server.state.downloads[0]["headers"]["host"] == f"exports.invalid:{port}"
    assert list(answers) == [["169.254.169.254"]]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (f"{GOOD}/a/b.csv?Expires=1&Signature=a%2Fb", f"https://{GOOD}/a/b.csv?Expires=1&Signature=a%2Fb"),
        (f"https://{GOOD}/x", f"https://{GOOD}/x"),
        (f"https://{GOOD}:443/x", f"https://{GOOD}/x"),
        (f"HTTP://{GOOD.upper()}/X", f"https://{GOOD}/X"),  # Never in clear text.
        (f"{GOOD}?x=1", f"https://{GOOD}/?x=1"),
    ],
)
def test_a_url_of_the_vendors_storage_is_asked_over_https(url: str, asked: str) -> None:
    assert read_target(url, VENDOR, ()).url == asked


def test_hosts_that_are_allowed_can_be_configured() -> None:
    assert read_target("files.example.com/x", ("files.example.com",), ()).host == "files.example.com"
    with pytest.raises(DownloadRefused):
        read_target("www.files.example.com/x", ("files.example.com",), ())
    with pytest.raises(DownloadRefused):
        read_target(f"{GOOD}/x", ("files.example.com",), ())


def test_no_error_repeats_the_signature_in_a_url() -> None:
    with simulator() as server:
        url = export_url(server)
        secret = url.rpartition("Signature=")[2]
        for fault in ("expired", "truncated", "busy", "reset_download", "gzip", "no_length"):
            server.fault(fault)
            with pytest.raises(EdgebanError) as caught:
                fetch(server, url)
            assert secret not in str(caught.value)
            assert caught.value.__cause__ is None


# --- redirects -------------------------------------------------------------------------------------------


def test_redirects_inside_the_allow_list_are_followed_three_times_and_no_more() -> None:
    with simulator() as server:
        url = export_url(server)
        server.fault("redirect", to=f"http://{url}", hops=2)
        assert fetch(server, url) == server.file(DAY)
        server.fault("redirect", to=f"http://{url}", hops=3)
        with pytest.raises(DownloadRefused, match="more than 3 redirects"):
            fetch(server, url)


def test_a_redirect_to_a_host_that_stands_for_the_metadata_service_is_refused() -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "127.0.0.1" else ["100.100.100.200"]

    with simulator() as server:
        url = export_url(server)
        server.fault("redirect", to=f"https://{GOOD}/latest/meta-data/")
        with pytest.raises(DownloadRefused, match=r"100\.100\.100\.200"):
            read_all(url, resolve, loopback=(server.host,))


# --- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("truncated", AnswerUnknown),
        ("truncated_chunked", AnswerUnknown),
        ("no_length", AnswerUnknown),
        ("reset_download", AnswerUnknown),
        ("busy", Unavailable),
        ("expired", DownloadExpired),
        ("gzip", DownloadRefused),
    ],
)
def test_a_download_that_is_not_whole_says_whether_to_try_again(fault: str, error: type[Exception]) -> None:
    with simulator(rows=2_000) as server:
        url = export_url(server)
        server.fault(fault)
        with pytest.raises(error):
            fetch(server, url)
        assert fetch(server, url) == server.file(DAY)


def test_a_url_that_is_over_asks_for_a_new_one() -> None:
    with simulator(url_seconds=-1) as server, pytest.raises(DownloadExpired):
        fetch(server)


def test_a_file_above_the_limit_is_refused_before_it_is_read() -> None:
    with simulator(rows=2_000) as server, pytest.raises(DownloadRefused, match="the limit is 1000"):
        fetch(server, max_bytes=1_000)


def test_a_file_above_the_limit_that_does_not_say_so_is_refused_while_it_is_read() -> None:
    with simulator(rows=2_000) as server:
        server.fault("chunked")
        with pytest.raises(DownloadRefused, match="longer than the limit of 1000"):
            fetch(server, max_bytes=1_000)


@pytest.mark.parametrize("fault", ["slow", "slow_headers"])
def test_a_sender_that_drips_is_cut_at_the_deadline(fault: str) -> None:
    with simulator() as server:
        url = export_url(server)
        server.fault(fault, seconds=0.05)
        begun = time.monotonic()
        with pytest.raises(AnswerUnknown):
            fetch(server, url, total_timeout=0.6)
        assert time.monotonic() - begun < 3


def test_a_sender_that_falls_silent_is_given_up() -> None:
    with simulator() as server:
        url = export_url(server)
        server.fault("slow", seconds=3)
        with pytest.raises(AnswerUnknown, match="broke"):
            fetch(server, url, read_timeout=0.3)


def test_a_name_without_an_address_and_a_host_that_does_not_answer_are_for_later() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(Unavailable):
        read_all(f"{GOOD}/x.csv", nowhere)
    with pytest.raises(Unavailable):
        read_all(f"{GOOD}/x.csv", standing_for())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable):
            read_all(f"http://{host}/x", standing_for("127.0.0.1"), loopback=(host,))


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with simulator() as server:
        url = export_url(server)
        # Nothing listens on 127.0.0.2: the simulator is bound to 127.0.0.1.
        got = read_all(url, standing_for("127.0.0.2", "127.0.0.1"), loopback=(server.host,))
        assert got == server.file(DAY)


# --- TLS -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Make a certificate for the name exports.test alone, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=exports.test "
            f"-addext subjectAltName=DNS:exports.test -keyout {key} -out {cert}"
        ).split(),
        check=True,
        capture_output=True,
    )
    return cert, key


@contextlib.contextmanager
def tls_server(certificate: tuple[str, str]) -> Iterator[tuple[int, list[str | None]]]:
    """Answer one request with ``hello``; the list receives the name that the client asked for."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            raw, _ = listening.accept()
            with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], names
        thread.join(5)


def fetch_over_tls(name: str, port: int, cafile: str | None) -> bytes:
    policy = DownloadPolicy(loopback=(f"{name}:{port}",))
    download = ExportDownload(policy, resolve=standing_for("127.0.0.1"), cafile=cafile)
    return b"".join(download(f"https://{name}:{port}/x"))


def test_the_certificate_must_be_for_the_name_although_the_address_is_pinned(certificate: tuple[str, str]) -> None:
    with tls_server(certificate) as (port, names):
        assert fetch_over_tls("exports.test", port, certificate[0]) == b"hello"
        assert names == ["exports.test"]
    with tls_server(certificate) as (port, _), pytest.raises(Unavailable, match="certificate"):
        fetch_over_tls("other.test", port, certificate[0])


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(certificate: tuple[str, str]) -> None:
    with tls_server(certificate) as (port, _), pytest.raises(Unavailable, match="certificate"):
        fetch_over_tls("exports.test", port, None)


# --- memory ----------------------------------------------------------------------------------------------

MEASURE = """
import hashlib, json, pathlib, sys
from chalicelib.outbound.download import DownloadPolicy, ExportDownload
from chalicelib.vendors.alibaba.export_rows import read_rows

def peak():  # not ru_maxrss, which begins at what the parent had in memory
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

host, url, rows = sys.argv[1], sys.argv[2], sys.argv[3] == "rows"
download = ExportDownload(DownloadPolicy(loopback=(host,)))
before = peak()
size, digest = 0, hashlib.sha256()

def blocks():
    global size
    for block in download(url):
        size += len(block)
        digest.update(block)
        yield block

count = sum(1 for _ in (read_rows(blocks()) if rows else blocks()))
growth = peak() - before
print(json.dumps({"size": size, "digest": digest.hexdigest(), "growth_kb": growth, "count": count}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(("size", "what"), [(200_000_000, "bytes"), (20_000_000, "rows")])
def test_memory_stays_flat_whatever_the_size_of_the_file(size: int, what: str) -> None:
    import hashlib

    from dev.simulators.alibaba_files import file_blocks

    with simulator() as server:
        server.fault("bytes", bytes=size)
        url = export_url(server)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, server.host, url, what],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seen = json.loads(done.stdout)
        expected = hashlib.sha256()
        for block in file_blocks(DAY, server.state.day_shape()):
            expected.update(block)
    assert seen["digest"] == expected.hexdigest()
    assert abs(seen["size"] - size) < 100_000
    assert seen["growth_kb"] < 60_000
