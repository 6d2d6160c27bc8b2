"""The bytes of an export → its lines, in the encoding that the bytes themselves give away.

The vendor does not say which encoding its file has. The rule: a byte order mark decides (UTF-8 or GB18030). Without
one, everything is ASCII until the first block of lines that holds anything else, and that block decides: the encoding
in which fewer of its lines are broken, UTF-8 if they are equal. The choice then holds to the end, and a later line that
is broken in it is a defect of that line alone. (GB18030 text that is valid UTF-8 by chance exists, in single words; for
a whole block to be is next to impossible, and that is why a block and not a line decides.)

Lines can be cut before decoding: no character of either encoding has the byte of a line break, quote or comma inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 64 * 1024
"""Bytes of a line that are kept; what is longer is a defect."""

DECIDING_BYTES: Final = 64 * 1024
"""Bytes of whole lines that are looked at together, at the least, to tell the encoding."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\x84\x31\x95\x33", "gb18030"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. ``defect`` says in words why ``text`` is not what was meant; empty where it is."""

    number: int
    text: str
    defect: str = ""


def read_lines(blocks: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a file that comes in blocks of any size; line ends are LF or CRLF."""
    number = 0
    encoding = ""
    for batch in _batches(blocks):
        if number == 0:
            for mark, name in _MARKS:
                if batch[0].startswith(mark):
                    batch[0] = batch[0][len(mark) :]
                    encoding = name
        if not encoding:
            encoding = _tell_encoding(batch)
        for raw in batch:
            number += 1
            yield _decode(number, raw.removesuffix(b"\r"), encoding or "ascii")


def _decode(number: int, raw: bytes, encoding: str) -> Line:
    if len(raw) > MAX_LINE:
        return Line(number, raw[:MAX_LINE].decode(encoding, "replace"), f"the line is longer than {MAX_LINE} bytes")
    try:
        return Line(number, raw.decode(encoding))
    except UnicodeDecodeError:
        return Line(number, raw.decode(encoding, "replace"), f"the line is not valid {encoding.upper()}")


def _tell_encoding(batch: list[bytes]) -> str:
    """Return the encoding of the lines; empty while they are all ASCII, and tell nothing."""
    telling = [raw for raw in batch if not raw.isascii()]
    if not telling:
        return ""
    return min(("utf-8", "gb18030"), key=lambda encoding: sum(_is_broken(raw, encoding) for raw in telling))


def _is_broken(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return True
    return False


def _batches(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Gather whole lines until there are enough of them to tell the encoding; no batch is empty."""
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
    """Cut at LF. Of a line longer than ``MAX_LINE`` a little more is kept, as a sign, and the rest dropped."""
    keep = MAX_LINE + 2  # one more than a whole line with its CR
    rest = b""
    for block in blocks:
        first, *more = block.split(b"\n")
        rest = (rest + first)[:keep]
        for piece in more:
            yield rest
            rest = piece[:keep]
    if rest:
        yield rest
