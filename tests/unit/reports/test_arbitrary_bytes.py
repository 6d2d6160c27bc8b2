"""No parser raises anything but its declared errors, whatever it is given."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport
from chalicelib.reports import PARSERS, ParserOptions, native

SAMPLES = {path.name: path.read_bytes() for path in sorted((Path(__file__).parents[2] / "samples").iterdir())}
FORMATS = sorted(PARSERS)
OPTIONS = ParserOptions(max_urls=50)
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = st.sampled_from(
    [
        *(
            "urls",
            "url",
            "xarf_version",
            "category",
            "type",
            "tags",
            "Report",
            "Source",
            "URL",
            "SourceUrl",
            "reporter",
        ),
        *("ReportClass", "ReporterInfo", "timestamp", "objects", "pattern", "valid_until", "id", "indicator_types"),
        *("labels", "Event", "Attribute", "Object", "value", "to_ids", "Tag", "name", "response", "Orgc", "act"),
        *("submitter", "result", "reports", "cdate", "phish_id", "verified", "threat", "infringing_url", "report_id"),
        *(
            "linked_content",
            "target_url",
            "spam_indicators",
            "suspicious_links",
            "nzb_info",
            "nzb_url",
            "user",
            "tweet",
        ),
    ]
)
WORDS = st.sampled_from(
    [
        "4.2.0",
        "content",
        "phishing",
        "copyright",
        "link_site",
        "bundle",
        "indicator",
        "url",
        "[url:value = 'a']",
        "PHISH",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
MAIL_LINES = st.lists(
    st.sampled_from(
        [
            'Content-Type: multipart/report; boundary="b"',
            "Content-Type: message/feedback-report; charset*=\x00'x'y",
            "Content-Type: message/rfc822; boundary*0*=x'%00'b",
            "Content-Type: multipart/mixed; boundary*=a\x00'b'c",
            "Feedback-Type: abuse",
            "Reported-URI: \xff\xfe",
            "Reported-URI: =?x\x00?b?//8=?=",
            "From: =?utf-8?b?/?= <@[(\x00",
            "Arrival-Date: Mon, 99 Foo -1 99:99 +99999999",
            "--b",
            "--b--",
            "",
        ]
    )
    | st.text(max_size=10),
    max_size=12,
)


def parse_quietly(format_name: str, body: bytes) -> None:
    with contextlib.suppress(UnreadableReport, TooLarge):
        report = PARSERS[format_name](body, OPTIONS)
        assert isinstance(report, ParsedReport)
        if report.urls:  # A report that was read can be passed on.
            again = native.parse(native.render(report.urls, correlation_id=report.correlation_id), OPTIONS)
            assert again.urls == report.urls


@pytest.mark.parametrize("format_name", FORMATS)
@BOUNDED
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_declared_errors(format_name: str, body: bytes) -> None:
    parse_quietly(format_name, body)


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name not in ("plain", "feedback-mail")])
@BOUNDED
@given(value=JSON)
def test_arbitrary_json_raises_only_declared_errors(format_name: str, value: object) -> None:
    parse_quietly(format_name, json.dumps(value).encode())


@pytest.mark.parametrize("format_name", FORMATS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damaged_samples_raise_only_declared_errors(format_name: str, data: st.DataObject) -> None:
    sample = SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))]
    at = data.draw(st.integers(0, len(sample)))
    parse_quietly(
        format_name, sample[:at] + data.draw(st.binary(max_size=4)) + sample[at + data.draw(st.integers(0, 9)) :]
    )


@settings(max_examples=200, deadline=None)
@given(lines=MAIL_LINES)
def test_arbitrary_mails_raise_only_declared_errors(lines: list[str]) -> None:
    parse_quietly("feedback-mail", "\n".join(lines).encode("utf-8", "replace"))
    parse_quietly("feedback-mail", "\n".join(lines).encode("latin-1", "replace"))
