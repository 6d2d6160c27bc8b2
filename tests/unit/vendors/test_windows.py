"""Windows cover every span, and none is longer than the vendor allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.vendors.windows import Window, windows

START = datetime(2026, 1, 15, tzinfo=UTC)
WEEK = timedelta(days=7)


def span(minute: int, minutes: int) -> Window:
    return START + timedelta(minutes=minute), START + timedelta(minutes=minute + minutes)


def covered(at: datetime, found: list[Window]) -> bool:
    return any(start <= at <= end for start, end in found)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40 * 24 * 60), st.integers(0, 25 * 24 * 60)), max_size=30))
def test_every_span_is_covered_and_no_window_is_longer_than_the_vendor_allows(drawn: list[tuple[int, int]]) -> None:
    spans = [span(minute, minutes) for minute, minutes in drawn]
    found = windows(spans, longest=WEEK)

    assert all(timedelta(0) <= end - start <= WEEK for start, end in found)
    assert found == sorted(found)
    for start, end in spans:
        for tenth in range(11):
            assert covered(start + (end - start) * tenth / 10, found)


def test_spans_of_one_week_share_one_window() -> None:
    assert windows([span(hour * 60, 10) for hour in range(0, 160, 10)], longest=WEEK) == [span(0, 150 * 60 + 10)]


def test_a_span_of_three_weeks_takes_three_windows() -> None:
    week = 7 * 24 * 60
    assert windows([span(0, 3 * week)], longest=WEEK) == [span(0, week), span(week, week), span(2 * week, week)]


def test_no_span_takes_no_window() -> None:
    assert windows([], longest=WEEK) == []
