"""Mail as mailers write it, most of it from the generators of the standard library."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from quopri import encodestring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport, Withdrawal
from chalicelib.reports import ParserOptions, parse
from chalicelib.reports.feedback_mail import FEEDBACK_TYPES
from chalicelib.reports.mail_parts import MAX_PARTS

OPTIONS = ParserOptions()
PAGE = "https://shop.example.com/login?id=1&next=verify-account-details-of-the-customer-portal-and-more-of-it=2"
VICTIM = "https://bank.example.org/genuine"
XARF = {
    "xarf_version": "4.2.0",
    "report_id": "11111111-2222-4333-8444-555555555555",
    "reporter": {"org": "Desk One"},
    "category": "content",
    "type": "phishing",
    "url": PAGE,
}
LETTER = MIMEText(f"Our customer's page is {VICTIM}")


def read(mail: bytes | MIMEBase | EmailMessage) -> ParsedReport:
    return parse(mail if isinstance(mail, bytes) else mail.as_bytes(), "feedback-mail", OPTIONS)


def urls(mail: bytes | MIMEBase | EmailMessage) -> list[str]:
    return [entry.url for entry in read(mail).urls]


def feedback(fields: str, encoding: str = "", charset: str = "") -> MIMEBase:
    """Make a feedback-report part, its content encoded as its header says."""
    part = MIMEBase("message", "feedback-report")
    if charset:
        part.set_param("charset", charset)
    content = fields.encode(charset or "utf-8")
    if encoding:
        part["Content-Transfer-Encoding"] = encoding
    part.set_payload(encoded(content, encoding).decode("ascii"))
    return part


def encoded(content: bytes, encoding: str) -> bytes:
    if "base64" in encoding.lower():
        return b64encode(content)
    return encodestring(content) if encoding.lower() == "quoted-printable" else content


def enclosed(inner: MIMEBase | EmailMessage) -> MIMEBase:
    return MIMEMessage(inner)


def mail(*parts: MIMEBase, subtype: str = "report", report_type: str = "feedback-report") -> MIMEMultipart:
    whole = MIMEMultipart(subtype)
    whole.set_param("report-type", report_type)
    whole["From"] = "Abuse Desk <desk@desk.example>"
    for part in parts:
        whole.attach(part)
    return whole


def attachment(content: bytes, main: str = "application", sub: str = "json", name: str = "xarf.json") -> MIMEBase:
    part = MIMEApplication(content, sub)
    part.replace_header("Content-Type", f"{main}/{sub}")
    if name:
        part.add_header("Content-Disposition", "attachment", filename=name)
    return part


FRAUD = f"Feedback-Type: fraud\nVersion: 1\nReported-URI: {PAGE}\n"
ABUSER = mail(LETTER, feedback(f"Feedback-Type: abuse\nReported-URI: {VICTIM}\n"))


@pytest.mark.parametrize(
    "encoding",
    ["", "7bit", "8bit", "binary", "base64", "BASE64 (x)", '"base64"', "quoted-printable", "Quoted-Printable"],
)
def test_the_transfer_encoding_of_a_feedback_report_is_undone(encoding: str) -> None:
    report = read(mail(LETTER, feedback(FRAUD, encoding), enclosed(ABUSER)))
    assert [(entry.url, entry.category, entry.reporter) for entry in report.urls] == [
        (PAGE, "phishing", "desk@desk.example")
    ]


@pytest.mark.parametrize("charset", ["us-ascii", "utf-8", "iso-8859-1", "utf-16", "utf-7", "nobody-knows-it"])
def test_the_charset_of_a_feedback_report_is_heeded(charset: str) -> None:
    known = charset if charset != "nobody-knows-it" else ""
    part = feedback(FRAUD, "base64", known)
    if not known:
        part.set_param("charset", charset)
    assert urls(mail(part)) == [PAGE]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_will_do(line_end: bytes) -> None:
    assert urls(mail(LETTER, feedback(FRAUD)).as_bytes().replace(b"\n", line_end)) == [PAGE]


@pytest.mark.parametrize(
    "before", [b"\xef\xbb\xbf", b"\r\n\n", b"From desk Thu Jan  1 00:00:00 2026\n", b">From desk\n"]
)
def test_what_files_and_relays_put_in_front_of_a_mail_is_left_out(before: bytes) -> None:
    assert urls(before + mail(LETTER, feedback(FRAUD)).as_bytes()) == [PAGE]


@pytest.mark.parametrize("kind", ["fraud (phishing)", '"fraud"', "FRAUD; q=1"])
def test_a_feedback_type_is_read_without_what_stands_around_it(kind: str) -> None:
    assert urls(mail(feedback(FRAUD.replace("fraud", kind)))) == [PAGE]


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "raw_unicode_escape", "rot13", "zlib"])
def test_a_codec_that_is_no_charset_of_mail_is_not_used(charset: str) -> None:
    """Python's punycode takes quadratic time, and its escapes would make another URL."""
    fields = FRAUD.replace("?id=1", "?id=\\x31")
    part = feedback(fields, "base64")
    part.set_param("charset", charset)
    assert urls(mail(part)) == [PAGE.replace("?id=1", "?id=\\x31")]
    word = f"=?{charset}?q?https=3A//shop.example.com/=5Cx31-?="
    assert urls(mail(feedback(f"Feedback-Type: fraud\nReported-URI: {word}\n"))) == [word]


XARF_0 = (
    "---\nReported-From: desk@desk.example\nCategory: fraud\nReport-Type: phishing\nVersion: 0.2\nReport-ID: 1@desk\n"
    f"Date: Thu, 01 Jan 2026 10:00:00 +0000\nSource-Type: uri\nSource: {PAGE}\nAttachment: text/plain\n"
    f"Schema-URL: {VICTIM}\n"
)


def xarf_0(text: str, header: str = "X-XARF", name: str = "report.txt") -> MIMEMultipart:
    """Make a mail as of X-ARF 0.2: a letter, the report as YAML, the evidence."""
    report = MIMEText(text)
    if name:
        report.add_header("Content-Disposition", "attachment", filename=name)
    whole = mail(LETTER, report, enclosed(ABUSER), subtype="mixed")
    if header:
        whole[header] = "PLAIN"
    return whole


@pytest.mark.parametrize(("header", "name"), [("X-XARF", "report.txt"), ("X-ARF", "report.txt"), ("X-ARF", "")])
def test_x_arf_of_the_first_versions_is_read_as_text_and_never_its_evidence(header: str, name: str) -> None:
    (entry,) = read(xarf_0(XARF_0, header, name)).urls
    when = datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert (entry.url, entry.category) == (PAGE, "phishing")
    assert (entry.reporter, entry.reported_at) == ("desk@desk.example", when)
    assert urls(xarf_0(XARF_0.replace(PAGE, f'"{PAGE}"'), header, name)) == [PAGE]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("uri", "ip-address", 'of the type "ip-address" names no URL'),
        ("fraud", "info", 'category "info" accuses no page'),
    ],
)
def test_x_arf_that_accuses_no_page_says_so(old: str, new: str, reason: str) -> None:
    report = read(xarf_0(XARF_0.replace(f": {old}\n", f": {new}\n")))
    assert report.urls == ()
    assert reason in report.skipped[0].reason


def test_a_text_of_that_shape_without_the_header_is_no_report() -> None:
    inner = mail(LETTER, MIMEText(XARF_0), subtype="mixed")
    with pytest.raises(UnreadableReport):
        read(inner)


def test_compressed_attachments_have_the_room_of_one_body_together() -> None:
    """Each kilobyte would become a megabyte, five hundred times in one mail."""
    content = json.dumps({**XARF, "evidence": "a" * 4_000_000}).encode()
    parts = [attachment(gzip.compress(content), "application", "gzip", "xarf.json.gz") for _ in range(4)]
    report = read(mail(LETTER, *parts, subtype="mixed"))
    assert [entry.url for entry in report.urls] == [PAGE] * 2
    assert ["when it is unpacked" in part.reason for part in report.skipped] == [True] * 2


def test_a_mail_that_is_attached_as_a_file_is_read_as_one_that_was_forwarded() -> None:
    inner = mail(LETTER, feedback(FRAUD)).as_bytes()
    assert urls(mail(LETTER, attachment(inner, "application", "octet-stream", "report.eml"), subtype="mixed")) == [PAGE]


def test_a_uri_in_encoded_words_is_decoded_and_one_that_was_folded_is_whole_again() -> None:
    words = f"=?utf-8?b?{b64encode(PAGE.encode()).decode()}?="
    folded = f"<{PAGE[:40]}\n {PAGE[40:]}>"
    two = f"{PAGE}\n https://shop.example.com/b"
    part = feedback(f"Feedback-Type: fraud\nReported-URI: {words}\nReported-URI: {folded}\nReported-URI: {two}\n")
    assert urls(mail(part)) == [PAGE, PAGE, f"{PAGE} https://shop.example.com/b"]


def test_a_uri_in_8_bit_is_text_in_utf_8_and_what_is_none_is_marked_as_lost() -> None:
    whole = mail(feedback("Feedback-Type: fraud\nReported-URI: https://shop.example.com/X\n", "8bit")).as_bytes()
    assert urls(whole.replace(b"/X", "/\u00fc".encode())) == ["https://shop.example.com/\u00fc"]
    assert urls(whole.replace(b"/X", b"/\xfc")) == ["https://shop.example.com/\ufffd"]


def test_a_feedback_report_of_which_fields_follow_an_empty_line_or_other_lines_is_read_up_to_them() -> None:
    part = feedback(f"\n\nFeedback-Type: fraud\nReported-URI: {PAGE}\nno field\nReported-URI: {VICTIM}\n")
    assert urls(mail(part)) == [PAGE]


@pytest.mark.parametrize(
    ("main", "sub", "name"),
    [
        ("application", "json", "xarf.json"),
        ("application", "json", ""),
        ("application", "json", "report.json"),
        ("application", "xarf+json", ""),
        ("application", "x-xarf+json", "r"),
        ("text", "json", ""),
        ("text", "plain", "xarf.json"),
        ("text", "plain", "report.json"),
        ("application", "octet-stream", "xarf.json"),
        ("application", "octet-stream", "case.xarf"),
        ("application", "octet-stream", "X-ARF.txt"),
        ("application", "octet-stream", "=?utf-8?b?eGFyZi5qc29u?="),
        ("application", "text", "xarf.json"),
        ("application", "x-download", "report.json"),
        ("application", "vnd.xarf+json", ""),
        ("application", "x-xarf", ""),
        ("application", "ld+json", ""),
        ("application", "gzip", "xarf.json.gz"),
    ],
)
@pytest.mark.parametrize("with_feedback", [True, False])
def test_xarf_is_read_under_any_of_its_usual_types_and_names(
    main: str, sub: str, name: str, *, with_feedback: bool
) -> None:
    marker = [feedback("Feedback-Type: xarf\nVersion: 1\n")] if with_feedback else []
    content = json.dumps(XARF).encode()
    part = attachment(gzip.compress(content) if sub == "gzip" else content, main, sub, name)
    report = read(mail(LETTER, *marker, part, subtype="report" if with_feedback else "mixed"))
    assert [(entry.url, entry.category, entry.reporter) for entry in report.urls] == [(PAGE, "phishing", "Desk One")]
    assert report.correlation_id == XARF["report_id"]


def test_several_reports_of_one_attachment_and_of_several_are_all_read() -> None:
    two = [XARF, {**XARF, "url": "https://shop.example.com/2"}]
    three = {**XARF, "url": "https://shop.example.com/3"}
    parts = [attachment(json.dumps(value).encode()) for value in (two, three)]
    assert urls(mail(*parts, subtype="mixed")) == [PAGE, "https://shop.example.com/2", "https://shop.example.com/3"]


def test_json_that_is_no_xarf_is_no_report_and_xarf_that_is_broken_is_told() -> None:
    other = attachment(json.dumps({"url": VICTIM}).encode(), name="data.json")
    with pytest.raises(UnreadableReport, match="no attached XARF"):
        read(mail(LETTER, other, subtype="mixed"))
    assert urls(mail(other, feedback(FRAUD))) == [PAGE]
    broken = attachment(b"{", name="xarf.json")
    with pytest.raises(UnreadableReport, match="the XARF that is attached cannot be read: the body is not JSON"):
        read(mail(LETTER, broken, subtype="mixed"))
    report = read(mail(feedback(FRAUD), broken))
    assert [entry.url for entry in report.urls] == [PAGE]
    assert [part.where for part in report.skipped] == ["report 1"]


def test_a_test_by_mail_is_a_test_and_is_not_mixed_with_real_reports() -> None:
    test = {**XARF, "tags": ["lifecycle:test"]}
    assert read(mail(attachment(json.dumps(test).encode()), subtype="mixed")).test
    with pytest.raises(UnreadableReport, match="lifecycle:test"):
        read(mail(attachment(json.dumps([test, XARF]).encode()), subtype="mixed"))


# --- evidence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
def test_a_forwarded_report_is_read_whatever_its_transfer_encoding(encoding: str) -> None:
    inner = mail(LETTER, feedback(FRAUD)).as_bytes()
    part = MIMEBase("message", "rfc822")
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(encoded(inner, encoding).decode())
    assert urls(mail(LETTER, part, subtype="mixed")) == [PAGE]


@pytest.mark.parametrize("subtype", ["mixed", "report", "related", "signed"])
@pytest.mark.parametrize(
    "own", [feedback(FRAUD), attachment(json.dumps(XARF).encode()), feedback("Feedback-Type: opt-out\n")]
)
def test_what_encloses_evidence_and_is_a_report_itself_keeps_the_evidence_closed(subtype: str, own: MIMEBase) -> None:
    evidence = enclosed(ABUSER)
    for order in ((own, evidence), (evidence, own)):
        assert VICTIM not in repr(read(mail(LETTER, *order, subtype=subtype)))
    nested = mail(mail(LETTER, own, subtype="mixed"), evidence, subtype="mixed")
    assert VICTIM not in repr(read(nested))


def test_a_bounce_that_encloses_a_report_is_no_report() -> None:
    bounce = mail(LETTER, enclosed(mail(feedback(FRAUD))), report_type="delivery-status")
    with pytest.raises(UnreadableReport, match="holds no message/feedback-report"):
        read(bounce)


# --- types -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(FEEDBACK_TYPES))
def test_each_feedback_type_that_accuses_has_a_category(kind: str) -> None:
    report = read(mail(feedback(f"Feedback-Type: {kind.title()} ; x=1\nReported-URI: {PAGE}\n")))
    assert [entry.category for entry in report.urls] == [FEEDBACK_TYPES[kind]]


@pytest.mark.parametrize("kind", ["opt-out", "auth-failure", "dkim", "", "unheard-of"])
def test_other_feedback_types_accuse_no_page_and_are_told(kind: str) -> None:
    report = read(mail(feedback(f"Feedback-Type: {kind}\nReported-URI: {PAGE}\n")))
    assert report.urls == ()
    assert "accuses no page" in report.skipped[0].reason


def test_not_spam_takes_a_report_back() -> None:
    report = read(mail(feedback(f"Feedback-Type: not-spam\nReported-URI: {PAGE}\n")))
    assert report.urls == ()
    reason = "feedback of the type not-spam takes the report back"
    assert report.withdrawals == (Withdrawal(PAGE, "", "desk@desk.example", None, reason),)


# --- bounds ------------------------------------------------------------------------------------------------------


def test_a_mail_of_more_parts_than_are_read_is_too_large() -> None:
    with pytest.raises(TooLarge, match="more than 500 parts"):
        read(mail(*[MIMEText("x") for _ in range(MAX_PARTS)], subtype="mixed"))


@pytest.mark.parametrize("forwarded", [True, False])
def test_multiparts_and_forwards_nest_eight_levels_at_the_most(*, forwarded: bool) -> None:
    nested = mail(feedback(FRAUD))
    for level in range(10):
        if level == 6:
            assert urls(nested) == [PAGE]
        nested = mail(enclosed(nested) if forwarded else nested, subtype="mixed")
    with pytest.raises(UnreadableReport, match="nests deeper than 8 levels"):
        read(nested)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=300),
    st.sampled_from(["base64", "quoted-printable"]),
)
def test_whatever_uri_a_mailer_encodes_is_read_back(tail: str, encoding: str) -> None:
    uri = f"https://shop.example.com/{tail}".replace("=?", "=")
    if not uri.endswith(">"):
        assert urls(mail(feedback(f"Feedback-Type: fraud\nReported-URI: {uri}\n", encoding, "utf-8"))) == [uri]
