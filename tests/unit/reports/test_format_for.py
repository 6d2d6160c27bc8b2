"""Which format a body has: as configured, else as the Content-Type says; nothing is guessed."""

from __future__ import annotations

import pytest

from chalicelib.domain.errors import UnknownFormat, UnreadableReport
from chalicelib.reports import CONTENT_TYPES, PARSERS, ParserOptions, format_for, parse


@pytest.mark.parametrize("configured", sorted(PARSERS))
def test_the_configured_format_wins_over_the_content_type(configured: str) -> None:
    assert format_for("text/plain", configured) == configured


def test_a_configured_format_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownFormat, match="no format 'csv': known are native, xarf"):
        format_for("text/plain", "csv")
    with pytest.raises(UnknownFormat, match="no format 'csv'"):
        parse(b"", "csv", ParserOptions())


@pytest.mark.parametrize(
    ("content_type", "format_name"),
    [
        ("application/vnd.edgeban+json", "native"),
        ("Application/XARF+JSON; charset=utf-8", "xarf"),
        ("application/stix+json;version=2.1", "stix"),
        ("application/taxii+json;version=2.1", "stix"),
        ("text/uri-list; charset=utf-8", "plain"),
        ("message/rfc822", "feedback-mail"),
        ("application/json", "native"),
    ],
)
def test_a_content_type_that_means_one_format_decides(content_type: str, format_name: str) -> None:
    assert format_for(content_type, "") == format_name


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/html", "text/csv", "application/octet-stream", "application/x-form"],
)
def test_where_neither_names_a_format_the_error_names_the_field_to_set(content_type: str) -> None:
    with pytest.raises(UnknownFormat, match=r'set the field "format" .* of the source to one of native, xarf') as error:
        format_for(content_type, "")
    assert all(known in str(error.value) for known in CONTENT_TYPES)
    assert content_type in str(error.value)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"urls": ["https://example.com/"], "ban_durration": 7}', b'"text"'])
def test_json_of_no_named_format_is_edgebans_own_and_is_told_what_is_wrong(body: bytes) -> None:
    with pytest.raises(UnreadableReport):
        parse(body, format_for("application/json", ""), ParserOptions())


def test_a_report_of_another_format_that_came_as_json_is_told_which_field_to_set() -> None:
    xarf = b'{"xarf_version": "4.2.0", "category": "content", "type": "phishing", "url": "https://example.com/"}'
    with pytest.raises(UnreadableReport, match='set the field "format" of the source'):
        parse(xarf, format_for("application/json", ""), ParserOptions())


def test_urls_are_refanged_and_unescaped_only_where_the_options_say_so() -> None:
    body = b"hxxps://shop[.]example[.]com/?a=1&amp;b=2"
    assert parse(body, "plain", ParserOptions()).urls[0].url == body.decode()
    assert parse(body, "plain", ParserOptions(defanged=True)).urls[0].url == "https://shop.example.com/?a=1&amp;b=2"
    both = ParserOptions(defanged=True, html_escaped=True)
    assert parse(body, "plain", both).urls[0].url == "https://shop.example.com/?a=1&b=2"
