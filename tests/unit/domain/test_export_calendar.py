"""The days whose exports a vendor can make."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.export_calendar import ExportCalendar

EAST = ExportCalendar(timezone(timedelta(hours=8)), 31)
WEST = ExportCalendar(timezone(timedelta(hours=-5)), 2)


def test_the_finished_days_of_the_window_come_oldest_first_and_each_once() -> None:
    days = EAST.finished_days(datetime(2026, 3, 15, tzinfo=UTC))
    assert days == [date(2026, 2, 12) + timedelta(days=number) for number in range(31)]


def test_the_days_are_those_of_the_zone() -> None:
    now = datetime(2026, 3, 15, 2, tzinfo=UTC)
    assert WEST.finished_days(now) == [date(2026, 3, 12), date(2026, 3, 13)]
    assert WEST.start_of(date(2026, 3, 14)) == datetime(2026, 3, 14, 5, tzinfo=UTC)


@given(st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_every_finished_day_has_ended_and_the_next_one_has_not(now: datetime) -> None:
    for calendar in (EAST, WEST):
        last = calendar.finished_days(now)[-1]
        assert calendar.end_of(last) <= now < calendar.end_of(last + timedelta(days=1))
