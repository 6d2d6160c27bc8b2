"""The headers by which a source proves who it is: Standard Webhooks, ``X-Hub-Signature-256`` and bearer tokens.

The package ``standardwebhooks`` signs only text, and a mail is bytes that need not be UTF-8. So the signature is
implemented here, and the tests compare it with that package and with edgeban's own check.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime

SCHEMES = ("standard-webhooks", "hub-sha256", "bearer")
TOLERANCE_SECONDS = 300
WEBHOOK_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
SVIX_HEADERS = ("svix-id", "svix-timestamp", "svix-signature")


def headers(scheme: str, secret: str, body: bytes, *, message_id: str, now: datetime) -> dict[str, str]:
    """Return the headers of a report. ``message_id`` makes the same report sent twice one report.

    Raises ``ValueError`` if the scheme is unknown, or the secret does not fit it.
    """
    if scheme == "standard-webhooks":
        seconds = str(int(now.timestamp()))
        signature = webhook_signature(secret, message_id, seconds, body)
        return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": signature}
    if scheme == "hub-sha256":
        return {"webhook-id": message_id, "X-Hub-Signature-256": hub_signature(secret, body)}
    if scheme == "bearer":
        return {"webhook-id": message_id, "Authorization": f"Bearer {secret}"}
    raise ValueError(f"the auth of a source is one of {', '.join(SCHEMES)}, not {scheme!r}")


def question_headers(scheme: str, secret: str, asked: str, *, message_id: str, now: datetime) -> dict[str, str]:
    """Return the headers by which a source asks for one of its reports; ``asked`` is the report's id."""
    body = asked.encode() if scheme == "hub-sha256" else b""
    return headers(scheme, secret, body, message_id=message_id, now=now)


def webhook_signature(secret: str, message_id: str, seconds: str, body: bytes) -> str:
    """Return ``v1,`` and the signature of Standard Webhooks over id, time and raw body."""
    signed = f"{message_id}.{seconds}.".encode() + body
    return "v1," + b64encode(hmac.digest(webhook_key(secret), signed, hashlib.sha256)).decode()


def webhook_key(secret: str) -> bytes:
    """Return the key in a secret of Standard Webhooks. Raises ``ValueError`` if it is no such secret."""
    encoded = secret.strip().removeprefix("whsec_")
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:  # binascii.Error is one.
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("a secret of Standard Webhooks is whsec_ and the base64 of 24 to 64 bytes")
    return key


def hub_signature(secret: str, body: bytes) -> str:
    """Return the value of ``X-Hub-Signature-256``."""
    return "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()


def complaint(secret: str, given: Mapping[str, str], body: bytes, *, now: datetime) -> str:
    """Say what is wrong with a signed request: header, clock, secret or body. Empty if nothing is.

    ``given`` are the headers as they were received. Raises ``ValueError`` if the secret itself is unusable.
    """
    lowered = {name.lower(): value.strip() for name, value in given.items()}
    if "x-hub-signature-256" in lowered:
        expected = hub_signature(secret, body)
        if hmac.compare_digest(expected.encode(), lowered["x-hub-signature-256"].lower().encode()):
            return ""
        return "body or secret: X-Hub-Signature-256 is not that of this body under this secret"
    names = SVIX_HEADERS if "svix-signature" in lowered else WEBHOOK_HEADERS
    missing = [name for name in names if name not in lowered]
    if missing:
        return f"header: {', '.join(missing)} is missing"
    message_id, seconds, signatures = (lowered[name] for name in names)
    if not seconds.isdecimal():
        return f"header: {names[1]} must be whole Unix seconds"
    return _signature_complaint(secret, (message_id, seconds, signatures), body) or _clock_complaint(
        names[1], now.timestamp() - int(seconds)
    )


def _signature_complaint(secret: str, values: tuple[str, str, str], body: bytes) -> str:
    message_id, seconds, signatures = values
    offered = signatures.split()
    expected = webhook_signature(secret, message_id, seconds, body)
    if any(hmac.compare_digest(expected.encode(), one.encode()) for one in offered):
        return ""
    if not any(one.startswith("v1,") for one in offered):
        return "header: the signature must begin with v1,"
    if body != body.strip() and webhook_signature(secret, message_id, seconds, body.strip()) in offered:
        return "body: it has white space at its begin or end that was not signed, such as a file's line end"
    return "body or secret: the signature is not that of this id, time and body under this secret"


def _clock_complaint(name: str, age: float) -> str:
    if abs(age) <= TOLERANCE_SECONDS:
        return ""
    return f"clock: {name} is {abs(age):.0f} s {'old' if age > 0 else 'ahead'}; at most {TOLERANCE_SECONDS} s pass"
