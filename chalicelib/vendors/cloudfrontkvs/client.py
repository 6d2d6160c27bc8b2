"""Amazon CloudFront KeyValueStore: ban a URL by writing its key into the store, unban it by deleting the key.

A viewer function of the customer's distribution answers 403 if the store has the key of a request
(``edge/cloudfront-function``). The store is declarative: an answered call is done, and repeating it does no harm. The
store has one version (``ETag``), so one call is made at a time. A key has no end: edgeban deletes it.

Calls: https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_Operations_Amazon_CloudFront_KeyValueStore.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from chalicelib.domain.errors import AccessRefused, AnswerUnknown, ConfigurationError, NotBanned
from chalicelib.domain.model import Action, VendorAccount, VendorLimits
from chalicelib.vendors import answered
from chalicelib.vendors.cloudfrontkvs.answers import read_answer
from chalicelib.vendors.cloudfrontkvs.auth import SigV4AAuth
from chalicelib.vendors.http import VendorHttp, require_endpoint
from chalicelib.vendors.store_keys import HASHED, key_within

LONGEST_KEY: Final = 512  # bytes: the developer guide's quotas; the SDK's model says 1,024
LONGEST_VALUE: Final = 1_000  # bytes: a value has 1 KB
LIMITS: Final = VendorLimits(
    urls_per_task=50,  # UpdateKeys: 50 keys or 3 MB a request
    creates_per_second=2,  # not documented
    lists_per_second=2,  # not documented
    task_window=timedelta(days=365),  # there is no list of tasks
    longest_ban=None,  # a key has no end
    parallel=1,  # UpdateKeys: If-Match has the version of the whole store
    declarative=True,
    capacity=40_000,  # a store has 5 MB: 40,000 URLs of 120 bytes
    settles=timedelta(seconds=30),  # not documented: "within a few seconds"
    longest_key=LONGEST_KEY,
)
KEYS_PER_PAGE: Final = 50  # ListKeys: MaxResults, 1 to 50

PRESENT: Final = "1"
_ARN: Final = re.compile(r"arn:aws[a-z-]*:cloudfront::[0-9]{12}:key-value-store/[A-Za-z0-9-]+")


def key_of(url: str) -> str:
    """Return the key of a canonical URL: the URL itself, or its SHA-256 if the URL is longer than a key may be.

    ``keyOf`` in ``edge/cloudfront-function/function.js`` makes the same key from a request.
    """
    return key_within(url, LONGEST_KEY)


class CloudFrontKvs(answered.AnsweredCalls):
    """One KeyValueStore: a ``BanVendor``. A task is one request, or two if the store's version is unknown."""

    limits = LIMITS

    def __init__(self, store_url: str, *, auth: SigV4AAuth, http: VendorHttp, clock: Callable[[], datetime]) -> None:
        require_endpoint(store_url)
        self._url = store_url
        self._auth, self._http, self._clock = auth, http, clock
        self._etag = ""
        """The store's version after our last write; empty if it is not known."""

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:  # noqa: ARG002 - no duration
        """Write or delete the keys of 1 to 50 URLs, all or none. ``ban_days`` means nothing here.

        Raises ``ValueError`` if the count is outside the limits, every class of ``VendorError`` otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a task takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        keys = list(dict.fromkeys(key_of(url) for url in urls))
        if action is Action.BAN:
            values = {key_of(url): _value(url) for url in urls}
            change: dict[str, Any] = {"Puts": [{"Key": key, "Value": values[key]} for key in keys]}
        else:
            change = {"Deletes": [{"Key": key} for key in keys]}
            self._etag = ""  # the next call asks for the store first: a missing store must not look like missing keys
        etag, self._etag = self._etag or self._version(), ""
        try:
            headers = {"If-Match": etag, "Content-Type": "application/json"}
            _, self._etag = self._call("POST", "/keys", headers, json.dumps(change, separators=(",", ":")).encode())
        except AccessRefused as error:
            if action is Action.UNBAN and error.code == "ResourceNotFoundException":
                raise NotBanned(str(error), code=error.code, request_id=error.request_id) from None
            raise
        return answered.task_id(self._clock())

    def banned(self, url: str = "") -> Iterator[Sequence[str]]:
        """Yield the URLs whose keys are in the store, 50 a call. Hashed URLs too long for a value are left out."""
        if url:
            yield [url] if self._has(key_of(url)) else []
            return
        token = ""
        while True:
            query = {"MaxResults": str(KEYS_PER_PAGE), **({"NextToken": token} if token else {})}
            document, _ = self._call("GET", "/keys?" + urlencode(query, quote_via=quote))
            items = document.get("Items") or []
            if not isinstance(items, list):
                raise AnswerUnknown("CloudFront KeyValueStore: a list of keys that is not as documented")
            yield [found for item in items if (found := _url(item))]
            token = document.get("NextToken") or ""
            if not token:
                return

    def _has(self, key: str) -> bool:
        try:
            self._call("GET", "/keys/" + quote(key, safe=""))
        except AccessRefused as error:
            if error.code != "ResourceNotFoundException":
                raise
            self._version()  # the store is there, so it is the key that is not
            return False
        return True

    def _version(self) -> str:
        _, etag = self._call("GET", "")
        if not etag:
            raise AnswerUnknown("CloudFront KeyValueStore: a store without an ETag")
        return etag

    def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, data: bytes = b""
    ) -> tuple[Mapping[str, Any], str]:
        response = self._http.request(method, self._url + path, headers=headers, data=data, auth=self._auth)
        return read_answer(response), response.headers.get("ETag") or ""


def connect(account: VendorAccount, *, clock: Callable[[], datetime], http: VendorHttp | None = None) -> CloudFrontKvs:
    """Build the client of a store. Opens no connection.

    The credentials are ``access_key``, ``secret_key`` (with ``security_token`` if they are temporary) and
    ``store_arn``. The endpoint is ``https://<account id>.cloudfront-kvs.global.api.aws``. Raises
    ``ConfigurationError`` that names what is missing or wrong.
    """
    given = account.credentials
    missing = [name for name in ("access_key", "secret_key", "store_arn") if not given.get(name)]
    if missing:
        raise ConfigurationError(f"account {account.name}: the credentials lack {' and '.join(missing)}")
    for name in ("access_key", "secret_key", "security_token"):
        value = given.get(name, "")
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ConfigurationError(f"account {account.name}: {name} holds a space, line end or other stray character")
    if not _ARN.fullmatch(given["store_arn"]):
        raise ConfigurationError(f"account {account.name}: store_arn is not the ARN of a KeyValueStore")
    auth = SigV4AAuth(
        given["access_key"], given["secret_key"], clock=clock, security_token=given.get("security_token", "")
    )
    store_url = account.endpoint.rstrip("/") + "/key-value-stores/" + quote(given["store_arn"], safe="")
    return CloudFrontKvs(store_url, auth=auth, http=http or VendorHttp(), clock=clock)


def _value(url: str) -> str:
    """Return the value of a key: for a hashed key the URL, if it fits, so that a list of the store shows it."""
    octets = len(url.encode())
    return url if LONGEST_KEY < octets <= LONGEST_VALUE else PRESENT


def _url(item: object) -> str:
    key, value = (item.get("Key"), item.get("Value")) if isinstance(item, dict) else (None, None)
    if not isinstance(key, str) or not isinstance(value, str):
        raise AnswerUnknown("CloudFront KeyValueStore: a list of keys that is not as documented")
    if key.startswith(HASHED):
        return value if value != PRESENT else ""
    return key if key.startswith(("http://", "https://")) else ""
