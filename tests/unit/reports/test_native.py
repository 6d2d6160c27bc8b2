"""The native format: what is rendered is read back, and a wrong field is named with the remedy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ReportedUrl, Withdrawal
from chalicelib.reports import ParserOptions, native
from dev.fakes.limits import check_message

OPTIONS = ParserOptions()
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
URLS = st.builds(
    ReportedUrl,
    url=TEXT,
    category=st.sampled_from(["", "phishing", "malware"]),
    reporter=st.sampled_from(["", "a", "b"]) | TEXT,
    ban_days=st.none() | st.integers(1, 30),
    reported_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    note=st.just("") | TEXT,
)


def body(**fields: object) -> bytes:
    return json.dumps({"urls": ["https://example.com/"], **fields}).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(URLS, min_size=1, max_size=5), TEXT, st.booleans())
def test_what_is_rendered_is_parsed_back_as_the_same(urls: list[ReportedUrl], correlation_id: str, test: bool) -> None:
    report = native.parse(native.render(urls, correlation_id=correlation_id, test=test), OPTIONS)
    assert list(report.urls) == urls
    assert report.correlation_id == correlation_id
    assert report.test is test
    assert report.skipped == ()


def test_what_is_rendered_holds_no_character_that_a_queue_refuses() -> None:
    url = ReportedUrl("https://example.com/", note="a\ufffe\uffff\0b", reporter="\uffff")
    rendered = native.render([url])
    check_message(rendered.decode(), {})
    assert native.parse(rendered, OPTIONS).urls == (url,)
    withdrawal = Withdrawal("https://example.com/", reason="\ufffe")
    check_message(native.render_withdrawals([withdrawal]).decode(), {})
    assert native.parse(native.render_withdrawals([withdrawal]), OPTIONS).withdrawals == (withdrawal,)


def test_values_that_all_urls_share_are_rendered_once() -> None:
    urls = [ReportedUrl(f"https://example.com/{n}", "phishing", "desk", 7) for n in range(100)]
    rendered = native.render(urls)
    assert rendered.count(b"phishing") == 1
    assert json.loads(rendered)["urls"] == [url.url for url in urls]


def test_values_beside_a_url_win_over_those_of_the_report() -> None:
    entry = {"url": "https://example.com/", "category": "malware", "ban_duration": 1, "note": "", "reporter": "two"}
    report = native.parse(
        body(urls=["https://example.com/a", entry], category="phishing", ban_duration=30, note="n", reporter="one"),
        OPTIONS,
    )
    assert report.urls == (
        ReportedUrl("https://example.com/a", "phishing", "one", 30, None, "n"),
        ReportedUrl("https://example.com/", "malware", "two", 1, None, ""),
    )


def test_times_are_read_with_their_zone() -> None:
    report = native.parse(body(reported_at="2026-03-01T12:00:00.5+01:00"), OPTIONS)
    assert report.urls[0].reported_at == datetime(2026, 3, 1, 11, 0, 0, 500_000, tzinfo=UTC)
    assert report.urls[0].reported_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"urls": []}, "urls is empty"),
        ({"urls": "https://example.com/"}, "urls must be an array, not a string"),
        ({"urls": None}, "urls must be an array, not null"),
        ({"urls": [1]}, r"urls\[0\] must be a string or an object, not a number"),
        ({"urls": [{}]}, r"urls\[0\]\.url must be a string, not null"),
        ({"urls": [{"url": "x", "until": 1}]}, r'urls\[0\] has the unknown field "until": known are ban_duration'),
        ({"ban_days": 1}, 'the report has the unknown field "ban_days": known are ban_duration, category'),
        ({"ban_duration": 0}, "ban_duration is 0: write a whole number of days from 1 to 30"),
        ({"ban_duration": 31}, "ban_duration is 31"),
        ({"ban_duration": 7.0}, "ban_duration is 7.0"),
        ({"ban_duration": True}, "ban_duration is true"),
        ({"ban_duration": None}, "ban_duration is null"),
        ({"ban_duration": "until unbanned"}, 'ban_duration is "until unbanned"'),
        ({"urls": [{"url": "x", "ban_duration": 99}], "ban_duration": 3}, r"urls\[0\]\.ban_duration is 99"),
        ({"category": 1}, "category must be a string"),
        ({"category": "a" * 65}, "category has 65 characters, the limit is 64"),
        ({"reporter": "a" * 201}, "reporter has 201 characters"),
        ({"note": "a" * 1_001}, "note has 1,001 characters, the limit is 1,000"),
        ({"urls": [{"url": "x", "note": "a" * 1_001}]}, r"urls\[0\]\.note has 1,001"),
        ({"correlation_id": "a" * 129}, "correlation_id has 129"),
        ({"correlation_id": 5}, "correlation_id must be a string"),
        ({"correlation_id": "\ud800"}, "correlation_id holds a character that was lost"),
        ({"test": "yes"}, 'test must be true or false, not "yes"'),
        ({"reported_at": "2026-03-01T12:00:00"}, "reported_at is .* RFC 3339 time with its zone"),
        ({"reported_at": "yesterday"}, "RFC 3339"),
        ({"reported_at": 1772366400}, "RFC 3339"),
        ({"reported_at": "2026-02-30T12:00:00Z"}, "RFC 3339"),
        ({"reported_at": "0001-01-01T00:00:00+14:00"}, "RFC 3339"),
        ({"urls": [{"url": "x", "reported_at": ""}]}, r"urls\[0\]\.reported_at"),
    ],
)
def test_a_wrong_field_is_named_with_the_problem_and_the_remedy(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UnreadableReport, match=message):
        native.parse(body(**fields), OPTIONS)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (1, "must be a string or an object, not a number"),
        ({}, ".url must be a string, not null"),
        ({"url": "x", "ban_days": 1}, 'has the unknown field "ban_days"'),
        ({"url": "x", "ban_duration": 99}, ".ban_duration is 99"),
    ],
)
def test_what_is_wrong_beside_one_url_spoils_that_url_alone(entry: object, problem: str) -> None:
    report = native.parse(body(urls=["https://example.com/a", entry, "https://example.com/b"]), OPTIONS)
    assert [url.url for url in report.urls] == ["https://example.com/a", "https://example.com/b"]
    ((where, reason),) = [(part.where, part.reason) for part in report.skipped]
    assert where == "urls[1]"
    assert problem in reason


def test_one_key_twice_in_one_entry_spoils_that_entry_alone() -> None:
    twice = b'{"urls":["https://example.com/a",{"url":"https://example.com/b","url":"https://example.com/c"}]}'
    report = native.parse(twice, OPTIONS)
    assert [url.url for url in report.urls] == ["https://example.com/a"]
    assert 'the key "url" is there twice' in report.skipped[0].reason
    with pytest.raises(UnreadableReport, match="there twice"):
        native.parse(b'{"urls":["https://example.com/a"],"urls":[]}', OPTIONS)


def test_half_of_a_surrogate_pair_in_a_note_is_replaced_and_both_urls_are_taken() -> None:
    entry = {"url": "https://example.com/a", "note": "fake shop \ud83d"}
    report = native.parse(body(urls=[entry, "https://example.com/b"]), OPTIONS)
    assert [(url.url, url.note) for url in report.urls] == [
        ("https://example.com/a", "fake shop \ufffd"),
        ("https://example.com/b", ""),
    ]


def test_a_report_without_urls_says_so() -> None:
    with pytest.raises(UnreadableReport, match='has no "urls"'):
        native.parse(b'{"category":"phishing"}', OPTIONS)
    with pytest.raises(UnreadableReport, match="the report must be an object, not an array"):
        native.parse(b"[]", OPTIONS)


def test_ten_thousand_urls_work_and_one_more_is_too_large() -> None:
    urls = [f"https://example.com/{n}" for n in range(10_001)]
    assert len(native.parse(body(urls=urls[:-1]), OPTIONS).urls) == 10_000
    with pytest.raises(TooLarge, match="more than 10,000 URLs"):
        native.parse(body(urls=urls), OPTIONS)


def test_a_message_never_repeats_a_long_value() -> None:
    with pytest.raises(UnreadableReport) as error:
        native.parse(body(reported_at="x" * 5_000), OPTIONS)
    assert len(str(error.value)) < 200
