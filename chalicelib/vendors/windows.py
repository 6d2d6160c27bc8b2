"""Cover spans of time with windows that a query of a vendor's task list may have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

Window = tuple[datetime, datetime]


def windows(spans: Iterable[Window], *, longest: timedelta) -> list[Window]:
    """Cover spans with windows of at most ``longest``, oldest first; spans that fit one window share it."""
    covering: list[Window] = []
    for start, end in sorted(piece for span in spans for piece in _pieces(*span, longest)):
        if covering and max(end, covering[-1][1]) - covering[-1][0] <= longest:
            covering[-1] = (covering[-1][0], max(end, covering[-1][1]))
        else:
            covering.append((start, end))
    return covering


def _pieces(start: datetime, end: datetime, longest: timedelta) -> Iterator[Window]:
    while end - start > longest:
        yield start, start + longest
        start += longest
    yield start, end
