"""Our client turns everything that can go wrong between it and the vendor into the right error."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from requests.auth import AuthBase

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
from chalicelib.domain.model import VendorAccount
from chalicelib.vendors.alibaba.client import CALENDAR, AlibabaExports, connect
from chalicelib.vendors.http import VendorHttp, VendorResponse
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

KEYS = {"access_key": "testid", "secret_key": "testsecret"}


def now() -> datetime:
    return datetime.now(UTC)


def yesterday() -> datetime:
    return CALENDAR.start_of(CALENDAR.finished_days(now())[-1])


def client_of(url: str, http: VendorHttp | None = None, **credentials: str) -> AlibabaExports:
    return connect(VendorAccount("alibaba-main", "alibaba", url, KEYS | credentials), clock=now, http=http)


class Scripted(VendorHttp):
    """An HTTP client that gets the same answer to every request."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.answer = VendorResponse(
            status,
            requests.structures.CaseInsensitiveDict(headers or {}),
            body if isinstance(body, bytes) else json.dumps(body).encode(),
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes = b"",
        auth: AuthBase | None = None,
    ) -> VendorResponse:
        return self.answer


def failure(status: int, body: object, headers: Mapping[str, str] | None = None) -> VendorError:
    with pytest.raises(VendorError) as caught:
        client_of("https://cdn.aliyuncs.com", Scripted(status, body, headers)).create_export("t", yesterday())
    return caught.value


@contextlib.contextmanager
def simulator(**settings: Any) -> Iterator[AlibabaSimulator]:
    given: dict[str, Any] = {"calls_per_second": 0, "complete_after": 0}
    with AlibabaSimulator(Settings(**(given | settings))) as started:
        yield started


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("throttling_400", Throttled, "Throttling"),
        ("throttling_503", Throttled, "Throttling"),
        ("throttling_user", Throttled, "Throttling.User"),
        ("throttling_lower_case", Throttled, "throttling.api"),
        ("internal_error", AnswerUnknown, "InternalError"),
        ("service_unavailable", AnswerUnknown, "ServiceUnAvailable"),
        ("html", AnswerUnknown, ""),
        ("reset", AnswerUnknown, ""),
        ("reset_after", AnswerUnknown, ""),
        ("forbidden", AccessRefused, "Forbidden.RAM"),
        ("not_opened", AccessRefused, "OperationDenied"),
        ("api_gone", AccessRefused, "InvalidApi.NotFound"),
    ],
)
@pytest.mark.parametrize("signature", ["acs3", "rpc"])
@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_fault_becomes_the_error_that_says_what_to_do_next(
    fault: str, error: type[VendorError], code: str, signature: str, form: str
) -> None:
    with simulator() as server:
        if form == "xml":
            server.fault("xml")
        server.fault(fault)
        client = client_of(server.url, signature=signature)
        with pytest.raises(VendorError) as caught:
            client.create_export("t", yesterday())
        assert type(caught.value) is error
        assert caught.value.code == code
        assert client.create_export("t", yesterday()).startswith("tu_")


def test_the_vendors_retry_after_is_read_in_milliseconds() -> None:
    with simulator() as server:
        server.fault("throttling_user", retry_after_ms=3500)
        with pytest.raises(Throttled) as caught:
            client_of(server.url).create_export("t", yesterday())
        assert caught.value.retry_after == 3.5


@pytest.mark.parametrize("given", ["", "0", "-5", "soon", "1e9", "9" * 40])
def test_a_retry_after_that_is_no_number_of_milliseconds_is_not_believed(given: str) -> None:
    error = failure(400, {"Code": "Throttling"}, {"X-Acs-Retry-After": given})
    assert isinstance(error, Throttled)
    assert error.retry_after == 2.0


def test_a_gateway_before_the_vendor_may_ask_for_a_wait_as_http_does() -> None:
    error = failure(429, b"slow down", {"Retry-After": "600"})
    assert isinstance(error, Throttled)
    assert error.retry_after == 600


def test_an_absurd_retry_after_is_cut_to_an_hour() -> None:
    error = failure(400, {"Code": "Throttling"}, {"x-acs-retry-after": "999999999"})
    assert isinstance(error, Throttled)
    assert error.retry_after == 3600


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"Code": "Throttling.User", "Message": "m"}, Throttled),
        (400, {"code": "THROTTLING.USER"}, Throttled),
        (400, {"Code": "SignatureNonceUsed"}, AnswerUnknown),
        (400, {"Code": "SignatureDoesNotMatch"}, AccessRefused),
        (400, {"Code": "InvalidTimeStamp.Expired"}, AccessRefused),
        (404, {"Code": "InvalidAccessKeyId.NotFound"}, AccessRefused),
        (400, {"Code": "InvalidSecurityToken.Expired"}, AccessRefused),
        (400, {"Code": "NoSuchVersion"}, AccessRefused),
        (403, {"Code": "QuotaExceeded.Export"}, QuotaExceeded),
        (400, {"Code": "MissingParameter"}, ContentRefused),
        (400, {"Code": "InvalidParameter"}, ContentRefused),
        (400, {"Code": "InvalidTimePoint.Malformed"}, ContentRefused),
        (400, {"Code": "SomethingNew"}, UnknownRefusal),
        (400, {"Code": "InvalidAccount.Overdue"}, UnknownRefusal),
        (403, {"Code": "SomethingNew"}, AccessRefused),
        (500, {"Code": "SomethingNew"}, AnswerUnknown),
        (429, b"slow down", Throttled),
        (404, b"<html>not here</html>", AccessRefused),
        (301, b"", AnswerUnknown),
        (200, b"", AnswerUnknown),
        (200, b"[1]", AnswerUnknown),
        (200, b"[" * 100_000, AnswerUnknown),
        (200, {"RequestId": "r"}, AnswerUnknown),
        (200, {"TaskId": 7}, AnswerUnknown),
        (503, b"\xff\xfe", AnswerUnknown),
    ],
)
def test_the_code_in_the_body_decides_and_the_status_only_where_there_is_none(
    status: int, body: object, error: type[VendorError]
) -> None:
    assert type(failure(status, body)) is error


def test_an_error_says_which_account_what_and_what_to_do() -> None:
    error = failure(403, {"Code": "Forbidden.RAM", "Message": "User not authorized.", "RequestId": "R-1"})
    assert "alibaba-main" in str(error)
    assert "User not authorized." in str(error)
    assert "cdn:CreateIllegalUrlExportTask" in str(error)
    assert error.request_id == "R-1"


def test_an_error_about_a_signature_does_not_repeat_what_was_signed() -> None:
    error = failure(400, {"Code": "SignatureDoesNotMatch", "Message": "server string to sign is:SecurityToken=TOP"})
    assert "TOP" not in str(error)
    assert "secret key" in str(error)


def test_a_vendor_that_cannot_be_reached_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            client_of(f"http://127.0.0.1:{taken.getsockname()[1]}").create_export("t", yesterday())


def test_an_export_that_never_completes_stays_incomplete_whatever_the_vendor_calls_it() -> None:
    with simulator() as server:
        client = client_of(server.url)
        task_id = client.create_export("t", yesterday())
        for word in ("processing", "failed", "COMPLETED?"):
            server.fault("never_complete", status=word)
            status = client.describe_export(task_id)
            assert (status.status, status.complete, status.download_url) == (word, False, "")
        assert client.describe_export(task_id).complete


def test_a_complete_export_without_a_url_is_not_complete() -> None:
    client = client_of("https://cdn.aliyuncs.com", Scripted(200, {"Status": "complete", "DownloadUrl": ""}))
    assert not client.describe_export("tu_1").complete


def test_a_url_that_is_given_before_the_export_is_complete_is_not_passed_on() -> None:
    client = client_of("https://cdn.aliyuncs.com", Scripted(200, {"Status": "processing", "DownloadUrl": "h/half.csv"}))
    assert client.describe_export("tu_1").download_url == ""


def test_a_download_url_shows_in_no_repr() -> None:
    client = client_of(
        "https://cdn.aliyuncs.com", Scripted(200, {"Status": "Complete", "DownloadUrl": "h/x?Signature=s"})
    )
    status = client.describe_export("tu_1")
    assert status.complete
    assert "Signature" not in repr(status)


def test_a_nonce_that_is_used_again_is_found_out() -> None:
    with simulator() as server:
        account = VendorAccount("a", "alibaba", server.url, KEYS)
        client = connect(account, clock=now, nonce=lambda: "the same")
        client.create_export("t", yesterday())
        with pytest.raises(AnswerUnknown, match="SignatureNonceUsed"):
            client.create_export("t", yesterday())


def test_a_clock_that_is_off_is_named_as_the_cause() -> None:
    with simulator() as server:
        account = VendorAccount("a", "alibaba", server.url, KEYS)
        client = connect(account, clock=lambda: now() - timedelta(minutes=16))
        with pytest.raises(AccessRefused, match="clock"):
            client.create_export("t", yesterday())


def test_a_day_without_a_time_zone_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="time zone"):
        client_of("https://cdn.aliyuncs.com", Scripted(200, {})).create_export("t", now().replace(tzinfo=None))


@pytest.mark.parametrize("credentials", [{"access_key": ""}, {"secret_key": ""}, {"signature": "v4"}])
def test_credentials_that_cannot_work_are_refused_at_once_and_not_shown(credentials: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client_of("https://cdn.aliyuncs.com", None, **credentials)
    assert "testsecret" not in str(caught.value)


def test_faults_calls_stats_and_files_of_the_simulator_are_there_over_http() -> None:
    with simulator(rows=3) as server:
        added = requests.post(f"{server.url}/_sim/faults", json={"fault": "throttling_400"}, timeout=5)
        assert added.json()["faults"][0]["fault"] == "throttling_400"
        assert requests.post(f"{server.url}/_sim/faults", json={"fault": "none such"}, timeout=5).status_code == 400
        with pytest.raises(Throttled):
            client_of(server.url).create_export("t", yesterday())
        client_of(server.url).create_export("t", yesterday())
        stats = requests.get(f"{server.url}/_sim/stats", timeout=5).json()
        assert stats["calls"] == {"CreateIllegalUrlExportTask": 2}
        assert stats["codes"] == {"Throttling": 1}
        calls = requests.get(f"{server.url}/_sim/calls", timeout=5).text
        assert "testsecret" not in calls
        assert '"TaskName": "t"' in calls
        day = CALENDAR.finished_days(now())[-1]
        served = requests.get(f"{server.url}/_sim/file?day={day}", timeout=5).content
        assert served == server.file(day)
        assert served.count(b"\r\n") == 4
