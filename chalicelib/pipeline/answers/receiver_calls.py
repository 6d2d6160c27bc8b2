"""Overlap the calls of one source's receiver: more of them while it answers quickly, fewer when it is slow.

A source that sends 150 reports a second wants 150 callbacks a second. If its receiver answers in 0.2 s, 30 calls
overlap, and the time to read the reports comes on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")

FEWEST: Final = 16
"""How many calls of a receiver overlap at first, and as long as it is slow."""

MOST: Final = 64
"""How many calls of a receiver overlap at most: 300 a second, if it answers in 0.2 s."""

QUICK_SECONDS: Final = 0.5
"""A call that took no longer lets one more call overlap. A call that took longer halves the number."""

READERS: Final = 8
"""How many reports are read at the same time."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""The bodies of the calls that overlap have at most this many bytes, and the body of one call more."""


class CallsAtOnce:
    """How many calls of a receiver may overlap now."""

    def __init__(self) -> None:
        self.permitted, self._most = FEWEST, MOST

    @property
    def crowded(self) -> bool:
        """Whether more calls may overlap than at first: then their number may be why a call fails."""
        return self.permitted > FEWEST

    def answered(self, seconds: float, *, well: bool = True) -> None:
        """Note how long the receiver took for a call. After a failure no more overlap than at first, to the end."""
        if not well:
            self.permitted = self._most = FEWEST
        elif seconds <= QUICK_SECONDS:
            self.permitted = min(self.permitted + 1, self._most)
        else:
            self.permitted = max(self.permitted // 2, FEWEST)


@dataclass(frozen=True, slots=True)
class Called:
    """The result of a call in a word, the seconds that the receiver took, and whether it answered well."""

    result: str
    seconds: float = 0.0
    well: bool = True


class ReceiverCalls:
    """Makes calls in threads beside the caller's."""

    def __init__(self, *, threads: bool) -> None:
        """Without ``threads``, every call is made at once, in the caller's thread: a test can then stop it anywhere."""
        self._pool = ThreadPoolExecutor(MOST) if threads else None
        self._readers = ThreadPoolExecutor(READERS) if threads else None
        self._sizes: dict[Future[Called], int] = {}
        self.at_once = CallsAtOnce()
        self.results: list[str] = []
        self.failure: BaseException | None = None
        """Why the result of a call could not be recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._readers):
            if pool:
                pool.shutdown()

    def read(self, function: Callable[[str], T], ids: Iterable[str]) -> list[T]:
        """Read several things at once, beside the calls that are under way."""
        return list(self._readers.map(function, ids) if self._readers else map(function, ids))

    @property
    def has_room(self) -> bool:
        """Whether one more call may begin now."""
        return len(self._sizes) < self.at_once.permitted and sum(self._sizes.values()) < MOST_BYTES

    def start(self, call: Callable[[], Called], *, size: int) -> None:
        """Begin a call with a body of ``size`` bytes."""
        if self._pool:
            self._sizes[self._pool.submit(call)] = size
        else:
            self._ended(call())

    def settle(self) -> bool:
        """Wait until calls have ended, and take their results; ``False`` if none is under way.

        A call that raises stops no other.
        """
        ended, _ = wait(self._sizes, return_when=FIRST_COMPLETED)
        for future in ended:
            del self._sizes[future]
            if failure := future.exception():
                self.failure = failure
            else:
                self._ended(future.result())
        return bool(ended)

    def _ended(self, called: Called) -> None:
        self.results.append(called.result)
        self.at_once.answered(called.seconds, well=called.well)
