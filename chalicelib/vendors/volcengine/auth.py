"""Sign requests to Volcengine and BytePlus with an access key (HMAC-SHA256, a relative of SigV4).

Algorithm: https://www.volcengine.com/docs/6369/67269; the official SDKs sign the same way (``auth/SignerV4.py``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

SERVICE: Final = "CDN"  # upper case in both SDKs
_ALGORITHM: Final = "HMAC-SHA256"
_TERMINATOR: Final = "request"
_SIGNED: Final = {"host", "content-type", "content-md5"}  # and every header whose name begins with "x-"


class AccessKeyAuth(AuthBase):
    """Sign each request with an access key. ``security_token`` (of temporary keys) becomes a signed header.

    The query of a request must be in canonical form already: sorted by name, and quoted but for ``-._~``.
    """

    def __init__(
        self,
        access_key: str,
        secret_key: str,
        *,
        region: str,
        clock: Callable[[], datetime],
        security_token: str = "",
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._clock = clock
        self._security_token = security_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request. Nothing may change it afterwards."""
        parts = urlsplit(request.url or "")
        body = request.body or b""
        if not isinstance(body, bytes):
            raise TypeError("only a body of bytes can be signed")
        date = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        request.headers["Host"] = parts.netloc.removesuffix(":443")  # the vendor signs no default port
        request.headers["X-Date"] = date
        request.headers["X-Content-Sha256"] = hashlib.sha256(body).hexdigest()
        if self._security_token:
            request.headers["X-Security-Token"] = self._security_token
        headers = {
            name.lower(): value.strip()
            for name, value in request.headers.items()
            if name.lower() in _SIGNED or name.lower().startswith("x-")
        }
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        payload = headers["x-content-sha256"]
        canonical = f"{request.method}\n{parts.path or '/'}\n{parts.query}\n{lines}\n{names}\n{payload}"
        scope = f"{date[:8]}/{self._region}/{SERVICE}/{_TERMINATOR}"
        text = f"{_ALGORITHM}\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._secret_key.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        request.headers["Authorization"] = (
            f"{_ALGORITHM} Credential={self._access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return request
