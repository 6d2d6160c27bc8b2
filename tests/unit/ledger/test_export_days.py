"""Functions without the vendors' secret read the rows of the vendors' exports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.ledger import export_days
from chalicelib.ports import Update
from dev.fakes.rows import MemoryRows

NOW = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("hours", [8, 0, -3.5])
def test_an_account_is_registered_with_its_vendors_calendar(hours: float) -> None:
    rows = MemoryRows()
    calendar = ExportCalendar(timezone(timedelta(hours=hours)), 31)
    export_days.register(rows, "main", vendor="acme", calendar=calendar, now=NOW)
    assert export_days.accounts(rows) == {"main": calendar}


def test_a_row_without_an_offset_as_older_versions_wrote_it_counts_days_in_utc() -> None:
    rows = MemoryRows()
    calendar = ExportCalendar(timezone(timedelta(hours=8)), 31)
    export_days.register(rows, "main", vendor="acme", calendar=calendar, now=NOW)
    assert rows.apply(Update(("exports", "main"), remove=("utc_offset_minutes",)))
    assert export_days.accounts(rows) == {"main": ExportCalendar(timezone(timedelta(0)), 31)}
