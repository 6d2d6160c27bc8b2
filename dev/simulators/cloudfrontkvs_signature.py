"""Verify SigV4A signatures by the definition of ECDSA. It shares no code with the client under test."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote, unquote

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Affine = tuple[int, int] | None
"""A point; ``None`` is the one at infinity."""


def plus(one: Affine, other: Affine) -> Affine:
    """Add two points of P-256."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def times(factor: int, point: Affine) -> Affine:
    """Multiply a point."""
    result: Affine = None
    while factor:
        if factor & 1:
            result = plus(result, point)
        point, factor = plus(point, point), factor >> 1
    return result


@cache
def public_key(access_key: str, secret_key: str) -> tuple[int, int]:
    """Derive the public key of a pair of AWS keys."""
    counter = 0
    while True:
        counter += 1
        label = b"AWS4-ECDSA-P256-SHA256"
        fixed = label + b"\x00" + access_key.encode() + bytes([counter]) + b"\x00\x00\x01\x00"
        found = hmac.new(b"AWS4A" + secret_key.encode(), b"\x00\x00\x00\x01" + fixed, hashlib.sha256).hexdigest()
        if int(found, 16) <= N - 2:
            key = times(int(found, 16) + 1, G)
            assert key
            return key


def verifies(key: tuple[int, int], message: bytes, signature: bytes) -> bool:
    """Whether a signature in DER is one of this message by the key's owner."""
    if len(signature) < 8 or signature[0] != 0x30 or signature[1] != len(signature) - 2 or signature[2] != 2:
        return False
    length = signature[3]
    r = int.from_bytes(signature[4 : 4 + length], "big")
    rest = signature[4 + length :]
    if len(rest) < 3 or rest[0] != 2 or rest[1] != len(rest) - 2:
        return False
    s = int.from_bytes(rest[2:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    point = plus(times(digest * inverse % N, G), times(r * inverse % N, key))
    return point is not None and point[0] % N == r


def canonical(method: str, path: str, query: str, headers: Mapping[str, str], names: list[str], body: bytes) -> str:
    """Return the canonical request; ``path`` and ``query`` are as received."""
    pairs = sorted(tuple(part.split("=", 1)) if "=" in part else (part, "") for part in query.split("&") if part)
    query_text = "&".join(f"{quote(unquote(n), safe='~')}={quote(unquote(v), safe='~')}" for n, v in pairs)
    payload = headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    head = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    return f"{method}\n{quote(path, safe='/~')}\n{query_text}\n{head}\n{';'.join(names)}\n{payload}"
