"""Cloudflare Workers KV: ban a URL by writing its key into a namespace, unban it by deleting the key.

A Worker on the customer's routes answers 403 if the store has the key of a request (``edge/cloudflare-worker``). The
store is declarative: an answered call is done, and repeating it does no harm. A ban ends by itself, since each key has
its end. There are no tasks: ``create_task`` makes up an id from which ``follow`` reads the result.

Calls: https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, ContentRefused, UrlsFailed
from chalicelib.domain.model import Action, VendorAccount, VendorLimits
from chalicelib.vendors import answered
from chalicelib.vendors.http import VendorHttp, require_endpoint
from chalicelib.vendors.store_keys import HASHED, key_within
from chalicelib.vendors.workerskv.answers import read_answer

LONGEST_KEY: Final = 512  # bytes, https://developers.cloudflare.com/kv/platform/limits/
LONGEST_BAN: Final = timedelta(days=36_500)  # none is documented: `expiration` takes any moment to come
LIMITS: Final = VendorLimits(
    urls_per_task=1_000,  # a bulk write takes 10,000 pairs; 1,000 of the longest URLs make a body of 9 MB
    # The API takes 1,200 calls in 5 minutes of a user, all calls counted, and blocks the user for 5 minutes beyond
    # (https://developers.cloudflare.com/fundamentals/api/reference/limits/). So the two rates together are below 4.
    creates_per_second=2,
    lists_per_second=1.5,
    task_window=timedelta(days=365),  # there is no list of tasks
    longest_ban=LONGEST_BAN,
    declarative=True,
    settles=timedelta(seconds=60),  # https://developers.cloudflare.com/kv/concepts/how-kv-works/: reads are cached
    longest_key=LONGEST_KEY,
)
KEYS_PER_PAGE: Final = 1_000  # GET …/keys: limit, 10 to 1,000
KEYS_PER_READ: Final = 100  # POST …/bulk/get: keys
MAX_BODY: Final = 100_000_000  # bytes of a bulk write

_ID: Final = re.compile(r"[0-9a-f]{32}")


def key_of(url: str) -> str:
    """Return the key of a canonical URL: the URL itself, or its SHA-256 if the URL is longer than a key may be.

    ``keyOf`` in ``edge/cloudflare-worker/worker.js`` makes the same key from a request.
    """
    return key_within(url, LONGEST_KEY)


class WorkersKv(answered.AnsweredCalls):
    """One namespace of Workers KV: a ``BanVendor``. Each call is one request."""

    limits = LIMITS

    def __init__(self, namespace_url: str, *, api_token: str, http: VendorHttp, clock: Callable[[], datetime]) -> None:
        require_endpoint(namespace_url)
        self._url = namespace_url
        self._headers = {"Authorization": f"Bearer {api_token}", "Content-Type": "application/json"}
        self._http = http
        self._clock = clock

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Write or delete the keys of 1 to 1,000 URLs; a ban ends by itself after ``ban_days``.

        Raises ``UrlsFailed`` if the vendor names keys that it did not write, ``ValueError`` if the count or the
        duration is outside the limits, every class of ``VendorError`` otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a task takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        if action is Action.BAN:
            if not timedelta(days=1) <= timedelta(days=ban_days) <= LONGEST_BAN:
                raise ValueError(f"a ban lasts 1 to {LONGEST_BAN.days} days, not {ban_days}")
            ends_at = int((self._clock() + timedelta(days=ban_days)).timestamp())
            # The value is the URL, so that a list of the namespace shows the URL of each hash.
            pairs = [{"key": key_of(url), "value": url, "expiration": ends_at} for url in urls]
            answer = self._call("PUT", "/bulk", pairs)
            _require_all(answer, len(pairs))
        else:
            answer = self._call("POST", "/bulk/delete", [key_of(url) for url in urls])
        failed = set(_failed_keys(answer))
        task_id = answered.task_id(self._clock(), failed=bool(failed))
        if failed:
            urls_failed = [url for url in urls if key_of(url) in failed]
            if not urls_failed:
                raise AnswerUnknown("Cloudflare: keys that are not of this call are named as not written")
            raise UrlsFailed(f"Cloudflare: {len(failed)} keys not written", task_id=task_id, failed=urls_failed)
        return task_id

    def banned(self, url: str = "") -> Iterator[Sequence[str]]:
        """Yield the URLs whose keys are in the namespace, a page of keys or some 100 hashed keys a call."""
        if url:
            yield self._values([key_of(url)])
            return
        cursor = ""
        while True:
            query = {"limit": str(KEYS_PER_PAGE), **({"cursor": cursor} if cursor else {})}
            answer = self._call("GET", "/keys?" + urlencode(query, quote_via=quote))
            names = _names(answer)
            yield [name for name in names if name.startswith(("http://", "https://"))]
            hashed = [name for name in names if name.startswith(HASHED)]
            for start in range(0, len(hashed), KEYS_PER_READ):
                yield self._values(hashed[start : start + KEYS_PER_READ])
            cursor = _cursor(answer)
            if not cursor:
                return

    def _values(self, keys: Sequence[str]) -> list[str]:
        """Read the values of at most 100 keys: the URLs. A key that is gone has none."""
        result = self._call("POST", "/bulk/get", {"keys": list(keys)}).get("result")
        values = result.get("values") if isinstance(result, dict) else None
        if not isinstance(values, dict):
            raise AnswerUnknown("Cloudflare: an answer without values")
        return [value for value in values.values() if isinstance(value, str)]

    def _call(self, method: str, path: str, body: object = None) -> Mapping[str, Any]:
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        if len(data) > MAX_BODY:
            raise ContentRefused(f"these URLs make a body of more than {MAX_BODY} bytes")
        return read_answer(self._http.request(method, self._url + path, headers=self._headers, data=data))


def connect(account: VendorAccount, *, clock: Callable[[], datetime], http: VendorHttp | None = None) -> WorkersKv:
    """Build the client of an account. Opens no connection.

    The credentials are ``api_token`` (with the permission to edit Workers KV Storage), ``account_id`` and
    ``namespace_id`` (32 hexadecimal digits each). Raises ``ConfigurationError`` that names what is missing or wrong.
    """
    given = account.credentials
    missing = [name for name in ("api_token", "account_id", "namespace_id") if not given.get(name)]
    if missing:
        raise ConfigurationError(f"account {account.name}: the credentials lack {' and '.join(missing)}")
    token = given["api_token"]
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(f"account {account.name}: api_token holds a space, line end or other stray character")
    for name in ("account_id", "namespace_id"):
        if not _ID.fullmatch(given[name]):
            raise ConfigurationError(f"account {account.name}: {name} is not 32 hexadecimal digits in lower case")
    path = f"/accounts/{given['account_id']}/storage/kv/namespaces/{given['namespace_id']}"
    return WorkersKv(account.endpoint.rstrip("/") + path, api_token=token, http=http or VendorHttp(), clock=clock)


def _failed_keys(answer: Mapping[str, Any]) -> list[str]:
    """Return the keys that the vendor did not write. The vendor may leave the result of a success out."""
    result = answer.get("result")
    if result is None:
        return []
    failed = (result.get("unsuccessful_keys") or []) if isinstance(result, dict) else None
    if not isinstance(failed, list) or not all(isinstance(key, str) for key in failed):
        raise AnswerUnknown("Cloudflare: an answer to a bulk write that is not as documented")
    return failed


def _require_all(answer: Mapping[str, Any], keys: int) -> None:
    """Raise ``AnswerUnknown`` if a write of some keys neither counts them all as written nor names the others."""
    result = answer.get("result")
    written = result.get("successful_key_count") if isinstance(result, dict) else None
    if isinstance(written, int) and written + len(_failed_keys(answer)) < keys:
        raise AnswerUnknown(f"Cloudflare: only {written} of {keys} keys written, and the others are not named")


def _names(answer: Mapping[str, Any]) -> list[str]:
    rows = answer.get("result")
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        raise AnswerUnknown("Cloudflare: a list of keys that is not as documented")
    return [row["name"] for row in rows]


def _cursor(answer: Mapping[str, Any]) -> str:
    info = answer.get("result_info")
    cursor = info.get("cursor", "") if isinstance(info, dict) else None
    if not isinstance(cursor, str):
        raise AnswerUnknown("Cloudflare: a list of keys without result_info")
    return cursor
