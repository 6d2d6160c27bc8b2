"""How a claim keeps the words of its sources: 21 bytes each.

A word that was taken back leaves a *marker* in its place: the source and a moment. All that the source says up to this
moment is taken back. A withdrawal leaves a marker of the past. A marker with a future moment says that a person undid
the source until then.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from chalicelib.domain.words.word import OTHERS, SOURCES_KEPT, SourceWord

_PACKED = struct.Struct(">4sIII?4s")
"""The source; when its word was first known and when it was said, both in seconds since 1970; the word's end in
minutes since 1970; whether the word bans; and the report.

The end of a marker is 0. Seconds suffice until 2106; the end of an endless word needs minutes.
"""

_WITHOUT_SAID = struct.Struct(">4sII?4s")
"""The same in rows of earlier versions, which did not keep when a word was said: the moment at which it was first
known is taken for that."""

_Entry = tuple[bytes, int, int, int, bool, bytes]

KEEP_MARKERS = timedelta(days=14)
"""How long a marker is kept for words that were said before it and arrive late: as long as a queue keeps a message."""

_NO_REPORT = bytes(4)


_UNKNOWN = re.compile("#[0-9a-f]{8}")


@lru_cache(maxsize=1024)
def source_id(name: str) -> bytes:
    """Return the four bytes that stand for a source in a claim, also for a name such as ``#01020304`` of ``unpack``."""
    if _UNKNOWN.fullmatch(name):
        return bytes.fromhex(name[1:])
    return hashlib.sha256(name.encode()).digest()[:4]


@lru_cache(maxsize=1024)
def report_id(name: str) -> bytes:
    """Return the four bytes that stand for a report in a claim."""
    return hashlib.sha256(name.encode()).digest()[:4]


def pack(words: Iterable[SourceWord]) -> bytes:
    """Pack words for a claim's row: 21 bytes each, so that sixteen sources take 336."""
    return b"".join(
        _PACKED.pack(
            source_id(word.source),
            _seconds(word.known_since),
            _seconds(word.said_at),
            -(-_seconds(word.until) // 60),
            word.bans,
            word.said_in or _NO_REPORT,
        )
        for word in words
    )


def unpack(packed: bytes, names: Iterable[str]) -> tuple[SourceWord, ...]:
    """Undo ``pack``, without the markers.

    ``names`` are the sources known now. Any other source is named by its four bytes.
    """
    by_id = {source_id(name): name for name in (*names, OTHERS)}
    return tuple(
        SourceWord(
            by_id.get(source, f"#{source.hex()}"),
            datetime.fromtimestamp(said_at, tz=UTC),
            _moment(until),
            bans,
            b"" if report == _NO_REPORT else report,
            None if since == said_at else datetime.fromtimestamp(since, tz=UTC),
        )
        for source, since, said_at, until, bans, report in _each(packed)
        if until
    )


class Spoken(NamedTuple):
    """What a claim keeps of one source: its word, its marker, or both."""

    end: int
    """The end of the word in epoch seconds; 0 if the source has no word."""
    only_a_person: bool
    """Whether the word bans nothing by itself: a person would decide about it."""
    up_to: int
    """The marker: the moment up to which the source's words are taken back, in epoch seconds; 0 without a marker."""


@lru_cache(maxsize=1024)
def spoken_by(packed: bytes, name: str) -> Spoken:
    """Return what a claim keeps of one source. Every duplicate asks this; most URLs of a report have the same words."""
    source = source_id(name)
    word, marker = (0, False), 0
    for spoken, _, at, until, bans, _ in _each(packed):
        if spoken == source and until:
            word = (until * 60, not bans)
        elif spoken == source:
            marker = at
    return Spoken(*word, marker)


def has_spoken(packed: bytes, name: str) -> bool:
    """Return whether a source has said anything of a URL, even if it took it back; if there is no room, always true."""
    source = source_id(name)
    return len(packed) >= SOURCES_KEPT * _PACKED.size or any(each[0] == source for each in _each(packed))


def undone_sources(packed: bytes, now: datetime) -> bool:
    """Return whether a person undid some sources whose cool-down has not ended."""
    moment = _seconds(now)
    return any(not until and at > moment for _, _, at, until, _, _ in _each(packed))


def markers(packed: bytes, *, now: datetime, besides: Iterable[SourceWord] = ()) -> bytes:
    """Return the markers that still count, without those of sources that have a word in ``besides``."""
    oldest = _seconds(now - KEEP_MARKERS)
    spoken = {source_id(word.source) for word in besides}
    return _kept(packed, lambda source, _, at, until, *__: not until and at > oldest and source not in spoken)


def all_words(packed: bytes) -> bytes:
    """Return the words without the markers."""
    return _kept(packed, lambda _source, _since, _at, until, *_: bool(until))


def without(packed: bytes, name: str) -> bytes:
    """Take a source's word out."""
    taken = source_id(name)
    return _kept(packed, lambda source, _since, _at, until, *_: source != taken or not until)


def no_longer_undone(packed: bytes, now: datetime) -> bytes:
    """Let markers with a future moment end now. They still show that the source had spoken."""
    moment = _seconds(now)
    ended = (
        (source, since, at if until else min(at, moment), until, bans, report)
        for source, since, at, until, bans, report in _each(packed)
    )
    return b"".join(_PACKED.pack(*word) for word in ended)


def without_marker(packed: bytes, name: str) -> bytes:
    """Take a source's marker out."""
    taken = source_id(name)
    return _kept(packed, lambda source, _since, _at, until, *_: source != taken or bool(until))


def without_report(packed: bytes, name: str) -> bytes:
    """Take out the words that a report said and that no later report changed."""
    taken = report_id(name)
    return _kept(packed, lambda _source, _since, _at, until, _bans, report: report != taken or not until)


def said_after(packed: bytes, moment: datetime) -> bytes:
    """Take out the words of sources that had spoken by a moment."""
    seconds = _seconds(moment)
    return _kept(packed, lambda _source, since, _at, until, *_: since > seconds or not until)


def held_only(packed: bytes) -> bytes:
    """Return the words that ban nothing by themselves: a person would decide about them."""
    return _kept(packed, lambda _source, _since, _at, until, bans, _report: until and not bans)


def marked(packed: bytes, left: bytes, *, until: datetime) -> bytes:
    """Return the words that are ``left``, with a marker up to ``until`` in the place of each word that is gone."""
    staying = {source for source, _, _, until, _, _ in _each(left) if until}
    gone = [source for source, _, _, until, _, _ in _each(packed) if until and source not in staying]
    others = _kept(left, lambda source, *_: source not in gone)
    return others + b"".join(mark(source, until) for source in gone)


def mark(source: bytes, until: datetime) -> bytes:
    """Return the marker of a source."""
    return _PACKED.pack(source, _seconds(until), _seconds(until), 0, 0, _NO_REPORT)


def end_of_ban(packed: bytes) -> int:
    """Return the furthest end, in epoch seconds, of the words that ban by themselves; 0 if there are none."""
    return max((until * 60 for _, _, _, until, bans, _ in _each(packed) if bans), default=0)


def end_if_approved(packed: bytes) -> int:
    """Return the furthest end, in epoch seconds, of the words once a person approves them; 0 if there are none."""
    return max(((bans, until * 60) for _, _, _, until, bans, _ in _each(packed) if until), default=(False, 0))[1]


def _kept(packed: bytes, keep: Callable[..., bool]) -> bytes:
    return b"".join(_PACKED.pack(*word) for word in _each(packed) if keep(*word))


def _each(packed: bytes) -> Iterator[_Entry]:
    if len(packed) % _PACKED.size and not len(packed) % _WITHOUT_SAID.size:
        return ((source, at, at, *rest) for source, at, *rest in _WITHOUT_SAID.iter_unpack(packed))
    return _PACKED.iter_unpack(packed)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _moment(minutes: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
