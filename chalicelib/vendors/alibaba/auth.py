"""Request signatures of Alibaba Cloud: ACS3-HMAC-SHA256, and the older RPC form with HMAC-SHA1.

Both take a request in one neutral form (all parameters in the query, ``Action`` and ``Version`` among them) and turn it
into their own. They sign every request anew, so a repeated request carries a new nonce and a new time: the vendor
refuses a nonce it has seen and a time that is more than 15 minutes off.

Sources: https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature and
https://www.alibabacloud.com/help/en/sdk/product-overview/rpc-mechanism.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import VendorAccount

Pairs = list[tuple[str, str]]


def random_nonce() -> str:
    """Make a nonce that no other request has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key; ``security_token`` comes with temporary keys (STS) and is empty otherwise."""

    id: str
    secret: str = field(repr=False)
    security_token: str = field(repr=False, default="")


class Acs3Auth(AuthBase):
    """ACS3-HMAC-SHA256: the vendor's "V3", its default.

    The signature covers the host, the content type if there is one, and every ``x-acs-`` header.
    """

    def __init__(
        self, key: AccessKey, *, clock: Callable[[], datetime], nonce: Callable[[], str] = random_nonce
    ) -> None:
        self._key = key
        self._clock = clock
        self._nonce = nonce

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Move ``Action`` and ``Version`` into headers, add the rest of them, and sign."""
        pairs = _take_query(r)
        named = dict(pairs)
        query = _canonical_query(pair for pair in pairs if pair[0] not in ("Action", "Version"))
        body_hash = hashlib.sha256(_body(r)).hexdigest()
        r.headers["Host"] = _host(r)
        r.headers["x-acs-action"] = named["Action"]
        r.headers["x-acs-version"] = named["Version"]
        r.headers["x-acs-date"] = _timestamp(self._clock())
        r.headers["x-acs-signature-nonce"] = self._nonce()
        r.headers["x-acs-content-sha256"] = body_hash
        if self._key.security_token:
            r.headers["x-acs-accesskey-id"] = self._key.id
            r.headers["x-acs-security-token"] = self._key.security_token

        signed = {
            name.lower(): _text(value).strip()
            for name, value in r.headers.items()
            if name.lower() in ("host", "content-type") or name.lower().startswith("x-acs-")
        }
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        path = urlsplit(_url(r)).path or "/"
        canonical = f"{r.method}\n{path}\n{query}\n{lines}\n{names}\n{body_hash}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(self._key.secret.encode(), f"ACS3-HMAC-SHA256\n{digest}".encode(), hashlib.sha256)
        r.headers["Authorization"] = (
            f"ACS3-HMAC-SHA256 Credential={self._key.id},SignedHeaders={names},Signature={signature.hexdigest()}"
        )
        _put_query(r, query)
        return r


class RpcAuth(AuthBase):
    """RPC with HMAC-SHA1, ``SignatureVersion`` 1.0. The vendor discontinued it; some servers know only this form."""

    def __init__(
        self,
        key: AccessKey,
        *,
        clock: Callable[[], datetime],
        nonce: Callable[[], str] = random_nonce,
        answer_format: str = "JSON",
    ) -> None:
        self._key = key
        self._clock = clock
        self._nonce = nonce
        self._format = answer_format  # Without it, the vendor answers in XML.

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Add the common parameters to the query, and sign it."""
        pairs = _take_query(r)
        pairs += [
            ("Format", self._format),
            ("AccessKeyId", self._key.id),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", self._nonce()),
            ("Timestamp", _timestamp(self._clock())),
        ]
        if self._key.security_token:
            pairs.append(("SecurityToken", self._key.security_token))
        query = _canonical_query(pairs)
        string_to_sign = f"{r.method}&%2F&{_encode(query)}"
        # The vendor prescribes SHA-1. As an HMAC it is not known to be broken.
        mac = hmac.new(f"{self._key.secret}&".encode(), string_to_sign.encode(), hashlib.sha1)
        signature = base64.b64encode(mac.digest()).decode()
        _put_query(r, f"{query}&Signature={_encode(signature)}")
        return r


SIGNATURES: Final[dict[str, type[Acs3Auth | RpcAuth]]] = {"acs3": Acs3Auth, "rpc": RpcAuth}


def request_auth(
    account: VendorAccount, *, clock: Callable[[], datetime], nonce: Callable[[], str] = random_nonce
) -> Acs3Auth | RpcAuth:
    """Return what signs the requests of an account. Raises ``ConfigurationError`` if its credentials cannot be used."""
    given = account.credentials
    missing = [name for name in ("access_key", "secret_key") if not given.get(name)]
    if missing:
        raise ConfigurationError(f"account {account.name}: credentials lack {' and '.join(missing)}")
    form = SIGNATURES.get(given.get("signature") or "acs3")
    if form is None:
        raise ConfigurationError(f"account {account.name}: signature must be one of {', '.join(SIGNATURES)}")
    key = AccessKey(given["access_key"], given["secret_key"], given.get("security_token", ""))
    return form(key, clock=clock, nonce=nonce)


# --- what both forms share ----------------------------------------------------------------


def _encode(text: str) -> str:
    """Percent-encode by RFC 3986: only letters, digits and ``-_.~`` stay."""
    return quote(text, safe="~")


def _canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in sorted(pairs))


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _url(r: PreparedRequest) -> str:
    if not r.url:
        raise ValueError("only a prepared request can be signed")
    return r.url


def _take_query(r: PreparedRequest) -> Pairs:
    return parse_qsl(urlsplit(_url(r)).query, keep_blank_values=True)


def _put_query(r: PreparedRequest, query: str) -> None:
    """Put the query as it was signed: requests would write a space as ``+``."""
    parts = urlsplit(_url(r))
    r.url = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def _host(r: PreparedRequest) -> str:
    """Return the ``Host`` header: the host, with the port unless it is the scheme's default."""
    parts = urlsplit(_url(r))
    host = parts.netloc.rpartition("@")[2]
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return host.removesuffix(default) if default else host


def _body(r: PreparedRequest) -> bytes:
    body = r.body or b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    raise TypeError("a streamed body cannot be signed")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
