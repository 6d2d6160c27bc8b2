"""How a claim keeps the words of its sources: 13 bytes each."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from chalicelib.domain.words.word import OTHERS, SourceWord

_PACKED = struct.Struct(">4sII?")
"""Source, when it spoke, its end, whether it bans: 13 bytes a source, times in whole minutes since 1970."""


_UNKNOWN = re.compile("#[0-9a-f]{8}")


@lru_cache(maxsize=1024)
def source_id(name: str) -> bytes:
    """Return the four bytes that stand for a source in a claim: those of ``#01020304``, as ``unpack`` names it, too."""
    if _UNKNOWN.fullmatch(name):
        return bytes.fromhex(name[1:])
    return hashlib.sha256(name.encode()).digest()[:4]


def pack(words: Iterable[SourceWord]) -> bytes:
    """Pack words for a claim's row: 13 bytes each, so that sixteen sources take 208."""
    return b"".join(
        _PACKED.pack(source_id(word.source), _seconds(word.said_at) // 60, -(-_seconds(word.until) // 60), word.bans)
        for word in words
    )


def unpack(packed: bytes, names: Iterable[str]) -> tuple[SourceWord, ...]:
    """Undo ``pack``. ``names`` are the sources known by now; one that is not among them is named by its four bytes."""
    by_id = {source_id(name): name for name in (*names, OTHERS)}
    return tuple(
        SourceWord(by_id.get(source, f"#{source.hex()}"), _moment(said_at), _moment(until), bans)
        for source, said_at, until, bans in _PACKED.iter_unpack(packed)
    )


def end_of_word(packed: bytes, name: str) -> int:
    """Return the end of a source's word in epoch seconds; 0 if it has none. Every duplicate asks this."""
    source = source_id(name)
    return next((until * 60 for spoken, _, until, _ in _PACKED.iter_unpack(packed) if spoken == source), 0)


def without(packed: bytes, name: str) -> bytes:
    """Take a source's word out."""
    source = source_id(name)
    return b"".join(_PACKED.pack(*word) for word in _PACKED.iter_unpack(packed) if word[0] != source)


def end_of_ban(packed: bytes) -> int:
    """Return the furthest end, in epoch seconds, that words which are banned by themselves ask for; 0 if none does."""
    return max((until * 60 for _, _, until, bans in _PACKED.iter_unpack(packed) if bans), default=0)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(minutes: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
