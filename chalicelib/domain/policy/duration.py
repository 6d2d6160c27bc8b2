"""How long a ban is that a report asks for: only this module decides it. Pure. Later words may move its end.

The first of these that names a length decides: the report (``ban_duration``), the source (``ban_days`` of its
configuration), the category of the report (the policy's ``categories``), the policy's default (7 days). The policy's
``longest_days`` of the source cuts the result.

Three words in code: ``ban_days`` is the number of days that the vendor call asks for, ``Plan.length`` is how long the
ban is planned to last, ``until`` is when it is planned to end.

A plan may last longer than a vendor grants in one call (``BAN_DAYS``). The call then asks for the longest ban, and
``pipeline.lifecycle.renewing`` renews it until its planned end. ``pipeline.lifecycle.expiry`` tells when a ban really
ends: it begins when it is submitted, which may be long after it was planned.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

BAN_DAYS = range(1, 31)
"""How many days one ban at a vendor may last."""

DEFAULT_DAYS = 7
"""Days of a ban if neither report, source nor category names a length."""

PLANNED_DAYS = range(1, 3 * 365 + 1)
"""For how many days a ban may be planned. A ban that lasts longer than one ban at the vendor is renewed."""

FOREVER = datetime(9990, 1, 1, tzinfo=UTC)
"""The planned end of a ban that lasts until a person unbans it. It is stored as a time, and shown as no end."""


class Plan(NamedTuple):
    """How long a URL is banned. ``length`` is ``None`` for a ban that lasts until a person unbans the URL."""

    ban_days: int
    """The number of days that the vendor call asks for. A longer ban is renewed after them."""
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


@lru_cache(maxsize=256)
def planned(reported_days: int | None, source_days: int | None, category: Plan, longest_days: int | None) -> Plan:
    """Plan a ban: what the report asks for, else what its source asks for by default, else the category's plan.

    ``longest_days`` cuts every plan, even the category's, since a source also chooses the category. ``None``: no limit.
    """
    days = reported_days or source_days
    plan = plan_for(days) if days else category
    if longest_days and (plan.length is None or plan.length > timedelta(days=longest_days)):
        return plan_for(longest_days)
    return plan
