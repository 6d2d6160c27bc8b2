"""How many bans began in one clock hour at an account. The caps of the policy limit them (I6). Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from zlib import crc32

from chalicelib.domain.model import Rule, Verdict, VerdictKind
from chalicelib.domain.plural import counted
from chalicelib.domain.policy.model import Caps, SourceRules

HOST_COUNTERS = 256
"""How many counters the hosts of an account share."""


@dataclass(slots=True)
class Usage:
    """Bans that began in one clock hour at one account, and the bans that are ``live`` there.

    There are many hosts, so several may share one of ``HOST_COUNTERS`` counters. No host is counted too low. On average
    a host is counted too high by the hour's bans divided by ``HOST_COUNTERS``.
    """

    live: int = 0
    total: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    hosts: Counter[int] = field(default_factory=Counter)

    def add(self, source: str, host: str) -> None:
        """Count one ban."""
        self.total += 1
        self.sources[source] += 1
        self.hosts[counter_of(host)] += 1

    def of_host(self, host: str) -> int:
        """Return the bans of a host and of the hosts that share its counter."""
        return self.hosts[counter_of(host)]

    def copy(self) -> Usage:
        """Return a copy, so that counting does not change this usage."""
        return Usage(self.live, self.total, self.sources.copy(), self.hosts.copy())

    def minus(self, other: Usage) -> Usage:
        """Return the usage without what ``other`` counts."""
        return Usage(
            self.live - other.total, self.total - other.total, self.sources - other.sources, self.hosts - other.hosts
        )


@lru_cache(maxsize=4096)
def counter_of(host: str) -> int:
    """Return which counter a host shares."""
    return crc32(host.encode()) % HOST_COUNTERS


def capped(usage: Usage, days: int, caps: Caps, rules: SourceRules, *, source: str, host: str) -> Verdict | None:
    """Say which cap is reached, so that a person decides about one more ban of this hour; ``None`` if none is."""
    cap = caps.per_source_per_hour if rules.max_per_hour is None else rules.max_per_hour
    if cap and usage.sources.get(source, 0) >= cap:
        return _above(Rule.SOURCE_CAP, cap, "from this source", days)
    cap = caps.per_host_per_hour
    if cap and usage.of_host(host) >= cap:
        return _above(Rule.HOST_CAP, cap, "of this host", days)
    used, cap = usage.total, caps.per_account_per_hour
    if cap and used >= cap:
        return _above(Rule.ACCOUNT_CAP, cap, "at this account", days)
    if caps.share_of_live and used >= caps.share_floor and used >= caps.share_of_live * usage.live:
        return _above(Rule.SHARE_CAP, used, f"at this account, which has {usage.live:,} live ones", days)
    return None


def _above(rule: Rule, cap: int, what: str, days: int) -> Verdict:
    reason = f"this hour saw {counted(cap, 'ban')} {what}: a person decides about more"
    return Verdict(VerdictKind.HOLD, rule, reason, days)
