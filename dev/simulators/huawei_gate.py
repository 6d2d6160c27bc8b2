"""The gateway in front of the simulated API: signatures, tokens, the lock-out of keys, and rates.

It was written from the vendor's pages and shares no code with the client that it checks.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import json
import re
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from dev.simulators.http_server import Reply, Request, json_reply

SKEW_SECONDS = 15 * 60
FAILURES_ALLOWED = 5
LOCK_SECONDS = 5 * 60
MAX_SIGNED_BODY = 12 * 1024 * 1024
_AUTHORIZATION = re.compile(r"SDK-HMAC-SHA256 Access=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})")


class Refused(Exception):
    """The call is refused with this reply."""

    def __init__(self, reply: Reply, code: str) -> None:
        super().__init__(code)
        self.reply = reply
        self.code = code


def gateway_refusal(status: int, code: str, text: str) -> Refused:
    request_id = secrets.token_hex(16)
    document = {"error_msg": text, "error_code": code, "request_id": request_id}
    return Refused(json_reply(status, document, X_Request_Id=request_id), code)


@dataclass(frozen=True)
class Identity:
    """The credentials that may call. An empty ``security_token`` or ``domain_id`` is not checked."""

    access_key: str = "SIMULATORACCESSKEY01"
    secret_key: str = "SimulatorSecretKey00000000000000000001"
    security_token: str = ""
    domain_id: str = ""
    user: str = "simulator-user"
    password: str = "simulator-password"
    domain: str = "simulator-domain"
    token_seconds: float = 86_400.0


class Gate:
    """Checks credentials. Times are seconds since 1970: ``wall`` is the machine's, ``now`` adds what was advanced."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.tokens: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, float] = {}

    def check(self, request: Request, *, wall: float, now: float) -> None:
        """Let an authenticated request pass. Raises ``Refused``."""
        token = request.headers.get("x-auth-token")
        if token is not None:
            if self.tokens.get(token, 0.0) <= now:
                raise gateway_refusal(401, "APIGW.0307", "The token must be updated")
            return
        authorization = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if authorization is None:
            raise gateway_refusal(401, "APIGW.0301", "Incorrect IAM authentication information: no authorization")
        access_key, names, signature = authorization.groups()
        if self._locked_until.get(access_key, 0.0) > now:
            raise self._lock_refusal()
        reason = self._fault_of(request, access_key, names.split(";"), signature, wall=wall, now=now)
        if not reason:
            self._failures.pop(access_key, None)
            return
        self._failures[access_key] = self._failures.get(access_key, 0) + 1
        if self._failures[access_key] > FAILURES_ALLOWED:
            del self._failures[access_key]
            self._locked_until[access_key] = now + LOCK_SECONDS
            raise self._lock_refusal()
        raise gateway_refusal(401, "APIGW.0301", f"Incorrect IAM authentication information: {reason}")

    @staticmethod
    def _lock_refusal() -> Refused:
        text = "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden"
        return gateway_refusal(401, "APIGW.0301", text)

    def _fault_of(  # noqa: PLR0911 - one reason after the other
        self, request: Request, access_key: str, names: list[str], signature: str, *, wall: float, now: float
    ) -> str:
        headers = request.headers
        if access_key != self.identity.access_key:
            return "AK not exist"
        if "x-sdk-date" not in names or any(name not in headers for name in names) or names != sorted(set(names)):
            return "a signed header is missing, or they are not sorted"
        try:
            signed_at = calendar.timegm(time.strptime(headers["x-sdk-date"], "%Y%m%dT%H%M%SZ"))
        except ValueError:
            return "X-Sdk-Date is not a date"
        # The clock of an honest client may not have been advanced together with the simulator's.
        if min(abs(wall - signed_at), abs(now - signed_at)) > SKEW_SECONDS:
            return "request has expired"
        if self.identity.security_token and not (
            "x-security-token" in names and headers["x-security-token"] == self.identity.security_token
        ):
            return "the security token is missing or wrong"
        if self.identity.domain_id and headers.get("x-domain-id", self.identity.domain_id) != self.identity.domain_id:
            return "the domain id is wrong"
        if len(request.body) > MAX_SIGNED_BODY:
            return "the body is longer than 12 MB"
        expected = self._signature(request, names)
        return "" if hmac.compare_digest(expected, signature) else "verify aksk signature fail"

    def _signature(self, request: Request, names: list[str]) -> str:
        payload = hashlib.sha256(request.body).hexdigest()
        declared = request.headers.get("x-sdk-content-sha256")
        if request.body and declared == "UNSIGNED-PAYLOAD":
            payload = declared
        canonical = "\n".join(
            [
                request.method,
                _canonical_uri(request.path),
                _canonical_query(request.query),
                *(f"{name}:{request.headers[name].strip()}" for name in names),
                "",
                ";".join(names),
                payload,
            ]
        )
        text = "\n".join(
            ["SDK-HMAC-SHA256", request.headers["x-sdk-date"], hashlib.sha256(canonical.encode()).hexdigest()]
        )
        return hmac.digest(self.identity.secret_key.encode(), text.encode(), "sha256").hex()

    # --- POST /v3/auth/tokens -----------------------------------------------------------------------------

    def issue_token(self, request: Request, *, now: float) -> Reply:
        """Answer a request for a token. CDN accepts only the scope of the whole account. Raises ``Refused``."""
        try:
            auth = json.loads(request.body)["auth"]
            identity, user = auth["identity"], auth["identity"]["password"]["user"]
            sent = (user["name"], user["password"], user["domain"]["name"])
            scope = auth["scope"]["domain"]["name"]
            methods = identity["methods"]
        except (ValueError, KeyError, TypeError):
            raise _iam_refusal(400, "Request body is invalid: password, and a scope of a domain, are needed") from None
        if methods != ["password"] or not request.headers.get("content-type", "").startswith("application/json"):
            raise _iam_refusal(400, "Request body is invalid")
        if sent != (self.identity.user, self.identity.password, self.identity.domain):
            raise _iam_refusal(401, "The username or password is wrong.")
        if scope != self.identity.domain:
            raise _iam_refusal(403, "The scope is not yours.")
        token = "MII" + base64.urlsafe_b64encode(secrets.token_bytes(300)).decode()
        expires = now + self.identity.token_seconds
        self.tokens[token] = expires
        document: dict[str, Any] = {
            "methods": ["password"],
            "issued_at": _iso(now),
            "expires_at": _iso(expires),
            "user": {"name": sent[0]},
            "domain": {"name": scope},
        }
        if "nocatalog=" not in request.query:
            document["catalog"] = [{"type": "cdn", "id": f"{n:032x}", "endpoints": []} for n in range(100)]
        return json_reply(201, {"token": document}, X_Subject_Token=token)


def _iam_refusal(status: int, text: str) -> Refused:
    return Refused(json_reply(status, {"error": {"code": status, "message": text}}), str(status))


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1_000_000):06d}Z"


def _encode(octets: bytes) -> str:
    return quote_from_bytes(octets, safe="~")


def _canonical_uri(path: str) -> str:
    uri = "/".join(_encode(segment) for segment in unquote_to_bytes(path).split(b"/"))
    return uri if uri.endswith("/") else uri + "/"


def _canonical_query(query: str) -> str:
    # A plus sign stays a plus sign: it means a space only in form data.
    pairs = [part.partition("=") for part in query.split("&") if part]
    decoded = sorted((unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs)
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in decoded)


class Rates:
    """Limits the calls in any one second, for each endpoint. Only calls that pass count."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.limits = limits
        self._passed: dict[str, deque[float]] = {}

    def check(self, endpoint: str, now: float) -> None:
        """Let a call pass that is within the rate. Raises ``Refused``."""
        limit = self.limits.get(endpoint)
        if limit is None:
            return
        passed = self._passed.setdefault(endpoint, deque())
        while passed and passed[0] <= now - 1.0:
            passed.popleft()
        if len(passed) >= limit:
            text = f"policy user over ratelimit,limit:{limit},time:1 second"
            raise gateway_refusal(429, "APIGW.0308", f"The throttling threshold has been reached: {text}")
        passed.append(now)
