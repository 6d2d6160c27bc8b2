"""A ``World`` with an archive of its ledger."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.pipeline.archive.keys import ledger_keys
from chalicelib.pipeline.archive.ledger import ArchivedLedger, LedgerRoute, archive_ledger
from dev.fakes.objects import MemoryObjects
from dev.fakes.operations import undo
from dev.fakes.world import ACCOUNT, START, World, pages

DAY = START.date()
KEYS = ledger_keys(DAY)
FOREIGN = "https://elsewhere.example.org/"
"""A URL that is not on our hosts."""

BARE = "https://www.example.com/"
"""A URL that the bare-host rule holds."""


class LedgerWorld(World):
    """A world with an archive."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = MemoryObjects()

    def archive(self, *, hours: float = 0.5) -> ArchivedLedger:
        """Run the function that archives the ledger's finished days."""
        route = LedgerRoute(self.crasher.wrap(self.objects), lambda: {ACCOUNT: "huawei"}, workers=0)
        return archive_ledger(self.run(seconds=3600 * hours), route)

    def midnight(self, day: date = DAY, *, hours: float = 2) -> None:
        """Set the clock to the night after a day."""
        midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), START.tzinfo)
        self.clock.now = midnight + timedelta(hours=hours)

    def of_day(self, day: date = DAY) -> list[dict[str, Any]]:
        """Return the archived events of a day."""
        return self.objects.documents(ledger_keys(day).events)

    def summary(self, day: date = DAY) -> dict[str, Any]:
        """Return the archived summary of a day."""
        (document,) = self.objects.documents(ledger_keys(day).summary)
        return document


def a_day() -> LedgerWorld:
    """Return a world after a day with bans, a failure, a hold, an unban, and refusals at both doors."""
    world = LedgerWorld()
    world.vendor.refuse = {pages(3)[2]}
    world.post({"urls": [*pages(3), FOREIGN], "category": "phishing"})
    world.queue({"urls": [*pages(2), BARE, f"{FOREIGN}2"], "category": "malware"})
    world.minutes(12)
    undo(world, reason="mistake", cool_down_days=7, urls=(pages(1)[0],))
    world.minutes(5)
    return world
