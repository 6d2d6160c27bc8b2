"""Cloudflare's abuse reports, in the shape that a client submits and in the shape that the API returns.

https://developers.cloudflare.com/api/resources/abuse_reports/. Fields such as ``original_work`` name the victim's URLs
and are not read.
"""

from __future__ import annotations

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries
from chalicelib.reports.reading import Json, ParserOptions, clipped, get

CATEGORIES: dict[str, str] = {
    "abuse_phishing": "phishing",
    "abuse_general": "abuse",
    "abuse_threat": "threat",
    "abuse_dmca": "copyright",
    "abuse_trademark": "trademark",
    "abuse_children": "csam",
    "abuse_ncsei": "ncsei",
    "PHISH": "phishing",
    "GEN": "abuse",
    "THREAT": "threat",
    "DMCA": "copyright",
    "EMER": "emergency",
    "TM": "trademark",
    "NCSEI": "ncsei",
}
"""``act`` of a submitted report, ``type`` of a returned one. Registrar and network reports name no page to ban."""

_NO_FREE_TEXT = frozenset(("csam", "ncsei"))


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read one report, an array of them, or an answer of the API that lists them. The id becomes the correlation id.

    Raises UnreadableReport and TooLarge.
    """
    entries = Entries(options)
    reports = _reports(json_text.read_json(body, options))
    for where, report in entries.objects(reports, "report"):
        try:
            _report(report, where, entries)
        except UnreadableReport as error:
            entries.flaw(where, str(error))
    single = reports[0] if len(reports) == 1 else None
    return entries.report(correlation_id=clipped(get(single, "id"), reading.MAX_CORRELATION_ID_LENGTH))


def _reports(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    top = reading.as_object(value, "the body")
    result = top.get("result", top)
    reports = get(result, "reports") or result
    return reports if isinstance(reports, list) else [reports]


def _report(report: dict[str, Json], where: str, entries: Entries) -> None:
    kind = report.get("act") or report.get("type")
    if not isinstance(kind, str):
        raise UnreadableReport(f"{where} is no abuse report of Cloudflare: it has neither act nor type")
    category = CATEGORIES.get(kind)
    if category is None:
        entries.skip(where, f"reports of the kind {reading.shown(kind)} name no page to ban")
        return
    urls = report.get("urls")
    # Submitted as one string with a URL a line, read back as an array.
    lines = urls.split("\n") if isinstance(urls, str) else reading.as_list(urls, f"{where}, urls")
    note = "" if category in _NO_FREE_TEXT else clipped(report.get("justification"), reading.MAX_NOTE_LENGTH)
    people = (report, report.get("submitter"))
    names = [clipped(get(one, field), 200) for field in ("company", "name", "email") for one in people]
    for line in lines:
        if not isinstance(line, str):
            entries.flaw(where, f"{where}, urls must hold strings, not {reading.kind_of(line)}")
        elif line.strip():
            entries.add(
                ReportedUrl(
                    reading.url_text(line.rstrip("\r")),
                    category=category,
                    reporter=next((name for name in names if name), ""),
                    reported_at=reading.lenient_time(report.get("cdate")),
                    note=note,
                )
            )
