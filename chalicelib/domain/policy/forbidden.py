"""URLs that nobody may ban: on foreign hosts, or protected (I5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chalicelib.domain.link_wrappers import wrapper_of
from chalicelib.domain.model import Rule, Verdict, VerdictKind
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.policy.rules import NOT_MANAGED, PROTECTED, managed
from chalicelib.domain.urls import host_of


def forbidden(url: str, account: str, policy: Policy, now: datetime) -> Verdict | None:
    """Say why nobody may ban a canonical URL at an account (I5); ``None`` if it may be banned."""
    host = host_of(url)
    if not managed(host, account, policy):
        return NOT_MANAGED
    ignores_queries = account in policy.ignoring_queries
    return PROTECTED if policy.protected.find(url, host, now, ignores_queries=ignores_queries) else None


def by_hand(url: str, account: str, policy: Policy, now: datetime) -> Verdict | None:
    """Say why a person may not ban a canonical URL at an account; ``None`` if a person may.

    Managed hosts, protection and dry runs bind everybody. Caps, trust and the rule for roots do not bind a person: they
    ask for a person's decision, and a person has decided.
    """
    if refused := forbidden(url, account, policy, now):
        return refused
    dry = policy.dry_run or account in policy.dry_accounts
    return Verdict(VerdictKind.SUPPRESSED, Rule.DRY_RUN, "a dry run sends nothing") if dry else None


def not_managed(url: str) -> Verdict:
    """Return the verdict on a canonical URL that no account serves. Its reason names a likely cause, if any."""
    host = host_of(url)
    if host.endswith("."):
        return replace(NOT_MANAGED, reason=f"the host ends with a dot: report it as {host[:-1][:100]}")
    if wrapper_of(url):
        reason = (
            f"the URL is a link that {host[:100]} wrapped: report the page inside, or set unwrap_links of the source"
        )
        return replace(NOT_MANAGED, reason=reason)
    return NOT_MANAGED
