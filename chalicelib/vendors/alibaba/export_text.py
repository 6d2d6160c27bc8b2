"""Cut the bytes of an export into lines, in the encoding that the bytes show.

The vendor does not document the encoding of its file. A byte order mark decides (UTF-8 or GB18030). Without one, the
first block of lines that is not all ASCII decides: the encoding in which fewer of its lines are broken; if the numbers
are equal, UTF-8. The choice is kept to the end of the file. A later line that is broken in this encoding is rejected
alone. A block decides and not a line: a single GB18030 word may by chance be valid UTF-8, but hardly a whole block.

Lines can be cut before decoding: no character of either encoding contains the byte of a line break, quote or comma.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 64 * 1024
"""The most bytes of a line. A longer line is cut and rejected."""

DECIDING_BYTES: Final = 64 * 1024
"""Fewest bytes of whole lines in a block that decides the encoding."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\x84\x31\x95\x33", "gb18030"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. ``defect`` says in words why ``text`` cannot be trusted; empty if it can."""

    number: int
    text: str
    defect: str = ""


def read_lines(blocks: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a file in blocks of any size, without empty lines. Lines end with LF or CRLF."""
    number = 0
    encoding = ""
    for batch in _batches(blocks):
        if number == 0:
            for mark, name in _MARKS:
                if batch[0].startswith(mark):
                    batch[0] = batch[0][len(mark) :]
                    encoding = name
        if not encoding:
            encoding = _encoding_of(batch)
        for raw in batch:
            number += 1
            if not raw:  # a file may hold millions of empty lines
                continue
            yield _decode(number, raw.removesuffix(b"\r"), encoding or "ascii")


def _decode(number: int, raw: bytes, encoding: str) -> Line:
    if len(raw) > MAX_LINE:
        return Line(number, raw[:MAX_LINE].decode(encoding, "replace"), f"the line is longer than {MAX_LINE} bytes")
    try:
        return Line(number, raw.decode(encoding))
    except UnicodeDecodeError:
        return Line(number, raw.decode(encoding, "replace"), f"the line is not valid {encoding.upper()}")


def _encoding_of(batch: list[bytes]) -> str:
    """Return the encoding of the lines; empty if they are all ASCII, which decides nothing."""
    not_ascii = [raw for raw in batch if not raw.isascii()]
    if not not_ascii:
        return ""
    return min(("utf-8", "gb18030"), key=lambda encoding: sum(_is_broken(raw, encoding) for raw in not_ascii))


def _is_broken(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return True
    return False


def _batches(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield batches of whole lines, each large enough to decide the encoding. No batch is empty."""
    batch: list[bytes] = []
    size = 0
    for raw in _raw_lines(blocks):
        batch.append(raw)
        size += len(raw) + 1
        if size >= DECIDING_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _raw_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut at LF. A line longer than ``MAX_LINE`` keeps two bytes more, which show that it is too long."""
    keep = MAX_LINE + 2  # one byte more than the longest line with its CR
    rest = b""
    for block in blocks:
        first, *more = block.split(b"\n")
        if len(rest) < keep:
            rest = (rest + first)[:keep]
        for piece in more:
            yield rest
            rest = piece[:keep]
    if rest:
        yield rest
