"""Bytes to reports: which format a body has, and what it names. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.errors import UnknownFormat
from chalicelib.domain.model import ParsedReport
from chalicelib.domain.urls import refang, unescape_html
from chalicelib.reports import cloudflare, feedback_mail, feeds, misp, native, plain, sniffing, stix, xarf
from chalicelib.reports.reading import Parser, ParserOptions

__all__ = ["PARSERS", "Parser", "ParserOptions", "format_for", "parse"]

PARSERS: dict[str, Parser] = {
    "native": native.parse,
    "xarf": xarf.parse,
    "stix": stix.parse,
    "misp": misp.parse,
    "urlhaus": feeds.parse_urlhaus,
    "phishtank": feeds.parse_phishtank,
    "phishunt": feeds.parse_phishunt,
    "tweetfeed": feeds.parse_tweetfeed,
    "plain": plain.parse,
    "feedback-mail": feedback_mail.parse,
    "cloudflare": cloudflare.parse,
}
"""Every format by the name that a source's configuration uses."""

CONTENT_TYPES: dict[str, str] = {
    "application/vnd.edgeban+json": "native",
    "application/xarf+json": "xarf",
    "application/stix+json": "stix",
    "application/taxii+json": "stix",
    "application/vnd.oasis.stix+json": "stix",
    "application/vnd.oasis.taxii+json": "stix",
    "text/plain": "plain",
    "text/uri-list": "plain",
    "message/rfc822": "feedback-mail",
    "message/feedback-report": "feedback-mail",
    "multipart/report": "feedback-mail",
}
"""Content types that mean one format."""

SNIFFED_TYPES = frozenset(("", "application/json", "text/csv", "application/csv", "application/octet-stream"))
"""Content types that many formats share: only the body can tell."""


def parse(body: bytes, format_name: str, options: ParserOptions) -> ParsedReport:
    """Read a body of a known format, with its URLs refanged and unescaped where the options say so.

    Raises UnreadableReport, TooLarge, and UnknownFormat if there is no such format.
    """
    parser = PARSERS.get(format_name)
    if parser is None:
        raise UnknownFormat(f"there is no format {format_name[:40]!r}: known are {', '.join(PARSERS)}")
    report = parser(body, options)
    if not options.defanged and not options.html_escaped:
        return report
    urls = []
    for entry in report.urls:
        url = unescape_html(entry.url) if options.html_escaped else entry.url
        urls.append(replace(entry, url=refang(url) if options.defanged else url))
    return replace(report, urls=tuple(urls))


def format_for(content_type: str, configured: str | None, body: bytes | None = None) -> str:
    """Name the format of a body: as configured, else what the Content-Type means, else what the body looks like.

    A body that looks like two formats has neither. Without a body, ``application/json`` means native.
    Raises UnknownFormat.
    """
    if configured:
        if configured not in PARSERS:
            raise UnknownFormat(f"there is no format {configured[:40]!r}: known are {', '.join(PARSERS)}")
        return configured
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in CONTENT_TYPES:
        return CONTENT_TYPES[media_type]
    if media_type not in SNIFFED_TYPES:
        raise UnknownFormat(
            f"no format is known for the content type {media_type[:60]!r}: send {', '.join(sorted(CONTENT_TYPES))}, "
            "or have the source's format configured"
        )
    found = sniffing.candidates(body) if body is not None else []
    if not found and media_type == "application/json":
        return "native"  # its parser says what is wrong with a body that is nobody else's
    if len(found) == 1:
        return found[0]
    looks = f"looks like {' and like '.join(found)}" if found else "looks like none of the known formats"
    raise UnknownFormat(f"the body {looks}: have the source's format configured, or send a Content-Type that names it")
