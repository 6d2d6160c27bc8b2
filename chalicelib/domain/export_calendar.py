"""Which days a vendor's exports can be asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

LATE: Final = timedelta(hours=12)
"""A day that is not archived this long after its end is late, which raises an alarm."""


@dataclass(frozen=True, slots=True)
class ExportCalendar:
    """The vendor's days: the zone in which they begin and end, and how many finished ones its window holds."""

    zone: timezone
    window_days: int

    def finished_days(self, now: datetime) -> list[date]:
        """List the days that have ended at ``now`` and are still inside the window, oldest first.

        The window is counted in whole days. A vendor that counts it from the second refuses the oldest of them.
        """
        today = now.astimezone(self.zone).date()
        return [today - timedelta(days=back) for back in range(self.window_days, 0, -1)]

    def start_of(self, day: date) -> datetime:
        """Return the moment, in UTC, at which a day begins."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def end_of(self, day: date) -> datetime:
        """Return the moment, in UTC, at which a day ends."""
        return self.start_of(day + timedelta(days=1))
