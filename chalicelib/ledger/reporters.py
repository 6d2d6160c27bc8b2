"""Who reported a URL for which the policy wants several independent reporters. Names are kept as hashes.

For each name the row also keeps which source's report named it last, and when that was said. So a withdrawal takes out
only names that were said by then, and an undone reporter no longer counts (``ledger.undone``). Version 1 wrote only the
names: such a name counts until it is withdrawn.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from chalicelib.ledger import KEEP
from chalicelib.ledger.packed_words import report_id, source_id
from chalicelib.ledger.row import blob, epoch, texts
from chalicelib.ports import Insert, Key, Row, Rows, Update, Value

MOST_NAMES = 100
"""How many reporters of a URL are kept: no category asks for more."""

MOST_MENTIONS = 200
"""How many mentions of these names are kept: one for each source that names a reporter."""

TRIES = 5
"""How often a write is tried that fails because another intake noted a reporter of the same URL meanwhile."""

SAID_AGAIN_AFTER = 86_400
"""A name that is reported again is written again only after so many seconds: otherwise each repeat costs a write."""

_PACKED = struct.Struct(">8s4sI4s")


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who counts as one reporter, in which report of which source, and when that was said."""

    name: str
    source: str
    said_at: datetime
    report: str = ""


class Mention(NamedTuple):
    """What a row keeps of a reporter: hashes of the name, the source and the report, and when it was said."""

    name: str
    source: bytes
    said_at: int
    report: bytes


Ignores = Callable[[str, Mention], bool]
"""Tells whether a mention of a URL, by the URL's key, no longer counts."""


def nobody(_key: str, _mention: Mention) -> bool:
    """Ignore nobody."""
    return False


@dataclass(frozen=True, slots=True)
class _Reporters:
    """The reporters of one URL: their names, and the mentions of these."""

    names: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Value]) -> _Reporters:
        names = texts(row, "names")
        entries = _PACKED.iter_unpack(blob(row, "said"))
        mentions = (Mention(name.hex(), source, said_at, report) for name, source, said_at, report in entries)
        return cls(names, tuple(mention for mention in mentions if mention.name in names))

    def with_all(self, reporters: Iterable[Reporter], ignores: Callable[[Mention], bool]) -> tuple[_Reporters, int]:
        """Note reporters; return the result, and how many names of it count."""
        after = self
        for reporter in reporters:
            after = after.with_(reporter, ignores)
        return after, after.count(ignores)

    def with_(self, reporter: Reporter, ignores: Callable[[Mention], bool]) -> _Reporters:
        new = Mention(hash_of(reporter.name), source_id(reporter.source), epoch(reporter.said_at), b"")
        new = new._replace(report=report_id(reporter.report))
        old = self._mention(new)
        if old and not (new.said_at >= old.said_at + SAID_AGAIN_AFTER or (ignores(old) and not ignores(new))):
            return self
        names = self.names if new.name in self.names else (*self.names, new.name)
        mentions = (*(each for each in self.mentions if each is not old), new)
        full = len(names) > MOST_NAMES or len(mentions) > MOST_MENTIONS
        return self if full else _Reporters(names, mentions)

    def without(self, reporter: Reporter) -> _Reporters:
        """Take out a source's mention up to a moment, and the name if no source names it any more."""
        gone = Mention(hash_of(reporter.name), source_id(reporter.source), epoch(reporter.said_at), b"")
        old = self._mention(gone)
        if old and old.said_at > gone.said_at:
            return self
        left = replace(self, mentions=tuple(each for each in self.mentions if each is not old))
        if any(each.name == gone.name for each in left.mentions):
            return left
        return replace(left, names=tuple(name for name in self.names if name != gone.name))

    def _mention(self, like: Mention) -> Mention | None:
        return next((each for each in self.mentions if each[:2] == like[:2]), None)

    def count(self, ignores: Callable[[Mention], bool]) -> int:
        """Count the names with a mention that counts, and the names without any mention (version 1)."""
        counted = {mention.name for mention in self.mentions if not ignores(mention)}
        ignored = {mention.name for mention in self.mentions} - counted
        return len(set(self.names) - ignored)

    def row(self, now: datetime) -> Row:
        row: Row = {"names": list(self.names), "count": len(self.names), "expires_at": epoch(now + KEEP)}
        packed = b"".join(_PACKED.pack(bytes.fromhex(each.name), *each[1:]) for each in self.mentions)
        return {**row, "said": packed} if packed else row


def note(
    rows: Rows, asked: Mapping[str, Sequence[Reporter]], *, now: datetime, ignores: Ignores = nobody
) -> dict[str, int]:
    """Note who reported URLs that need several independent reporters; return how many each has by now.

    If another intake notes a reporter of the same URL at the same moment, this one reads and writes the row again, so
    that both reporters count. After too many tries it leaves a name out until its next report.
    """
    counts: dict[str, int] = {}

    def noted(key: str, before: _Reporters) -> _Reporters:
        after, counts[key] = before.with_all(asked[key], partial(ignores, key))
        return after

    _change(rows, asked, noted, now)
    return counts


def forget(rows: Rows, withdrawn: Mapping[str, Collection[Reporter]], *, now: datetime) -> bool:
    """Take reporters out of the reporters of URLs, if they were named by the time of the withdrawals.

    ``False`` if other intakes kept changing some of these rows: then the withdrawal must come again.
    """

    def left(key: str, before: _Reporters) -> _Reporters:
        for reporter in withdrawn[key]:
            before = before.without(reporter)
        return before

    return _change(rows, withdrawn, left, now)


def _change(rows: Rows, keys: Iterable[str], change: Callable[[str, _Reporters], _Reporters], now: datetime) -> bool:
    """Change the reporters of URLs; ``False`` if other intakes kept changing some of these rows."""
    pending = list(keys)
    for _ in range(TRIES):
        found = rows.get([_key_of(key) for key in pending], consistent=True) if pending else {}
        writes: list[tuple[str, Insert | Update]] = []
        for key in pending:
            row = found.get(_key_of(key), {})
            before = _Reporters.of(row)
            after = change(key, before)
            if after == before:
                continue
            pk, sk = _key_of(key)
            unchanged: Row = {"names": list(before.names), "said": blob(row, "said") or None}
            new, gone = after.row(now), () if after.mentions else ("said",)
            noted = Update((pk, sk), set=new, expect=unchanged, remove=gone) if row else None
            writes.append((key, noted or Insert({"pk": pk, "sk": sk, **new})))
        failed = rows.write([write for _, write in writes]) if writes else set()
        pending = [key for index, (key, _) in enumerate(writes) if index in failed]
        if not pending:
            return True
    return False


def count(rows: Rows, asked: Mapping[str, Sequence[Reporter]], *, ignores: Ignores = nobody) -> dict[str, int]:
    """Return how many reporters URLs would have if these reported them too. Nothing is noted."""
    found = rows.get([_key_of(key) for key in asked], consistent=True) if asked else {}
    before = {key: _Reporters.of(found.get(_key_of(key), {})) for key in asked}
    return {key: before[key].with_all(reporters, partial(ignores, key))[1] for key, reporters in asked.items()}


def hash_of(name: str) -> str:
    """Return what stands for a reporter's name in a row."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _key_of(url_key: str) -> Key:
    return (f"url#{url_key}", "reporters")
