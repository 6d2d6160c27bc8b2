"""Wrap what a function calls outside: kill the function, fail the call, or let something happen around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    LedgerUnavailable,
    QuotaExceeded,
    Throttled,
    Unavailable,
    VendorError,
)
from dev.fakes import rights

VENDOR_LISTS = {"find_task", "follow", "banned"}
"""The vendor's lists: iterators that make one call a step."""

READS = {"get", "query", *VENDOR_LISTS}
"""Calls that change nothing."""

VENDOR_CALLS = {"create_task", *VENDOR_LISTS}
LATE = timedelta(seconds=15)

AWS_ERRORS: dict[str, Exception] = {
    "throttled": LedgerUnavailable("throttled"),
    "unreached": EndpointConnectionError(endpoint_url="aws"),
    "lost": ConnectionClosedError(endpoint_url="aws"),
    "late": ReadTimeoutError(endpoint_url="aws"),
}
VENDOR_ERRORS: dict[str, VendorError] = {
    "throttled": Throttled("slow down"),
    "unreached": Unavailable("no connection"),
    "lost": AnswerUnknown("reset"),
    "late": AnswerUnknown("timed out"),
    "unknown": AnswerUnknown("500"),
    "quota": QuotaExceeded("used up"),
    "blocked": AccessRefused("locked"),
}
WAYS = sorted({*AWS_ERRORS, *VENDOR_ERRORS, "twice", "echo"})
ECHO = 5


class Crash(BaseException):
    """The function is killed here. Not an Exception, so that nothing can catch it."""


@dataclass
class Crasher:
    """Kills the function before or after its n-th call to anything outside."""

    at: int = 0
    after: bool = False
    calls: int = 0
    tears: bool = False
    """Whether a write of several rows may be cut between any two of them."""
    reads: bool = True
    """Whether a read may be killed too. Such a kill equals one before the next call that changes something."""

    def wrap(self, target: Any) -> Any:
        """Return what makes every call of ``target`` through ``call``."""
        return _Crashing(target, self)

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call, or die before or after it."""
        if not self.reads and getattr(function, "__name__", "") in READS:
            return function(*args, **kwargs)
        self.calls += 1
        ours = self.calls == self.at
        if ours and not self.after:
            raise Crash
        result = function(*args, **kwargs)
        if ours:
            raise Crash
        return result

    def steps(self, name: str, steps: Iterator[Any]) -> Iterator[Any]:
        """Take each step of a vendor's list as a call of its own, named after the list."""

        def step() -> Any:
            return next(steps, None)

        step.__name__ = name
        while (answer := self.call(step, (), {})) is not None:
            yield answer


class _Crashing:
    def __init__(self, target: Any, crasher: Crasher) -> None:
        self._target, self._crasher = target, crasher

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._target, name)
        if name == "write" and self._crasher.tears:
            return self._write_torn
        if name in VENDOR_LISTS:
            return partial(self._steps, name, original)
        return (lambda *a, **k: self._crasher.call(original, a, k)) if callable(original) else original

    def _steps(self, name: str, begin: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        steps = begin(*args, **kwargs)
        return steps if steps is None else self._crasher.steps(name, steps)

    def _write_torn(self, writes: Sequence[Any]) -> set[int]:
        """Write each row on its own, as DynamoDB may: a crash leaves some of them written."""
        return {i for i, write in enumerate(writes) if self._crasher.call(self._target.write, ([write],), {})}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._crasher.call(self._target, args, kwargs)


class Meanwhile:
    """Lets something else happen around the first call of one method of ``target``, as another function would."""

    def __init__(self, target: Any, method: str, happens: Callable[[], object], *, before: bool = False) -> None:
        self._target, self._method, self._happens, self._before = target, method, happens, before

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._target, name)
        return partial(self._around, original) if name == self._method else original

    def _around(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        happens, self._happens = self._happens, _nothing
        if self._before:
            happens()
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        happens()
        return result


def _nothing() -> None:
    pass


class AtCall:
    """Lets something else happen right before the n-th call of ``target``, as another function would.

    ``calls`` tells how many there were: fewer than ``number`` if nothing happened.
    """

    def __init__(self, target: Any, number: int, happens: Callable[[], object]) -> None:
        self._target, self._number, self._happens, self.calls = target, number, happens, 0

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, getattr(self._target, name))

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls == self._number:
            self._happens()
        return function(*args, **kwargs)


class Each:
    """Has ``does`` make every call of ``target``, or of one of its methods, in its place."""

    def __init__(self, target: Any, does: Callable[..., Any], method: str = "") -> None:
        self._target, self._does, self._method = target, does, method

    def __getattr__(self, name: str) -> Any:
        original = getattr(self._target, name)
        return partial(self._does, original) if self._method in {"", name} else original


@dataclass
class Failer(Crasher):
    """Fails the n-th call to anything outside in one way. ``failed`` names what was hit. The ways:

    ===========  ==================================================================================================
    throttled    refused until all retries were used up, nothing done
    unreached    no connection, nothing done
    lost         done, and the answer did not come
    late         the caller waited in vain; it is done all the same, 15 seconds later
    unknown      a vendor's answer that tells nothing (5xx), nothing done
    twice        the answer was lost, the AWS SDK asked again by itself, and what it brings is the second answer
    echo         the same, and the first request is done last: some calls after the second
    blocked      the vendor refuses the credentials, or the quota is used up
    ===========  ==================================================================================================
    """

    way: str = ""
    failed: str = ""
    clock: Callable[[], datetime] | None = None
    echo: Callable[[], object] | None = None
    late: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call, or fail it if it is the n-th."""
        self.come_late()
        self.calls += 1
        if self.calls >= abs(self.at) + ECHO:
            self.come_back()
        if self.calls != self.at:
            return function(*args, **kwargs)
        self.failed = function.__name__
        if self.way in {"twice", "echo"} and self.failed not in VENDOR_CALLS:
            first = function(*args, **kwargs)
            if self.way == "twice":
                return function(*args, **kwargs)
            self.echo = lambda: function(*args, **kwargs)
            return first
        errors: Mapping[str, Exception] = VENDOR_ERRORS if self.failed in VENDOR_CALLS else AWS_ERRORS
        if self.way not in errors:
            return function(*args, **kwargs)  # This call cannot fail in this way.
        if self.way == "lost":
            function(*args, **kwargs)
        if self.way == "late":
            assert self.clock
            self.late.append((self.clock() + LATE, lambda: function(*args, **kwargs)))
        raise errors[self.way]

    def come_late(self) -> None:
        """Do the calls that failed as ``late``, once their time has come."""
        assert self.clock
        now, waiting = self.clock(), self.late
        self.late = [each for each in waiting if each[0] > now]
        for due, effect in waiting:
            if due <= now:
                with contextlib.suppress(VendorError), rights.unattributed():  # Nobody waits for this answer.
                    effect()

    def come_back(self) -> None:
        """Do the first of two requests again, as if it had been on its way until now."""
        if self.echo:
            echo, self.echo = self.echo, None
            with rights.unattributed():
                echo()
