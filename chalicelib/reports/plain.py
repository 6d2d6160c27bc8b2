"""Plain text: one URL a line; empty lines and lines that begin with ``#`` are left out (OpenPhish and block lists)."""

from __future__ import annotations

from chalicelib.domain.errors import TooLarge
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports.entries import Entries
from chalicelib.reports.reading import MAX_LINES, ParserOptions, read_text

_BLANK = " \t\r\f\v"
_BOM = "\ufeff"


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read a list of URLs. A line that is no URL is refused alone, later. Raises UnreadableReport and TooLarge.

    A U+FEFF at the start of a line is left out: some lists are joined from files that each begin with one.
    """
    entries = Entries(options)
    if body.count(b"\n") + body.count(b"\r") > 2 * MAX_LINES:
        raise TooLarge(f"the body has more than {MAX_LINES:,} lines: send it in parts")
    for line in read_text(body, options).replace("\r", "\n").split("\n"):
        url = line.removeprefix(_BOM).strip(_BLANK)
        if url and not url.startswith("#"):
            entries.add(ReportedUrl(url))
    return entries.report()
