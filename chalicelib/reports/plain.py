"""Plain text: one URL a line; empty lines and lines that begin with ``#`` are left out (OpenPhish and block lists)."""

from __future__ import annotations

from chalicelib.domain.errors import TooLarge
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports.reading import MAX_LINES, Entries, ParserOptions, read_text


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read a list of URLs; a line that is no URL is refused on its own, later. Raises UnreadableReport and TooLarge."""
    entries = Entries(options)
    if body.count(b"\n") > MAX_LINES:
        raise TooLarge(f"the body has more than {MAX_LINES:,} lines: send it in parts")
    for line in read_text(body, options).split("\n"):
        url = line.strip()
        if url and not url.startswith("#"):
            entries.add(ReportedUrl(url))
    return entries.report()
