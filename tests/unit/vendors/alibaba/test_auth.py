"""Signatures equal to what the vendor's own clients and documentation give for the same request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from requests import PreparedRequest, Request

from chalicelib.vendors.alibaba.auth import AccessKey, Acs3Auth, RpcAuth, random_nonce

KEY = AccessKey("testid", "testsecret")
NONCE = "15215528852396"
NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
CREATE = {
    "Action": "CreateIllegalUrlExportTask",
    "Version": "2018-05-10",
    "TaskName": "exampleTask",
    "TimePoint": "2019-09-30T16:00:00Z",
}
DESCRIBE = {
    "Action": "DescribeIllegalUrlExportTask",
    "Version": "2018-05-10",
    "TaskId": "tu_4b37ea97_a7fa_4d36_b363_061c1f0000",
}
CREATE_HARD = CREATE | {"TaskName": "任务 *~+1", "TimePoint": "2026-01-14T16:00:00Z"}
TOKEN = "STS+token/=="


def prepare(
    method: str, params: dict[str, str], auth: Acs3Auth | RpcAuth, url: str = "https://cdn.aliyuncs.com/"
) -> PreparedRequest:
    return Request(method, url, params=params, auth=auth).prepare()


def rpc(method: str, params: dict[str, str], key: AccessKey = KEY) -> dict[str, str]:
    request = prepare(method, params, RpcAuth(key, clock=lambda: NOW, nonce=lambda: NONCE))
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url or "").query).items()}


def acs3(method: str, params: dict[str, str], key: AccessKey = KEY) -> PreparedRequest:
    return prepare(method, params, Acs3Auth(key, clock=lambda: NOW, nonce=lambda: NONCE))


def signature_of(request: PreparedRequest) -> str:
    return str(request.headers["Authorization"]).rpartition("Signature=")[2]


def test_a1_rpc_create_has_the_signature_of_the_official_client() -> None:
    assert rpc("POST", CREATE)["Signature"] == "Pj7N3QxkVYxDzHPzjLPLFPMQifg="


def test_a2_rpc_describe_has_the_signature_of_the_official_client() -> None:
    assert rpc("GET", DESCRIBE)["Signature"] == "/mKgSdQd9l+wAViJEYf2mu+6IDs="


def test_a3_rpc_with_a_token_and_difficult_characters_has_the_signature_of_the_official_client() -> None:
    sent = rpc("POST", CREATE_HARD, AccessKey("testid", "testsecret", TOKEN))
    assert sent["Signature"] == "hbLNOTLnUq2ZSRohBFsZkSPW4As="
    assert sent["SecurityToken"] == TOKEN


def test_a4_rpc_has_the_signature_of_the_vendors_documentation() -> None:
    auth = RpcAuth(
        KEY,
        clock=lambda: datetime(2016, 2, 23, 12, 46, 24, tzinfo=UTC),
        nonce=lambda: "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        answer_format="XML",
    )
    request = prepare("GET", {"Action": "DescribeRegions", "Version": "2014-05-26"}, auth, "https://ecs.aliyuncs.com/")
    assert parse_qs(urlsplit(request.url or "").query)["Signature"] == ["OLeaidS1JvxuMvnyHOwuJ+uX5qY="]


def test_b1_acs3_create_has_the_signature_of_the_official_client() -> None:
    request = acs3("POST", CREATE)
    assert signature_of(request) == "b05d30dad753bd6beaace66937cce52c424d78e0fd8c8d290debaebb464decc1"
    assert request.headers["Authorization"] == (
        "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,"
        "Signature=b05d30dad753bd6beaace66937cce52c424d78e0fd8c8d290debaebb464decc1"
    )


def test_b2_acs3_describe_has_the_signature_of_the_official_client() -> None:
    assert signature_of(acs3("GET", DESCRIBE)) == "65683fc68d7605ca4eb9ce55f3df45efb90e613473896b7abbd479d478acd581"


def test_b3_acs3_with_a_token_signs_both_token_headers() -> None:
    request = acs3("POST", CREATE_HARD, AccessKey("STS.testid", "testsecret", TOKEN))
    assert signature_of(request) == "5b5e6d3641d863f4fc5ab5145cc72a1b6c80254cfd1fd987f553d345229c22f2"
    assert "x-acs-accesskey-id;" in str(request.headers["Authorization"])
    assert request.headers["x-acs-security-token"] == TOKEN


def test_b4_acs3_has_the_signature_of_the_vendors_documentation() -> None:
    auth = Acs3Auth(
        AccessKey("YourAccessKeyId", "YourAccessKeySecret"),
        clock=lambda: datetime(2023, 10, 26, 9, 1, 1, tzinfo=UTC),
        nonce=lambda: "d410180a5abf7fe235dd9b74aca91fc0",
    )
    params = {
        "Action": "RunInstances",
        "Version": "2014-05-26",
        "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        "RegionId": "cn-shanghai",
    }
    request = prepare("POST", params, auth, "https://ecs.cn-shanghai.aliyuncs.com/")
    assert signature_of(request) == "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804"


@pytest.mark.parametrize("form", [Acs3Auth, RpcAuth])
def test_every_try_carries_its_own_nonce_and_time(form: type[Acs3Auth | RpcAuth]) -> None:
    moments: Iterator[datetime] = (NOW + timedelta(seconds=n) for n in count())
    auth = form(KEY, clock=lambda: next(moments), nonce=random_nonce)
    nonces, times = set(), set()
    for _ in range(3):
        request = prepare("POST", CREATE, auth)
        query = parse_qs(urlsplit(request.url or "").query)
        nonces.add(query.get("SignatureNonce", [str(request.headers.get("x-acs-signature-nonce"))])[0])
        times.add(query.get("Timestamp", [str(request.headers.get("x-acs-date"))])[0])
    assert len(nonces) == 3
    assert times == {"2026-01-15T08:30:00Z", "2026-01-15T08:30:01Z", "2026-01-15T08:30:02Z"}


def test_the_time_is_sent_in_utc_whatever_zone_the_clock_is_in() -> None:
    china = NOW.astimezone(timezone(timedelta(hours=8)))
    request = prepare("POST", CREATE, Acs3Auth(KEY, clock=lambda: china))
    assert request.headers["x-acs-date"] == "2026-01-15T08:30:00Z"


def test_acs3_leaves_action_and_version_out_of_the_query_and_sends_what_it_signed() -> None:
    request = acs3("POST", CREATE_HARD)
    assert urlsplit(request.url or "").query == (
        "TaskName=%E4%BB%BB%E5%8A%A1%20%2A~%2B1&TimePoint=2026-01-14T16%3A00%3A00Z"
    )
    assert request.headers["x-acs-action"] == "CreateIllegalUrlExportTask"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://cdn.aliyuncs.com/", "cdn.aliyuncs.com"),
        ("https://cdn.aliyuncs.com:443/", "cdn.aliyuncs.com"),
        ("http://127.0.0.1:8081/", "127.0.0.1:8081"),
        ("http://[::1]:8081/", "[::1]:8081"),
    ],
)
def test_the_signed_host_is_the_host_that_is_sent(url: str, host: str) -> None:
    assert prepare("POST", CREATE, Acs3Auth(KEY, clock=lambda: NOW), url).headers["Host"] == host


def test_no_secret_shows_in_the_repr_of_a_key() -> None:
    shown = repr(AccessKey("testid", "testsecret", TOKEN))
    assert "testsecret" not in shown
    assert TOKEN not in shown
