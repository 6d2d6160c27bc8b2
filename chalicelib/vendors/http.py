"""Send one request to a vendor and read its answer, or raise an error that says whether the vendor may have acted.

Nothing is repeated here. The caller decides whether a call may be repeated, by the class of the error.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, SSLError

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, Unavailable, VendorError
from chalicelib.vendors.connections import IDLE_TIMEOUT, TimedAdapter, request_at_work

CONNECT_TIMEOUT: Final = 3.05
"""Seconds for one attempt to connect. TCP sends a lost SYN again after 3 s; we wait slightly longer."""

READ_TIMEOUT: Final = 10.0
"""Seconds between two bytes from the vendor, at most."""

TOTAL_TIMEOUT: Final = 15.0
"""Seconds for a whole answer, headers and body. Without it, an answer that comes byte by byte would never end. It is
shorter than the time that the functions keep back (``handlers.queues``)."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""The most bytes of a body, after decompression."""

READ_SIZE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class VendorResponse:
    """A whole answer. Header names match in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class VendorHttp:
    """HTTP to one vendor over connections that stay open. Threads may share it; it connects at the first call.

    Timeouts are in seconds. Redirects are not followed, since a signature is valid for one URL. The environment's
    proxies and ``.netrc`` are ignored, and cookies are not kept.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
        idle_timeout: float = IDLE_TIMEOUT,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._timeout = (connect_timeout, read_timeout)
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._max_bytes = max_bytes
        self._session: requests.Session | None = None
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes = b"",
        auth: AuthBase | None = None,
    ) -> VendorResponse:
        """Send one request and return its whole answer, whatever the status.

        ``url`` contains its percent-encoded query and is sent unchanged. ``auth`` runs after every other
        change, so that it signs what is sent.

        Raises ``ConfigurationError`` (not https, or a header that cannot be sent), ``Unavailable`` (no connection, or
        the request could not be sent to its end, so the vendor has done nothing), ``AnswerUnknown`` (the vendor may
        have seen the request, and the answer is not whole), and what ``auth`` raises. No message repeats a header, a
        query or a body: they may contain signatures.
        """
        require_endpoint(url)
        session = self._open_session()
        where = _where(method, url)
        failure: Exception
        try:
            prepared = session.prepare_request(
                requests.Request(method, url, headers=dict(headers or {}), data=data or None, auth=auth)
            )
        except (requests.RequestException, UnicodeEncodeError) as exc:
            failure = ConfigurationError(f"{where}: the request cannot be formed ({type(exc).__name__})")
        else:
            try:
                return self._exchange(session, prepared, where)
            except UnicodeEncodeError:
                failure = ConfigurationError(f"{where}: a header holds characters that HTTP cannot carry")
            except (requests.RequestException, HTTPError, ValueError) as exc:
                # ValueError: requests reads even a redirect that it does not follow, and chunks of a negative size.
                failure = _translate(exc, where)
        # We raise here, outside `except` and without `from`. The original error's message contains the signed URL, and
        # a traceback would log it.
        raise failure

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _open_session(self) -> requests.Session:
        with self._lock:
            if self._session is None:
                session = requests.Session()
                session.trust_env = False
                for scheme in ("https://", "http://"):
                    session.mount(scheme, TimedAdapter(self._idle_timeout))
                session.headers["User-Agent"] = "edgeban"
                session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                self._session = session
            return self._session

    def _exchange(self, session: requests.Session, prepared: requests.PreparedRequest, where: str) -> VendorResponse:
        deadline = request_at_work.deadline = time.monotonic() + self._total_timeout
        request_at_work.sent_in_part = False
        body = bytearray()
        with session.send(prepared, timeout=self._timeout, allow_redirects=False, stream=True) as response:
            # Leaving the block early closes the connection, so that no later request reads the rest of this body.
            for piece in response.iter_content(READ_SIZE):
                body += piece
                if len(body) > self._max_bytes:
                    raise AnswerUnknown(f"{where}: the answer is longer than {self._max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise AnswerUnknown(f"{where}: the answer took longer than {self._total_timeout:g} s")
        return VendorResponse(status=response.status_code, headers=response.headers, body=bytes(body))


def retry_after(response: VendorResponse, *, default: float, longest: float) -> float:
    """Return the seconds that an answer's Retry-After asks to wait, at most ``longest``.

    It is a number of seconds, or a date, which is compared with the answer's own ``Date``, or with our clock if the
    answer has none. ``default`` is for an answer that says neither.
    """
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return min(float(text), longest)
    until = _date(text)
    if until is None:
        return default
    seconds = (until - (_date(response.headers.get("Date", "")) or datetime.now(UTC))).total_seconds()
    return min(seconds, longest) if seconds > 0 else default


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def require_endpoint(url: str) -> None:
    """Raise ``ConfigurationError`` unless a URL is https, or http to this machine, where the simulators are.

    Credentials would otherwise be sent unencrypted.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigurationError("a vendor endpoint is not a URL") from None
    if not host:
        raise ConfigurationError("a vendor endpoint must be an absolute https URL")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"the vendor endpoint at {host} must not contain a user name or password")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return
    raise ConfigurationError(f"the vendor endpoint at {host} must use https (http is allowed to this machine only)")


# --- addresses and errors ---------------------------------------------------------------------------------------------


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _where(method: str, url: str) -> str:
    parts = urlsplit(url)
    return f"{method} {parts.hostname}{parts.path}"


def _translate(exc: Exception, where: str) -> VendorError:
    """Translate a transport failure: ``Unavailable`` if the vendor cannot have seen the request.

    That is certain only if no connection was made, or if it broke before the whole request was sent: no server acts on
    a part of a body. A later reset looks the same as a vendor that crashed in the middle of its work, so every later
    failure is ``AnswerUnknown``.
    """
    if _never_connected(exc):
        return Unavailable(f"{where}: no connection ({_kind(exc)})")
    if request_at_work.sent_in_part:
        return Unavailable(f"{where}: the connection broke before the request was sent ({_kind(exc)})")
    if isinstance(exc, requests.ReadTimeout):
        return AnswerUnknown(f"{where}: no answer in time")
    return AnswerUnknown(f"{where}: the connection broke before the answer was whole ({_kind(exc)})")


def _never_connected(exc: Exception) -> bool:
    if isinstance(exc, requests.ConnectTimeout):
        return True
    reason = _reason(exc)
    if isinstance(reason, SSLError):
        # The certificate is checked before the first byte of the request. Other TLS failures can come at any time.
        return any(isinstance(arg, ssl.SSLCertVerificationError) for arg in reason.args)
    return isinstance(reason, NewConnectionError)  # connection refused, host unreachable, or no such name in DNS


def _reason(exc: Exception) -> object:
    """Return urllib3's error, which requests wraps once or twice. Never log its message: it contains the URL."""
    inner: object = exc.args[0] if exc.args else None
    return inner.reason if isinstance(inner, MaxRetryError) else inner


def _kind(exc: Exception) -> str:
    reason = _reason(exc)
    return type(reason if isinstance(reason, Exception) else exc).__name__
