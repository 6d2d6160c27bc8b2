"""Verify requests signed for Alibaba Cloud, by the vendor's pages. It shares no code with the client under test."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

SKEW = timedelta(minutes=15)
MUST_SIGN = {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}


class Refused(Exception):
    """An error as the vendor answers it."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class SignedRequest:
    """A request as received; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Verified:
    """The content of a request, and how it was signed."""

    action: str
    version: str
    access_key: str
    form: str
    nonce: str
    params: dict[str, str]
    wants_xml: bool = False


@dataclass
class Verifier:
    """Knows the keys (access key → secret key, access key → security token) and the nonces it has seen."""

    secrets: Mapping[str, str]
    tokens: Mapping[str, str] = field(default_factory=dict)
    seen: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def verify(self, request: SignedRequest, now: datetime) -> Verified:
        """Return the request's content. Raises ``Refused`` with the vendor's code for the first thing that is wrong."""
        if request.headers.get("authorization", "").startswith("ACS3-HMAC-SHA256"):
            verified, timestamp, token, matches = self._acs3(request)
        else:
            verified, timestamp, token, matches = self._rpc(request)
        try:
            moment = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise Refused(
                400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."
            ) from None
        if abs(now - moment) > SKEW:
            raise Refused(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
        if not matches:
            raise Refused(403, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
        if token != self.tokens.get(verified.access_key, ""):
            raise Refused(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        self.seen = {key: at for key, at in self.seen.items() if now - at <= 2 * SKEW}
        if not verified.nonce or (verified.access_key, verified.nonce) in self.seen:
            raise Refused(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self.seen[verified.access_key, verified.nonce] = now
        return verified

    def _secret(self, access_key: str) -> str:
        if access_key not in self.secrets:
            raise Refused(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        return self.secrets[access_key]

    def _acs3(self, request: SignedRequest) -> tuple[Verified, str, str, bool]:
        headers = request.headers
        parts = dict(
            part.strip().split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(",") if "=" in part
        )
        access_key = parts.get("Credential", "")
        secret = self._secret(access_key)
        names = parts.get("SignedHeaders", "").split(";")
        token = headers.get("x-acs-security-token", "")
        must = MUST_SIGN | ({"x-acs-security-token", "x-acs-accesskey-id"} if token else set())
        params = parse_qsl(request.query, keep_blank_values=True)
        hashed = hashlib.sha256(request.body).hexdigest()
        canonical = "\n".join(
            [
                request.method,
                request.path,
                "&".join(f"{escape(name)}={escape(value)}" for name, value in sorted(params)),
                *(f"{name}:{headers.get(name, '').strip()}" for name in names),
                "",
                ";".join(names),
                headers.get("x-acs-content-sha256", ""),
            ]
        )
        to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode("utf-8")).hexdigest()
        expected = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        matches = (
            hmac.compare_digest(expected, parts.get("Signature", ""))
            and names == sorted(names)
            and must <= set(names)
            and headers.get("x-acs-content-sha256") == hashed
        )
        verified = Verified(
            action=headers.get("x-acs-action", ""),
            version=headers.get("x-acs-version", ""),
            access_key=access_key,
            form="acs3",
            nonce=headers.get("x-acs-signature-nonce", ""),
            params=dict(params),
        )
        return verified, headers.get("x-acs-date", ""), token, matches

    def _rpc(self, request: SignedRequest) -> tuple[Verified, str, str, bool]:
        pairs = parse_qsl(request.query, keep_blank_values=True)
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
        params = dict(pairs)
        for name in ("AccessKeyId", "Signature", "SignatureNonce", "Timestamp", "Action", "Version"):
            if not params.get(name):
                raise Refused(400, f"Missing{name}", f"{name} is mandatory for this action.")
        secret = self._secret(params["AccessKeyId"])
        signature = params.pop("Signature")
        query = "&".join(f"{escape(name)}={escape(params[name])}" for name in sorted(params))
        to_sign = "&".join([request.method, escape("/"), escape(query)])
        mac = hmac.new((secret + "&").encode(), to_sign.encode(), hashlib.sha1)
        matches = (
            hmac.compare_digest(base64.b64encode(mac.digest()), signature.encode())
            and params.get("SignatureMethod") == "HMAC-SHA1"
            and params.get("SignatureVersion") == "1.0"
        )
        verified = Verified(
            action=params["Action"],
            version=params["Version"],
            access_key=params["AccessKeyId"],
            form="rpc",
            nonce=params["SignatureNonce"],
            params=params,
            wants_xml=params.get("Format", "XML").upper() != "JSON",
        )
        return verified, params["Timestamp"], params.get("SecurityToken", ""), matches


def escape(text: str) -> str:
    """Escape everything but letters, digits and ``-_.~``."""
    return quote(text.encode("utf-8"), safe="~")
