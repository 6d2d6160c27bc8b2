"""Public feeds of single URLs, as CSV or JSON: URLhaus, PhishTank, phishunt, TweetFeed.

Each has a table of its own: which fields name the URL, the reporter, the time, the category. Times without a zone are
UTC, as the feeds say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries
from chalicelib.reports.reading import Json, ParserOptions, clipped
from chalicelib.reports.rows import read_rows

_Row = dict[str, Json]


@dataclass(frozen=True, slots=True)
class _Feed:
    """How to read one feed. Of several fields the first one with a value counts."""

    name: str
    columns: dict[int, tuple[str, ...]]
    """Names of the columns by their number, for files without a header."""
    url: tuple[str, ...] = ("url",)
    reporter: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    category: Callable[[_Row], str] = lambda _: "phishing"
    note: tuple[str, ...] = ()
    why_not: Callable[[_Row], str] = lambda _: ""
    html_escaped: bool = False
    """Whether its publisher escapes URLs for HTML in every file."""


def _tag(row: _Row) -> str:
    names = (clipped(word, reading.MAX_CATEGORY_LENGTH).lstrip("#").lower() for word in _tags(row))
    return next((name for name in names if name), "")


def _not_a_url(row: _Row) -> str:
    kind = clipped(row.get("type"), 20).lower() or "url"
    if kind != "url":
        return f"the entry is of the type {kind}: it names no URL"
    return ""


def _tags(row: _Row) -> Sequence[Json]:
    """Return a row's tags, which are an array, or one text such as ``#phishing #scam`` or ``exe,elf``."""
    tags = row.get("tags")
    return tags.replace(",", " ").split() if isinstance(tags, str) else reading.listed(tags)


def _not_verified(row: _Row) -> str:
    return "the entry is not verified" if "verified" in row and not reading.is_true(row["verified"]) else ""


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
_PHISHTANK = _Feed(  # https://phishtank.org/developer_info.php
    name="PhishTank",
    html_escaped=True,
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
    entries = Entries(replace(options, html_escaped=options.html_escaped or feed.html_escaped))
    for where, row in _rows(feed, body, options, entries):
        harmless = "the entry is tagged as harmless" if reading.says_harmless([*_tags(row)]) else ""
        reason = harmless or feed.why_not(row)
        url = next((text for text in (reading.url_text(row.get(field)) for field in feed.url) if text.strip()), "")
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
        return entries.objects(_json_items(json_text.read_json(body, options)))
    return _csv_rows(feed, reading.read_text(body, options), entries)


def _json_items(value: Json) -> list[Json]:
    """Return the entries of an array, of an object's ``urls``, or of arrays by id; a single entry is one."""
    if isinstance(value, dict):
        inner = value.get("urls")
        if isinstance(inner, list):
            return inner
        if value and all(isinstance(entry, list) for entry in value.values()):
            return [entry for listed in value.values() for entry in reading.listed(listed)]
        return [value]
    return reading.as_list(value, "the body")


def _csv_rows(feed: _Feed, text: str, entries: Entries) -> Iterator[tuple[str, _Row]]:
    header: tuple[str, ...] = ()
    for row in read_rows(text):
        where, cells = f"line {row.line}", row.cells
        if row.problem:
            entries.flaw(where, f"{where} is not CSV: {row.problem}")
            continue
        if cells[0].startswith("#"):  # URLhaus hides its header in the last comment
            header = _header(feed, [cells[0].lstrip("# "), *cells[1:]]) or header
            continue
        if not header or (len(cells) == len(header) and _header(feed, cells)):  # files put together repeat it
            named = _header(feed, cells)
            header = named or feed.columns.get(len(cells), ())
            if named:
                continue
            if not header:
                raise UnreadableReport(
                    f"{where} is no header with {feed.url[0]} and {feed.time[0]}, and {feed.name} has no files of "
                    f"{len(cells)} columns: send the header as the first line"
                )
        if len(cells) == len(header):
            yield where, dict(zip(header, cells, strict=True))
        else:
            entries.flaw(where, f"{where} has {len(cells)} columns instead of {len(header)}")


def _header(feed: _Feed, row: list[str]) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in row)
    # A URL column alone makes no header: in TweetFeed's rows "url" is also a value.
    return names if all(any(field in names for field in fields) for fields in (feed.url, feed.time)) else ()
