"""What was banned in one clock hour, which the caps of the policy bound (I6). Pure."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field

KEPT_HOSTS = 500
"""Hosts that a packed ``Usage`` counts by name."""


@dataclass(slots=True)
class Usage:
    """Bans that began in one clock hour, and the bans that are ``live``.

    Hosts are many, so only the ``KEPT_HOSTS`` with the highest counts are packed, and ``forgotten`` is the highest
    count ever left out: a host without a count of its own stands at it. So no host is counted too low, and none too
    high by more than one in ``KEPT_HOSTS`` of the hour's bans: a cap may hold too early, never too late.
    """

    live: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    forgotten: int = 0

    def add(self, source: str, host: str, account: str) -> None:
        """Count one ban."""
        self.sources[source] = self.sources.get(source, 0) + 1
        self.accounts[account] = self.accounts.get(account, 0) + 1
        self.hosts[host] = self.hosts.get(host, self.forgotten) + 1

    def packed(self) -> bytes:
        """Pack for one attribute of a row: some 6 KB at the most with hosts of common length."""
        hosts, forgotten = self.hosts, self.forgotten
        if len(hosts) > KEPT_HOSTS:
            ranked = sorted(hosts.items(), key=lambda item: (-item[1], item[0]))
            hosts, forgotten = dict(ranked[:KEPT_HOSTS]), max(forgotten, ranked[KEPT_HOSTS][1])
        parts = [self.live, self.sources, self.accounts, hosts, forgotten]
        return zlib.compress(json.dumps(parts, separators=(",", ":")).encode(), 6)

    @classmethod
    def unpack(cls, packed: bytes) -> Usage:
        """Undo ``packed``; nothing packed is nothing used."""
        return cls(*json.loads(zlib.decompress(packed))) if packed else cls()
