"""Every way in which a call to Workers KV can fail, the error that our client raises, and whether it was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    Unavailable,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action, VendorAccount
from chalicelib.vendors.http import VendorHttp
from chalicelib.vendors.workerskv.client import WorkersKv, connect
from dev.simulators.workerskv import WorkersKvSimulator

URL = "https://www.example.com/1.txt"


def client(simulator: WorkersKvSimulator, http: VendorHttp, **changes: str) -> WorkersKv:
    account = VendorAccount("main", "workerskv", simulator.url, {**simulator.credentials, **changes})
    return connect(account, clock=lambda: datetime.fromtimestamp(simulator.now(), UTC), http=http)


@pytest.fixture
def http() -> Iterator[VendorHttp]:
    http = VendorHttp(connect_timeout=2, read_timeout=2)
    yield http
    http.close()


@pytest.fixture
def simulator() -> Iterator[WorkersKvSimulator]:
    with WorkersKvSimulator(rates=False) as simulator:
        yield simulator


@pytest.fixture
def kv(simulator: WorkersKvSimulator, http: VendorHttp) -> WorkersKv:
    return client(simulator, http)


CALLS: dict[str, Callable[[WorkersKv], object]] = {
    "write": lambda kv: kv.create_task(Action.BAN, [URL], 7),
    "delete": lambda kv: kv.create_task(Action.UNBAN, [URL], 7),
    "list": lambda kv: list(kv.banned()),
    "read": lambda kv: list(kv.banned(URL)),
}
TRANSPORT: list[tuple[dict[str, Any], type[VendorError], bool]] = [
    # Fault, error, and whether the call was done.
    ({"kind": "error", "status": 500}, AnswerUnknown, False),
    ({"kind": "error", "status": 503, "code": 10013}, AnswerUnknown, False),
    ({"kind": "error_after"}, AnswerUnknown, True),
    ({"kind": "slow_after", "seconds": 2.4}, AnswerUnknown, True),
    ({"kind": "reset_before"}, AnswerUnknown, False),
    ({"kind": "reset_after"}, AnswerUnknown, True),
    ({"kind": "truncate"}, AnswerUnknown, True),
    ({"kind": "body", "message": '{"success": true, "result": []}'}, AnswerUnknown, True),
    ({"kind": "body", "message": '{"success": true, "result": {"unsuccessful_keys": 7}}'}, AnswerUnknown, True),
    ({"kind": "body", "message": '{"success": false, "errors": [7]}'}, AnswerUnknown, True),
    ({"kind": "body", "message": "[" * 100_000}, AnswerUnknown, True),
    ({"kind": "html", "status": 200}, AnswerUnknown, False),
    ({"kind": "html", "status": 302}, AnswerUnknown, False),
    ({"kind": "html", "status": 408}, AnswerUnknown, False),
    ({"kind": "html", "status": 502}, AnswerUnknown, False),
    ({"kind": "html", "status": 400}, AccessRefused, False),
    ({"kind": "html", "status": 404}, AccessRefused, False),
    ({"kind": "html", "status": 413}, ContentRefused, False),
    ({"kind": "html", "status": 429}, Throttled, False),
]


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("case", TRANSPORT, ids=lambda case: str(case[0])[:60])
def test_a_fault_becomes_the_error_that_says_what_may_have_happened(
    simulator: WorkersKvSimulator, kv: WorkersKv, endpoint: str, case: tuple[dict[str, Any], type[VendorError], bool]
) -> None:
    fault, error, done = case
    if endpoint == "delete":
        CALLS["write"](kv)
    simulator.add_faults({"match": endpoint, **fault})

    with pytest.raises(VendorError) as caught:
        CALLS[endpoint](kv)

    assert type(caught.value) is error
    if endpoint in ("write", "delete"):
        assert (URL in simulator.banned()) is (done == (endpoint == "write"))
    CALLS[endpoint](kv)  # After the fault, the same call does no harm.
    if endpoint in ("write", "delete"):
        assert (URL in simulator.banned()) is (endpoint == "write")


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (429, 971, Throttled),
        (429, 0, Throttled),
        (429, 10048, QuotaExceeded),
        (400, 6003, AccessRefused),
        (400, 7000, AccessRefused),
        (400, 7003, AccessRefused),
        (403, 9109, AccessRefused),
        (401, 10000, AccessRefused),
        (403, 10000, AccessRefused),
        (400, 10011, AccessRefused),
        (404, 10013, AccessRefused),
        (403, 10017, AccessRefused),
        (404, 10018, AccessRefused),
        (403, 10026, AccessRefused),
        (400, 10022, ContentRefused),
        (400, 10024, ContentRefused),
        (400, 10029, ContentRefused),
        (400, 10030, ContentRefused),
        (400, 19999, UnknownRefusal),
        (401, 19999, AccessRefused),
        (403, 19999, AccessRefused),
        (405, 19999, AccessRefused),
    ],
)
def test_a_code_decides_what_happens_next(
    simulator: WorkersKvSimulator, kv: WorkersKv, endpoint: str, status: int, code: int, error: type[VendorError]
) -> None:
    simulator.add_faults({"match": endpoint, "kind": "error", "status": status, "code": code})

    with pytest.raises(VendorError) as caught:
        CALLS[endpoint](kv)

    assert type(caught.value) is error
    assert caught.value.code == (str(code) if code else "")
    assert len(caught.value.request_id) == 16
    assert simulator.banned() == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"api_token": "y" * 45}, "10000"), ({"account_id": "0" * 32}, "10000"), ({"namespace_id": "0" * 32}, "10013")],
)
def test_wrong_credentials_are_refused_access(
    simulator: WorkersKvSimulator, http: VendorHttp, changes: dict[str, str], code: str
) -> None:
    for call in CALLS.values():
        with pytest.raises(AccessRefused) as caught:
            call(client(simulator, http, **changes))
        assert caught.value.code == code


@pytest.mark.parametrize(("sent", "waits"), [("17", 17.0), ("", 5.0), ("soon", 5.0), ("-1", 5.0), ("999999", 3600.0)])
def test_a_throttled_call_says_how_long_to_wait(
    simulator: WorkersKvSimulator, kv: WorkersKv, sent: str, waits: float
) -> None:
    simulator.add_faults({"match": "write", "kind": "error", "status": 429, "code": 971, "retry_after": sent})
    with pytest.raises(Throttled) as caught:
        CALLS["write"](kv)
    assert caught.value.retry_after == waits


def test_a_date_to_wait_for_is_read_too(simulator: WorkersKvSimulator, kv: WorkersKv) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    simulator.add_faults({"match": "write", "kind": "error", "status": 429, "code": 971, "retry_after": until})
    with pytest.raises(Throttled) as caught:
        CALLS["write"](kv)
    assert 590 <= caught.value.retry_after <= 601


def test_a_call_beyond_1200_in_five_minutes_blocks_the_user_for_five_minutes(http: VendorHttp) -> None:
    started = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    with WorkersKvSimulator(clock=lambda: started) as simulator:
        kv = client(simulator, http)
        for _ in range(1_200):
            list(kv.banned(URL))
        with pytest.raises(Throttled) as caught:
            CALLS["read"](kv)
        assert caught.value.retry_after == 301.0
        simulator.advance(299)
        with pytest.raises(Throttled):
            CALLS["read"](kv)
        simulator.advance(2)
        CALLS["read"](kv)


def test_the_rates_of_the_limits_stay_below_the_users() -> None:
    limits = WorkersKv.limits
    assert (limits.creates_per_second + limits.lists_per_second) * 300 < 1_200


def test_a_key_is_written_once_a_second(http: VendorHttp) -> None:
    started = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    with WorkersKvSimulator(clock=lambda: started) as simulator:
        kv = client(simulator, http)
        CALLS["write"](kv)
        with pytest.raises(Throttled):
            CALLS["delete"](kv)
        assert URL in simulator.banned()
        simulator.advance(1)
        CALLS["delete"](kv)
        assert simulator.banned() == {}


def test_the_free_plan_ends_at_a_thousand_writes_of_a_day(http: VendorHttp) -> None:
    started = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    with WorkersKvSimulator(rates=False, free_plan=True, clock=lambda: started) as simulator:
        kv = client(simulator, http)
        kv.create_task(Action.BAN, [f"{URL}?{n}" for n in range(1_000)], 7)
        with pytest.raises(QuotaExceeded):
            CALLS["write"](kv)
        simulator.advance(timedelta(days=1).total_seconds())
        CALLS["write"](kv)


def test_a_vendor_that_is_not_there_has_seen_nothing(http: VendorHttp) -> None:
    simulator = WorkersKvSimulator()
    kv = client(simulator, http)
    simulator.start()
    simulator.stop()
    with pytest.raises(Unavailable):
        CALLS["write"](kv)


def test_a_token_is_never_shown(simulator: WorkersKvSimulator, kv: WorkersKv, http: VendorHttp) -> None:
    token = simulator.credentials["api_token"]
    simulator.add_faults({"match": "write", "kind": "error", "status": 400, "code": 6003, "message": f"bad {token}\n!"})
    with pytest.raises(AccessRefused) as caught:
        CALLS["write"](kv)
    assert str(caught.value) == "Cloudflare: HTTP 400 6003: bad (…) !"
    assert token not in repr(VendorAccount("main", "workerskv", simulator.url, simulator.credentials))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"api_token": ""}, "lack api_token"),
        ({"api_token": "", "account_id": "", "namespace_id": ""}, "lack api_token and account_id and namespace_id"),
        ({"api_token": "a b"}, "api_token holds a space"),
        ({"api_token": "a\r\nX-Auth-Key: b"}, "api_token holds a space"),
        ({"account_id": "../../../zones"}, "account_id is not 32 hexadecimal digits"),
        ({"namespace_id": "BANNED"}, "namespace_id is not 32 hexadecimal digits"),
    ],
)
def test_wrong_fields_are_named_and_never_shown(
    simulator: WorkersKvSimulator, http: VendorHttp, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(simulator, http, **changes)
    assert problem in str(caught.value)
    assert not any(value and value in str(caught.value) for value in changes.values())


def test_the_endpoint_is_https(http: VendorHttp, simulator: WorkersKvSimulator) -> None:
    account = VendorAccount("main", "workerskv", "http://api.cloudflare.example/client/v4", simulator.credentials)
    with pytest.raises(ConfigurationError, match="https"):
        connect(account, clock=lambda: datetime.now(UTC), http=http)
