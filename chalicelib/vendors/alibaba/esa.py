"""Alibaba Cloud ESA: block and unblock URLs of one site by ``BlockObject``. The call has no task, no state and no list.

The answer to a call is all that one ever learns. To repeat a call does no harm: the URL is blocked again, for the new
time. So the vendor counts as declarative. A block ends by itself.

Source: the page and the SDK of ``BlockObject``, version 2024-09-10. The SDK (``alibabacloud_esa20240910`` 3.16.0) sends
the parameters in the query of a POST without a body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from requests.auth import AuthBase

from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, ContentRefused
from chalicelib.domain.model import Action, VendorAccount, VendorLimits
from chalicelib.vendors import answered
from chalicelib.vendors.alibaba.answers import MAX_ANSWER, Remedies, read_answer
from chalicelib.vendors.alibaba.auth import random_nonce, request_auth
from chalicelib.vendors.http import VendorHttp, require_endpoint

VERSION: Final = "2024-09-10"

# BlockObject names no longest Maxage. Its sample has 864,000 s, and the sister call of Alibaba Cloud CDN
# (BlockObjectCaches) allows 600 to 864,000: longer bans are renewed.
LONGEST_BAN: Final = timedelta(days=10)
LIMITS: Final = VendorLimits(
    urls_per_task=50,  # not documented: what a query of MAX_QUERY holds
    creates_per_second=2,  # not documented: the client learns more by being throttled (TooManyRequests)
    lists_per_second=1,  # there is no list
    task_window=timedelta(days=365),  # there is no list
    longest_ban=LONGEST_BAN,
    parallel=2,
    declarative=True,
    settles=timedelta(minutes=1),  # not documented
)
MAX_QUERY: Final = 8_000  # bytes of the query, not documented: what servers take everywhere

TYPES: Final = {Action.BAN: "block", Action.UNBAN: "unblock"}

_REMEDIES: Final = Remedies(
    no_permission="allow esa:BlockObject to the owner of the access key",
    not_offered="the vendor does not offer BlockObject to this account: open a ticket with the vendor",
    not_open="ESA is not opened for this account, or is suspended: see the vendor's console",
)


class AlibabaEsa(answered.AnsweredCalls):
    """One site of one account: a ``BanVendor``. Each call is one request."""

    limits = LIMITS

    def __init__(
        self, endpoint: str, *, site_id: str, auth: AuthBase, http: VendorHttp, clock: Callable[[], datetime]
    ) -> None:
        require_endpoint(endpoint)
        self._endpoint = endpoint.rstrip("/")
        self._site_id = site_id
        self._auth = auth
        self._http = http
        self._clock = clock

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Block 1 to 50 URLs of the site for 1 to 10 days, or unblock them.

        Raises ``ValueError`` if the count or the duration is outside the limits, every class of ``VendorError``
        otherwise.
        """
        if not 1 <= len(urls) <= LIMITS.urls_per_task:
            raise ValueError(f"a call takes 1 to {LIMITS.urls_per_task} URLs, not {len(urls)}")
        params = {"Content": json.dumps(list(urls), separators=(",", ":"), ensure_ascii=False), "Type": TYPES[action]}
        if action is Action.BAN:
            if not timedelta(days=1) <= timedelta(days=ban_days) <= LONGEST_BAN:
                raise ValueError(f"a ban lasts 1 to {LONGEST_BAN.days} days, not {ban_days}")
            params["Maxage"] = str(int(timedelta(days=ban_days).total_seconds()))
        named = {"Action": "BlockObject", "Version": VERSION, "SiteId": self._site_id, **params}
        query = urlencode(named, quote_via=quote)
        if len(query) > MAX_QUERY and len(urls) > 1:
            raise ContentRefused(f"these {len(urls)} URLs make a query of more than {MAX_QUERY} bytes")
        response = self._http.request("POST", f"{self._endpoint}/?{query}", auth=self._auth)
        answer = read_answer(response, where="Alibaba Cloud ESA: BlockObject", remedies=_REMEDIES)
        if not answer.fields.get("TaskId"):  # a text in the SDK, a number on one page
            raise AnswerUnknown("Alibaba Cloud ESA: an answer without a TaskId: is the endpoint the vendor's?")
        return answered.task_id(self._clock())

    def banned(self, url: str = "") -> None:
        """Return ``None``: no call lists the blocked URLs."""


def connect(
    account: VendorAccount,
    *,
    clock: Callable[[], datetime],
    http: VendorHttp | None = None,
    nonce: Callable[[], str] = random_nonce,
) -> AlibabaEsa:
    """Build the client of a site. Opens no connection.

    The credentials are ``access_key``, ``secret_key`` (with ``security_token`` if they are temporary) and ``site_id``,
    the number of the site whose URLs the account bans. Raises ``ConfigurationError`` that names what is wrong.
    """
    site_id = account.credentials.get("site_id", "")
    if not (site_id.isascii() and site_id.isdigit()):
        raise ConfigurationError(f"account {account.name}: site_id is the number of the site, such as 123456789")
    auth = request_auth(account, clock=clock, nonce=nonce)
    http = http or VendorHttp(max_bytes=MAX_ANSWER)
    return AlibabaEsa(account.endpoint, site_id=site_id, auth=auth, http=http, clock=clock)
