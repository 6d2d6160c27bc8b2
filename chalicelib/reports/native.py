"""edgeban's own format: a JSON object whose ``urls`` are strings or objects.

Values beside a URL win over those of the report. Unknown fields are refused and not ignored: otherwise a misspelt
``ban_duration`` would silently ban for the default time. An unknown field beside a URL refuses that URL, one at the
report the whole report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.domain.policy.duration import BAN_DAYS
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries
from chalicelib.reports.reading import Json, ParserOptions, as_text

_SHARED = ("category", "reporter", "ban_duration", "reported_at", "note")
REPORT_FIELDS = frozenset(("urls", "withdrawn", "correlation_id", "test", *_SHARED))
WITHDRAWN_FIELDS = frozenset(("url", "id", "reporter", "said_at", "reason"))
URL_FIELDS = frozenset(("url", *_SHARED))

_Shared = tuple[str, str, int | None, datetime | None, str]


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read a report. If something is wrong beside one URL, that is told, and the other URLs are taken.

    Raises UnreadableReport and TooLarge.
    """
    report = reading.as_object(json_text.read_json(body, options), "the report")
    withdrawn = reading.as_list(report.get("withdrawn", []), "withdrawn")
    if "urls" not in report and not withdrawn:
        raise UnreadableReport(
            'the report has no "urls": name at least one URL to ban, '
            'or set the field "format" of the source where it sends another format than edgeban\'s own'
        )
    _check_fields(report, REPORT_FIELDS, "the report")
    urls = reading.as_list(report.get("urls", []), "urls")
    if not urls and not withdrawn:
        raise UnreadableReport("urls is empty: name at least one URL to ban")
    test = report.get("test", False)
    if not isinstance(test, bool):
        raise UnreadableReport(f"test must be true or false, not {reading.shown(test)}")
    correlation_id = as_text(report.get("correlation_id", ""), "correlation_id", reading.MAX_CORRELATION_ID_LENGTH)
    if "\ufffd" in correlation_id:
        raise UnreadableReport("correlation_id holds a character that was lost: the report could not be found by it")
    shared = _shared(report, None, ("", "", None, None, ""))
    entries = Entries(options)
    for index, entry in enumerate(urls):
        try:
            reported = _url(entry, index, shared)
        except UnreadableReport as error:
            entries.flaw(f"urls[{index}]", str(error))
        else:
            entries.add(reported)
    for index, entry in enumerate(withdrawn):
        where = f"withdrawn[{index}]"
        try:
            entries.withdraw(_withdrawal(entry, where), where)
        except UnreadableReport as error:
            entries.flaw(where, str(error))
    return entries.report(correlation_id=correlation_id, test=test)


def render_withdrawals(withdrawals: Sequence[Withdrawal]) -> bytes:
    """Write a report that takes words back and names nothing to ban. ``parse`` reads the same report from it."""
    withdrawn = [
        {
            "url": each.url,
            **({"id": each.id} if each.id else {}),
            **({"reporter": each.reporter} if each.reporter else {}),
            **({"said_at": each.said_at.isoformat()} if each.said_at else {}),
            **({"reason": each.reason} if each.reason else {}),
        }
        for each in withdrawals
    ]
    return _written({"withdrawn": withdrawn})


def render(urls: Sequence[ReportedUrl], *, correlation_id: str = "", test: bool = False) -> bytes:
    """Write a report from which ``parse`` reads the same. Values that all URLs share are written once, at the top."""
    beside = [_fields(url) for url in urls]
    first = beside[0] if beside else {}
    report = {name: value for name, value in first.items() if all(fields.get(name) == value for fields in beside)}
    if report:
        beside = [{name: value for name, value in fields.items() if name not in report} for fields in beside]
    if correlation_id:
        report["correlation_id"] = correlation_id
    if test:
        report["test"] = True
    report["urls"] = [
        {"url": url.url, **fields} if fields else url.url for url, fields in zip(urls, beside, strict=True)
    ]
    return _written(report)


def _written(report: dict[str, object]) -> bytes:
    """Write JSON that a queue takes: SQS refuses U+FFFE and U+FFFF, so these are escaped."""
    text = json.dumps(report, ensure_ascii=False, separators=(",", ":"))
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff").encode()


def _withdrawal(entry: Json, where: str) -> Withdrawal:
    """Read a URL about which the source takes its word back: a string or an object."""
    fields: Json = {"url": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict):
        raise UnreadableReport(f"{where} must be a string or an object, not {reading.kind_of(entry)}")
    _check_fields(fields, WITHDRAWN_FIELDS, where)
    url = fields.get("url")
    if not isinstance(url, str):
        raise UnreadableReport(f"{where}.url must be a string, not {reading.kind_of(url)}")
    longest = reading.MAX_NOTE_LENGTH
    said_at = reading.as_time(fields["said_at"], f"{where}.said_at") if "said_at" in fields else None
    return Withdrawal(
        url,
        as_text(fields.get("id", ""), f"{where}.id", longest),
        as_text(fields.get("reporter", ""), f"{where}.reporter", reading.MAX_REPORTER_LENGTH),
        said_at,
        as_text(fields.get("reason", "the source took it back"), f"{where}.reason", longest),
    )


def _url(entry: Json, index: int, shared: _Shared) -> ReportedUrl:
    if isinstance(entry, str):
        return ReportedUrl(entry, *shared)
    if not isinstance(entry, dict):
        raise UnreadableReport(f"urls[{index}] must be a string or an object, not {reading.kind_of(entry)}")
    if not entry.keys() <= URL_FIELDS:
        _check_fields(entry, URL_FIELDS, f"urls[{index}]")
    url = entry.get("url")
    if not isinstance(url, str):
        raise UnreadableReport(f"urls[{index}].url must be a string, not {reading.kind_of(url)}")
    return ReportedUrl(url, *_shared(entry, index, shared))


def _shared(fields: dict[str, Json], index: int | None, outer: _Shared) -> _Shared:
    """Read the values that may stand at the report or beside a URL. It runs for each URL: only failures name places."""
    category = fields.get("category", outer[0])
    if not isinstance(category, str) or len(category) > reading.MAX_CATEGORY_LENGTH:
        category = as_text(category, _place(index, "category"), reading.MAX_CATEGORY_LENGTH)
    reporter = fields.get("reporter", outer[1])
    if not isinstance(reporter, str) or len(reporter) > reading.MAX_REPORTER_LENGTH:
        reporter = as_text(reporter, _place(index, "reporter"), reading.MAX_REPORTER_LENGTH)
    ban_days = fields.get("ban_duration", outer[2])
    if not isinstance(ban_days, int) or isinstance(ban_days, bool) or ban_days not in BAN_DAYS:
        if "ban_duration" in fields:
            raise UnreadableReport(
                f"{_place(index, 'ban_duration')} is {reading.shown(ban_days)}: "
                "write a whole number of days from 1 to 30, or leave it out"
            )
        ban_days = None
    reported_at = outer[3]
    if "reported_at" in fields:
        reported_at = reading.as_time(fields["reported_at"], _place(index, "reported_at"))
    note = fields.get("note", outer[4])
    if not isinstance(note, str) or len(note) > reading.MAX_NOTE_LENGTH:
        note = as_text(note, _place(index, "note"), reading.MAX_NOTE_LENGTH)
    return category, reporter, ban_days, reported_at, note


def _place(index: int | None, field: str) -> str:
    return field if index is None else f"urls[{index}].{field}"


def _check_fields(fields: dict[str, Json], known: frozenset[str], where: str) -> None:
    if not fields.keys() <= known:
        unknown = min(fields.keys() - known)
        raise UnreadableReport(
            f"{where} has the unknown field {reading.shown(unknown)}: known are {', '.join(sorted(known))}"
        )


def _fields(url: ReportedUrl) -> dict[str, object]:
    """Return the values of a URL by the format's names, without those that the report does not give."""
    fields: dict[str, object] = {}
    if url.category:
        fields["category"] = url.category
    if url.reporter:
        fields["reporter"] = url.reporter
    if url.ban_days is not None:
        fields["ban_duration"] = url.ban_days
    if url.reported_at is not None:
        fields["reported_at"] = url.reported_at.isoformat()
    if url.note:
        fields["note"] = url.note
    return fields
