"""Public feeds of single URLs, as CSV or JSON: URLhaus, PhishTank, phishunt, TweetFeed.

Each has a table of its own: which fields name the URL, the reporter, the time, the category. Times without a zone are
UTC, as the feeds say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import reading
from chalicelib.reports.reading import Entries, Json, ParserOptions, clipped

_Row = dict[str, Json]


@dataclass(frozen=True, slots=True)
class _Feed:
    """How to read one feed. Of several fields the first that says something counts."""

    name: str
    columns: dict[int, tuple[str, ...]]
    """Names of the columns by their number, for files without a header."""
    url: tuple[str, ...] = ("url",)
    reporter: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    category: Callable[[_Row], str] = lambda _: "phishing"
    note: tuple[str, ...] = ()
    why_not: Callable[[_Row], str] = lambda _: ""


def _tag(row: _Row) -> str:
    """Return the first tag: an array or ``#phishing #scam``."""
    tags = row.get("tags")
    words: Sequence[Json] = tags.split() if isinstance(tags, str) else reading.listed(tags)
    names = (clipped(word, reading.MAX_CATEGORY_LENGTH).lstrip("#").lower() for word in words)
    return next((name for name in names if name), "")


def _not_a_url(row: _Row) -> str:
    kind = clipped(row.get("type"), 20).lower() or "url"
    return "" if kind == "url" else f"the entry is of the type {kind}: it names no URL"


def _not_verified(row: _Row) -> str:
    return "the entry is not verified" if row.get("verified") in ("no", "n", False) else ""


def _threat(row: _Row) -> str:
    return "malware" if row.get("threat") in (None, "", "malware_download") else clipped(row.get("threat"), 64)


_URLHAUS = _Feed(  # https://urlhaus.abuse.ch/api/
    name="URLhaus",
    columns={
        9: ("id", "dateadded", "url", "url_status", "last_online", "threat", "tags", "urlhaus_link", "reporter"),
        8: ("id", "dateadded", "url", "url_status", "threat", "tags", "urlhaus_link", "reporter"),
    },
    reporter=("reporter",),
    time=("dateadded", "date_added"),
    category=_threat,
    note=("urlhaus_link", "urlhaus_reference"),
)
_PHISHTANK = _Feed(  # https://phishtank.org/developer_info.php; escapes its URLs for HTML
    name="PhishTank",
    columns={},
    time=("submission_time", "verification_time"),
    note=("phish_detail_url",),
    why_not=_not_verified,
)
_PHISHUNT = _Feed(  # https://phishunt.io/feed/
    name="phishunt", columns={}, time=("first_seen", "date"), note=("company",)
)
_TWEETFEED = _Feed(  # https://github.com/0xDanielLopez/TweetFeed
    name="TweetFeed",
    columns={6: ("date", "user", "type", "value", "tags", "tweet")},
    url=("url", "value"),
    reporter=("reporter", "user"),
    time=("date",),
    category=_tag,
    note=("tweet",),
    why_not=_not_a_url,
)


def parse_urlhaus(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read URLhaus: the CSV dumps, the JSON dump (id → entries), the answers of the API."""
    return _parse(_URLHAUS, body, options)


def parse_phishtank(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read PhishTank's CSV or JSON; entries that are not verified are skipped."""
    return _parse(_PHISHTANK, body, options)


def parse_phishunt(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read phishunt's JSON, or the same fields as CSV."""
    return _parse(_PHISHUNT, body, options)


def parse_tweetfeed(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read TweetFeed's CSV (its own without a header, or with one) or JSON; only entries of the type URL."""
    return _parse(_TWEETFEED, body, options)


def _parse(feed: _Feed, body: bytes, options: ParserOptions) -> ParsedReport:
    """Raise UnreadableReport and TooLarge."""
    entries = Entries(options)
    for where, row in _rows(feed, body, options, entries):
        reason = feed.why_not(row)
        url = _first(row, feed.url, reading.MAX_URL_TEXT)
        if reason or not url:
            entries.skip(where, reason or f"the entry has no {' or '.join(feed.url)}")
            continue
        times = (reading.lenient_time(row.get(field)) for field in feed.time)
        entries.add(
            ReportedUrl(
                url,
                category=feed.category(row),
                reporter=_first(row, feed.reporter, reading.MAX_REPORTER_LENGTH),
                reported_at=next((time for time in times if time), None),
                note=_first(row, feed.note, reading.MAX_NOTE_LENGTH),
            )
        )
    return entries.report()


def _first(row: _Row, fields: tuple[str, ...], limit: int) -> str:
    for field in fields:
        text = clipped(row.get(field), limit)
        if text:
            return text
    return ""


def _rows(feed: _Feed, body: bytes, options: ParserOptions, entries: Entries) -> Iterator[tuple[str, _Row]]:
    if body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _json_rows(reading.read_json(body, options))
    return _csv_rows(feed, reading.read_text(body, options), entries)


def _json_rows(value: Json) -> Iterator[tuple[str, _Row]]:
    """Yield the objects of an array, of an object's ``urls``, or of arrays by id; a single entry is one row."""
    if isinstance(value, dict):
        inner = value.get("urls")
        if isinstance(inner, list):
            value = inner
        elif value and all(isinstance(one, list) for one in value.values()):
            value = [item for one in value.values() for item in reading.listed(one)]
        else:
            value = [value]
    for index, item in enumerate(reading.as_list(value, "the body")):
        where = f"[{index}]"
        yield where, reading.as_object(item, where)


def _csv_rows(feed: _Feed, text: str, entries: Entries) -> Iterator[tuple[str, _Row]]:
    header: tuple[str, ...] = ()
    for line, row in reading.read_rows(text):
        if row[0].startswith("#"):  # URLhaus hides its header in the last comment
            header = _header(feed, [row[0].lstrip("# "), *row[1:]]) or header
            continue
        if not header:
            header = _header(feed, row)
            if header:
                continue
            header = feed.columns.get(len(row), ())
            if not header:
                raise UnreadableReport(
                    f"line {line} is no header with {feed.url[0]} and {feed.time[0]}, and {feed.name} has no files of "
                    f"{len(row)} columns: send the header as the first line"
                )
        if len(row) == len(header):
            yield f"line {line}", dict(zip(header, row, strict=True))
        else:
            entries.skip(f"line {line}", f"{len(row)} columns instead of {len(header)}")


def _header(feed: _Feed, row: list[str]) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in row)
    # A URL column alone makes no header: in TweetFeed's rows "url" is also a value.
    return names if all(any(field in names for field in fields) for fields in (feed.url, feed.time)) else ()
