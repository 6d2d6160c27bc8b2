"""Bodies are decoded strictly: sizes, nesting, numbers, characters and times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.reports.json_text import read_json
from chalicelib.reports.reading import Flawed, ParserOptions, lenient_time, read_text, shown

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
        (b"NaN", "NaN, which is no JSON number"),
        (b"\xfe\xff\x00[\x00]", "not UTF-8 but UTF-16"),
        (b"GIF89a\xff\x00", "not UTF-8"),
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


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"b":{"a":1,"a":2}}', 'an object in which the key "a" is there twice'),
        (b'{"b":NaN}', "NaN, which is no JSON number"),
        (b'{"b":-Infinity}', "-Infinity, which is no JSON number"),
        (b'{"b":' + b"9" * 5_000 + b"}", "an integer of 5,000 digits"),
        (b'{"b":{"\\ud800":1,"\\ud801":2}}', 'an object in which the key "\\ufffd" is there twice'),
    ],
)
def test_a_value_that_cannot_be_trusted_spoils_itself_alone(body: bytes, problem: str) -> None:
    assert read_json(b"[1," + body + b"]", OPTIONS) == [1, {"b": Flawed(problem)}]


def test_half_of_a_surrogate_pair_becomes_the_sign_for_a_lost_character() -> None:
    assert read_json(rb'{"a":["x\ud83d","\ud83d\ude00","\\ud800"],"\udfff":1}', OPTIONS) == {
        "a": ["x\ufffd", "\U0001f600", "\\ud800"],
        "\ufffd": 1,
    }


def test_a_byte_that_is_no_utf_8_spoils_its_own_line_alone() -> None:
    assert read_text("a\né\nb".encode("latin-1"), OPTIONS) == "a\n\ufffd\nb"


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


def test_a_value_is_shown_in_at_most_sixty_characters() -> None:
    assert shown("a" * 100) == '"' + "a" * 56 + "..."
    assert shown({"a": "b" * 100}) == "an object"
    assert shown(1.5) == "1.5"
