"""Read configuration documents from AWS (secrets and parameters), and keep each for half a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MAX_AGE = 30.0
"""Seconds for which a document is used without reading it again. A change is in force everywhere within a minute."""


class Cached(Generic[T]):
    """The last good value of a document. A new version that cannot be read or used is reported, and changes nothing."""

    def __init__(
        self,
        read: Callable[[], tuple[str, Callable[[], T]]],
        *,
        on_error: Callable[[Exception], None],
        clock: Callable[[], float] = time.monotonic,
        max_age: float = MAX_AGE,
    ) -> None:
        """``read`` returns the document's text and a function that makes its value, called only if the text is new."""
        self._read = read
        self._on_error = on_error
        self._clock = clock
        self._max_age = max_age
        self._text: str | None = None
        self._value: T | None = None
        self._read_at = float("-inf")

    def get(self) -> T:
        """Return the value. While there is no good one yet, raises what reading or making it raised."""
        if self._value is None or self._clock() - self._read_at >= self._max_age:
            try:
                text, make = self._read()
                if text != self._text or self._value is None:
                    self._value = make()
                    self._text = text
            except Exception as error:
                if self._value is None:
                    raise
                self._on_error(error)
            self._read_at = self._clock()
        return self._value


def secret(client: Any, name: str) -> str:
    """Read a secret's current text from Secrets Manager."""
    return str(client.get_secret_value(SecretId=name)["SecretString"])


def parameter(client: Any, name: str) -> str:
    """Read a parameter from SSM."""
    return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
