"""Read reports from bytes: find the format of a body and the URLs that it names. Pure: no I/O, no clock.

The module of a format is imported when a body of the format is first read: every function of the app knows the names of
all formats, and most functions read no report.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from chalicelib.domain.errors import UnknownFormat
from chalicelib.domain.model import ParsedReport
from chalicelib.reports.compression import unpacked
from chalicelib.reports.reading import ParserOptions

if TYPE_CHECKING:
    from chalicelib.reports.entries import Parser

__all__ = ["PARSERS", "ParserOptions", "format_for", "parse"]


def _parser(module: str, function: str = "parse") -> Parser:
    """Return a parser that imports its module below ``chalicelib.reports`` when it is called."""

    def parse_by(body: bytes, options: ParserOptions) -> ParsedReport:
        parser: Parser = getattr(import_module(f"chalicelib.reports.{module}"), function)
        return parser(body, options)

    return parse_by


PARSERS: dict[str, Parser] = {
    "native": _parser("native"),
    "xarf": _parser("xarf"),
    "stix": _parser("stix"),
    "misp": _parser("misp"),
    "urlhaus": _parser("feeds", "parse_urlhaus"),
    "phishtank": _parser("feeds", "parse_phishtank"),
    "phishunt": _parser("feeds", "parse_phishunt"),
    "tweetfeed": _parser("feeds", "parse_tweetfeed"),
    "plain": _parser("plain"),
    "feedback-mail": _parser("feedback_mail"),
    "cloudflare": _parser("cloudflare"),
}
"""Every format by the name that a source's configuration uses."""

CONTENT_TYPES: dict[str, str] = {
    "application/json": "native",
    "application/vnd.edgeban+json": "native",
    "application/xarf+json": "xarf",
    "application/stix+json": "stix",
    "application/taxii+json": "stix",
    "application/vnd.oasis.stix+json": "stix",
    "application/vnd.oasis.taxii+json": "stix",
    "text/uri-list": "plain",
    "message/rfc822": "feedback-mail",
    "message/feedback-report": "feedback-mail",
    "multipart/report": "feedback-mail",
}
"""Content types that mean one format. ``text/plain`` means none: letters have it, and so have lists of URLs."""


def parse(body: bytes, format_name: str, options: ParserOptions) -> ParsedReport:
    """Unpack a body and read it by its format. Raises UnreadableReport, TooLarge, and UnknownFormat."""
    parser = PARSERS.get(format_name)
    if parser is None:
        raise UnknownFormat(f"there is no format {format_name[:40]!r}: known are {', '.join(PARSERS)}")
    return parser(unpacked(body, options), options)


def format_for(content_type: str, configured: str) -> str:
    """Name the format of a body: the one that is configured for its source, else the one that its Content-Type means.

    No format is guessed from the body itself: a letter or a web page could be taken for a list of URLs to ban.
    Raises UnknownFormat.
    """
    if configured:
        if configured not in PARSERS:
            raise UnknownFormat(f"there is no format {configured[:40]!r}: known are {', '.join(PARSERS)}")
        return configured
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in CONTENT_TYPES:
        return CONTENT_TYPES[media_type]
    named = f"the content type {media_type[:60]!r} names no format" if media_type else "there is no content type"
    raise UnknownFormat(
        f'{named}, and the source has none: set the field "format" in the configuration of the source to one of '
        f"{', '.join(PARSERS)}, or send {', '.join(sorted(CONTENT_TYPES))}"
    )
