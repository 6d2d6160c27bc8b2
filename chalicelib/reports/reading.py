"""Strict readers that the formats share: bytes to text, JSON and rows; fields to values; entries to a report.

Every problem becomes UnreadableReport (or TooLarge) with a message that names the place, the problem and the remedy
and repeats at most a short piece of the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from typing import Any, NoReturn

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Skipped

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

MAX_CATEGORY_LENGTH = 64
MAX_REPORTER_LENGTH = 200
MAX_NOTE_LENGTH = 1_000
MAX_CORRELATION_ID_LENGTH = 128
MAX_URL_TEXT = 100_000
"""Characters of a URL kept here, more than any usable URL has: one that is cut is refused later, by itself."""

MAX_SKIPPED = 1_000
"""Parts without a URL that a report lists one by one; the rest is counted in one last line."""

MAX_VALUES = 500_000
"""Values of one JSON body at the most, fifty for each URL that a report may name, by its brackets and commas. The
smallest take three bytes in the body and two hundred in memory: 10 MB of them would be more than 300."""

MAX_LINES = 300_000
"""Lines at the most where a body is cut into lines: base64 of 10 MB has half as many, 10 MB of line ends become 450."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_CONTAINERS = frozenset((dict, list))
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ParserOptions:
    """What a source's configuration says about its bodies, and the limits of one report.

    ``defanged`` and ``html_escaped`` undo such spelling in every URL. ``max_bytes`` is in bytes. ``now`` is when the
    report came in (aware); without it nothing counts as expired.
    """

    defanged: bool = False
    html_escaped: bool = False
    max_urls: int = 10_000
    max_depth: int = 32
    max_bytes: int = 10 * 1024 * 1024
    now: datetime | None = None


Parser = Callable[[bytes, ParserOptions], ParsedReport]
"""A format: raises UnreadableReport or TooLarge, and nothing else whatever the bytes are."""


class Entries:
    """Collects what a body names, within the limits of one report."""

    def __init__(self, options: ParserOptions) -> None:
        self._max_urls = options.max_urls
        self._urls: list[ReportedUrl] = []
        self._skipped: list[Skipped] = []
        self._not_listed = 0

    def add(self, entry: ReportedUrl) -> None:
        """Raise TooLarge with the first URL too many."""
        if len(self._urls) >= self._max_urls:
            too_many_urls(self._max_urls)
        self._urls.append(entry)

    def skip(self, where: str, reason: str) -> None:
        """Note a part that names nothing to ban."""
        if len(self._skipped) < MAX_SKIPPED:
            self._skipped.append(Skipped(where, reason))
        else:
            self._not_listed += 1

    def report(self, *, correlation_id: str = "", test: bool = False) -> ParsedReport:
        """Return all that was collected."""
        skipped = self._skipped
        if self._not_listed:
            skipped = [*skipped, Skipped("the rest", f"{self._not_listed:,} more parts name nothing to ban")]
        return ParsedReport(tuple(self._urls), tuple(skipped), correlation_id, test)


def too_many_urls(limit: int) -> NoReturn:
    """Raise TooLarge."""
    raise TooLarge(f"the report names more than {limit:,} URLs: send it in parts")


def read_text(body: bytes, options: ParserOptions) -> str:
    """Decode UTF-8 with or without a byte order mark."""
    if len(body) > options.max_bytes:
        raise TooLarge(f"the body has {len(body):,} bytes, the limit is {options.max_bytes:,}: send it in parts")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableReport(f"the body is not UTF-8 (byte {error.start:,}): send it in UTF-8") from None


def read_json(body: bytes, options: ParserOptions) -> Json:
    """Decode JSON (RFC 8259) with limits; refuses duplicate keys, NaN, huge integers and lone surrogates."""
    text = read_text(body, options)
    if sum(map(text.count, "[{,")) > MAX_VALUES:
        raise TooLarge(f"the body holds more than {MAX_VALUES:,} values: send it in parts")
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UnreadableReport(
            f"the body is not JSON: {error.msg[:80]} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:  # from the hooks below, and from an integer of more than 4,300 digits
        raise UnreadableReport(f"the body is not JSON that can be trusted: {str(error)[:120]}") from None
    except RecursionError:  # the decoder gives up near 1,000 levels; nothing was changed by then
        raise UnreadableReport(f"the body nests deeper than {options.max_depth} levels: flatten it") from None
    _check_depth(value, options.max_depth)
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise UnreadableReport("the body holds half of a surrogate pair (\\ud800 to \\udfff alone)") from None
    return value


def read_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV text with the number of the line where each ends; empty lines are left out."""
    import csv

    # Strict: otherwise one quotation mark that is never closed swallows the rest of the file without a word.
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise UnreadableReport(f"line {reader.line_num} is not CSV: {str(error)[:80]}") from None


def shown(value: object) -> str:
    """Return a short piece of a value for a message."""
    text = json.dumps(value) if isinstance(value, (str, int, float, bool, type(None))) else kind_of(value)
    return text if len(text) <= 60 else text[:57] + "..."


def kind_of(value: object) -> str:
    """Return the JSON word for the type of a value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if value is None:
        return "null"
    return "an array" if isinstance(value, list) else "an object"


def as_object(value: Json, where: str) -> dict[str, Json]:
    """Return a JSON object or raise UnreadableReport."""
    if isinstance(value, dict):
        return value
    raise UnreadableReport(f"{where} must be an object, not {kind_of(value)}")


def as_list(value: Json, where: str) -> list[Json]:
    """Return a JSON array or raise UnreadableReport."""
    if isinstance(value, list):
        return value
    raise UnreadableReport(f"{where} must be an array, not {kind_of(value)}")


def as_text(value: Json, where: str, limit: int) -> str:
    """Return a JSON string of at most ``limit`` characters or raise UnreadableReport."""
    if not isinstance(value, str):
        raise UnreadableReport(f"{where} must be a string, not {kind_of(value)}")
    if len(value) > limit:
        raise UnreadableReport(f"{where} has {len(value):,} characters, the limit is {limit:,}: shorten it")
    return value


def clipped(value: Json, limit: int) -> str:
    """Return a string cut to its limit, or empty: for fields that a foreign format need not have."""
    return value.strip()[:limit] if isinstance(value, str) else ""


def first_text(value: Json, limit: int) -> str:
    """Return the first string of an array that is not empty, or the string itself, cut to its limit; or empty."""
    candidates = value if isinstance(value, list) else [value]
    return next((text for text in (clipped(one, limit) for one in candidates) if text), "")


def listed(value: Json) -> list[Json]:
    """Return an array, or an empty one where there is something else: for parts a foreign format need not have."""
    return value if isinstance(value, list) else []


def get(value: Json, *path: str) -> Json:
    """Return what lies at a path of keys, or ``None`` where there is no such thing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def as_time(value: Json, where: str) -> datetime:
    """Return an RFC 3339 time with its zone, in UTC, or raise UnreadableReport."""
    time = None
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:  # contextlib.suppress would cost as much as the rest, once a URL
            time = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # the 30th of February; an hour before the year 1
            time = None
    if time is None:
        raise UnreadableReport(
            f"{where} is {shown(value)}: write an RFC 3339 time with its zone, such as 2026-03-01T12:00:00Z"
        )
    return time


def lenient_time(value: Json) -> datetime | None:
    """Return a time in UTC or ``None``: RFC 3339, ``YYYY-MM-DD HH:MM:SS[ UTC]`` meant as UTC, or Unix seconds."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit()):
            return datetime.fromtimestamp(int(value), UTC)
        if isinstance(value, str):
            time = datetime.fromisoformat(value.strip().removesuffix(" UTC"))
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _check_depth(value: Json, max_depth: int) -> None:
    """Refuse deep nesting, so that whoever walks the value may recurse; goes level by level itself."""
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


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} is there twice in one object")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
