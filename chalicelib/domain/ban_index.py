"""The index of bans in force: what it holds, how one event changes it, and how to search it. Pure.

A ban is kept as its line in the file. A search looks at lines, and reads the fields only of those that it needs. The
times come first, at fixed places, so that lines can be compared and sorted without being parsed.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from chalicelib.domain.cutting import cut
from chalicelib.domain.source_counts import ByDay, recent
from chalicelib.domain.urls import host_of

FORMAT = 2
"""Counts the shapes of the file. A file of another shape is ignored, and the index is made anew from the journal."""

_NEVER = "9999999999"
_BANNED_AT, _END, _KEY = slice(0, 10), slice(11, 21), slice(22, 44)
_URL, _ACCOUNT, _SOURCE, _REPORTER, _CATEGORY, _RULE = range(3, 9)
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})


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
    """The planned end; ``None``: when a person unbans the URL."""

    @property
    def end(self) -> int | None:
        """When the URL stops being banned. A ban that is planned to last longer than the vendor's is renewed."""
        return None if self.planned_until is None else max(self.until, self.planned_until)

    def in_force(self, now: datetime) -> bool:
        """Tell whether the ban has not ended."""
        return self.end is None or self.end > now.timestamp()

    def line(self) -> str:
        """Write the ban as a line."""
        end = _NEVER if self.end is None else _seconds(self.end)
        planned = "" if self.planned_until is None else str(self.planned_until)
        texts = (self.account, self.source, self.reporter, self.category, self.rule, self.report, self.chunk, self.task)
        return "\t".join(
            (_seconds(self.banned_at), end, self.key, *map(_escape, (self.url, *texts)), str(self.until), planned)
        )

    @classmethod
    def of(cls, line: str) -> Ban:
        """Undo ``line``."""
        banned_at, _, key, *texts, until, planned = line.split("\t")
        times = (int(banned_at), int(until), int(planned) if planned else None)
        return cls._make((key, *map(_unescape, texts), *times))


def _seconds(value: int) -> str:
    return f"{value:010d}"


def _escape(text: str) -> str:
    return text.translate(_ESCAPED) if "\\" in text or "\t" in text or "\n" in text else text


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    parts = (part.replace("\\t", "\t").replace("\\n", "\n") for part in text.split("\\\\"))
    return "\\".join(parts)


@dataclass(slots=True)
class Index:
    """The bans in force, as lines by URL key; planned ends that moved before their bans began; and what sources did.

    ``reported`` maps each source to when it last reported, in epoch seconds. ``by_day`` counts the bans of sources.
    """

    lines: dict[str, str] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    reported: dict[str, int] = field(default_factory=dict)
    by_day: ByDay = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def get(self, key: str) -> Ban | None:
        """Return the ban of a URL key."""
        line = self.lines.get(key)
        return None if line is None else Ban.of(line)

    def put(self, ban: Ban) -> None:
        """Add a ban, or replace it."""
        self.lines[ban.key] = ban.line()

    def drop(self, key: str) -> None:
        """Remove a ban."""
        self.lines.pop(key, None)

    def bans(self) -> list[Ban]:
        """Return all bans."""
        return [Ban.of(line) for line in self.lines.values()]

    def copy(self) -> Index:
        """Return an index that can be changed without changing this one."""
        return Index(dict(self.lines), dict(self.ends), dict(self.reported), deepcopy(self.by_day))

    def trim(self, now: datetime) -> None:
        """Remove the bans that have ended."""
        moment = _seconds(int(now.timestamp()))
        self.lines = {key: line for key, line in self.lines.items() if line[_END] > moment}
        self.ends = {key: end for key, end in self.ends.items() if end > now.timestamp()}
        self.by_day = recent(self.by_day, now)


def covers(wanted: str, host: str) -> bool:
    """Tell whether a host matches: exactly, or, if ``wanted`` begins with a dot, that host and all hosts below it."""
    wanted = wanted.lower()
    return host == wanted or (wanted.startswith(".") and (host == wanted[1:] or host.endswith(wanted)))


# --- as bytes --------------------------------------------------------------------------------------------------------


_LEVEL = 3
"""Level of compression: level 6 makes the file a tenth smaller and takes half again as long."""

_AT_ONCE = 5_000
"""How many lines are written at once, so that the whole text of the file is never in memory."""


def dump(index: Index) -> bytes:
    """Write an index as compressed lines, the newest ban first: lines of one decision are alike and compress well."""
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb", compresslevel=_LEVEL, mtime=0) as file:
        head = {"ends": index.ends, "reported": index.reported, "by_day": index.by_day}
        file.write(json.dumps(head).encode() + b"\n")
        for lines in cut(sorted(index.lines.values(), reverse=True), count=_AT_ONCE):
            file.write("".join(f"{line}\n" for line in lines).encode())
    return body.getvalue()


def load(body: bytes) -> Index:
    """Undo ``dump``."""
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file, io.TextIOWrapper(file, "utf-8", newline="\n") as text:
        head = json.loads(text.readline())
        lines = {line[_KEY]: line[:-1] for line in text}
    return Index(lines, head["ends"], head["reported"], head.get("by_day", {}))


# --- questions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which bans are asked for. A field that is empty or ``None`` asks for all."""

    account: str = ""
    source: str = ""
    category: str = ""
    rule: str = ""
    host: str = ""
    """With a dot in front it covers the host and all hosts below it."""
    q: str = ""
    """A part of the URL, in upper or lower case."""
    since: datetime | None = None
    ends_before: datetime | None = None

    def select(self, index: Index, *, now: datetime) -> list[str]:
        """Return the lines of the wanted bans that are in force."""
        moment = _seconds(int(now.timestamp()))
        found = [line for line in index.lines.values() if line[_END] > moment]
        if self.since:
            since = _seconds(_from(self.since))
            found = [line for line in found if line[_BANNED_AT] >= since]
        if self.ends_before:
            ends_before = _seconds(_from(self.ends_before))
            found = [line for line in found if line[_END] < ends_before]
        exact = ((_ACCOUNT, self.account), (_SOURCE, self.source), (_RULE, self.rule))
        for place, value in exact:
            if value:
                escaped = _escape(value)
                found = [line for line in found if escaped in line and line.split("\t", place + 1)[place] == escaped]
        if self.category:
            category = _escape(self.category.lower())
            found = [line for line in found if line.split("\t", 8)[_CATEGORY].lower() == category]
        if self.q:
            q = self.q.lower()
            found = [line for line in found if q in _url(line).lower()]
        if self.host:
            host = self.host.lower()
            name = host.removeprefix(".")
            found = [line for line in found if name in line and covers(host, _host(line))]
        return found


def _url(line: str) -> str:
    return _unescape(line[_KEY.stop + 1 : line.index("\t", _KEY.stop + 1)])


def _host(line: str) -> str:
    start = line.index("://", _KEY.stop) + 3
    host = line[start : line.index("/", start)]
    return host_of(_url(line)) if ":" in host else host


def _from(moment: datetime) -> int:
    """Return the first whole second that is not before a moment."""
    return max(0, min(-int(-moment.timestamp() // 1), int(_NEVER)))


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a list. Lines are sorted by their ``place``; no two bans have the same place."""

    place: Callable[[str], str]
    token: re.Pattern[str]
    """The form of a line's place as the token of a page."""
    newest_first: bool = False

    def page(self, lines: list[str], token: str) -> list[str]:
        """Return the lines in this order that come after the token's place. Raises ValueError."""
        ordered = sorted(lines, key=self.place, reverse=self.newest_first)
        if not token:
            return ordered
        if not self.token.fullmatch(token):
            raise ValueError(token)
        last = token.replace(" ", "\t")
        if self.newest_first:
            return [line for line in ordered if self.place(line) < last]
        return [line for line in ordered if self.place(line) > last]

    def token_of(self, line: str) -> str:
        """Return the token of the page after a line."""
        return self.place(line).replace("\t", " ")


_URL_SHOWN = 120
"""A list is sorted by so many characters of a URL: a token has room for these."""

_WHOLE = re.compile(r"\d{10} \d{10} [\w-]{22}", re.ASCII)

ORDERS: Mapping[str, Order] = {
    "-at": Order(itemgetter(slice(0, 44)), _WHOLE, newest_first=True),
    "at": Order(itemgetter(slice(0, 44)), _WHOLE),
    "until": Order(itemgetter(slice(11, 44)), re.compile(r"\d{10} [\w-]{22}", re.ASCII)),
    "url": Order(lambda line: f"{_url(line)[:_URL_SHOWN]}\t{line[_KEY]}", re.compile(r"[!-~]+ [\w-]{22}", re.ASCII)),
}
"""Orders of a list: newest first, oldest first, what ends first, by URL."""


@lru_cache(maxsize=4096)
def _day(end: str) -> str:
    return "never" if end == _NEVER else f"{datetime.fromtimestamp(int(end), tz=UTC):%Y-%m-%d}"


DIMENSIONS: Mapping[str, Callable[[str], str]] = {
    "source": lambda line: _unescape(line.split("\t", 6)[_SOURCE]),
    "category": lambda line: _unescape(line.split("\t", 8)[_CATEGORY]),
    "account": lambda line: _unescape(line.split("\t", 5)[_ACCOUNT]),
    "rule": lambda line: _unescape(line.split("\t", 9)[_RULE]),
    "host": _host,
    "ends": lambda line: _day(line[_END]),
}
"""The dimensions by which bans are counted; ``ends`` is a UTC day."""


def counted(lines: Iterable[str], dimension: str) -> list[tuple[str, int]]:
    """Count bans by a dimension: the largest first, and days in their order."""
    counts = Counter(map(DIMENSIONS[dimension], lines))
    if dimension == "ends":
        return sorted(counts.items())
    return sorted(counts.items(), key=lambda value_count: (-value_count[1], value_count[0]))
