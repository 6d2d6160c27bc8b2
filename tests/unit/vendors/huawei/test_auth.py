"""AK/SK signing against recorded vectors and the vendor's own signer; tokens against a hand-made IAM."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import GlobalCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.auth import AuthBase

from chalicelib.domain.errors import AccessRefused, AnswerUnknown, Throttled, Unavailable, VendorError
from chalicelib.vendors.http import VendorHttp, VendorResponse
from chalicelib.vendors.huawei.auth import AkSkAuth, TokenAuth, canonical_query, canonical_request

AK = "AKEXAMPLE00000000001"
SK = "SKEXAMPLE0000000000000000000000000000001"
NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
HOST = "https://cdn.myhuaweicloud.com"
DOMAIN_ID = "0123456789abcdef0123456789abcdef"
JSON = {"Content-Type": "application/json"}


def signed(
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    params: Any = None,
    **auth: str,
) -> requests.PreparedRequest:
    request = requests.Request(method, url, headers=headers, data=body or None, params=params)
    return AkSkAuth(AK, SK, clock=lambda: NOW, **auth)(request.prepare())


def canonical_hash(request: requests.PreparedRequest) -> str:
    parts = urlsplit(request.url or "")
    del request.headers["Authorization"]
    _, text = canonical_request(request, parts.path, parts.query)
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_ban_is_signed_as_in_vector_h1() -> None:
    body = (
        b'{"access_control_urls":{"urls":["https://www.example.com/1.txt","http://www.example.com/2.txt"],'
        b'"ban_duration":1}}'
    )
    assert hashlib.sha256(body).hexdigest() == "56a686ac3bd77d1407c390560e72d1cc2d9dc02a1d57a4625a52e62fe5cdd4f9"

    request = signed(
        "POST", f"{HOST}/v1.0/cdn/content/access-control-urls/ban", headers=JSON, body=body, domain_id=DOMAIN_ID
    )

    assert request.headers["X-Sdk-Date"] == "20260115T083000Z"
    assert request.headers["X-Domain-Id"] == DOMAIN_ID
    assert request.headers["Authorization"] == (
        "SDK-HMAC-SHA256 Access=AKEXAMPLE00000000001, SignedHeaders=content-type;host;x-domain-id;x-sdk-date, "
        "Signature=70f0edcaebebe2b451dec89cb14f44254c6ab7b263ba80465d8eb75118fe327d"
    )
    assert canonical_hash(request) == "e9224ff73db3288cd82419b43b8fdc6d92da4d56424fba6c1277bd7e859782c3"


def test_a_list_of_tasks_is_signed_as_in_vector_h2() -> None:
    query = "start_time=1768377600000&end_time=1768464000000&offset=0&limit=100&status=failed"

    request = signed("GET", f"{HOST}/v1.0/cdn/content/access-control-tasks?{query}", headers=JSON)

    assert urlsplit(request.url or "").query == (
        "end_time=1768464000000&limit=100&offset=0&start_time=1768377600000&status=failed"
    )
    assert request.headers["Authorization"] == (
        "SDK-HMAC-SHA256 Access=AKEXAMPLE00000000001, SignedHeaders=content-type;host;x-sdk-date, "
        "Signature=a23ff3a88b45b46ca8480a50b65fd453b5a2415b1ad6dd7fc84daa99d4a8d6d1"
    )
    assert canonical_hash(request) == "132c4627cdea90286c55e012f0fed30aa20b6005d816325689e08928e2b24155"


def test_a_list_of_banned_urls_is_signed_as_in_vector_h3() -> None:
    params = {"page_size": "50", "page_number": "1", "url": "https://www.example.com/a b/中.txt?x=1&y=~z"}

    request = signed("GET", f"{HOST}/v1.0/cdn/content/ban-urls", params=params)

    assert urlsplit(request.url or "").query == (
        "page_number=1&page_size=50&url=https%3A%2F%2Fwww.example.com%2Fa%20b%2F%E4%B8%AD.txt%3Fx%3D1%26y%3D~z"
    )
    assert request.headers["Authorization"] == (
        "SDK-HMAC-SHA256 Access=AKEXAMPLE00000000001, SignedHeaders=host;x-sdk-date, "
        "Signature=1d5ebd5bb605fbac026510ee6326d1012b53b33786e6f986cc4154bdcd6ba652"
    )
    assert canonical_hash(request) == "db25b2f472fb91f0d378f45cd650211c9e1d9f16d78474e97ac0ee18e1c1e005"


def test_a_temporary_key_sends_its_token_and_signs_it() -> None:
    request = signed("GET", f"{HOST}/v1.0/cdn/content/ban-urls", security_token="temporary")

    assert request.headers["X-Security-Token"] == "temporary"
    assert "SignedHeaders=host;x-sdk-date;x-security-token," in request.headers["Authorization"]


def test_a_clock_in_another_zone_signs_the_same_instant() -> None:
    zone = datetime.fromisoformat("2026-01-15T16:30:00+08:00")
    request = requests.Request("GET", f"{HOST}/").prepare()

    assert AkSkAuth(AK, SK, clock=lambda: zone)(request).headers["X-Sdk-Date"] == "20260115T083000Z"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SEGMENT = TEXT.filter(lambda text: text not in (".", ".."))


@settings(max_examples=200, deadline=None)
@given(
    segments=st.lists(SEGMENT, min_size=1, max_size=4),
    pairs=st.lists(st.tuples(TEXT, TEXT), max_size=5),
    body=st.binary(max_size=40),
    domain_id=st.sampled_from(["", DOMAIN_ID]),
    token=st.sampled_from(["", "temporary/token+=="]),
)
def test_every_request_is_signed_and_sent_as_the_vendors_own_client_does_it(
    segments: list[str], pairs: list[tuple[str, str]], body: bytes, domain_id: str, token: str
) -> None:
    path = "/x/" + "/".join(quote(segment, safe="") for segment in segments)
    ours = signed("POST", HOST + path, headers=JSON, body=body, params=pairs, domain_id=domain_id, security_token=token)
    credentials = GlobalCredentials(AK, SK, domain_id).with_security_token(token or None)
    theirs = credentials.sign_request(
        SdkRequest(
            method="POST",
            schema="https",
            host="cdn.myhuaweicloud.com",
            resource_path=urlsplit(ours.url or "").path,
            query_params=list(pairs),
            header_params={**JSON, "X-Sdk-Date": "20260115T083000Z"},
            body=body,
        )
    )

    assert ours.headers["Authorization"] == theirs.header_params["Authorization"]
    assert ours.path_url == theirs.uri


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_a_canonical_query_stays_as_it_is(pairs: list[tuple[str, str]]) -> None:
    once = canonical_query("&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs))

    assert canonical_query(once) == once


# --- tokens --------------------------------------------------------------------------------------------------


class Iam(VendorHttp):
    """An IAM that answers from a list, and raises an error that is in it. ``asked`` holds the requests' bodies."""

    def __init__(self, *answers: VendorResponse | VendorError) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.urls: list[str] = []

    def request(
        self, method: str, url: str, *, headers: Any = None, data: bytes = b"", auth: AuthBase | None = None
    ) -> VendorResponse:
        assert method == "POST"
        assert auth is None
        self.asked.append(json.loads(data))
        self.urls.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, VendorError):
            raise answer
        return answer


def token(name: str, body: bytes = b"{}", status: int = 201) -> VendorResponse:
    return VendorResponse(status=status, headers={"X-Subject-Token": name}, body=body)


class Wall:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def ask(auth: TokenAuth) -> str:
    return auth(requests.Request("GET", HOST).prepare()).headers["X-Auth-Token"]


def test_a_token_is_asked_for_the_whole_account_and_without_the_catalogue() -> None:
    iam = Iam(token("first"))
    auth = TokenAuth("robot", "secret", "acme", http=iam, clock=Wall())

    assert ask(auth) == "first"
    assert iam.urls == ["https://iam.myhuaweicloud.com/v3/auth/tokens?nocatalog=true"]
    assert iam.asked == [
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": "robot", "password": "secret", "domain": {"name": "acme"}}},
                },
                "scope": {"domain": {"name": "acme"}},
            }
        }
    ]


@pytest.mark.parametrize(
    ("body", "used_until"),
    [
        (b'{"token":{"expires_at":"2026-01-15T20:30:00.000000Z"}}', timedelta(hours=11, minutes=30)),
        (b'{"token":{"expires_at":"2026-01-15T20:30:00"}}', timedelta(hours=11, minutes=30)),
        (b'{"token":{"expires_at":"2026-01-15T08:40:00Z"}}', timedelta(minutes=9)),
        (b'{"token":{"expires_at":17}}', timedelta(hours=23, minutes=30)),
        (b'{"token":[]}', timedelta(hours=23, minutes=30)),
        (b"", timedelta(hours=23, minutes=30)),
    ],
)
def test_a_token_is_kept_until_shortly_before_its_end(body: bytes, used_until: timedelta) -> None:
    wall = Wall()
    auth = TokenAuth("robot", "secret", "acme", http=Iam(token("first", body), token("second", body)), clock=wall)

    assert ask(auth) == "first"
    wall.now = NOW + used_until - timedelta(seconds=1)
    assert ask(auth) == "first"
    wall.now = NOW + used_until
    assert ask(auth) == "second"


def test_a_forgotten_token_is_asked_for_again() -> None:
    auth = TokenAuth("robot", "secret", "acme", http=Iam(token("first"), token("second")), clock=Wall())

    assert ask(auth) == "first"
    auth.forget()
    assert ask(auth) == "second"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (VendorResponse(401, {}, b'{"error":{"message":"The username or password is wrong."}}'), AccessRefused),
        (VendorResponse(400, {}, b""), AccessRefused),
        (VendorResponse(429, {}, b""), Throttled),
        (VendorResponse(500, {}, b""), Unavailable),
        (VendorResponse(201, {}, b"{}"), Unavailable),
        (token("under the wrong status", status=200), Unavailable),
        (AnswerUnknown("POST iam: no answer in time"), Unavailable),
        (Unavailable("POST iam: no connection"), Unavailable),
    ],
)
def test_without_a_token_nothing_was_sent_and_the_error_says_so(
    answer: VendorResponse | VendorError, error: type[VendorError]
) -> None:
    auth = TokenAuth("robot", "s3cret", "acme", http=Iam(answer), clock=Wall())

    with pytest.raises(error) as caught:
        ask(auth)

    assert type(caught.value) is error
    assert "s3cret" not in str(caught.value)
