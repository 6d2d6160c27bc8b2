from __future__ import annotations

from pathlib import Path

import pytest

from chalicelib.domain.errors import UnknownFormat, UnreadableReport
from chalicelib.reports import PARSERS, ParserOptions, format_for, parse

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize("configured", sorted(PARSERS))
def test_the_configured_format_wins_over_the_content_type(configured: str) -> None:
    assert format_for("text/plain", configured, b"{}") == configured


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
        ("text/plain; charset=utf-8", "plain"),
        ("message/rfc822", "feedback-mail"),
        ("application/json", "native"),
    ],
)
def test_a_content_type_that_means_one_format_decides(content_type: str, format_name: str) -> None:
    assert format_for(content_type, None) == format_name


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/xml", "image/png", "application/x-www-form-urlencoded"]
)
def test_other_content_types_are_refused_with_a_list_of_those_that_work(content_type: str) -> None:
    with pytest.raises(UnknownFormat, match=r"send application/stix\+json"):
        format_for(content_type, None, b'{"urls":["https://example.com/"]}')


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("native.json", "native"),
        ("xarf_v4.json", "xarf"),
        ("xarf_v3.json", "xarf"),
        ("stix.json", "stix"),
        ("misp.json", "misp"),
        ("urlhaus.json", "urlhaus"),
        ("phishtank.json", "phishtank"),
        ("phishunt.json", "phishunt"),
        ("tweetfeed.json", "tweetfeed"),
        ("cloudflare_submit.json", "cloudflare"),
        ("urlhaus.csv", "urlhaus"),
        ("phishtank.csv", "phishtank"),
        ("tweetfeed_header.csv", "tweetfeed"),
        ("feedback.eml", "feedback-mail"),
        ("feedback_opt_out.eml", "feedback-mail"),
        ("plain.txt", "plain"),
    ],
)
def test_a_body_with_a_content_type_that_many_share_is_known_by_its_looks(name: str, format_name: str) -> None:
    body = (SAMPLES / name).read_bytes()
    shared = "application/json" if name.endswith(".json") else "text/csv" if name.endswith(".csv") else ""
    assert format_for(shared, None, body) == format_name


def test_a_body_that_looks_like_two_formats_has_neither() -> None:
    both = b'[{"phish_id": 1, "url": "https://example.com/", "uuid": "u", "company": "c"}]'
    with pytest.raises(UnknownFormat, match="looks like phishtank and like phishunt"):
        format_for("application/json", None, both)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"1", b"\xff\xfe", b"[[[]]]", b'{"a":[{"b":1}]}', b"a,b,c"])
def test_a_body_that_looks_like_nothing_has_no_format(body: bytes) -> None:
    with pytest.raises(UnknownFormat, match="none of the known formats"):
        format_for("application/octet-stream", None, body)


def test_urls_are_refanged_and_unescaped_only_where_the_options_say_so() -> None:
    body = b"hxxps://shop[.]example[.]com/?a=1&amp;b=2"
    assert parse(body, "plain", ParserOptions()).urls[0].url == body.decode()
    assert parse(body, "plain", ParserOptions(defanged=True)).urls[0].url == "https://shop.example.com/?a=1&amp;b=2"
    both = ParserOptions(defanged=True, html_escaped=True)
    assert parse(body, "plain", both).urls[0].url == "https://shop.example.com/?a=1&b=2"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"urls": ["https://example.com/"], "ban_durration": 7}', b'"text"'])
def test_json_that_is_no_format_s_is_told_what_is_wrong_with_it_as_a_native_report(body: bytes) -> None:
    with pytest.raises(UnreadableReport):
        parse(body, format_for("application/json", None, body), ParserOptions())
