"""Read configuration documents from AWS (secrets and parameters), and keep each for half a minute."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from chalicelib.config.fields import load
from chalicelib.config.policy import object_key
from chalicelib.domain.errors import ConfigurationError
from chalicelib.ports import Emit, Objects

T = TypeVar("T")

UNREAD_FOR = 600
"""If AWS does not return a document for fewer seconds than this, nobody is told: a throttled read soon succeeds."""

MAX_AGE = 30.0
"""Seconds for which a document is used without reading it again. A change is in force everywhere within a minute."""


SPREAD = 0.3
"""Processes read a document again at different ages, which differ by up to this share."""


class Cached(Generic[T]):
    """The last good value of a document. A new version that cannot be read or used is reported, and changes nothing."""

    def __init__(
        self,
        read: Callable[[], tuple[str, Callable[[], T]]],
        *,
        on_error: Callable[[Exception, float], None],
        clock: Callable[[], float] = time.time,
        max_age: float = MAX_AGE,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """``read`` returns the document's text and a function that makes its value, called only if the text is new.

        ``on_error`` gets the error and the seconds since the first error in a row. ``clock`` is the wall clock: a
        monotonic clock stands still while Lambda freezes the process, and a revoked token would live on. ``spread``
        draws a number from 0 to 1. By it each process reads again somewhat before its document is too old, so that
        processes that began together do not read together (Parameter Store answers 40 reads a second).
        """
        self._read = read
        self._on_error = on_error
        self._clock = clock
        self._max_age = max_age * (1 - SPREAD * spread())
        self._text: str | None = None
        self._value: T | None = None
        self._read_at = float("-inf")
        self._failing_since: float | None = None
        self.refused: tuple[float, str] | None = None
        """When, in epoch seconds, the last reading failed and why; ``None`` if it did not."""

    @property
    def text(self) -> str:
        """The text of the document that the value was made from."""
        return self._text or ""

    @property
    def read_at(self) -> float:
        """When the document was last read, in epoch seconds."""
        return self._read_at

    def get(self) -> T:
        """Return the value. While there is no good value yet, raises the error of reading or making it."""
        now = self._clock()
        if self._value is None or not 0 <= now - self._read_at < self._max_age:  # a wall clock may be set back
            try:
                text, make = self._read()
                if text != self._text or self._value is None:
                    self._value = make()
                    self._text = text
                self._failing_since, self.refused = None, None
            except Exception as error:
                if self._value is None:
                    raise
                if self._failing_since is None:
                    self._failing_since = now
                self.refused = (now, str(error)[:500])
                self._on_error(error, now - self._failing_since)
            self._read_at = now
        return self._value


def secret(client: Any, name: str) -> str:
    """Read a secret's current text from Secrets Manager."""
    return str(client.get_secret_value(SecretId=name)["SecretString"])


def parameter(client: Any, name: str) -> str:
    """Read a parameter from SSM."""
    return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])


def emit_unread(emit: Emit, kind: str, error: Exception, failing: float) -> None:
    """Emit that a document could not be used: a person must mend it, or AWS did not return it, which passes.

    If it does not pass within ``UNREAD_FOR``, a person must mend it, too: a right may have been taken away. ``failing``
    is the seconds since the document was last read.
    """
    if isinstance(error, ConfigurationError):
        emit("configuration_refused", kind=kind, problem=str(error)[:300])
    elif failing >= UNREAD_FOR:
        problem = f"not read for {failing / 60:.0f} minutes: {type(error).__name__}"
        emit("configuration_refused", kind=kind, problem=problem)
    else:
        emit("configuration_unread", kind=kind, problem=type(error).__name__)


def policy_text(text: str, objects: Callable[[], Objects]) -> str:
    """Return the text of a policy, which may stand in an object of the archive: a parameter holds 4,096 characters.

    The object is read each time: it may be replaced while the parameter stays the same. If the function may not list
    the bucket, S3 answers "access denied" for an object that is missing. Raises ConfigurationError.
    """
    from botocore.exceptions import ClientError

    key = object_key(load("policy", text))
    if not key:
        return text
    try:
        body = objects().get(key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        body = None
    if body is None:
        raise ConfigurationError(
            f"policy: the object {key!r} is not there, or must not be read: write it to the archive bucket"
        )
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"policy: the object {key!r} is not UTF-8: write it anew") from None
