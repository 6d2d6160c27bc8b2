"""The state of the simulated Workers KV: one namespace, what the edge has cached of it, and the rates."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CALLS_PER_WINDOW = 1_200
WINDOW = 300.0
"""1,200 calls in 5 minutes of a user; one more blocks the user for 5 minutes."""


@dataclass(frozen=True)
class Pair:
    """A key's value and its end, in seconds since 1970; ``None``: it stays."""

    value: str
    expiration: float | None
    metadata: object = None


@dataclass
class Namespace:
    """The keys, and for each key since when which pair stands there: the edge sees a change ``settle_seconds`` late."""

    settle_seconds: float = 0.0
    pairs: dict[str, Pair] = field(default_factory=dict)
    written_at: dict[str, float] = field(default_factory=dict)
    _history: dict[str, list[tuple[float, Pair | None]]] = field(default_factory=dict)

    def put(self, key: str, pair: Pair, now: float) -> None:
        self.pairs[key] = pair
        self._note(key, pair, now)

    def delete(self, key: str, now: float) -> None:
        self.pairs.pop(key, None)
        self._note(key, None, now)

    def live(self, now: float) -> dict[str, Pair]:
        """Return the pairs that have not ended, in order of the keys' bytes."""
        return {
            key: pair
            for key, pair in sorted(self.pairs.items(), key=lambda item: item[0].encode())
            if pair.expiration is None or pair.expiration > now
        }

    def at_edge(self, key: str, now: float) -> bool:
        """Whether a place of the edge that is as late as it can be sees the key."""
        seen = [pair for at, pair in self._history.get(key, []) if at <= now - self.settle_seconds]
        pair = seen[-1] if seen else None
        return pair is not None and (pair.expiration is None or pair.expiration > now)

    def written_within_a_second(self, keys: Mapping[str, object], now: float) -> bool:
        return any(now - self.written_at[key] < 1.0 for key in keys if key in self.written_at)

    def _note(self, key: str, pair: Pair | None, now: float) -> None:
        self.written_at[key] = now
        self._history.setdefault(key, []).append((now, pair))


def edge_key(url: str) -> str:
    """Return the key that the Worker asks for, written from its README: the URL without fragment, or its hash."""
    sent = urlunsplit(urlsplit(url)._replace(fragment="")) if "#" in url else url
    octets = sent.encode()
    return sent if len(octets) <= 512 else f"sha256:{hashlib.sha256(octets).hexdigest()}"


class UserRate:
    """The rate of a user: calls of five minutes, and the five minutes of silence after one too many."""

    def __init__(self) -> None:
        self._calls: deque[float] = deque()
        self._blocked_until = 0.0

    def seconds_to_wait(self, now: float) -> float:
        """Count a call; return 0 if it passes."""
        while self._calls and self._calls[0] <= now - WINDOW:
            self._calls.popleft()
        if now >= self._blocked_until and len(self._calls) >= CALLS_PER_WINDOW:
            self._blocked_until = now + WINDOW
        if now < self._blocked_until:
            return self._blocked_until - now
        self._calls.append(now)
        return 0.0
