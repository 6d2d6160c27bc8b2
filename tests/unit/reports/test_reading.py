from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ReportedUrl
from chalicelib.reports.reading import (
    MAX_SKIPPED,
    Entries,
    ParserOptions,
    lenient_time,
    read_json,
    read_rows,
    read_text,
    shown,
)

OPTIONS = ParserOptions()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON: Expecting value at line 1, column 1"),
        (b"{", "not JSON"),
        (b'{"a":1} x', "not JSON: Extra data"),
        (b"\xff\xfe[\x00]\x00", "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":1,"a":1}', 'the key "a" is there twice'),
        (b'[{"b":{"a":1,"a":2}}]', "twice"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[" + b"9" * 5_000 + b"]", "not JSON that can be trusted"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b"[" * 33 + b"]" * 33, "deeper than 32 levels"),
        (b"[" * 100_000, "deeper than 32 levels|not JSON"),
        (b'{"a":' * 100_000, "deeper than 32 levels|not JSON"),
        (b'["]",' * 33 + b"1" + b"]" * 33, "deeper than 32 levels"),
    ],
)
def test_json_that_cannot_be_trusted_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(UnreadableReport, match=message):
        read_json(body, OPTIONS)


def test_json_within_the_limits_is_read() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}', OPTIONS) == {"a": "😀"}
    assert read_json(b"[" * 32 + b"]" * 32, OPTIONS)
    assert read_json(b"1", OPTIONS) == 1
    assert read_json(b'"' + b"[" * 1_000 + b'"', OPTIONS) == "[" * 1_000


def test_a_body_over_the_size_limit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="the body has 11 bytes, the limit is 10"):
        read_text(b"a" * 11, ParserOptions(max_bytes=10))


def test_rows_keep_line_breaks_in_quotes_and_odd_separators_in_values() -> None:
    assert list(read_rows('a,b\r\n\n"c\nd","e""f"\n\u2028\x85,g')) == [
        (1, ["a", "b"]),
        (4, ["c\nd", 'e"f']),
        (5, ["\u2028\x85", "g"]),
    ]


def test_rows_may_end_with_a_carriage_return_alone() -> None:
    assert [row for _, row in read_rows("a,b\rc,d\r")] == [["a", "b"], ["c", "d"]]


def test_a_quotation_mark_that_is_never_closed_does_not_swallow_the_rest() -> None:
    with pytest.raises(UnreadableReport, match="is not CSV"):
        list(read_rows('a,"b\nc,d\ne,f\n'))


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-03-01 10:00:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01 10:00:00 UTC", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("1772359200", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (1772359200, datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("", None),
        ("None", None),
        ("9" * 5_000, None),
        (10**300, None),
        (-(10**30), None),
        (True, None),
        (None, None),
        ([], None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_times_of_feeds_are_utc_or_unknown(value: object, time: datetime | None) -> None:
    assert lenient_time(value) == time  # type: ignore[arg-type]


def test_only_so_many_skipped_parts_are_listed() -> None:
    entries = Entries(OPTIONS)
    for number in range(MAX_SKIPPED + 5):
        entries.skip(f"line {number}", "no URL")
    report = entries.report()
    assert len(report.skipped) == MAX_SKIPPED + 1
    assert report.skipped[-1].reason == "5 more parts name nothing to ban"


def test_the_first_url_too_many_is_too_large() -> None:
    entries = Entries(ParserOptions(max_urls=1))
    entries.add(ReportedUrl("a"))
    with pytest.raises(TooLarge, match="more than 1 URLs"):
        entries.add(ReportedUrl("b"))


def test_a_value_is_shown_in_at_most_sixty_characters() -> None:
    assert shown("a" * 100) == '"' + "a" * 56 + "..."
    assert shown({"a": "b" * 100}) == "an object"
    assert shown(1.5) == "1.5"
