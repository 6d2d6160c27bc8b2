"""Bytes to reports: which format a body has, and what it names. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.errors import UnknownFormat
from chalicelib.domain.model import ParsedReport
from chalicelib.domain.urls import refang, unescape_html
from chalicelib.reports import native
from chalicelib.reports.reading import Parser, ParserOptions

__all__ = ["PARSERS", "Parser", "ParserOptions", "format_for", "parse"]

PARSERS: dict[str, Parser] = {
    "native": native.parse,
}
"""Every format by the name that a source's configuration uses."""


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


def format_for(content_type: str, configured: str | None) -> str:
    """Name the format of a body."""
    if configured:
        return configured
    if content_type.partition(";")[0].strip().lower() in ("application/json", "application/vnd.edgeban+json"):
        return "native"
    raise UnknownFormat(f"no format is known for the content type {content_type[:60]!r}")
