"""The client of Alibaba Cloud ESA against the simulator, and the simulator against the vendor's official SDK."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ConfigurationError,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action, Sent, TaskState, VendorAccount
from chalicelib.ports import BanVendor
from chalicelib.vendors.alibaba.auth import AccessKey, Acs3Auth
from chalicelib.vendors.alibaba.esa import LIMITS, AlibabaEsa, connect
from chalicelib.vendors.http import VendorHttp
from dev.simulators.alibaba_esa import AlibabaEsaSimulator

ROOT = Path(__file__).resolve().parents[2]
SDK_PYTHON = ROOT / ".venv-sdk" / "bin" / "python"
ONE, TWO = "https://www.example.com/1.txt?a=b&c=%2F", "http://www.example.com/中 +'~"


class Place:
    """A simulator, our client of it, and their common clock."""

    def __init__(self, simulator: AlibabaEsaSimulator, http: VendorHttp) -> None:
        self.simulator, self.http = simulator, http
        self.vendor = self.connect()

    def connect(self, **credentials: str) -> AlibabaEsa:
        account = VendorAccount("esa", "alibaba-esa", self.simulator.url, {**self.simulator.credentials, **credentials})
        return connect(account, clock=self.now, http=self.http)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.now(), UTC)

    def list_of_bans(self) -> object:
        vendor: BanVendor = self.vendor
        return vendor.banned()

    def edge(self, *urls: str) -> list[int]:
        return [self.simulator.edge_status(url) for url in urls]


@pytest.fixture
def place() -> Iterator[Place]:
    with AlibabaEsaSimulator(rates=False) as simulator:
        http = VendorHttp(read_timeout=2)
        yield Place(simulator, http)
        http.close()


def test_a_ban_is_in_force_as_sent_and_ends_after_its_days(place: Place) -> None:
    place.vendor.create_task(Action.BAN, [ONE, TWO], 2)
    assert place.edge(ONE, TWO, ONE + "x") == [403, 403, 200]

    place.simulator.advance(timedelta(days=2).total_seconds() + 1)
    assert place.edge(ONE, TWO) == [200, 200]


def test_an_unban_lifts_its_urls_alone_and_one_that_is_not_banned_does_no_harm(place: Place) -> None:
    place.vendor.create_task(Action.BAN, [ONE, TWO], 2)
    place.vendor.create_task(Action.UNBAN, [ONE], 7)
    place.vendor.create_task(Action.UNBAN, [ONE], 7)
    assert place.edge(ONE, TWO) == [200, 403]


def test_a_task_is_over_when_the_edge_has_settled_and_no_call_asks(place: Place) -> None:
    task_id = place.vendor.create_task(Action.BAN, [ONE], 2)
    sent = Sent(task_id, place.now(), place.now())
    assert [task.state for page in place.vendor.follow([sent]) for task in page] == [TaskState.PROCESSING]

    place.simulator.advance(LIMITS.settles.total_seconds() + 1)
    assert [task.state for page in place.vendor.follow([sent]) for task in page] == [TaskState.SUCCEEDED]
    assert len(place.simulator.calls()) == 1
    assert place.list_of_bans() is None
    assert list(place.vendor.find_task(Action.BAN, [ONE], place.now(), place.now())) == []


def test_the_limits_hold_before_a_call_is_made(place: Place) -> None:
    for urls, days in (([], 7), ([ONE] * 51, 7), ([ONE], 0), ([ONE], 11)):
        with pytest.raises(ValueError, match="not"):
            place.vendor.create_task(Action.BAN, urls, days)
    with pytest.raises(ContentRefused):
        place.vendor.create_task(Action.BAN, [f"https://www.example.com/{'a' * 400}/{at}" for at in range(50)], 7)
    assert place.simulator.calls() == []


def test_fifty_urls_of_usual_length_are_one_call(place: Place) -> None:
    urls = [f"https://www.example.com/{'p' * 80}/{at}" for at in range(50)]
    place.vendor.create_task(Action.BAN, urls, 7)
    assert set(place.edge(*urls)) == {403}


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "TooManyRequests", Throttled),
        (400, "Throttling.User", Throttled),
        (429, "", Throttled),
        (403, "Forbidden.RAM", AccessRefused),
        (404, "InvalidAccessKeyId.NotFound", AccessRefused),
        (403, "OperationDenied", AccessRefused),
        (404, "InvalidAction.NotFound", AccessRefused),
        (400, "QuotaExceeded.Block", QuotaExceeded),
        (400, "InvalidParameter.RecordNotBelongToSite", ContentRefused),
        (400, "SomethingNew", UnknownRefusal),
        (500, "InternalError", AnswerUnknown),
        (503, "ServiceUnavailable", AnswerUnknown),
        (400, "SignatureNonceUsed", AnswerUnknown),
    ],
)
def test_each_refusal_becomes_its_error(place: Place, status: int, code: str, error: type[VendorError]) -> None:
    place.simulator.add_faults({"kind": "error", "status": status, "code": code})
    with pytest.raises(error) as caught:
        place.vendor.create_task(Action.BAN, [ONE], 7)
    assert caught.value.code == code
    assert place.edge(ONE) == [200]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "truncate", "error_after", "slow_after"])
def test_a_lost_answer_is_unknown_and_repeating_the_call_does_no_harm(place: Place, kind: str) -> None:
    place.simulator.add_faults({"kind": kind, "seconds": 2.4})
    with pytest.raises(AnswerUnknown):
        place.vendor.create_task(Action.BAN, [ONE], 7)
    place.vendor.create_task(Action.BAN, [ONE], 7)
    assert place.edge(ONE) == [403]


@pytest.mark.parametrize("wrong", [{"secret_key": "other"}, {"access_key": "LTAIOTHER"}])
def test_a_wrong_key_is_refused_and_never_shown(place: Place, wrong: dict[str, str]) -> None:
    with pytest.raises(AccessRefused) as caught:
        place.connect(**wrong).create_task(Action.BAN, [ONE], 7)
    assert place.simulator.credentials["secret_key"] not in str(caught.value)


def test_a_url_of_another_site_is_refused(place: Place) -> None:
    with pytest.raises(ContentRefused):
        place.vendor.create_task(Action.BAN, ["https://elsewhere.example/"], 7)


@pytest.mark.parametrize("site", ["", "abc", "12 3"])
def test_an_account_without_a_site_is_not_connected(place: Place, site: str) -> None:
    with pytest.raises(ConfigurationError, match="site_id"):
        place.connect(site_id=site)


def test_the_signature_is_the_vector_of_the_documents() -> None:
    query = (
        "Action=BlockObject&Version=2024-09-10&"
        "Content=%5B%22https%3A%2F%2Fwww.example.com%2F1.txt%22%2C%22https%3A%2F%2Fwww.example.com%2F2.txt%22%5D"
        "&Maxage=864000&SiteId=123456789&Type=block"
    )
    auth = Acs3Auth(
        AccessKey("testid", "testsecret"),
        clock=lambda: datetime(2026, 1, 15, 8, 30, tzinfo=UTC),
        nonce=lambda: "15215528852396",
    )
    request = requests.Request("POST", f"https://esa.cn-hangzhou.aliyuncs.com/?{query}", auth=auth).prepare()
    assert request.headers["Authorization"].endswith(
        "Signature=a0be02e6b2903417422a42c2819863e2ebf861d02d7107d784db553b39831efb"
    )


@pytest.mark.skipif(not SDK_PYTHON.exists(), reason="no .venv-sdk: make .venv-sdk/.ready")
def test_the_official_sdk_and_our_client_are_understood_alike(place: Place) -> None:
    driver = Path(__file__).with_name("alibaba_esa_sdk_driver.py")
    endpoint = place.simulator.url.removeprefix("http://")
    common: dict[str, Any] = {**place.simulator.credentials, "endpoint": endpoint}
    asked = [
        {**common, "urls": [ONE, TWO], "type": "block", "max_age": 864_000},
        {**common, "urls": [TWO], "type": "unblock"},
        {**common, "urls": ["https://elsewhere.example/"], "type": "block", "max_age": 864_000},
        {**common, "urls": [ONE], "type": "block", "max_age": 864_001},
    ]
    lines = "\n".join(json.dumps(each) for each in asked) + "\n"
    done = subprocess.run([SDK_PYTHON, driver], input=lines, capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert answers[0]["task_id"]
    assert answers[1]["task_id"]
    assert "RecordNotBelongToSite" in answers[2]["code"]
    assert "Maxage" in answers[3]["code"]
    assert place.edge(ONE, TWO) == [403, 200]

    place.vendor.create_task(Action.UNBAN, [ONE], 7)
    place.vendor.create_task(Action.BAN, [TWO], 10)
    assert place.edge(ONE, TWO) == [200, 403]
