"""Read CSV row by row: a broken row, such as one with a stray quotation mark, never spoils the rows around it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from chalicelib.domain.errors import TooLarge
from chalicelib.reports.reading import MAX_LINES

MAX_ROW_LINES = 20
"""How many lines one row may span. If it spans more, a quotation mark was never closed."""

_BOM = "\ufeff"
_LINE_ENDS = frozenset(("\n", "\r\n", "\r"))

_Line = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A row and the number of the line where it begins. ``problem`` says why a line is no row; it has no cells then."""

    line: int
    cells: list[str]
    problem: str = ""


def read_rows(text: str) -> Iterator[Row]:
    """Yield the rows of a CSV text, without empty lines and without U+FEFF at the start of a line.

    A row that spans several lines must have as many cells as the row before it. Otherwise its quotation mark was never
    closed, and each of its lines is a row. Raises TooLarge.
    """
    if text.count("\n") + text.count("\r") > 2 * MAX_LINES:
        raise TooLarge(f"the body has more than {MAX_LINES:,} lines: send it in parts")
    lines = _Lines(text)
    width = 0
    while (line := lines.take()) is not None:
        number, content = line
        cells, problem = _cells(iter((content,)))
        if cells is None and problem == "unexpected end of data":
            following = lines.following(MAX_ROW_LINES - 1)
            spanning = iter((content, *(more for _, more in following)))
            cells, problem = _cells(spanning)
            if cells is not None and len(cells) != width:
                cells, problem = None, "a quotation mark is never closed"
            # What the row did not use, or should not have used, is read again.
            lines.push_back(following[len(following) - len(tuple(spanning)) :] if cells is not None else following)
        if cells is None:
            yield Row(number, [], problem)
        elif cells:  # none at all: a line of nothing but a byte order mark
            width = len(cells)
            yield Row(number, cells)


def _cells(lines: Iterator[str]) -> tuple[list[str] | None, str]:
    """Read one row, from as many lines as it needs."""
    try:
        return next(csv.reader(lines, strict=True)), ""
    except csv.Error as error:
        return None, str(error)[:80]


class _Lines:
    """The lines of a text with their numbers. Lines can be pushed back."""

    def __init__(self, text: str) -> None:
        self._source = enumerate(StringIO(text, newline=""), 1)
        self._waiting: deque[_Line] = deque()

    def take(self) -> _Line | None:
        """Return the next line that is not empty."""
        while (line := self._waiting.popleft() if self._waiting else next(self._source, None)) is not None:
            number, content = line
            if content not in _LINE_ENDS:
                return number, content.removeprefix(_BOM)
        return None

    def following(self, count: int) -> list[_Line]:
        """Take up to that many lines, pushed-back ones first. Empty lines are among them, since a row may hold them."""
        taken = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        for line in self._source:
            if len(taken) >= count:
                self._waiting.append(line)
                break
            taken.append(line)
        return taken

    def push_back(self, lines: list[_Line]) -> None:
        """Put lines back before the next line, the empty ones too: a later row may hold them."""
        self._waiting.extendleft(reversed(lines))
