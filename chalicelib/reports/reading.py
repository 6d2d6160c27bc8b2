"""Strict readers that the formats share: bytes to text and rows, fields to values; ``json_text`` reads JSON.

Every problem becomes UnreadableReport (or TooLarge). Its message names the place, the problem and the remedy, and
repeats at most a short piece of the value. A problem with one value of a JSON body spoils only that value: it becomes
``Flawed``, which no reader takes for anything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.domain.errors import TooLarge, UnreadableReport

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

MAX_CATEGORY_LENGTH = 64
MAX_REPORTER_LENGTH = 200
MAX_NOTE_LENGTH = 1_000
MAX_CORRELATION_ID_LENGTH = 128
MAX_URL_TEXT = 100_000
"""How many characters of a URL are kept: more than any usable URL has, so that a cut URL is refused later."""

MAX_LINES = 300_000
"""The most lines of a body: base64 of 10 MB has half as many; 10 MB of line ends would take 450 MB of memory."""

HARMLESS = frozenset(
    (
        *("benign", "known-benign", "harmless", "clean", "legitimate", "not-malicious", "non-malicious", "known-good"),
        *("goodware", "safe", "false-positive", "falsepositive"),
        *("whitelist", "whitelisted", "allowlist", "allowlisted"),
    )
)
"""Labels, types and tags by which a source says that a page must not be banned."""

_NAMED_WORD = re.compile(r"^.*[:=]")
"""What comes before the last word of a tag."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_OTHER_ENCODINGS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\0\0\xfe\xff", "UTF-32"))


@dataclass(frozen=True, slots=True)
class Flawed:
    """A JSON value that cannot be trusted, such as an object with one key twice. It is not a type of JSON."""

    problem: str


@dataclass(frozen=True, slots=True)
class ParserOptions:
    """What a source's configuration says about its bodies, and the limits of one report.

    ``defanged``, ``html_escaped`` and ``unwrap_links`` undo such a spelling in every URL. ``content_encoding`` is the
    header of that name. ``max_bytes`` counts unpacked bytes. ``now`` is when the report came (aware); without it
    nothing counts as expired. ``is_ours`` tells whether a URL is on a host that this source may report.
    """

    defanged: bool = False
    html_escaped: bool = False
    unwrap_links: bool = False
    content_encoding: str = ""
    max_urls: int = 10_000
    max_depth: int = 32
    max_bytes: int = 10 * 1024 * 1024
    now: datetime | None = None
    is_ours: Callable[[str], bool] | None = None


def read_text(body: bytes, options: ParserOptions) -> str:
    """Decode UTF-8 with or without a byte order mark.

    A byte that is no UTF-8 becomes U+FFFD, so that it spoils only its own line or value: a URL with U+FFFD is refused
    alone.
    """
    if len(body) > options.max_bytes:
        raise TooLarge(f"the body has {len(body):,} bytes, the limit is {options.max_bytes:,}: send it in parts")
    for mark, name in _OTHER_ENCODINGS:
        if body.startswith(mark):
            raise UnreadableReport(f"the body is not UTF-8 but {name}: send it in UTF-8")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in body:  # an archive, a picture: no text of any encoding
            raise UnreadableReport(f"the body is not UTF-8 (byte {error.start:,}): send it in UTF-8") from None
        return body.decode("utf-8-sig", "replace")


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
    if isinstance(value, Flawed):
        return value.problem
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


def url_text(value: Json) -> str:
    """Return a URL exactly as it is written, or empty: a URL that is cut or stripped could be another URL."""
    return value[:MAX_URL_TEXT] if isinstance(value, str) else ""


def clipped(value: Json, limit: int) -> str:
    """Return a string cut to its limit, or empty: for fields that a foreign format need not have."""
    return value.strip()[:limit] if isinstance(value, str) else ""


def first_text(value: Json, limit: int) -> str:
    """Return the first string of an array that is not empty, or the string itself, cut to its limit; or empty."""
    candidates = value if isinstance(value, list) else [value]
    return next((text for text in (clipped(one, limit) for one in candidates) if text), "")


def listed(value: Json) -> list[Json]:
    """Return an array; an empty one for any other value. For parts that a foreign format need not have."""
    return value if isinstance(value, list) else []


def get(value: Json, *path: str) -> Json:
    """Return the value at a path of keys; ``None`` if there is none."""
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


def is_true(value: Json) -> bool:
    """Tell whether a field of a foreign format says yes, as a boolean, a number, or a word in any spelling."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes", "y")
    return isinstance(value, (bool, int)) and value == 1


def words_of(value: Json) -> list[str]:
    """Return the labels, types or tags of a field in one spelling: small letters, hyphens, nothing invisible.

    Producers write one text, an array of texts, or objects that hold a ``name``, also below a ``Tag``.
    """
    words: list[str] = []
    for entry in value if isinstance(value, list) else [value]:
        word = get(entry, "name") or get(entry, "Tag", "name") if isinstance(entry, dict) else entry
        if isinstance(word, str):
            seen = "".join(letter for letter in word[:MAX_NOTE_LENGTH] if letter.isprintable()).strip().lstrip("#")
            words.append(seen.lower().replace("_", "-").replace(" ", "-"))
    return words


def says_harmless(*fields: Json) -> bool:
    """Tell whether one of a source's labels, types or tags says that the page must not be banned.

    A word may stand alone, after a name space (``misp:false-positive``), or as the value of a predicate
    (``workflow:result="benign"``).
    """
    return any(
        word in HARMLESS or _NAMED_WORD.sub("", word).strip('"') in HARMLESS
        for field in fields
        for word in words_of(field)
    )
