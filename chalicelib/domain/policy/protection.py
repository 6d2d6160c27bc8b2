"""What is never banned, looked up in constant time however long the list is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Protection:
    """One entry of ``protected``. ``expires`` is aware; ``None`` means never."""

    entry: str
    comment: str = ""
    expires: datetime | None = None

    def holds(self, now: datetime | None) -> bool:
        """Tell whether it protects at a moment; without a moment, every entry does."""
        return self.expires is None or now is None or now < self.expires


@dataclass(frozen=True, slots=True)
class Protected:
    """What is never banned. URLs and prefixes stand without their scheme: both schemes are protected."""

    hosts: Mapping[str, Protection] = field(default_factory=dict)
    below: Mapping[str, Protection] = field(default_factory=dict)
    """Wildcards, by the name that they stand below."""
    urls: Mapping[str, Protection] = field(default_factory=dict)
    prefixes: Mapping[str, tuple[tuple[str, Protection], ...]] = field(default_factory=dict)
    """By host."""

    def find(self, url: str, host: str, now: datetime | None) -> Protection | None:
        """Return an entry that protects a canonical URL at a moment."""
        found = self.hosts.get(host)
        if found and found.holds(now):
            return found
        dot = host.find(".") if self.below else -1
        while dot >= 0:
            found = self.below.get(host[dot + 1 :])
            if found and found.holds(now):
                return found
            dot = host.find(".", dot + 1)
        if self.urls or self.prefixes:
            rest = url[url.index("://") + 3 :]
            found = self.urls.get(rest)
            if found and found.holds(now):
                return found
            for prefix, each in self.prefixes.get(host, ()):
                if rest.startswith(prefix) and each.holds(now):
                    return each
        return None
