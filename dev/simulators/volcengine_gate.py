"""The gateway in front of the simulated API: signatures, and rates. It shares no code with the client that it checks.

Written from https://www.volcengine.com/docs/6369/67269 (signature) and 68677 (codes and their HTTP statuses).
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from dev.simulators.http_server import Reply, Request, json_reply

SKEW_SECONDS = 900
_AUTHORIZATION = re.compile(r"HMAC-SHA256 Credential=([^,\s]+), ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})")


@dataclass(frozen=True)
class Identity:
    """Who may call. An empty ``security_token`` is not checked. The region is part of every signature."""

    access_key: str = "AKLTSIMULATOR"
    secret_key: str = "SimulatorSecretKey0000000000000000000001=="
    security_token: str = ""
    region: str = "cn-north-1"


class Refused(Exception):
    """The call is refused with this status and code."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.text = text


def envelope(action: str, region: str, **fields: Any) -> dict[str, Any]:
    """Return ``ResponseMetadata`` as every answer has it."""
    metadata = {"RequestId": secrets.token_hex(17).upper(), "Action": action, "Version": "2021-03-01"}
    return {"ResponseMetadata": {**metadata, "Service": "CDN", "Region": region, **fields}}


def refusal(refused: Refused, action: str, region: str) -> Reply:
    """Return the answer of a call that is refused."""
    error = {"Code": refused.code, "Message": refused.text}
    return json_reply(refused.status, envelope(action, region, Error=error))


def check(request: Request, identity: Identity, *, wall: float, now: float) -> None:
    """Let a signed request pass. ``wall`` is the machine's time, ``now`` adds what was advanced. Raises ``Refused``."""
    headers = request.headers
    if "authorization" not in headers:
        raise Refused(401, "MissingAuthenticationToken", "Request is missing Authentication Token.")
    authorization = _AUTHORIZATION.fullmatch(headers["authorization"])
    if authorization is None:
        raise Refused(400, "InvalidAuthorization", "Invalid 'Authorization' header, Pls check authorization header.")
    credential, signed, signature = authorization.groups()
    access_key, _, scope = credential.partition("/")
    date, names = headers.get("x-date", ""), signed.split(";")
    if not date:
        raise Refused(400, "MissingRequestInfo", "The request is missing X-Date information.")
    if access_key != identity.access_key:
        raise Refused(401, "InvalidAccessKey", f"The accesskey [{access_key}] included in the request is invalid.")
    try:
        signed_at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refused(400, "InvalidTimestamp", "The Signature of the request is expired.") from None
    # The clock of an honest client may not have been advanced together with the simulator's.
    if min(abs(wall - signed_at), abs(now - signed_at)) > SKEW_SECONDS:
        raise Refused(400, "InvalidTimestamp", "The Signature of the request is expired.")
    if scope != f"{date[:8]}/{identity.region}/CDN/request":
        raise Refused(400, "InvalidCredential", "Invalid credential in 'Authorization', Pls check credential.")
    if identity.security_token and headers.get("x-security-token") != identity.security_token:
        raise Refused(401, "InvalidSecretToken", "Invalid secret token, msg: it does not belong to the access key.")
    must = {"host", "x-date", "x-content-sha256"} | {"x-security-token"} & headers.keys()
    whole = must <= set(names) and names == sorted(set(names)) and all(name in headers for name in names)
    if not whole or not hmac.compare_digest(_signature(request, identity, scope, names), signature):
        text = "The request signature we calculated does not match the signature you provided."
        raise Refused(401, "SignatureDoesNotMatch", text)


def _signature(request: Request, identity: Identity, scope: str, names: list[str]) -> str:
    pairs = sorted(parse_qsl(request.query, keep_blank_values=True))
    lines = {name: request.headers[name].strip() for name in names}
    name, _, port = lines["host"].partition(":")
    if port in ("80", "443"):
        lines["host"] = name
    canonical = "\n".join(
        [
            request.method,
            request.path,
            "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in pairs),
            *(f"{name}:{line}" for name, line in lines.items()),
            "",
            ";".join(names),
            hashlib.sha256(request.body).hexdigest(),  # of what arrived, whatever X-Content-Sha256 claims
        ]
    )
    text = "\n".join(["HMAC-SHA256", request.headers["x-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = identity.secret_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class Rates:
    """Limits the calls in any one second, for each action by itself. Only calls that pass count."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._passed: dict[str, deque[float]] = {}

    def check(self, action: str, now: float) -> None:
        """Let a call pass that is within the rate; a limit of 0 stops none. Raises ``Refused``."""
        passed = self._passed.setdefault(action, deque())
        while passed and passed[0] <= now - 1.0:
            passed.popleft()
        if self._limit and len(passed) >= self._limit:
            raise Refused(429, "FlowLimitExceeded", "Request was rejected because the request speed of this openAPI.")
        passed.append(now)
