"""The index of bans in force: what it holds, how one event changes it, and how it is asked. Pure."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sys import intern
from typing import NamedTuple

from chalicelib.domain.urls import host_of


class Ban(NamedTuple):
    """One URL that is banned at one account. Times are whole seconds since 1970."""

    key: str
    url: str
    account: str
    source: str
    reporter: str
    category: str
    rule: str
    report: str
    chunk: str
    task: str
    banned_at: int
    until: int
    """When the ban that the vendor made ends."""
    planned_until: int | None
    """When it is planned to end; ``None``: when a person unbans it."""

    @property
    def end(self) -> int | None:
        """When the URL is banned no more: a ban that is planned for longer than the vendor's is renewed."""
        return None if self.planned_until is None else max(self.until, self.planned_until)

    def in_force(self, now: datetime) -> bool:
        """Tell whether the ban has not ended."""
        return self.end is None or self.end > now.timestamp()


@dataclass(slots=True)
class Index:
    """The bans in force by URL key, and planned ends that moved before their bans began."""

    bans: dict[str, Ban] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Index:
        """Return an index that can be changed without changing this one."""
        return Index(dict(self.bans), dict(self.ends))

    def trim(self, now: datetime) -> None:
        """Leave out what has ended."""
        self.bans = {key: ban for key, ban in self.bans.items() if ban.in_force(now)}
        self.ends = {key: end for key, end in self.ends.items() if end > now.timestamp()}


def covers(wanted: str, host: str) -> bool:
    """Tell whether a host is asked for: exactly, or with a dot in front the host itself and all below it."""
    wanted = wanted.lower()
    return host == wanted or (wanted.startswith(".") and (host == wanted[1:] or host.endswith(wanted)))


# --- as bytes --------------------------------------------------------------------------------------------------------


def dump(index: Index) -> bytes:
    """Write an index as compressed JSON, in the order of its URLs: neighbours compress each other."""
    ordered = sorted(index.bans.values(), key=lambda ban: (ban.url, ban.account))
    document = {"bans": ordered, "ends": index.ends}
    return gzip.compress(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), 6, mtime=0)


def load(body: bytes) -> Index:
    """Undo ``dump``. Words that many bans share are kept once."""
    document = json.loads(gzip.decompress(body))
    index = Index(ends=document["ends"])
    for fields in document["bans"]:
        fields[2:7] = map(intern, fields[2:7])
        ban = Ban._make(fields)
        index.bans[ban.key] = ban
    return index


# --- questions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which bans are asked for; what is empty or ``None`` asks for all."""

    account: str = ""
    source: str = ""
    category: str = ""
    rule: str = ""
    host: str = ""
    """With a dot in front it covers the host and all below it."""
    q: str = ""
    """A part of the URL; upper and lower case are the same."""
    since: datetime | None = None
    ends_before: datetime | None = None

    def select(self, bans: Iterable[Ban], *, now: datetime) -> list[Ban]:
        """Return the bans in force that are asked for."""
        q, host = self.q.lower(), self.host.lower()
        name = host.removeprefix(".")
        since = self.since.timestamp() if self.since else None
        ends_before = self.ends_before.timestamp() if self.ends_before else None
        return [
            ban
            for ban in bans
            if self.account in {"", ban.account}
            and self.source in {"", ban.source}
            and self.category.lower() in {"", ban.category.lower()}
            and self.rule in {"", ban.rule}
            and (not q or q in ban.url.lower())
            and (not host or (name in ban.url and covers(host, host_of(ban.url))))
            and (since is None or ban.banned_at >= since)
            and (ends_before is None or (ban.end is not None and ban.end < ends_before))
            and ban.in_force(now)
        ]


ORDERS: Mapping[str, Callable[[Ban], tuple[int, str]]] = {
    "-at": lambda ban: (-ban.banned_at, ban.key),
    "at": lambda ban: (ban.banned_at, ban.key),
    "until": lambda ban: (2**40 if ban.end is None else ban.end, ban.key),
}
"""Orders of a list: newest first, oldest first, what ends first. Keys tell apart what happened in one second."""

DIMENSIONS: Mapping[str, Callable[[Ban], str]] = {
    "source": lambda ban: ban.source,
    "category": lambda ban: ban.category,
    "account": lambda ban: ban.account,
    "rule": lambda ban: ban.rule,
    "host": lambda ban: host_of(ban.url),
    "ends": lambda ban: "never" if ban.end is None else f"{datetime.fromtimestamp(ban.end, tz=UTC):%Y-%m-%d}",
}
"""By what bans are counted; ``ends`` is a UTC day."""


def counted(bans: Iterable[Ban], dimension: str) -> list[tuple[str, int]]:
    """Count bans by a dimension: the largest first, and days in their order."""
    counts = Counter(map(DIMENSIONS[dimension], bans))
    if dimension == "ends":
        return sorted(counts.items())
    return sorted(counts.items(), key=lambda value_count: (-value_count[1], value_count[0]))
