"""Two ways to prove who we are to Huawei Cloud: an access key that signs each request, or an IAM token.

Signature: https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html
Token: https://support.huaweicloud.com/intl/en-us/api-iam/iam_30_0001.html
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase

from chalicelib.domain.errors import AccessRefused, AnswerUnknown, ConfigurationError, Throttled, Unavailable
from chalicelib.domain.model import VendorAccount
from chalicelib.vendors.http import VendorHttp, VendorResponse, require_endpoint

Clock = Callable[[], datetime]

IAM_ENDPOINT: Final = "https://iam.myhuaweicloud.com"

TOKEN_LIFE: Final = timedelta(hours=24)  # stated by the page of the token API
TOKEN_MARGIN: Final = timedelta(minutes=30)
"""How long before its end a token is no longer used: the vendor advises against using one that is about to end."""

_ALGORITHM: Final = "SDK-HMAC-SHA256"
_CONTENT_HASH: Final = "X-Sdk-Content-Sha256"


class AkSkAuth(AuthBase):
    """Sign each request with an access key (SDK-HMAC-SHA256).

    ``domain_id`` and ``security_token`` (of temporary keys) become signed headers if they are given. The query is
    rewritten to its canonical form, so that what is sent is what was signed. The vendor takes bodies of up to 12 MB
    with this kind of signature.
    """

    def __init__(
        self, access_key: str, secret_key: str, *, clock: Clock, domain_id: str = "", security_token: str = ""
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._domain_id = domain_id
        self._security_token = security_token
        self._clock = clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request. Nothing may change it afterwards."""
        parts = urlsplit(request.url or "")
        query = canonical_query(parts.query)
        request.url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        request.headers["Host"] = parts.netloc
        request.headers["X-Sdk-Date"] = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        if self._domain_id:
            request.headers["X-Domain-Id"] = self._domain_id
        if self._security_token:
            request.headers["X-Security-Token"] = self._security_token
        names, canonical = canonical_request(request, parts.path, query)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{request.headers['X-Sdk-Date']}\n{digest}"
        signature = hmac.new(self._secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
        request.headers["Authorization"] = (
            f"{_ALGORITHM} Access={self._access_key}, SignedHeaders={names}, Signature={signature}"
        )
        return request


def canonical_request(request: requests.PreparedRequest, path: str, query: str) -> tuple[str, str]:
    """Return the names of the signed headers and the text whose hash is signed."""
    # Sign Host, Content-Type and the vendor's own headers only: a proxy may rewrite others (User-Agent, Accept).
    headers = {
        name.lower(): _text(value).strip()
        for name, value in request.headers.items()
        if (name.lower() in ("host", "content-type") or name.lower().startswith("x-")) and "_" not in name
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    body = _body(request)
    declared = request.headers.get(_CONTENT_HASH) if body else None
    payload = _text(declared) if declared else hashlib.sha256(body).hexdigest()
    return names, f"{request.method}\n{canonical_path(path)}\n{query}\n{lines}\n{names}\n{payload}"


def canonical_path(path: str) -> str:
    """Quote each segment again. The signed path ends in a slash, although the path that is sent does not."""
    quoted = "/".join(quote(segment, safe="~") for segment in unquote(path).split("/"))
    return quoted if quoted.endswith("/") else quoted + "/"


def canonical_query(query: str) -> str:
    """Sort by decoded name and value; quote all but letters, digits and ``-._~``."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)


def _body(request: requests.PreparedRequest) -> bytes:
    body = request.body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    raise TypeError("only a body of bytes or text can be signed")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class TokenAuth(AuthBase):
    """Send an IAM token. It is obtained with an IAM user's password when first needed, and kept until near its end.

    The token's scope is the whole account ("domain"): CDN is a global service and takes no other
    (https://support.huaweicloud.com/api-cdn/cdn_02_0030.html).

    Without a token, the call that needs it raises ``AccessRefused``, ``Throttled`` or ``Unavailable``: however the
    token request failed, the call itself was not sent.
    """

    def __init__(
        self, user: str, password: str, domain: str, *, http: VendorHttp, clock: Clock, endpoint: str = IAM_ENDPOINT
    ) -> None:
        self._user = user
        self._password = password
        self._domain = domain
        self._http = http
        self._clock = clock
        # nocatalog: with any value, the answer leaves out the list of all services, some 10 KB
        self._url = endpoint.rstrip("/") + "/v3/auth/tokens?nocatalog=true"
        self._lock = threading.Lock()
        self._token = ""
        self._use_until = datetime.min.replace(tzinfo=UTC)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token to a request. Obtains one first if there is none, or if it is about to end."""
        with self._lock:  # of several threads that see an old token, one renews it
            if not self._token or self._clock() >= self._use_until:
                self._obtain()
            request.headers["X-Auth-Token"] = self._token
        return request

    def forget(self) -> None:
        """Drop a token that the vendor no longer takes: a changed password or permission ends it early."""
        with self._lock:
            self._token = ""

    def _obtain(self) -> None:
        asked_at = self._clock()
        try:
            response = self._http.request(
                "POST", self._url, headers={"Content-Type": "application/json;charset=utf8"}, data=self._request_body()
            )
        except AnswerUnknown as exc:
            raise Unavailable(f"no token: {exc}") from exc
        token = response.headers.get("X-Subject-Token", "")
        if response.status == 201 and token:
            self._token = token
            self._use_until = _use_until(response, asked_at)
            return
        request_id = response.headers.get("X-Request-Id", "")
        if response.status == 429:
            raise Throttled("IAM throttles token requests", request_id=request_id)
        if 400 <= response.status < 500:
            # The answer's text names the user and sometimes the policy. The status is enough to know what to check.
            raise AccessRefused(f"IAM refuses a token: HTTP {response.status}", request_id=request_id)
        raise Unavailable(f"IAM gave no token: HTTP {response.status}", request_id=request_id)

    def _request_body(self) -> bytes:
        user = {"name": self._user, "password": self._password, "domain": {"name": self._domain}}
        return json.dumps(
            {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": user}},
                    "scope": {"domain": {"name": self._domain}},
                }
            }
        ).encode()


def _use_until(response: VendorResponse, asked_at: datetime) -> datetime:
    """Return when to stop using a new token: shortly before its end. Without an end, the documented life counts."""
    try:
        expires_at = datetime.fromisoformat(json.loads(response.body)["token"]["expires_at"])
    except (ValueError, KeyError, TypeError):
        expires_at = asked_at + TOKEN_LIFE
    if expires_at.tzinfo is None:
        expires_at = expires_at.replace(tzinfo=UTC)
    # A tenth of a short life: a token that lives for less than the margin still serves more than one call.
    return expires_at - min(TOKEN_MARGIN, (expires_at - asked_at) / 10)


def auth_of(account: VendorAccount, *, clock: Clock, http: VendorHttp) -> AkSkAuth | TokenAuth:
    """Make the authentication of an account from its credentials.

    They are ``access_key`` and ``secret_key`` (with ``security_token`` if they are temporary, and ``domain_id`` to sign
    the account's id), or ``user``, ``password`` and ``domain`` (the account's name) of an IAM user, with
    ``iam_endpoint`` if another IAM issues the tokens. Raises ``ConfigurationError`` that names what is missing.
    """
    given = account.credentials
    if given.get("access_key") or given.get("secret_key"):
        _require(account, "access_key", "secret_key")
        for key in ("access_key", "secret_key", "security_token", "domain_id"):
            value = given.get(key, "")
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise ConfigurationError(
                    f"account {account.name}: {key} holds a space, line end or other stray character"
                )
        return AkSkAuth(
            given["access_key"],
            given["secret_key"],
            clock=clock,
            domain_id=given.get("domain_id", ""),
            security_token=given.get("security_token", ""),
        )
    if given.get("user") or given.get("password") or given.get("domain"):
        _require(account, "user", "password", "domain")
        iam = given.get("iam_endpoint") or IAM_ENDPOINT
        require_endpoint(iam)
        return TokenAuth(given["user"], given["password"], given["domain"], http=http, clock=clock, endpoint=iam)
    raise ConfigurationError(
        f"account {account.name}: the credentials need access_key and secret_key, or user, password and domain"
    )


def _require(account: VendorAccount, *keys: str) -> None:
    missing = [key for key in keys if not account.credentials.get(key)]
    if missing:
        raise ConfigurationError(f"account {account.name}: the credentials lack {' and '.join(missing)}")
