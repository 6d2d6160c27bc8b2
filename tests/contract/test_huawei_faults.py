"""Every way in which a call can fail, the error that our client raises, and whether the vendor acted."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    HostNotReady,
    NotBanned,
    PermissionRefused,
    QuotaExceeded,
    Throttled,
    Unavailable,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action, Sent, VendorAccount
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.huawei.client import HuaweiCdn, connect
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.huawei_gate import Identity

URL = "https://www.example.com/1.txt"
SECRET = "SecretThatIsNeverShown000000000000000001"


def now() -> datetime:
    return datetime.now(UTC)


def client(simulator: HuaweiSimulator, http: VendorHttp, **changes: str) -> HuaweiCdn:
    credentials = {**simulator.credentials, **changes}
    return connect(VendorAccount("main", "huawei", simulator.url, credentials), clock=now, http=http)


@pytest.fixture
def simulator() -> Iterator[HuaweiSimulator]:
    with HuaweiSimulator(rates=False) as simulator:
        yield simulator


@pytest.fixture
def http() -> Iterator[VendorHttp]:
    http = VendorHttp(connect_timeout=2, read_timeout=2)
    yield http
    http.close()


@pytest.fixture
def cdn(simulator: HuaweiSimulator, http: VendorHttp) -> HuaweiCdn:
    return client(simulator, http)


def create(cdn: HuaweiCdn, *urls: str) -> str:
    return cdn.create_task(Action.BAN, urls or [URL], 7)


def list_tasks(cdn: HuaweiCdn) -> object:
    return list(cdn.follow([Sent("", now() - timedelta(days=1), now() + timedelta(minutes=1))]))


def list_banned(cdn: HuaweiCdn) -> object:
    return list(cdn.banned())


CALLS: dict[str, Callable[[HuaweiCdn], object]] = {
    "create": create,
    "list_tasks": list_tasks,
    "list_banned": list_banned,
}
TRANSPORT: list[tuple[dict[str, Any], type[VendorError], int]] = [
    # Fault, error, and the tasks that exist afterwards if the call was a create.
    ({"kind": "429"}, Throttled, 0),
    ({"kind": "500"}, AnswerUnknown, 0),
    ({"kind": "500_after_effect"}, AnswerUnknown, 1),
    ({"kind": "slow", "seconds": 2.4}, AnswerUnknown, 1),
    ({"kind": "slow_after", "seconds": 2.4}, AnswerUnknown, 1),
    ({"kind": "reset_before"}, AnswerUnknown, 0),
    ({"kind": "reset_after"}, AnswerUnknown, 1),
    ({"kind": "truncate"}, AnswerUnknown, 1),
    ({"kind": "html"}, AnswerUnknown, 0),
    ({"kind": "html", "status": 502}, AnswerUnknown, 0),
    ({"kind": "html", "status": 302}, AnswerUnknown, 0),
    ({"kind": "html", "status": 408}, AnswerUnknown, 0),
    ({"kind": "html", "status": 404}, AccessRefused, 0),
    ({"kind": "html", "status": 413}, ContentRefused, 0),
    ({"kind": "html", "status": 429}, Throttled, 0),
]


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("case", TRANSPORT, ids=str)
def test_a_fault_becomes_the_error_that_says_what_may_have_happened(
    simulator: HuaweiSimulator, cdn: HuaweiCdn, endpoint: str, case: tuple[dict[str, Any], type[VendorError], int]
) -> None:
    fault, error, tasks = case
    simulator.add_faults({"match": endpoint, **fault})

    with pytest.raises(VendorError) as caught:
        CALLS[endpoint](cdn)

    assert type(caught.value) is error
    if fault["kind"] == "slow":
        wait_for(lambda: len(simulator.calls()) == 1 and simulator.calls()[0]["status"] == 200)
    assert len(simulator.tasks()) == (tasks if endpoint == "create" else 0)
    CALLS[endpoint](cdn)  # After the fault, its effects on the connection are over too.


def wait_for(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(200):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("it did not happen within 4 seconds")


@pytest.mark.parametrize("call", [(name, status) for name in CALLS for status in (200, 400)])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("CDN.0000", AnswerUnknown),
        ("CDN.0001", ContentRefused),
        ("CDN.0002", AccessRefused),
        ("CDN.0003", NotBanned),
        ("CDN.0004", PermissionRefused),
        ("CDN.0005", QuotaExceeded),
        ("CDN.0020", PermissionRefused),
        ("CDN.0021", PermissionRefused),
        ("CDN.0105", ContentRefused),
        ("CDN.0106", HostNotReady),
        ("CDN.0108", ContentRefused),
        ("CDN.0110", ContentRefused),
        ("CDN.0114", AccessRefused),
        ("CDN.0115", ContentRefused),
        ("CDN.0116", HostNotReady),
        ("CDN.0127", ContentRefused),
        ("CDN.0145", HostNotReady),
        ("CDN.9999", UnknownRefusal),
        ("APIGW.0301", AccessRefused),
        ("APIG.0301", AccessRefused),
        ("APIGW.0302", AccessRefused),
        ("APIGW.0303", AccessRefused),
        ("APIGW.0306", AccessRefused),
        ("APIG.0307", AccessRefused),
        ("APIGW.0308", Throttled),
        ("APIG.0308", Throttled),
    ],
)
def test_the_code_decides_under_any_status_and_in_both_shapes(
    simulator: HuaweiSimulator, cdn: HuaweiCdn, call: tuple[str, int], code: str, error: type[VendorError]
) -> None:
    endpoint, status = call
    simulator.add_faults({"match": endpoint, "kind": "error", "status": status, "code": code, "message": "so be it"})

    with pytest.raises(VendorError) as caught:
        CALLS[endpoint](cdn)

    assert type(caught.value) is error
    assert caught.value.code == code.replace("APIG.", "APIGW.")
    assert "so be it" in str(caught.value)
    assert simulator.tasks() == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "", AccessRefused),
        (400, "APIGW.0101", AccessRefused),
        (404, "APIGW.0101", AccessRefused),
        (403, "CDN.9999", AccessRefused),
        (401, "CDN.0002", AccessRefused),
        (200, "STRANGE.1", AnswerUnknown),
        (200, "", AnswerUnknown),
        (500, "CDN.0108", AnswerUnknown),
        (503, "APIGW.0308", Throttled),
        (429, "", Throttled),
        (413, "", ContentRefused),
    ],
)
def test_where_the_code_says_nothing_the_status_decides(
    simulator: HuaweiSimulator, cdn: HuaweiCdn, status: int, code: str, error: type[VendorError]
) -> None:
    simulator.add_faults({"match": "create", "kind": "error", "status": status, "code": code})

    with pytest.raises(VendorError) as caught:
        create(cdn)

    assert type(caught.value) is error


def test_a_refusal_of_the_gateway_names_the_request(simulator: HuaweiSimulator, cdn: HuaweiCdn) -> None:
    simulator.add_faults({"match": "create", "kind": "429"})

    with pytest.raises(Throttled) as caught:
        create(cdn)

    assert len(caught.value.request_id) == 32
    assert 2 <= caught.value.retry_after <= 5


# --- answers that no simulator gives -----------------------------------------------------------------------


class RawServer:
    """Answers each connection with the same bytes, whatever was asked."""

    def __init__(self, answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._answer = answer
        self.connections = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not connection.recv(65536):
                    return
                self.connections += 1
                connection.sendall(self._answer)

    def stop(self) -> None:
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()


def answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], RawServer]]:
    servers: list[RawServer] = []

    def start(answer: bytes) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def raw_client(server: RawServer, http: VendorHttp) -> HuaweiCdn:
    credentials = {"access_key": "AK", "secret_key": SECRET}
    return connect(VendorAccount("main", "huawei", server.url, credentials), clock=now, http=http)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", AnswerUnknown),
        (b"{}", AnswerUnknown),
        (b"[]", AnswerUnknown),
        (b'"id"', AnswerUnknown),
        (b'{"task_id":""}', AnswerUnknown),
        (b'{"task_id":17}', AnswerUnknown),
        (b'{"task_id":"one"', AnswerUnknown),
        (b"\xff\xfe", AnswerUnknown),
        (b"[" * 100_000, AnswerUnknown),
        (b'{"task_id":"one","error":{"error_code":"CDN.0108"}}', AnswerUnknown),
        (b'{"error":{"error_code":"CDN.0108"}}', ContentRefused),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_create_without_a_task_id_never_succeeds(
    raw: Callable[[bytes], RawServer], http: VendorHttp, body: bytes, error: type[VendorError]
) -> None:
    with pytest.raises(VendorError) as caught:
        create(raw_client(raw(answer(200, body)), http))

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"total":1}',
        b'{"total":"1","access_control_tasks":[],"ban_urls":[]}',
        b'{"total":1,"access_control_tasks":[7],"ban_urls":[7]}',
        b'{"total":1,"access_control_tasks":[{"create_time":1}],"ban_urls":[{"uri":"x"}]}',
        b'{"total":1,"access_control_tasks":[{"id":"","create_time":1}],"ban_urls":[{"url":"","create_time":1}]}',
        b'{"total":1,"access_control_tasks":[{"id":["1"],"create_time":1}],"ban_urls":[{"url":["x"]}]}',
        b'{"total":1,"access_control_tasks":[{"id":"1","create_time":1,"urls":[7]}],"ban_urls":[{"url":""}]}',
        b'{"total":2,"access_control_tasks":[],"ban_urls":[]}',
        b'{"total":"1x","access_control_tasks":[],"ban_urls":[]}',
        b'{"total":1,"access_control_tasks":null,"ban_urls":null}',
        b'{"total":1,"access_control_tasks":{},"ban_urls":["x"]}',
    ],
)
@pytest.mark.parametrize("call", [list_tasks, list_banned])
def test_a_list_that_is_not_as_documented_is_no_list(
    raw: Callable[[bytes], RawServer], http: VendorHttp, body: bytes, call: Callable[[HuaweiCdn], object]
) -> None:
    with pytest.raises(AnswerUnknown):
        call(raw_client(raw(answer(200, body)), http))


@pytest.mark.parametrize("time", [b"null", b"1e30", b"9999999999999999", b'"soon"'])
def test_a_time_that_cannot_be_read_costs_no_other_row(
    raw: Callable[[bytes], RawServer], http: VendorHttp, time: bytes
) -> None:
    rows = (
        b'{"id":"of others","urls":["x"],"create_time":' + time + b"},"
        b'{"id":"ours","status":"succeed","urls":["y"],"create_time":"1768377600123"}'
    )
    body = b'{"total":"2","access_control_tasks":[' + rows + b"]}"
    sent = Sent("ours", now(), now())
    ((of_others, ours),) = raw_client(raw(answer(200, body)), http).follow([sent])

    assert ours.created_at == datetime(2026, 1, 14, 8, 0, 0, 123_000, tzinfo=UTC)
    assert of_others.created_at.year == 1970, "no task of ours was made then, so nothing is counted from it"


def test_words_that_are_not_known_leave_state_and_action_open(
    raw: Callable[[bytes], RawServer], http: VendorHttp
) -> None:
    body = (
        b'{"total":2,"access_control_tasks":['
        b'{"id":"1","status":"paused","action":"purge","urls":["x"],"create_time":1768377600123,"new":1},'
        b'{"id":"2","status":["x"],"action":null,"create_time":1768377600123}]}'
    )

    (page,) = raw_client(raw(answer(200, body)), http).follow([Sent("1", now() - timedelta(days=1), now())])

    assert [(task.state, task.action) for task in page] == [(None, None), (None, None)]
    assert [task.urls for task in page] == [("x",), ()]
    assert page[0].created_at == datetime(2026, 1, 14, 8, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("2.5", 2.5), ("-1", 2.0), ("nan", 2.0), ("soon", 2.0), ("999999", 3600.0)],
)
def test_a_retry_after_holds_within_reason(
    raw: Callable[[bytes], RawServer], http: VendorHttp, header: str, seconds: float
) -> None:
    with pytest.raises(Throttled) as caught:
        create(raw_client(raw(answer(429, b"", f"Retry-After: {header}")), http))

    assert caught.value.retry_after == seconds


def test_nothing_that_the_vendor_quotes_back_can_hold_a_signature(
    raw: Callable[[bytes], RawServer], http: VendorHttp
) -> None:
    quoted = f"verify fail\\u001b[31m, Signature={'ab' * 32}, key {SECRET}"
    body = f'{{"error_code":"APIGW.0301","error_msg":"{quoted}"}}'.encode()

    with pytest.raises(AccessRefused) as caught:
        create(raw_client(raw(answer(401, body)), http))

    assert "verify fail" in str(caught.value)
    assert "abab" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\x1b" not in str(caught.value)


# --- connections -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{port}", "https://no-such-host.invalid"])
def test_without_a_connection_nothing_happened(http: VendorHttp, endpoint: str) -> None:
    account = VendorAccount(
        "main", "huawei", endpoint.format(port=free_port()), {"access_key": "AK", "secret_key": SECRET}
    )

    with pytest.raises(Unavailable) as caught:
        list(connect(account, clock=now, http=http).banned(URL))

    shown = "".join(traceback.format_exception(caught.value))
    assert "Signature" not in shown
    assert "example.com" not in shown
    assert SECRET not in shown


def test_an_outage_leaves_open_what_happened(simulator: HuaweiSimulator, cdn: HuaweiCdn) -> None:
    for kind in ("503", "reset"):
        simulator.outage(on=True, kind=kind)
        with pytest.raises(AnswerUnknown):
            create(cdn)
    simulator.outage(on=False)

    assert create(cdn) == simulator.tasks()[0]["id"]


def test_a_kept_alive_connection_that_the_vendor_closed_is_replaced(http: VendorHttp) -> None:
    with HuaweiSimulator() as first:
        cdn = client(first, http)
        create(cdn)
        port = int(first.url.rpartition(":")[2])
    with HuaweiSimulator(port=port) as second:
        assert create(cdn) == second.tasks()[0]["id"]


def test_a_redirect_is_not_followed_with_our_signature(raw: Callable[[bytes], RawServer], http: VendorHttp) -> None:
    elsewhere = raw(answer(200, b'{"task_id":"stolen"}'))

    with pytest.raises(AnswerUnknown):
        create(raw_client(raw(answer(307, b"", f"Location: {elsewhere.url}/")), http))

    assert elsewhere.connections == 0


def test_a_broken_tls_handshake_leaves_open_what_happened(raw: Callable[[bytes], RawServer], http: VendorHttp) -> None:
    plain = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(AnswerUnknown):
        http.request("GET", plain.url.replace("http:", "https:"))


def test_an_answer_without_end_is_cut_off(raw: Callable[[bytes], RawServer]) -> None:
    http = VendorHttp(max_bytes=1000)
    with pytest.raises(AnswerUnknown, match="longer than 1000 bytes"):
        create(raw_client(raw(answer(200, b" " * 2000)), http))
    http.close()


# --- credentials -----------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_and_tried_once(simulator: HuaweiSimulator, http: VendorHttp) -> None:
    with pytest.raises(AccessRefused) as caught:
        create(client(simulator, http, secret_key=SECRET))

    assert caught.value.code == "APIGW.0301"
    assert SECRET not in str(caught.value)
    assert len(simulator.calls()) == 1


def test_a_token_that_ends_early_is_renewed_within_the_call(simulator: HuaweiSimulator, http: VendorHttp) -> None:
    account = VendorAccount("main", "huawei", simulator.url, simulator.token_credentials)
    cdn = connect(account, clock=now, http=http)
    create(cdn)
    simulator.add_faults({"match": "create", "kind": "error", "status": 401, "code": "APIGW.0307"})

    create(cdn)

    assert [call["endpoint"] for call in simulator.calls()] == ["token", "create", "create", "token", "create"]
    assert len(simulator.tasks()) == 2


def test_a_token_is_renewed_once_and_not_more(simulator: HuaweiSimulator, http: VendorHttp) -> None:
    account = VendorAccount("main", "huawei", simulator.url, simulator.token_credentials)
    cdn = connect(account, clock=now, http=http)
    simulator.add_faults({"match": "create", "kind": "error", "status": 401, "code": "APIGW.0307", "times": 5})

    with pytest.raises(AccessRefused):
        create(cdn)

    assert [call["endpoint"] for call in simulator.calls()] == ["token", "create", "token", "create"]


def test_a_lost_answer_to_a_token_request_means_that_nothing_was_banned(
    simulator: HuaweiSimulator, http: VendorHttp
) -> None:
    account = VendorAccount("main", "huawei", simulator.url, simulator.token_credentials)
    cdn = connect(account, clock=now, http=http)
    simulator.add_faults({"match": "token", "kind": "reset_after"})

    with pytest.raises(Unavailable):
        create(cdn)

    assert simulator.tasks() == []


def test_a_wrong_password_is_refused(simulator: HuaweiSimulator, http: VendorHttp) -> None:
    credentials = simulator.token_credentials | {"password": SECRET}
    cdn = connect(VendorAccount("main", "huawei", simulator.url, credentials), clock=now, http=http)

    with pytest.raises(AccessRefused) as caught:
        create(cdn)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_temporary_key_is_checked_with_its_token(http: VendorHttp) -> None:
    identity = Identity(security_token="temporary", domain_id="d0")
    with HuaweiSimulator(identity=identity) as simulator:
        assert create(client(simulator, http)) == simulator.tasks()[0]["id"]
        with pytest.raises(AccessRefused):
            create(client(simulator, http, security_token="another"))
        with pytest.raises(AccessRefused):
            create(client(simulator, http, domain_id="d1"))


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ({}, ["access_key and secret_key", "user, password and domain"]),
        ({"access_key": "AK"}, ["lack secret_key"]),
        ({"secret_key": SECRET}, ["lack access_key"]),
        ({"access_key": "AK", "secret_key": ""}, ["lack secret_key"]),
        ({"user": "robot", "password": SECRET}, ["lack domain"]),
        ({"domain": "acme"}, ["lack user and password"]),
        ({"access_key": "AK", "secret_key": SECRET + "\n"}, ["secret_key holds"]),
        ({"access_key": "AK", "secret_key": SECRET, "security_token": "é" + SECRET}, ["security_token holds"]),
        (
            {"user": "u", "password": SECRET, "domain": "d", "iam_endpoint": "http://iam.myhuaweicloud.com"},
            ["must use https"],
        ),
    ],
)
def test_credentials_that_cannot_work_are_named_without_their_values(
    credentials: dict[str, str], named: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(VendorAccount("main", "huawei", "", credentials), clock=now)

    assert all(words in str(caught.value) for words in named)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://cdn.myhuaweicloud.com",
        "http://127.0.0.1.example.com",
        "ftp://cdn.myhuaweicloud.com",
        "cdn.myhuaweicloud.com",
        "https://user:word@cdn.myhuaweicloud.com",
        "https://",
        "https://[::1",
        "https://host:port",
    ],
)
def test_an_endpoint_must_be_https(endpoint: str) -> None:
    account = VendorAccount("main", "huawei", endpoint, {"access_key": "AK", "secret_key": SECRET})

    with pytest.raises(ConfigurationError) as caught:
        connect(account, clock=now)

    assert "word" not in str(caught.value).replace("password", "")


def test_a_body_too_long_to_be_signed_is_refused_here_to_be_split(simulator: HuaweiSimulator, cdn: HuaweiCdn) -> None:
    with pytest.raises(ContentRefused):
        create(cdn, *(URL + "x" * 13_000 for _ in range(1000)))

    assert simulator.calls() == []
