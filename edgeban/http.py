"""One way to call the API: its own retries, one deadline, one kind of error."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from edgeban.errors import EdgebanError, Unreachable

TIMEOUT = (5.0, 35.0)
"""Seconds to connect, and between two bytes of an answer. API Gateway itself answers after 29 seconds at the latest."""

RETRIES = 3
BUSY = frozenset({429, 500, 502, 503, 504})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def base_of(url: str) -> str:
    """Return the API's base URL, without a slash at its end and without ``/v1``. Raises as ``safe_url`` does."""
    return safe_url(url.strip().rstrip("/").removesuffix("/v1"), "the API's URL")


def safe_url(url: str, what: str) -> str:
    """Return a URL to which a token may be sent. ``what`` names it in errors.

    Raises ``ValueError`` unless the URL is https, or http to this machine: a token is never sent in clear text.
    """
    url = url.strip()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{what} must begin with https://, not {url!r}")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{what} must begin with https://: over http anybody on the way reads the token")
    if parts.username or parts.query or parts.fragment:
        raise ValueError(f"{what} holds neither a user, a query nor a fragment")
    return url


class Api:
    """A session with the API at one URL.

    A reading request is tried again after 429, 5xx and lost connections, after the time in ``Retry-After``. A report is
    tried again too, since its id makes it one report. A person's decision is sent once: the person sees the result.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, pause: float = 0.5) -> None:
        self._base = base_of(url)
        self._pause = pause
        self._session = requests.Session()
        self._session.auth = keep_headers  # Otherwise a ~/.netrc would replace the token.
        self._session.headers.update(headers or {})
        retry = Retry(
            total=RETRIES,
            backoff_factor=pause,
            status_forcelist=sorted(BUSY),
            allowed_methods=frozenset({"GET"}),
            raise_on_status=False,
            redirect=0,
        )
        for prefix in ("https://", "http://"):
            self._session.mount(prefix, HTTPAdapter(max_retries=retry))

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any) -> dict[str, Any]:
        """Read a path below ``/v1``. Parameters that are ``None`` or empty are left out."""
        chosen = {name: value for name, value in query.items() if value not in (None, "")}
        return self._call("GET", path, lambda: {"params": chosen, "headers": dict(headers or {})})

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON document that changes something. It is never sent twice."""
        return self._call(method, path, lambda: {"json": dict(body)})

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post a JSON document."""
        return self.send("POST", path, body)

    def post_bytes(self, path: str, body: bytes, headers: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
        """Post a body. Its headers are made again for each try, since a signature contains the time.

        It is tried again after 429, 5xx and lost connections: the idempotency id in the headers makes it one report.
        """
        for attempt in range(RETRIES + 1):
            try:
                return self._call("POST", path, lambda: {"data": body, "headers": dict(headers())})
            except Unreachable:
                if attempt == RETRIES:
                    raise
                time.sleep(self._pause * 2**attempt)
        raise AssertionError("unreachable")

    def _call(self, method: str, path: str, arguments: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        url = f"{self._base}/v1{path}"
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT, allow_redirects=False, **arguments())
        except requests.RequestException as error:
            raise Unreachable(f"{self._base} does not answer: {cause_of(error)}") from None
        return _content(answer)


def keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave a request as it is: without this, requests would replace the token by a password of ``~/.netrc``."""
    return request


def cause_of(error: requests.RequestException) -> str:
    """Say in a few words why there was no answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no connection"


def _content(answer: requests.Response) -> dict[str, Any]:
    """Return the answer's document, or raise the error that its status means."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    if answer.ok and answer.status_code < 300 and isinstance(content, dict):
        return content
    told = content.get("error") if isinstance(content, dict) else None
    error: Mapping[str, Any] = told if isinstance(told, dict) else {}
    message = str(error.get("message") or _unreadable(answer, content))
    kind = Unreachable if answer.status_code in BUSY else EdgebanError
    raise kind(
        message,
        status=answer.status_code,
        code=str(error.get("code") or ""),
        request_id=str(error.get("request_id") or answer.headers.get("x-amzn-requestid", "")),
    )


def _unreadable(answer: requests.Response, content: object) -> str:
    """Say what is wrong with an answer that is not the API's own, such as API Gateway's."""
    if isinstance(content, dict) and content.get("message") == "Missing Authentication Token":
        return "this API has no such route: is edgeban there older than this command, or its URL another one?"
    if answer.ok:
        return f"the answer {answer.status_code} is not edgeban's: does the URL name its API?"
    return f"HTTP {answer.status_code} {answer.reason or ''}".strip()
