"""Feedback reports by mail: RFC 5965 (ARF), alone, forwarded in ``message/rfc822``, or a bare feedback-report part.

A feedback report encloses the mail that is complained about. That mail is evidence and may be made up by the abuser,
even as a feedback report of its own, so nothing inside it is read: only ``Reported-URI`` of the report itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import reading
from chalicelib.reports.reading import Entries, ParserOptions

if TYPE_CHECKING:
    from email.message import Message

    Mail = Message[str, str]

MAX_NESTING = 8
"""How deep a feedback report may lie in forwarded mails and multiparts."""

FEEDBACK_TYPES: dict[str, str] = {"abuse": "abuse", "fraud": "phishing", "virus": "malware", "other": "other"}
"""``Feedback-Type`` to category (RFC 5965, 7.3); the others (not-spam, opt-out, auth-failure) accuse no page."""

_FOLD = re.compile(r"[\r\n]+[ \t]*")


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read the feedback reports of one mail. Raises UnreadableReport and TooLarge."""
    from email.parser import BytesParser
    from email.policy import compat32  # the modern policy raises errors of its own on hostile headers

    if len(body) > options.max_bytes:
        raise TooLarge(f"the mail has {len(body):,} bytes, the limit is {options.max_bytes:,}")
    if max(body.count(b"\n"), body.count(b"\r")) > reading.MAX_LINES:
        raise TooLarge(f"the mail has more than {reading.MAX_LINES:,} lines")
    entries = Entries(options)
    try:
        mail = BytesParser(policy=compat32).parsebytes(body)
        reports = list(_feedback(mail, MAX_NESTING))
        for index, (report, sender) in enumerate(reports):
            _report(report, sender, f"feedback report {index}", entries)
    except RecursionError:  # the parser of the standard library descends without a limit
        raise UnreadableReport(f"the mail nests deeper than {MAX_NESTING} levels") from None
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError):
        # What the standard library raises on broken parameters and encoded words, such as a NUL in a charset.
        raise UnreadableReport("the mail has headers that cannot be decoded: send a report as of RFC 5965") from None
    if not reports:
        raise UnreadableReport("the mail holds no message/feedback-report part: send a report as of RFC 5965")
    return entries.report()


def _feedback(mail: Mail, levels: int, sender: str = "") -> Iterator[tuple[Mail, str]]:
    """Yield each feedback report with the sender of the mail around it, without ever looking into evidence."""
    if levels <= 0:
        raise UnreadableReport(f"the mail nests deeper than {MAX_NESTING} levels")
    sender = _address(_field(mail, "From")) or sender
    kind = mail.get_content_type()
    parts = cast("list[Mail]", mail.get_payload()) if mail.is_multipart() else []
    if kind == "message/feedback-report":
        yield from ((part, sender) for part in parts[:1])
    elif kind == "multipart/report":
        for part in parts:
            if part.get_content_type() == "message/feedback-report":
                yield from _feedback(part, levels - 1, sender)
    elif parts:
        for part in parts:
            yield from _feedback(part, levels - 1, sender)
    elif "Feedback-Type" in mail:
        yield mail, sender


def _report(report: Mail, sender: str, where: str, entries: Entries) -> None:
    kind = _field(report, "Feedback-Type").lower()
    category = FEEDBACK_TYPES.get(kind)
    if category is None:
        entries.skip(where, f"feedback of the type {reading.shown(kind)} accuses no page")
        return
    uris = [_FOLD.sub("", str(value)).strip().strip("<>") for value in report.get_all("Reported-URI") or []]
    if not uris:
        entries.skip(where, "the feedback report has no Reported-URI: there is nothing to ban")
    reported_at = _time(_field(report, "Arrival-Date") or _field(report, "Received-Date"))
    for uri in uris:
        if uri.lower().startswith("mailto:"):
            entries.skip(where, "a Reported-URI is a mail address: there is nothing to ban")
        else:
            entries.add(ReportedUrl(_text(uri), category, sender, reported_at=reported_at))


def _field(message: Mail, name: str) -> str:
    value = message.get(name)
    return "" if value is None else _text(_FOLD.sub(" ", str(value)).strip())


def _text(value: str) -> str:
    """Replace bytes that were no text: the parser keeps them as lone surrogates, which nothing can store."""
    return value.encode("utf-8", "replace").decode()


def _address(value: str) -> str:
    from email.utils import parseaddr

    return parseaddr(value[:1_000])[1][: reading.MAX_REPORTER_LENGTH]


def _time(value: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        time = parsedate_to_datetime(value[:100])
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
