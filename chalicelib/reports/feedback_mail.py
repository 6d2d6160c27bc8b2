"""Reports by mail: feedback reports of RFC 5965 (ARF), XARF in an attachment, and X-ARF 0.1 and 0.2 as text.

A report by mail encloses the mail that it complains about. That mail is evidence, and the abuser may have made it look
like a report. So nothing in it is read. An enclosed mail is opened only if the mail around it is no report, but
forwards one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chalicelib.domain.errors import InputError, TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.reports import json_text, mail_parts, reading, xarf
from chalicelib.reports.compression import unpacked
from chalicelib.reports.entries import Entries
from chalicelib.reports.mail_parts import Fields, Part
from chalicelib.reports.reading import Json, ParserOptions, clipped, get

MAX_NESTING = 8
"""How many forwarded mails may enclose a report."""

FEEDBACK_TYPES: dict[str, str] = {
    "abuse": "abuse",
    "fraud": "phishing",
    "virus": "malware",
    "other": "other",
    "phishing": "phishing",  # from here on: in use, and in no standard
    "phish": "phishing",
    "malware": "malware",
    "spam": "abuse",
    "copyright": "copyright",
    "trademark": "trademark",
}
"""``Feedback-Type`` to category (RFC 5965, 7.3). Others, such as opt-out and auth-failure, accuse no page."""

NOT_SPAM = "not-spam"
"""The ``Feedback-Type`` by which a report is taken back (RFC 6430)."""

XARF = "xarf"
"""The ``Feedback-Type`` of a mail whose report is an attachment."""

_FEEDBACK = "message/feedback-report"
_XARF_TYPE = re.compile(r"(?:application|text)/(?:x-|vnd\.)?x-?arf(?:\+json)?")
_JSON_TYPE = re.compile(r"(?:application|text)/(?:(?:x-)?json|[\w.-]+\+json)")
_XARF_NAME = re.compile(r"^x-?arf\b|\.x-?arf(?:\.json)?(?:\.gz)?$", re.IGNORECASE)
_JSON_NAME = re.compile(r"\.json(?:\.gz)?$", re.IGNORECASE)
_SHOWN = frozenset(("text/html", "text/xml", "text/css"))
_MAILS = ("message/rfc822", "message/global")
_MAIL_NAME = re.compile(r"\.(?:eml|mht|mail)$", re.IGNORECASE)


_COMMENT = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True)
class _Report:
    """One report of a mail: the fields of a feedback report, or what an attachment holds.

    ``problem`` says why an attachment that must be XARF cannot be read. ``is_xarf``: the fields are those of X-ARF 0.1
    or 0.2.
    """

    sender: str
    fields: Fields
    attached: Json = None
    problem: str = ""
    is_xarf: bool = False


@dataclass(slots=True)
class _Room:
    """How many bytes all compressed attachments of a mail may have together after unpacking."""

    left: int

    def unpacked(self, content: bytes, options: ParserOptions) -> bytes:
        """Unpack an attachment, if it is compressed. Raises UnreadableReport and TooLarge."""
        try:
            body = unpacked(content, replace(options, max_bytes=self.left))
        except TooLarge:
            self.left = 0
            raise
        if body is not content:
            self.left -= len(body)
        return body


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read the reports of one mail. Raises UnreadableReport and TooLarge."""
    if len(body) > options.max_bytes:
        raise TooLarge(f"the mail has {len(body):,} bytes, the limit is {options.max_bytes:,}")
    if max(body.count(b"\n"), body.count(b"\r")) > reading.MAX_LINES:
        raise TooLarge(f"the mail has more than {reading.MAX_LINES:,} lines")
    reports = list(_reports(mail_parts.read_mail(body), options, _Room(options.max_bytes)))
    if not reports:
        raise UnreadableReport("the mail holds no message/feedback-report and no attached XARF: send one of the two")
    entries = Entries(options)
    ids: set[str] = set()
    tests: list[bool] = []
    for index, report in enumerate(reports):
        where = f"report {index}"
        if report.problem:
            entries.flaw(where, f"the XARF that is attached cannot be read: {report.problem}")
        elif report.is_xarf:
            _xarf_0(report, where, entries)
        elif report.attached is None:
            _feedback(report, where, entries)
        else:
            attached = report.attached if isinstance(report.attached, list) else [report.attached]
            for place, fields in entries.objects(attached, where):
                test = xarf.take(fields, place, entries)
                tests += [] if test is None else [test]
                ids.add(clipped(get(fields, "report_id"), reading.MAX_CORRELATION_ID_LENGTH))
    xarf.check_tests(tests)
    return entries.report(correlation_id=next(iter(ids)) if len(ids) == 1 else "", test=bool(tests) and all(tests))


def _reports(mail: Part, options: ParserOptions, room: _Room, levels: int = MAX_NESTING) -> Iterator[_Report]:
    """Yield the reports of a mail; if it has none itself, those of the mails that it encloses."""
    if levels <= 0:
        raise UnreadableReport(f"the mail nests deeper than {MAX_NESTING} levels")
    sender = mail_parts.address_of(mail)
    parts = mail_parts.leaves(mail)
    own = [report for part in parts if (report := _report(part, sender, options, room))]
    if not own and ("X-ARF" in mail or "X-XARF" in mail):
        texts = [part for part in parts if part.get_content_type() == "text/plain"]
        named = [part for part in texts if mail_parts.filename_of(part).lower() == "report.txt"]
        own += [  # it is the second part by its specification
            _Report(sender, mail_parts.fields_in(mail_parts.content_of(part)), is_xarf=True)
            for part in (named or texts[1:])[:1]
        ]
    if not own and "Feedback-Type" in mail and not mail.is_multipart():
        own = [_Report(sender, mail_parts.headers_of(mail))]
    yield from own
    if own or mail.get_content_type() == "multipart/report":
        return
    for part in parts:
        if part.get_content_type() in _MAILS or _MAIL_NAME.search(mail_parts.filename_of(part)):
            yield from _reports(mail_parts.read_mail(mail_parts.content_of(part)), options, room, levels - 1)


def _report(part: Part, sender: str, options: ParserOptions, room: _Room) -> _Report | None:
    """Read a part, if it is a report."""
    kind, name = part.get_content_type(), mail_parts.filename_of(part)
    if kind == _FEEDBACK:
        return _Report(sender, mail_parts.fields_in(mail_parts.content_of(part)))
    if kind in _SHOWN or kind in _MAILS:
        return None
    surely = bool(_XARF_TYPE.fullmatch(kind) or _XARF_NAME.search(name))
    if not surely and not _JSON_TYPE.fullmatch(kind) and not _JSON_NAME.search(name):
        return None
    try:
        value = json_text.read_json(room.unpacked(mail_parts.content_of(part), options), options)
    except InputError as error:
        return _Report(sender, [], problem=str(error)) if surely else None
    if surely or xarf.is_report(value) or (isinstance(value, list) and any(map(xarf.is_report, value))):
        return _Report(sender, [], attached=value)
    return None


def _feedback(report: _Report, where: str, entries: Entries) -> None:
    kind = _COMMENT.sub("", mail_parts.first(report.fields, "feedback-type")).lower().partition(";")[0].strip(' "')
    if kind == XARF:
        return  # the attachment has the report; without one, the mail names nothing
    category = FEEDBACK_TYPES.get(kind)
    if category is None and kind != NOT_SPAM:
        entries.skip(where, f"feedback of the type {reading.shown(kind)} accuses no page")
        return
    uris = mail_parts.uris(report.fields, "reported-uri")
    if not uris:
        entries.skip(where, "the feedback report has no Reported-URI: there is nothing to ban")
    reported_at = _time(report.fields)
    for uri in uris:
        if uri.lower().startswith("mailto:"):
            entries.skip(where, "a Reported-URI is a mail address: there is nothing to ban")
        elif category is None:
            reason = "feedback of the type not-spam takes the report back"
            entries.withdraw(Withdrawal(uri, "", report.sender, reported_at, reason), where)
        else:
            entries.add(ReportedUrl(uri, category, report.sender, reported_at=reported_at))


def _xarf_0(report: _Report, where: str, entries: Entries) -> None:
    """Read the fields of X-ARF 0.1 or 0.2, which are YAML: https://github.com/xarf/xarf-specification."""

    def field(name: str) -> str:
        return mail_parts.first(report.fields, name).strip("\"' ")

    kind, category = field("report-type").lower(), field("category").lower()
    if field("source-type").lower() not in ("uri", "url"):
        entries.skip(where, f"X-ARF of a source of the type {reading.shown(field('source-type'))} names no URL")
    elif category not in ("abuse", "fraud"):
        entries.skip(where, f"X-ARF of the category {reading.shown(category)} accuses no page")
    else:
        (source, *_) = mail_parts.uris(report.fields, "source") or [""]
        reporter = clipped(field("reported-from"), reading.MAX_REPORTER_LENGTH) or report.sender
        said = FEEDBACK_TYPES.get(kind) or clipped(kind, reading.MAX_CATEGORY_LENGTH) or FEEDBACK_TYPES[category]
        entries.add(ReportedUrl(source.strip("\"'"), said, reporter, reported_at=_time(report.fields)))


def _time(fields: Fields) -> datetime | None:
    from email.utils import parsedate_to_datetime

    value = mail_parts.first(fields, "arrival-date") or mail_parts.first(fields, "received-date")
    value = value or mail_parts.first(fields, "date")
    try:
        time = parsedate_to_datetime(value[:100])
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
