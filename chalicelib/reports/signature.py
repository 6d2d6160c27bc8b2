"""Who sent this body: Standard Webhooks, ``X-Hub-Signature-256`` and bearer tokens.

Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) is
implemented here; the tests compare it with the package ``standardwebhooks``. The package is not used at run time for
three reasons. It reads the clock (``now`` is an argument here). It decodes the body to text before it checks it, so
that a body that is not UTF-8 cannot be verified. It raises ValueError and binascii.Error on a malformed header.

Header names are case-insensitive everywhere. Each function returns the idempotency id of the request. No message
repeats a secret, a signature or an expected value.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from secrets import token_hex

from chalicelib.domain.errors import BadSignature, ConfigurationError

TOLERANCE = timedelta(minutes=5)
"""How far a timestamp may be from now, in either direction: what the standard's own libraries allow."""

MIN_SECRET_LENGTH = 16
"""The fewest characters of a hub secret or a bearer token: shorter ones can be guessed."""

MAX_SIGNATURES = 20
"""The most signatures in one header; a rotation needs two."""

WEBHOOK_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
DELIVERY_HEADERS = ("webhook-id", "x-github-delivery", "x-gitea-delivery", "x-gogs-delivery")
"""Headers that name a delivery if the scheme signs no id. The first one in the request counts."""

DIGEST = "sha256:"
"""The beginning of the id of a delivery without its own id. The SHA-256 of its body follows."""

SVIX_HEADERS = ("svix-id", "svix-timestamp", "svix-signature")

_ID = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_HUB = re.compile(r"sha256=([0-9a-fA-F]{64})")
_TOKEN = re.compile(r"[!-~]+")
_HASHED_TOKEN = re.compile(r"sha256:([0-9a-fA-F]{64})")
_HASH_OF_NOTHING = sha256(b"").hexdigest()


class Scheme(StrEnum):
    """How a source proves who it is. A source has exactly one scheme, so none can be downgraded to another."""

    STANDARD_WEBHOOKS = "standard-webhooks"
    HUB = "hub-sha256"
    BEARER = "bearer"


def authenticate(
    scheme: Scheme, *, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime
) -> str:
    """Check a request by the scheme of its source and return its idempotency id.

    Raises BadSignature, and ConfigurationError if a secret is unusable.
    """
    match scheme:
        case Scheme.STANDARD_WEBHOOKS:
            return verify(secrets=secrets, headers=headers, body=body, now=now)
        case Scheme.HUB:
            return verify_hub(secrets, headers, body)
        case Scheme.BEARER:
            return verify_bearer(secrets, headers, body)


def authenticate_question(
    scheme: Scheme, *, secrets: Sequence[str], headers: Mapping[str, str], asked: str, now: datetime
) -> None:
    """Check a request without a body, by which a source asks for one of its reports (``asked``).

    Standard Webhooks signs the empty body; the signature is valid for minutes, because it covers id and time. A hub
    signature of the empty body would be the same for ever and for every question. So it signs what is asked for instead
    of the body: a signature that leaks opens only that. A bearer token needs nothing more.

    Raises BadSignature, and ConfigurationError if a secret is unusable.
    """
    body = asked.encode("utf-8", "replace") if scheme is Scheme.HUB else b""
    authenticate(scheme, secrets=secrets, headers=headers, body=body, now=now)


def of_nobody() -> tuple[Scheme, tuple[str, ...]]:
    """Return a scheme and secrets with which to check the request of an unknown source.

    The answer is then exactly the one to a known source of this scheme with a wrong secret, so that nobody can find out
    names. The answers of the other schemes name their own headers, because that helps their senders more.
    """
    return Scheme.STANDARD_WEBHOOKS, (f"whsec_{token_hex(32)}",)


def check_secrets(scheme: Scheme, secrets: Sequence[str]) -> None:
    """Raise ConfigurationError unless there is a secret and each is usable for the scheme: for use on load."""
    if not secrets:
        raise ConfigurationError("the source has no secret: give it one, or two while they are rotated")
    for secret in secrets:
        if scheme is Scheme.STANDARD_WEBHOOKS:
            _webhook_key(secret)
        elif scheme is Scheme.BEARER:
            _token_hash(secret)
        else:
            _hub_key(secret)
            if not secret.isprintable():
                raise ConfigurationError("the secret of a source holds an invisible character: write it anew")


def sign(secret: str, webhook_id: str, timestamp: datetime | int, body: bytes) -> str:
    """Return the ``webhook-signature`` of a body: ``v1,<base64>``. ``timestamp`` is aware, or in Unix seconds.

    Raises ConfigurationError if the secret is not ``whsec_`` and base64 of 24 to 64 bytes.
    """
    seconds = timestamp if isinstance(timestamp, int) else int(timestamp.timestamp())
    return _signature(_webhook_key(secret), webhook_id, str(seconds), body)


def verify(
    *,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """Check a Standard Webhooks signature over the raw body and return the ``webhook-id``.

    Any of the signatures may match any of the live secrets. The caller must recognise a replay within the tolerance by
    its id. Raises BadSignature, and ConfigurationError if a secret is unusable.
    """
    check_secrets(Scheme.STANDARD_WEBHOOKS, secrets)
    names = _header_names(headers)
    webhook_id, timestamp, signatures = (_header(headers, name) for name in names)
    if webhook_id is None or timestamp is None or signatures is None:
        raise BadSignature(f"send the headers {names[0]}, {names[1]} and {names[2]}")
    _check_id(webhook_id)
    if not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature(f"the header {names[1]} must be the time of sending in whole Unix seconds")
    age = now.timestamp() - int(timestamp)
    if age > tolerance.total_seconds():
        raise BadSignature(f"the header {names[1]} is {age:.0f} s old: sign each attempt with its own time")
    if -age > tolerance.total_seconds():
        raise BadSignature(f"the header {names[1]} is {-age:.0f} s ahead: set the sender's clock")
    given = signatures.split(" ")
    if len(given) > MAX_SIGNATURES:
        raise BadSignature(f"the header {names[2]} holds more than {MAX_SIGNATURES} signatures")
    expected = [_signature(_webhook_key(secret), webhook_id, timestamp, body) for secret in secrets]
    if not _any_equal(expected, given):
        raise BadSignature(
            f"no signature in {names[2]} matches: sign '{{id}}.{{timestamp}}.{{raw body}}' with the source's secret"
        )
    return webhook_id


def verify_hub(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str:
    """Check ``X-Hub-Signature-256: sha256=<hex>``, the HMAC-SHA256 of the raw body.

    Returns the delivery's id (``DELIVERY_HEADERS``) if there is one, else the body's SHA-256. The scheme signs neither
    id nor time, so a captured request can be sent again under another id, and is then a new report.

    Raises BadSignature, and ConfigurationError if a secret is unusable.
    """
    check_secrets(Scheme.HUB, secrets)
    given = _HUB.fullmatch(_header(headers, "x-hub-signature-256") or "")
    if given is None:
        raise BadSignature("send the header X-Hub-Signature-256: sha256= and 64 hexadecimal digits")
    expected = [hmac_digest(_hub_key(secret), body, sha256).hex() for secret in secrets]
    if not _any_equal(expected, [given[1].lower()]):
        raise BadSignature("X-Hub-Signature-256 does not match: sign the raw body with the source's secret")
    return _id_or_hash(headers, body)


def verify_bearer(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> str:
    """Check ``Authorization: Bearer <token>`` against tokens or their hashes (``sha256:<64 hexadecimal digits>``).

    Returns the delivery's id (``DELIVERY_HEADERS``) if there is one, else the body's SHA-256.
    Raises BadSignature, and ConfigurationError if a secret is unusable.
    """
    check_secrets(Scheme.BEARER, secrets)
    kind, _, token = (_header(headers, "authorization") or "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise BadSignature("send the header Authorization: Bearer and the source's token")
    given = sha256(token.encode("utf-8", "replace")).hexdigest()
    if not _any_equal([_token_hash(secret) for secret in secrets], [given]):
        raise BadSignature("the bearer token is not one of the source's: check which source the URL names")
    return _id_or_hash(headers, body)


def seal(secret: str, report_id: str, received_at: str, body: bytes) -> str:
    """Return the mark of a queue message that belongs to a report which we received from a known sender."""
    return hmac_digest(secret.encode(), f"{report_id}|{received_at}|".encode() + body, sha256).hex()


def sealed(given: str, *, secrets: Sequence[str], report_id: str, received_at: str, body: bytes) -> bool:
    """Whether ``given`` is the seal of a message by any of the live secrets."""
    return _any_equal([seal(secret, report_id, received_at, body) for secret in secrets], [given])


def _signature(key: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac_digest(key, signed, sha256)).decode()


def _any_equal(expected: Sequence[str], given: Sequence[str]) -> bool:
    """Compare all texts with all, in a time that does not depend on where they differ.

    As bytes, since ``compare_digest`` refuses text that is not ASCII.
    """
    wanted = [text.encode() for text in expected]
    offered = [text.encode("utf-8", "replace") for text in given]
    return sum(compare_digest(one, other) for one in wanted for other in offered) > 0


def _header_names(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Name the headers of a signed request: those of the standard, else the older names that Svix used for it.

    A request has one set of names: headers of both are never combined.
    """
    given = {name.lower() for name in headers}
    return SVIX_HEADERS if given.isdisjoint(WEBHOOK_HEADERS) and "svix-signature" in given else WEBHOOK_HEADERS


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """Find a header by its lower-case name. Raises BadSignature for a header that is there twice with two values."""
    values = {value for key, value in headers.items() if key.lower() == name}
    if len(values) > 1:
        raise BadSignature(f"the header {name} is there twice, with two values: send it once")
    return next(iter(values), None)


def _check_id(webhook_id: str, name: str = "webhook-id") -> None:
    if not _ID.fullmatch(webhook_id):
        raise BadSignature(f"the header {name} must be 1 to 256 printable ASCII characters")


def _id_or_hash(headers: Mapping[str, str], body: bytes) -> str:
    for name in DELIVERY_HEADERS:
        delivery_id = _header(headers, name)
        if delivery_id is not None:
            _check_id(delivery_id, name)
            return delivery_id
    return DIGEST + sha256(body).hexdigest()


def _webhook_key(secret: str) -> bytes:
    try:
        encoded = secret.removeprefix("whsec_")
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # some senders leave the padding out
    except ValueError:  # binascii.Error is one
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigurationError("a Standard Webhooks secret is whsec_ and the base64 of 24 to 64 random bytes")
    return key


def _hub_key(secret: str) -> bytes:
    if len(secret) < MIN_SECRET_LENGTH:
        raise ConfigurationError(f"the secret of a source has at least {MIN_SECRET_LENGTH} characters")
    if secret != secret.strip():
        raise ConfigurationError("the secret begins or ends with white space, such as a file's line end: remove it")
    try:
        return secret.encode()
    except UnicodeEncodeError:  # an escaped half of a surrogate pair: JSON may hold it, UTF-8 cannot
        raise ConfigurationError("the secret of a source holds half of a surrogate pair: write it anew") from None


def _token_hash(secret: str) -> str:
    if not secret.lower().startswith("sha256:"):
        key = _hub_key(secret)
        if not _TOKEN.fullmatch(secret):
            raise ConfigurationError(
                "a bearer token holds a character that no header carries: write ASCII without spaces"
            )
        return sha256(key).hexdigest()
    hashed = _HASHED_TOKEN.fullmatch(secret)
    if not hashed:
        raise ConfigurationError("the hash of a bearer token is sha256: and 64 hexadecimal digits")
    if hashed[1].lower() == _HASH_OF_NOTHING:
        raise ConfigurationError("the hash of a bearer token is the one of an empty token: hash the token")
    return hashed[1].lower()
