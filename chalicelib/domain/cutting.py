"""Cut lists into parts that fit: a chunk, a queue message, a batch, a row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def cut(
    items: Iterable[T],
    *,
    count: int,
    size: int = 0,
    size_of: Callable[[T], int] | None = None,
    shared_of: Callable[[T], str] | None = None,
) -> Iterator[list[T]]:
    """Yield parts of at most ``count`` items whose sizes add up to at most ``size``, in order; none is empty.

    An item that is larger than ``size`` is a part of its own. ``shared_of`` gives a text that a part holds once for all
    items that share it: its bytes count once for each part, beside the ``size_of`` each item.
    """
    if size_of is None and shared_of is None:
        everything = list(items)
        yield from (everything[start : start + count] for start in range(0, len(everything), count))
        return
    part: list[T] = []
    texts: set[str] = set()
    taken = 0
    for item in items:
        own = size_of(item) if size_of else 0
        text = shared_of(item) if shared_of else ""
        more = own if text in texts else own + len(text.encode())
        if part and (len(part) >= count or (size_of and taken + more > size)):
            yield part
            part, texts, taken = [], set(), 0
            more = own + len(text.encode())
        part.append(item)
        texts.add(text)
        taken += more
    if part:
        yield part
