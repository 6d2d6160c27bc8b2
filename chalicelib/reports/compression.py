"""Compressed bodies: gzip is unpacked within the limits of a body; any other compression is refused by its name."""

from __future__ import annotations

import zlib

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.reports.reading import ParserOptions

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
"""The value by which zlib expects a gzip header."""

_PACKED: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
)
MAX_MEMBERS = 100
"""The most files in one gzip body: after each file the rest of the body is copied."""

_ENCODINGS = frozenset(("", "identity", "gzip", "x-gzip"))


def unpacked(body: bytes, options: ParserOptions) -> bytes:
    """Return a body as it was before its sender compressed it.

    gzip is recognised by its first two bytes, which no text has, and not by the header ``Content-Encoding``: a gateway
    may have unpacked the body and kept the header. Raises UnreadableReport and TooLarge.
    """
    if body.startswith(_GZIP):
        return _ungzipped(body, options.max_bytes)
    for mark, name in _PACKED:
        if body.startswith(mark):
            raise UnreadableReport(f"the body is {name}: send it as it is, or compressed with gzip")
    encoding = options.content_encoding.strip().lower()
    if encoding not in _ENCODINGS:
        raise UnreadableReport(f"the Content-Encoding {encoding[:20]!r} is not read: send gzip, or none")
    return body


def _ungzipped(body: bytes, limit: int) -> bytes:
    """Unpack all members of a gzip file. The limit bounds memory and time, whatever size the file claims."""
    parts: list[bytes] = []
    room = limit
    while body:
        if len(parts) == MAX_MEMBERS:
            raise TooLarge(f"the gzip body holds more than {MAX_MEMBERS} files: send it in parts")
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = unpacker.decompress(body, room + 1)
        except zlib.error:
            raise UnreadableReport("the gzip body is damaged: compress it again") from None
        room -= len(part)
        if room < 0:
            raise TooLarge(f"the body has more than {limit:,} bytes when it is unpacked: send it in parts")
        if not unpacker.eof:
            raise UnreadableReport("the gzip body ends too early: send it whole")
        parts.append(part)
        body = unpacker.unused_data.lstrip(b"\0")  # some writers fill up the last block
    return b"".join(parts)
