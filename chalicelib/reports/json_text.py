"""Read JSON that strangers wrote: within limits, and with an error that says what to change."""

from __future__ import annotations

import json
import re
from typing import Any

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.reports.reading import Flawed, Json, ParserOptions, read_text, shown

MAX_VALUES = 500_000
"""The most values of one JSON body: fifty for each URL that a report may name, counted by brackets and commas. The
smallest values take three bytes in the body and two hundred in memory: 10 MB of these would take more than 300 MB."""

MAX_DIGITS = 4_000
"""The most digits of an integer: Python refuses to read more than 4,300, since the time grows with their square."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_CONTAINERS = frozenset((dict, list))


def read_json(body: bytes, options: ParserOptions) -> Json:
    """Decode JSON (RFC 8259) with limits.

    Objects with one key twice, NaN and huge integers become ``Flawed``; half of a surrogate pair becomes U+FFFD.
    """
    text = read_text(body, options)
    if sum(map(text.count, "[{,")) > MAX_VALUES:
        raise TooLarge(f"the body holds more than {MAX_VALUES:,} values: send it in parts")
    try:
        value: Any = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UnreadableReport(
            f"the body is not JSON: {error.msg[:80]} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:  # the decoder gives up near 1,000 levels; nothing was changed by then
        raise UnreadableReport(f"the body nests deeper than {options.max_depth} levels: flatten it") from None
    if isinstance(value, Flawed):
        raise UnreadableReport(f"the body is not JSON that can be trusted: it is {value.problem}")
    _check_depth(value, options.max_depth)
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            value = _without_surrogates(value)
    checked: Json = value
    return checked


def _check_depth(value: Json, max_depth: int) -> None:
    """Refuse deep nesting, so that later code may recurse. This check itself goes level by level."""
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(max_depth):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
    if level:
        raise UnreadableReport(f"the body nests deeper than {max_depth} levels: flatten it")


def _without_surrogates(value: Any) -> Any:
    """Replace halves of surrogate pairs, which are no text, by U+FFFD. The depth must have been checked."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return _object([(_without_surrogates(key), _without_surrogates(inner)) for key, inner in value.items()])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Flawed:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return Flawed(f"an object in which the key {shown(key)} is there twice")
        seen.add(key)
    raise AssertionError("fewer keys than pairs, and none twice")


def _integer(digits: str) -> int | Flawed:
    return int(digits) if len(digits) <= MAX_DIGITS else Flawed(f"an integer of {len(digits):,} digits")


def _constant(name: str) -> Flawed:
    return Flawed(f"{name}, which is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)
