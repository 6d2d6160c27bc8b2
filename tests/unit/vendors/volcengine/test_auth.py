"""Signatures against vectors that the vendors' own signers made (volcengine 1.0.229, byteplus-sdk 1.0.53)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from chalicelib.vendors.volcengine.auth import AccessKeyAuth

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
LIST = b'{"UrlList":["https://www.example.com/1.jpg"],"Type":"url"}'
LINES = b'{"Urls":"https://www.example.com/1.jpg"}'
VOLCENGINE = ("https://cdn.volcengineapi.com", "cn-north-1")
BYTEPLUS = ("https://open.byteplusapi.com", "ap-singapore-1")


def signed(place: tuple[str, str], action: str, body: bytes, **changes: str) -> requests.PreparedRequest:
    host, region = place
    url = f"{changes.pop('host', host)}/?Action={action}&Version=2021-03-01"
    headers = {"Content-Type": "application/json", "User-Agent": "not signed"}
    request = requests.Request("POST", url, headers=headers, data=body).prepare()
    return AccessKeyAuth("AKLTEXAMPLE", "SKVOLCEXAMPLE", region=region, clock=lambda: NOW, **changes)(request)


@pytest.mark.parametrize(
    ("place", "action", "body", "signature"),
    [
        (VOLCENGINE, "SubmitBlockTask", LIST, "2af91731e4b25303c56659420bef1eb579a8f735f6da756246a6d09b0e1dc71d"),
        (VOLCENGINE, "SubmitUnblockTask", LIST, "5d8b3b48fbd53be281da74eae11f2208d628c94a4dff24eba65901fca1d4aae0"),
        (VOLCENGINE, "SubmitBlockTask", LINES, "bdf6c928b878f20f0e3af1e8f58aec3917c99af266a5874f63812c7160aa4436"),
        (BYTEPLUS, "SubmitBlockTask", LIST, "f5700fae7b999a7b40ae76438c3cd79e7ef0a1dfd1ac6963c388436b0d38df62"),
        (BYTEPLUS, "SubmitUnblockTask", LIST, "a5e81858816f823d6bdc4efc74214de149cdea18fdf1e65b416e7f955b899aa7"),
        (BYTEPLUS, "SubmitBlockTask", LINES, "1ca04e965520ae70196f0843c46360aff37811b43e5a14aed6e2ceef09b92596"),
        (
            VOLCENGINE,
            "DescribeContentBlockTasks",
            b'{"TaskID":"url_block_x","PageSize":100}',
            "2dc221247f96b596268ccdf8ec17aa1281a296d3364a3aec0ff1380f0dcb9520",
        ),
    ],
)
def test_a_signature_is_that_of_the_vendors_own_signer(
    place: tuple[str, str], action: str, body: bytes, signature: str
) -> None:
    request = signed(place, action, body)

    assert request.headers["Authorization"] == (
        f"HMAC-SHA256 Credential=AKLTEXAMPLE/20260115/{place[1]}/CDN/request, "
        f"SignedHeaders=content-type;host;x-content-sha256;x-date, Signature={signature}"
    )
    assert request.headers["X-Date"] == "20260115T083000Z"


def test_a_temporary_key_sends_its_token_and_signs_it() -> None:
    request = signed(VOLCENGINE, "SubmitBlockTask", LINES, security_token="STStemporary")

    assert request.headers["X-Security-Token"] == "STStemporary"
    assert (
        "SignedHeaders=content-type;host;x-content-sha256;x-date;x-security-token," in request.headers["Authorization"]
    )


def test_the_default_port_is_neither_sent_nor_signed() -> None:
    request = signed(VOLCENGINE, "SubmitBlockTask", LINES, host="https://cdn.volcengineapi.com:443")

    assert request.headers["Host"] == "cdn.volcengineapi.com"
    assert request.headers["Authorization"] == signed(VOLCENGINE, "SubmitBlockTask", LINES).headers["Authorization"]


def test_a_clock_in_another_zone_signs_the_same_instant() -> None:
    zone = datetime.fromisoformat("2026-01-15T16:30:00+08:00")
    auth = AccessKeyAuth("AK", "SK", region="cn-north-1", clock=lambda: zone)

    assert auth(requests.Request("POST", VOLCENGINE[0]).prepare()).headers["X-Date"] == "20260115T083000Z"
