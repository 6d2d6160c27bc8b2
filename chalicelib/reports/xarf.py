"""XARF: version 4 (https://github.com/xarf/xarf-spec, 4.2.0, all 32 types), both shapes of version 3, arrays of them.

Only fields that hold the abusive URL by the specification are read. A report also holds URLs of victims and of evidence
(``cloned_site``, ``legitimate_site``, ``original_url``, ``screenshot_url``, ``target_url`` …), which must never be
banned. So nothing here searches for URLs in general. Evidence is not read at all, and no free text is kept from reports
of child abuse material.

The package ``xarf`` is not used: it does not check URLs and times, raises its own exceptions and RecursionError, makes
new report ids for version 3, and takes 0.3 s to import.
"""

from __future__ import annotations

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries
from chalicelib.reports.reading import Json, ParserOptions, clipped, get

TEST_TAG = "lifecycle:test"

EACH_ELEMENT = "[]"
"""In a path: every element of an array."""

_URL = (("url",),)
_INFRINGING = (("infringing_url",),)

TYPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "messaging/spam": (("spam_indicators", "suspicious_links", EACH_ELEMENT),),
    "messaging/bulk_messaging": (),
    "content/phishing": _URL,
    "content/malware": _URL,
    "content/fraud": _URL,
    "content/brand_infringement": _URL,
    "content/csam": _URL,
    "content/csem": _URL,
    "content/exposed_data": _URL,
    "content/remote_compromise": _URL,
    "content/suspicious_registration": _URL,
    "copyright/copyright": _INFRINGING,
    "copyright/cyberlocker": _INFRINGING,
    "copyright/link_site": (("infringing_url",), ("linked_content", EACH_ELEMENT, "target_url")),
    "copyright/ugc_platform": _INFRINGING,
    "copyright/usenet": (("nzb_info", "nzb_url"),),
    "copyright/p2p": (),  # names a swarm by a magnet link, which no CDN serves
    "connection/ddos": (),
    "connection/infected_host": (),
    "connection/login_attack": (),
    "connection/port_scan": (),
    "connection/reconnaissance": (),
    "connection/scraping": (),
    "connection/sql_injection": (),
    "connection/vulnerability_scan": (),
    "infrastructure/botnet": (),
    "infrastructure/compromised_server": (),
    "reputation/blocklist": (),
    "reputation/threat_intelligence": (),
    "vulnerability/cve": (),
    "vulnerability/misconfiguration": (),
    "vulnerability/open_service": (),
}
"""Where each type names the URLs to ban: paths of keys. No path: the type has nothing that a CDN could ban."""

_NO_FREE_TEXT = frozenset(("content/csam", "content/csem"))


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read one report or an array of them. The id of a single report becomes the correlation id.

    Raises UnreadableReport and TooLarge.
    """
    value = json_text.read_json(body, options)
    reports = value if isinstance(value, list) else [value]
    if not reports:
        raise UnreadableReport("the array is empty: send at least one XARF report")
    entries = Entries(options)
    tests = [test for where, report in entries.objects(reports) if (test := take(report, where, entries)) is not None]
    check_tests(tests)
    single = reports[0] if len(reports) == 1 else None
    correlation_id = clipped(get(single, "report_id"), reading.MAX_CORRELATION_ID_LENGTH)
    return entries.report(correlation_id=correlation_id, test=bool(tests) and all(tests))


def check_tests(tests: list[bool]) -> None:
    """Raise UnreadableReport if a body has both tests and real reports: one of the two would be treated wrongly."""
    if any(tests) and not all(tests):
        raise UnreadableReport(f"only some of the reports carry the tag {TEST_TAG}: send tests apart from real reports")


def is_report(value: Json) -> bool:
    """Tell whether a JSON value has the marks of a XARF report of any version."""
    return isinstance(value, dict) and ("xarf_version" in value or ("ReporterInfo" in value and "Report" in value))


def take(report: dict[str, Json], where: str, entries: Entries) -> bool | None:
    """Read one report into the entries; tell whether it is a test, or ``None`` if it cannot be read."""
    if "xarf_version" in report:
        version = report["xarf_version"]
        if not isinstance(version, str) or not version.startswith("4."):
            shown = reading.shown(version)
            entries.flaw(where, f"{where} is of XARF version {shown}: versions 3 and 4 are read")
            return None
        _version_4(report, where, entries)
    elif isinstance(report.get("Report"), dict):
        _version_3(report, where, entries)
    else:
        entries.flaw(where, f"{where} is no XARF: it has neither xarf_version (version 4) nor Report (version 3)")
        return None
    return TEST_TAG in reading.words_of(report.get("tags"))


def _version_4(report: dict[str, Json], where: str, entries: Entries) -> None:
    kind = f"{clipped(report.get('category'), 40)}/{clipped(report.get('type'), 40)}".lower()
    paths = TYPES.get(kind)
    if paths is None:
        entries.skip(where, f"{kind} is no type of XARF 4.2.0")
        return
    if not paths:
        entries.skip(where, f"a report of {kind} names no URL: there is nothing to ban")
        return
    urls = [url for path in paths for url in _texts(report, path)]
    if not urls:
        names = " or ".join(".".join(key for key in path if key != EACH_ELEMENT) for path in paths)
        entries.skip(where, f"this report of {kind} has no {names}: there is nothing to ban")
    note = "" if kind in _NO_FREE_TEXT else clipped(report.get("description"), reading.MAX_NOTE_LENGTH)
    reporter = _reporter(report.get("reporter"), "org", "domain", "contact")
    reported_at = reading.lenient_time(report.get("timestamp"))
    harmless = reading.says_harmless(report.get("tags"))
    for url in map(reading.url_text, urls):
        if harmless:
            report_id = clipped(report.get("report_id"), reading.MAX_CORRELATION_ID_LENGTH)
            reason = "the report is tagged as harmless"
            entries.withdraw(Withdrawal(url, report_id, reporter, reported_at, reason), where)
        else:
            entries.add(ReportedUrl(url, _category(kind), reporter, reported_at=reported_at, note=note))


def _version_3(report: dict[str, Json], where: str, entries: Entries) -> None:
    inner = report["Report"]
    kind = clipped(get(inner, "ReportType"), reading.MAX_CATEGORY_LENGTH).lower()
    report_class = clipped(get(inner, "ReportClass"), 40).lower() or "content"
    url = get(inner, "Source", "URL") or get(inner, "SourceUrl")
    if report_class != "content":
        entries.skip(where, f"a report of the class {report_class} names no URL to ban: only those of content do")
    elif not isinstance(url, str) or not url:
        entries.skip(where, f"this report of {kind or 'content'} has neither Source.URL nor SourceUrl: nothing to ban")
    else:
        entries.add(
            ReportedUrl(
                reading.url_text(url),
                category=kind,
                reporter=_reporter(report.get("ReporterInfo"), "ReporterOrg", "ReporterOrgDomain", "ReporterOrgEmail"),
                reported_at=reading.lenient_time(get(inner, "Date")),
            )
        )


def _category(kind: str) -> str:
    """Name reports of content by their type (phishing, malware …), all others by their category."""
    category, _, name = kind.partition("/")
    return name if category in ("content", "messaging") else category


def _reporter(value: Json, *fields: str) -> str:
    names = (clipped(get(value, field), reading.MAX_REPORTER_LENGTH) for field in fields)
    return next((name for name in names if name), "")


def _texts(value: Json, path: tuple[str, ...]) -> list[str]:
    """Return the strings at the end of a path."""
    values = [value]
    for key in path:
        if key == EACH_ELEMENT:
            values = [element for array in values for element in reading.listed(array)]
        else:
            values = [get(fields, key) for fields in values]
    return [text for text in values if isinstance(text, str) and text]
