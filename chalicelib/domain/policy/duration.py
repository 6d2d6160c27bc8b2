"""How long a report asks for a ban: this module alone decides it. Pure. Later words may move the end.

The first of these that says something holds: the report (``ban_duration``), the source (``ban_days`` of its
configuration), the category of the report (the policy's ``categories``), the policy's default (7 days).

What is planned may outlast what a vendor grants in one call (``BAN_DAYS``). The call then asks for the longest ban, and
``pipeline.lifecycle.renewing`` renews it until its planned end. ``pipeline.lifecycle.expiry`` tells when a ban really
ends: it begins when it is submitted, which may be long after it was planned.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

BAN_DAYS = range(1, 31)
"""Days a vendor ban may last."""

DEFAULT_DAYS = 7
"""Days of a ban where neither report, source nor category says anything."""

PLANNED_DAYS = range(1, 3 * 365 + 1)
"""Days a ban may be planned for: a ban that outlasts one vendor ban is renewed."""

FOREVER = datetime(9990, 1, 1, tzinfo=UTC)
"""The planned end of a ban that lasts until a person unbans it."""


class Plan(NamedTuple):
    """How long a URL is banned. ``length`` is ``None`` until a person unbans it; beyond ``ban_days`` it is renewed."""

    ban_days: int
    """Days that the vendor call asks for."""
    length: timedelta | None

    def end(self, begin: datetime) -> datetime:
        """Return the planned end of a ban that begins at a moment."""
        return FOREVER if self.length is None else begin + self.length


def plan_for(days: int | None) -> Plan:
    """Plan a ban of that many days; ``None``: until unbanned. A renewal is planned with the days that remain."""
    if days is None:
        return Plan(BAN_DAYS[-1], None)
    days = min(max(days, BAN_DAYS[0]), PLANNED_DAYS[-1])
    return Plan(min(days, BAN_DAYS[-1]), timedelta(days=days))


def planned(reported_days: int | None, source_days: int | None, category: Plan, longest_days: int | None) -> Plan:
    """Plan a ban: what the report asks for, else what its source asks for by default, else the category's plan.

    ``longest_days`` bounds it whoever asks, since a source also chooses the category; ``None``: nothing does.
    """
    days = reported_days or source_days
    plan = plan_for(days) if days else category
    if longest_days and (plan.length is None or plan.length > timedelta(days=longest_days)):
        return plan_for(longest_days)
    return plan
