"""The policy: which URLs may be banned, for how long, and when a person decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import ReportedUrl, Verdict, VerdictKind
from chalicelib.domain.urls import HostPatterns, host_of, is_bare_host

BAN_DAYS = range(1, 31)
"""Days a vendor ban may last."""

BARE_HOSTS = {"ban", "hold", "reject"}


@dataclass(frozen=True, slots=True)
class Policy:
    """The validated document. ``accounts`` maps a vendor account to the hosts that it serves."""

    accounts: Mapping[str, HostPatterns]
    bare_hosts: str = "hold"
    ban_days: int = 7
    protected_hosts: HostPatterns = field(default_factory=lambda: HostPatterns([]))


def parse(document: object) -> Policy:
    """Validate a policy document. Raises ConfigurationError that names the field, its problem and the remedy."""
    if not isinstance(document, Mapping):
        raise ConfigurationError("the policy must be a JSON object")
    known = {"version", "accounts", "bare_hosts", "ban_days", "protected_hosts"}
    for name in document:
        if name not in known:
            raise ConfigurationError(f"policy: unknown field {name!r}; known are {', '.join(sorted(known))}")
    if document.get("version") != 1:
        raise ConfigurationError('policy: "version" must be 1')
    accounts = document.get("accounts")
    if not isinstance(accounts, Mapping) or not accounts:
        raise ConfigurationError('policy: "accounts" must name at least one vendor account and its managed_domains')
    bare_hosts = document.get("bare_hosts", "hold")
    if bare_hosts not in BARE_HOSTS:
        raise ConfigurationError(f'policy: "bare_hosts" must be one of {", ".join(sorted(BARE_HOSTS))}')
    ban_days = document.get("ban_days", 7)
    if not isinstance(ban_days, int) or ban_days not in BAN_DAYS:
        raise ConfigurationError('policy: "ban_days" must be a whole number of days from 1 to 30')
    return Policy(
        accounts={name: _domains(name, each) for name, each in accounts.items()},
        bare_hosts=bare_hosts,
        ban_days=ban_days,
        protected_hosts=HostPatterns(_strings("protected_hosts", document.get("protected_hosts", []))),
    )


def _domains(account: str, document: Any) -> HostPatterns:
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"policy: accounts.{account} must be an object with managed_domains")
    return HostPatterns(_strings(f"accounts.{account}.managed_domains", document.get("managed_domains")))


def _strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigurationError(f"policy: {name} must be a list of strings")
    return value


def accounts_for(url: str, policy: Policy) -> list[str]:
    """Name the vendor accounts that serve a canonical URL's host; none means that it is never sent anywhere (I5)."""
    host = host_of(url)
    return [name for name, hosts in policy.accounts.items() if hosts.covers(host)]


NOT_MANAGED = Verdict(VerdictKind.REJECTED, "not_managed", "the host is not one of our managed domains")


def standing(url: str, policy: Policy) -> Verdict | None:
    """Decide what needs nothing but the URL and the policy; ``None`` if the URL may be banned."""
    if policy.protected_hosts.covers(host_of(url)):
        return Verdict(VerdictKind.SUPPRESSED, "protected", "the URL is on the list of protected ones")
    if policy.bare_hosts == "reject" and is_bare_host(url):
        return Verdict(VerdictKind.REJECTED, "bare_host", "the URL is the root of its host: report the page")
    return None


def verdict(url: str, reported: ReportedUrl, policy: Policy, *, live: bool, cooling: bool) -> Verdict:
    """Decide about one canonical URL at one account, and name the rule that decided.

    ``live``: the ledger holds a claim whose ban has not ended. ``cooling``: it was unbanned a short while ago.
    """
    decided = standing(url, policy)
    if decided:
        return decided
    if cooling:
        return Verdict(VerdictKind.SUPPRESSED, "cool_down", "the URL was unbanned a short while ago")
    if live:
        return Verdict(VerdictKind.DUPLICATE, "live", "the URL is banned already, or about to be")
    ban_days = reported.ban_days or policy.ban_days
    if policy.bare_hosts == "hold" and is_bare_host(url):
        return Verdict(VerdictKind.HOLD, "bare_host", "the URL is the root of its host: a person decides", ban_days)
    return Verdict(VerdictKind.BAN, "default", ban_days=ban_days)
