"""The part of the policy document about the canary. docs/policy.md describes every field."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.config.fields import Fields
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.policy.model import Canary, SourceRules
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of

MINUTES = range(10, 1441)
"""How many minutes a step may take. The canary looks every five minutes."""


def of_policy(
    policy: Fields, accounts: Mapping[str, HostPatterns], sources: Mapping[str, SourceRules]
) -> Canary | None:
    """Read ``canary``; ``None`` if the policy has none. Raises ConfigurationError."""
    if "canary" not in policy:
        return None
    fields = policy.nested("canary").only(Canary._fields)
    source = fields.text("source")
    if not sources.get(source, SourceRules()).withdrawals_lift:
        remedy = 'give it "withdrawals": "lift" in sources: the canary takes its ban back as a source does'
        fields.refuse("source", "names a source whose withdrawals wait for a person", remedy)
    urls = fields.nested("urls")
    return Canary(
        source=source,
        urls={account: _url(urls, account, accounts.get(account)) for account in urls.values},
        hour=fields.whole("hour", range(24), 3),
        minutes=fields.whole("minutes", MINUTES, 30),
    )


def _url(urls: Fields, account: str, managed: HostPatterns | None) -> str:
    if managed is None:
        urls.refuse(account, "names no account of this policy", "name one of accounts")
    try:
        url = canonical_url(urls.text(account))
    except UnusableUrl as error:
        urls.refuse(account, "is no URL that can be banned", error.reason)
    if not managed.covers(host_of(url)):
        urls.refuse(account, "is on a host that the account does not manage", "name a page of managed_domains")
    return url
