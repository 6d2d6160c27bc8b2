"""Cut a file of reports into bodies that one request may carry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MAX_URLS = 10_000
MAX_BYTES = 4_000_000
"""The largest body of one report. The API takes 4.5 MB; the rest is room for the escapes in lines."""

CONTENT_TYPES = {
    ".csv": "text/csv",
    ".eml": "message/rfc822",
    ".json": "application/json",
    ".txt": "text/uri-list",
    ".xml": "application/xml",
}


def content_type_of(name: str, body: bytes) -> str:
    """Return the media type of a file by its name or, if it has none, by its first character."""
    for ending, content_type in CONTENT_TYPES.items():
        if name.lower().removesuffix(".gz").endswith(ending):
            return content_type
    return "application/json" if body.lstrip()[:1] in {b"{", b"["} else "text/uri-list"


def split(body: bytes, content_type: str, *, most: int = MAX_URLS, size: int = MAX_BYTES) -> list[bytes]:
    """Return bodies of at most ``most`` lines or items and ``size`` bytes.

    Text is cut between lines, CSV repeats its header, JSON arrays are cut between items. A small body, or one of
    another kind, stays whole. A single line or item that is too long stays whole, too, and the API refuses it.
    """
    if content_type == "text/uri-list":
        return _joined(_lines(body), b"", most, size)
    if content_type == "text/csv":
        return _split_csv(body, most, size)
    if content_type.endswith("json"):
        return _split_json(body, most, size)
    return [body]


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines(keepends=True) if line.strip()]


def _split_csv(body: bytes, most: int, size: int) -> list[bytes]:
    """Cut between records: a line end inside quotes is part of its record. Comment lines before the header stay."""
    records: list[bytes] = []
    open_record = b""
    for line in body.splitlines(keepends=True):
        open_record += line
        if open_record.count(b'"') % 2 == 0:
            if open_record.strip():
                records.append(open_record)
            open_record = b""
    if open_record.strip():
        records.append(open_record)
    head = 0
    while head < len(records) and records[head].startswith(b"#"):
        head += 1
    has_header = head < len(records) and b"://" not in records[head]
    if has_header:
        head += 1
    return _joined(records[head:], b"".join(records[:head]), most, size)


def _split_json(body: bytes, most: int, size: int) -> list[bytes]:
    try:
        document = json.loads(body)
    except ValueError:
        return [body]  # The API says what is wrong with it.
    if isinstance(document, list):
        return _items(document, most, size, lambda items: items) or [body]
    if isinstance(document, dict) and isinstance(document.get("urls"), list):
        return _items(document["urls"], most, size, lambda items: {**document, "urls": items}) or [body]
    return [body]


def _items(items: Sequence[Any], most: int, size: int, wrap: Callable[[list[Any]], Any]) -> list[bytes]:
    encoded = [(item, len(json.dumps(item)) + 2) for item in items]
    room = size - len(json.dumps(wrap([])))
    return [json.dumps(wrap([item for item, _ in part])).encode() for part in _parts(encoded, most, room)]


def _joined(lines: Sequence[bytes], head: bytes, most: int, size: int) -> list[bytes]:
    sized = [(line, len(line)) for line in lines]
    return [head + b"".join(line for line, _ in part) for part in _parts(sized, most, size - len(head))] or [head]


def _parts(sized: Sequence[tuple[Any, int]], most: int, room: int) -> Iterator[list[tuple[Any, int]]]:
    part: list[tuple[Any, int]] = []
    taken = 0
    for item in sized:
        if part and (len(part) == most or taken + item[1] > room):
            yield part
            part, taken = [], 0
        part.append(item)
        taken += item[1]
    if part:
        yield part
