"""The client of the CloudFront KeyValueStore against the simulator, and the simulator against botocore."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    NotBanned,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount
from chalicelib.vendors.cloudfrontkvs.auth import SigV4AAuth, canonical_request, private_key, sign
from chalicelib.vendors.cloudfrontkvs.client import LIMITS, CloudFrontKvs, connect, key_of
from chalicelib.vendors.http import VendorHttp
from dev.simulators.cloudfrontkvs import ARN, KvsSimulator
from dev.simulators.cloudfrontkvs_signature import public_key, verifies

ROOT = Path(__file__).resolve().parents[2]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
ONE, TWO = "https://www.example.com/1.txt?a=b&c=%2F", "http://www.example.com/2%20%27~"
LONG, LONGER = (f"https://www.example.com/{'a' * length}" for length in (600, 2_000))


class Place:
    """A simulator, our client of it, and their common clock."""

    def __init__(self, simulator: KvsSimulator, http: VendorHttp) -> None:
        self.simulator, self.http = simulator, http
        self.vendor = self.connect()

    def connect(self, **credentials: str) -> CloudFrontKvs:
        account = VendorAccount(
            "kvs", "cloudfrontkvs", self.simulator.url, {**self.simulator.credentials, **credentials}
        )
        return connect(account, clock=self.now, http=self.http)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now(), UTC)

    def ban(self, *urls: str) -> str:
        return self.vendor.create_task(Action.BAN, urls, 7)

    def unban(self, *urls: str) -> str:
        return self.vendor.create_task(Action.UNBAN, urls, 7)

    def edge(self, *urls: str) -> list[int]:
        return [self.simulator.edge_status(url) for url in urls]

    def banned(self, url: str = "") -> list[str]:
        return [name for page in self.vendor.banned(url) for name in page]

    def endpoints(self) -> list[str]:
        return [call["endpoint"] for call in self.simulator.calls()]


@pytest.fixture
def place() -> Iterator[Place]:
    with KvsSimulator() as simulator:
        http = VendorHttp()
        yield Place(simulator, http)
        http.close()


# --- bans ------------------------------------------------------------------------------------------------------------


def test_bans_are_in_force_as_sent_until_they_are_taken_back(place: Place) -> None:
    place.ban(ONE, TWO, LONG, LONGER)
    place.simulator.advance(400 * 86_400)
    assert place.edge(ONE, TWO, LONG, LONGER, ONE + "x", LONG + "x") == [403, 403, 403, 403, 200, 200]

    place.unban(ONE, LONG)
    assert place.edge(ONE, TWO, LONG, LONGER) == [200, 403, 200, 403]


def test_the_version_of_our_last_write_saves_a_call(place: Place) -> None:
    for url in (ONE, TWO, LONG):
        place.ban(url)
    assert place.endpoints() == ["describe", "write", "write", "write"]


def test_another_writer_is_a_call_to_be_repeated_at_once(place: Place) -> None:
    place.ban(ONE)
    place.simulator.add_faults({"match": "write", "kind": "other_writer"})
    with pytest.raises(Throttled) as caught:
        place.ban(TWO)
    assert caught.value.retry_after < 1
    assert place.edge(TWO) == [200]
    place.ban(TWO)
    assert place.edge(ONE, TWO) == [403, 403]


def test_the_list_shows_what_is_banned_over_pages_and_one_url_by_itself(place: Place) -> None:
    urls = [f"https://www.example.com/{at}" for at in range(120)]
    for start in range(0, 120, 50):
        place.ban(*urls[start : start + 50])
    place.ban(LONG, LONGER)
    assert sorted(place.banned()) == sorted([*urls, LONG])  # The longest URL fits no value.
    assert place.banned(LONGER) == [LONGER]
    assert place.banned("https://www.example.com/none") == []
    place.unban(LONGER)
    assert place.banned(LONGER) == []


@pytest.mark.parametrize("strict", [False, True])
def test_an_unban_of_what_is_not_banned_is_told_or_done(strict: bool) -> None:
    http = VendorHttp()
    with KvsSimulator(strict_deletes=strict) as simulator:
        place = Place(simulator, http)
        if strict:
            with pytest.raises(NotBanned):
                place.unban(ONE)
        else:
            place.unban(ONE)
        place.ban(ONE)
        place.unban(ONE)
        assert place.edge(ONE) == [200]
    http.close()


def test_a_store_that_is_gone_is_refused_access_for_unbans_too(place: Place) -> None:
    other = place.connect(store_arn=ARN[:-1] + "1")
    for action in Action:
        with pytest.raises(AccessRefused):
            other.create_task(action, [ONE], 7)


def test_a_full_store_is_a_quota_and_unbans_go_on() -> None:
    http = VendorHttp()
    with KvsSimulator(max_store=100) as simulator:
        place = Place(simulator, http)
        place.ban(ONE)
        with pytest.raises(QuotaExceeded):
            place.ban(LONG, LONGER)
        place.unban(ONE)
        assert place.edge(ONE) == [200]
    http.close()


def test_a_task_is_over_when_the_edge_has_settled(place: Place) -> None:
    sent = Sent(place.ban(ONE), place.now(), place.now())
    calls = len(place.endpoints())
    assert [task.state for page in place.vendor.follow([sent]) for task in page] == [TaskState.PROCESSING]
    place.simulator.advance(LIMITS.settles.total_seconds() + 1)
    assert [task.state for page in place.vendor.follow([sent]) for task in page] == [TaskState.SUCCEEDED]
    assert len(place.endpoints()) == calls


def test_the_limits_hold_before_a_call_is_made(place: Place) -> None:
    for urls in ([], [f"https://www.example.com/{at}" for at in range(51)]):
        with pytest.raises(ValueError, match="1 to 50"):
            place.vendor.create_task(Action.BAN, urls, 7)
    place.ban(ONE, ONE)  # The service would refuse the same key twice.
    assert place.edge(ONE) == [403]


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["header", "__type", "code"])
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "ValidationException", ContentRefused),
        (402, "ServiceQuotaExceededException", QuotaExceeded),
        (403, "AccessDeniedException", AccessRefused),
        (403, "ExpiredTokenException", AccessRefused),
        (409, "ConflictException", Throttled),
        (400, "ThrottlingException", Throttled),
        (400, "Throttling", Throttled),
        (400, "ExpiredToken", AccessRefused),
        (400, "SomethingNew", UnknownRefusal),
        (429, "", Throttled),
        (500, "InternalServerException", AnswerUnknown),
        (503, "", AnswerUnknown),
        (418, "SomethingNew", AccessRefused),
    ],
)
def test_each_refusal_becomes_its_error(
    place: Place, status: int, code: str, error: type[VendorError], named: str
) -> None:
    place.simulator.add_faults({"match": "write", "kind": "error", "status": status, "code": code, "named": named})
    with pytest.raises(error) as caught:
        place.ban(ONE)
    assert caught.value.code == code
    assert place.edge(ONE) == [200]
    place.ban(ONE)
    assert place.edge(ONE) == [403]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate", "error_after"])
def test_a_lost_answer_is_unknown_and_the_repeated_call_reads_the_version_again(place: Place, kind: str) -> None:
    place.ban(TWO)
    place.simulator.add_faults({"match": "write", "kind": kind})
    with pytest.raises(AnswerUnknown):
        place.ban(ONE)
    place.ban(ONE)
    assert place.edge(ONE, TWO) == [403, 403]


@pytest.mark.parametrize("wrong", [{"secret_key": "other"}, {"access_key": "AKIAOTHER"}])
def test_a_wrong_key_is_refused_and_never_shown(place: Place, wrong: dict[str, str]) -> None:
    with pytest.raises(AccessRefused) as caught:
        place.connect(**wrong).create_task(Action.BAN, [ONE], 7)
    assert place.simulator.credentials["secret_key"] not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"store_arn": "arn:aws:s3:::x"}, {"access_key": ""}, {"secret_key": "a b"}])
def test_an_account_that_lacks_something_is_not_connected(place: Place, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        place.connect(**wrong)


# --- signatures ------------------------------------------------------------------------------------------------------

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PUBLIC = (
    0xB6618F6A65740A99E650B33B6B4B5BD0D43B176D721A3EDFEA7E7D2D56D936B1,
    0x865ED22A7EADC9C5CB9D2CBACA1B3699139FEDC5043DC6661864218330C8E518,
)
PATH = (
    "/key-value-stores/arn%3Aaws%3Acloudfront%3A%3A111122223333%3A"
    "key-value-store%2F8562g61f-caba-2845-9d99-b97diwae5d3c/keys"
)
BODY = b'{"Puts":[{"Key":"www.example.com/1","Value":"1769000000"}]}'
HOST = "111122223333.cloudfront-kvs.global.api.aws"
CANONICAL_SHA256 = "6d343ec177f7c027878c176282749b6d4ae729a0ca024c311db1161e720142ab"
TO_SIGN_SHA256 = "4ff5d516f28a57a4c16ea76efbc5f5f43d6e0dd4720ce1fa62f36c9d23e9f489"
BY_AWSCRT = (
    "30460221009677ac01e533315d1784fcdd275c531c48740e7e019482e6a441563566d3f0ea"
    "02210087e380c48a819164e9ed906009d8019fde3f95fac7a01caaf45fd7c530ee1ec1"
)


def _to_sign() -> bytes:
    headers = {
        "content-type": "application/json",
        "host": HOST,
        "if-match": "ETAG1",
        "x-amz-content-sha256": hashlib.sha256(BODY).hexdigest(),
        "x-amz-date": "20260115T083000Z",
        "x-amz-region-set": "*",
    }
    request = canonical_request("POST", PATH, "", list(headers.items()), BODY)
    assert hashlib.sha256(request.encode()).hexdigest() == CANONICAL_SHA256
    scope = "20260115/cloudfront-keyvaluestore/aws4_request"
    return f"AWS4-ECDSA-P256-SHA256\n20260115T083000Z\n{scope}\n{CANONICAL_SHA256}".encode()


def test_key_and_text_are_those_whose_signature_awscrt_made() -> None:
    key = private_key(ACCESS_KEY, SECRET_KEY)
    assert key == 0x7EFC8C0E65A324242818C5A50C891C6060B6A00717B7BA3CBE3C5D765BE9259C
    assert public_key(ACCESS_KEY, SECRET_KEY) == PUBLIC
    assert hashlib.sha256(_to_sign()).hexdigest() == TO_SIGN_SHA256
    assert verifies(PUBLIC, _to_sign(), bytes.fromhex(BY_AWSCRT))
    assert verifies(PUBLIC, _to_sign(), sign(key, _to_sign()))
    assert not verifies(PUBLIC, _to_sign() + b" ", sign(key, _to_sign()))


def test_signatures_are_those_of_rfc_6979() -> None:
    """A.2.5, P-256 with SHA-256: the messages "sample" and "test"."""
    key = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    assert sign(key, b"sample").hex() == (
        "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    assert sign(key, b"test").hex() == (
        "3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
        "0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
    )


def test_a_request_is_signed_as_it_is_sent_with_the_token_of_temporary_keys() -> None:
    auth = SigV4AAuth(
        ACCESS_KEY, SECRET_KEY, clock=lambda: datetime(2026, 1, 15, 8, 30, tzinfo=UTC), security_token="t"
    )
    request = requests.Request("POST", f"https://{HOST}{PATH}", data=BODY, auth=auth).prepare()
    names = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert names == "host;x-amz-content-sha256;x-amz-date;x-amz-region-set;x-amz-security-token"


# --- the vendor's own client -----------------------------------------------------------------------------------------


@pytest.mark.skipif(not SDK_PYTHON.exists(), reason="no .venv-sdk: make .venv-sdk/.ready")
def test_botocore_and_our_client_are_understood_alike(place: Place) -> None:
    place.ban(ONE, TWO, LONG)
    etag = place.simulator._etag()
    common: dict[str, Any] = {
        "endpoint": place.simulator.url.replace("127.0.0.1", "localhost"),
        "arn": ARN,
        **{name: place.simulator.credentials[name] for name in ("access_key", "secret_key")},
    }
    asked = [
        {**common, "do": "describe"},
        {**common, "do": "list"},
        {**common, "do": "get", "key": ONE},
        {**common, "do": "update", "etag": etag, "puts": [["https://www.example.com/new", "1"]], "deletes": [ONE]},
        {**common, "do": "update", "etag": etag, "deletes": [TWO]},
        {**common, "do": "update", "etag": "x", "puts": [["k" * 513, "1"]]},
    ]
    lines = "\n".join(json.dumps(each) for each in asked) + "\n"
    driver = Path(__file__).with_name("cloudfrontkvs_sdk_driver.py")
    done = subprocess.run([SDK_PYTHON, driver], input=lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    described, listed, got, updated, conflict, refused = map(json.loads, done.stdout.splitlines())

    assert described == {"etag": etag, "count": 3}
    assert sorted(listed["keys"]) == sorted([ONE, TWO, key_of(LONG)])
    assert got == {"value": "1"}
    assert updated["count"] == 3
    assert conflict == {"code": "ConflictException"}
    assert refused == {"code": "ValidationException"}
    assert sorted(place.banned()) == sorted([TWO, LONG, "https://www.example.com/new"])
