"""AWS Signature Version 4A, which the KeyValueStore demands: ECDSA with P-256 instead of an HMAC, for all regions.

The curve is calculated here. ``awscrt`` and ``cryptography`` would bring 13 and 16 MB of machine code to every cold
start for some calls a second (docs/design.md). The nonce is derived from the key and the message (RFC 6979): it needs
no source of randomness, and a vector checks the whole signature.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

ALGORITHM: Final = "AWS4-ECDSA-P256-SHA256"
SERVICE: Final = "cloudfront-keyvaluestore"

Point = tuple[int, int, int]
"""A point of the curve in Jacobian coordinates; z = 0 is the point at infinity."""

_P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)


def private_key(access_key: str, secret_key: str) -> int:
    """Derive the private key of a pair of AWS keys. Raises ``ValueError`` if there is none, which never happens."""
    for counter in range(1, 255):
        context = access_key.encode() + bytes([counter])
        message = b"\0\0\0\x01" + ALGORITHM.encode() + b"\0" + context + (256).to_bytes(4, "big")
        candidate = int.from_bytes(hmac.digest(b"AWS4A" + secret_key.encode(), message, "sha256"), "big")
        if candidate <= _N - 2:
            return candidate + 1
    raise ValueError("no private key can be derived")


def sign(key: int, message: bytes) -> bytes:
    """Sign a message; return the signature in DER."""
    digest = hashlib.sha256(message).digest()
    number = int.from_bytes(digest, "big")
    for nonce in _nonces(key, digest):
        r = _affine_x(_times(nonce)) % _N
        s = pow(nonce, -1, _N) * (number + r * key) % _N
        if r and s:
            return _der(r, s)
    raise AssertionError("unreachable")


class SigV4AAuth(AuthBase):
    """Signs the host, the body's hash, and the headers that the request has of ``SIGNED``."""

    SIGNED: Final = ("content-type", "if-match", "x-amz-security-token")

    def __init__(
        self, access_key: str, secret_key: str, *, clock: Callable[[], datetime], security_token: str = ""
    ) -> None:
        self._access_key, self._secret_key = access_key, secret_key
        self._security_token = security_token
        self._clock = clock

    @cached_property
    def _key(self) -> int:
        return private_key(self._access_key, self._secret_key)

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Add the time, the region set and the signature."""
        stamp = self._clock().astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        parts = urlsplit(r.url or "")
        body = r.body.encode() if isinstance(r.body, str) else (r.body or b"")
        assert isinstance(body, bytes)
        r.headers["Host"] = parts.netloc
        r.headers["x-amz-date"] = stamp
        r.headers["x-amz-region-set"] = "*"
        r.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
        if self._security_token:
            r.headers["x-amz-security-token"] = self._security_token
        names = sorted(
            {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-region-set"}
            | {name for name in self.SIGNED if name in r.headers}
        )
        request = canonical_request(
            r.method or "", parts.path, parts.query, [(name, _text(r.headers[name])) for name in names], body
        )
        scope = f"{stamp[:8]}/{SERVICE}/aws4_request"
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = sign(self._key, to_sign.encode()).hex()
        r.headers["Authorization"] = (
            f"{ALGORITHM} Credential={self._access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return r


def canonical_request(method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes) -> str:
    """Return the text that stands for a request. Its path is encoded once more than it is sent."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    lines = [
        method,
        quote(path, safe="/-_.~"),
        "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs),
        *(f"{name}:{value.strip()}" for name, value in headers),
        "",
        ";".join(name for name, _ in headers),
        hashlib.sha256(body).hexdigest(),
    ]
    return "\n".join(lines)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


# --- the curve --------------------------------------------------------------------------------------------------------


def _times(factor: int) -> Point:
    """Multiply the base point."""
    result: Point = (0, 1, 0)
    for bit in f"{factor:b}":
        result = _double(result)
        if bit == "1":
            result = _add(result, _G)
    return result


def _double(point: Point) -> Point:
    x, y, z = point
    if not z:
        return point
    square, delta = y * y % _P, z * z % _P
    beta = 4 * x * square % _P
    alpha = 3 * (x - delta) * (x + delta) % _P
    doubled_x = (alpha * alpha - 2 * beta) % _P
    return doubled_x, (alpha * (beta - doubled_x) - 8 * square * square) % _P, 2 * y * z % _P


def _add(one: Point, other: Point) -> Point:
    """Add ``other``, whose z is 1."""
    x1, y1, z1 = one
    if not z1:
        return other
    x2, y2, _ = other
    delta = z1 * z1 % _P
    h, r = (x2 * delta - x1) % _P, (y2 * delta * z1 - y1) % _P
    if not h:
        return (0, 1, 0) if r else _double(other)
    square = h * h % _P
    cube, v = square * h % _P, x1 * square % _P
    x3 = (r * r - cube - 2 * v) % _P
    return x3, (r * (v - x3) - y1 * cube) % _P, z1 * h % _P


def _affine_x(point: Point) -> int:
    return point[0] * pow(point[2], -2, _P) % _P


def _nonces(key: int, digest: bytes) -> list[int]:
    """Derive two nonces from the key and the digest (RFC 6979, 3.2): the second is never needed in practice."""
    secret = key.to_bytes(32, "big") + (int.from_bytes(digest, "big") % _N).to_bytes(32, "big")
    k, v = bytes(32), b"\x01" * 32
    for separator in (b"\0", b"\x01"):
        k = hmac.digest(k, v + separator + secret, "sha256")
        v = hmac.digest(k, v, "sha256")
    found: list[int] = []
    while len(found) < 2:
        v = hmac.digest(k, v, "sha256")
        nonce = int.from_bytes(v, "big")
        if 1 <= nonce < _N:
            found.append(nonce)
        k = hmac.digest(k, v + b"\0", "sha256")
        v = hmac.digest(k, v, "sha256")
    return found


def _der(r: int, s: int) -> bytes:
    numbers = b"".join(
        b"\x02" + bytes([len(octets)]) + octets
        for octets in (number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (r, s))
    )
    return b"\x30" + bytes([len(numbers)]) + numbers
