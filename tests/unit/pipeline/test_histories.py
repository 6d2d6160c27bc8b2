"""Histories of bans drawn at random: in any order of events, the record says what the vendor does.

HISTORIES=n draws more of them than a usual run. A history that fails is drawn again by its number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import AnswerUnknown, ContentRefused, Throttled, Unavailable
from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.policy.forbidden import forbidden
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import claims, remaining, tasks
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.pipeline.upkeep.drift import SETTLED
from dev.fakes.histories import Drawn, Step, judge_each
from dev.fakes.operations import carry_on_all, compare, renew, undo
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URLS = [*pages(12), *pages(6, "shop.example.net"), "https://a.example.com/", "https://b.example.com/"]
ENDS = {"banned", "rejected", "suppressed", "held", "unbanned", "failed", "expired"}
COUNT = int(os.environ.get("HISTORIES") or 400)
PART = 50


class Vendor(FakeVendor):
    """A vendor that fails at forbidden calls and, if ``strict``, refuses to unban URLs that it does not ban."""

    world: World
    strict = False
    in_force: dict[str, datetime]

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        now = self.world.clock()
        for url in urls if action is Action.BAN else ():
            why = forbidden(url, ACCOUNT, self.world.policy, now)
            assert why is None, f"{url} was sent although it is {why.rule}"
        self.settle()
        if self.strict and action is Action.UNBAN and not {*urls} <= {*self.bans}:
            self.calls.append((action, tuple(urls), ban_days))
            raise ContentRefused("no such ban", code="FAKE.0002")
        before = len(self.tasks)
        try:
            return super().create_task(action, urls, ban_days)
        finally:
            if len(self.tasks) > before:
                self._note(action, urls, ban_days, now)

    def _note(self, action: Action, urls: Sequence[str], ban_days: int, now: datetime) -> None:
        for url in urls:
            if action is Action.UNBAN:
                self.in_force.pop(url, None)
                continue
            until = self.in_force.get(url, now)
            assert until <= now + timedelta(hours=26), f"{url} is banned twice: the first until {until}"
            self.in_force[url] = now + timedelta(days=ban_days)

    def lose(self, url: str) -> None:
        """Forget a ban."""
        self.bans.pop(url, None)
        self.in_force.pop(url, None)


class History(Drawn):
    """One history."""

    accounts = (ACCOUNT,)

    def __init__(self, number: int) -> None:
        super().__init__(f"history {number}", World())
        dice, world = self.dice, self.world
        vendor = Vendor(clock=world.clock, task_time=dice.choice([timedelta(0), timedelta(0), timedelta(seconds=90)]))
        vendor.world, vendor.strict, vendor.in_force = world, dice.random() < 0.5, {}
        vendor.limits = replace(vendor.limits, urls_per_task=dice.choice([1_000, 3, 5]))
        vendor.refuse = set(dice.sample(URLS, 2)) if dice.random() < 0.4 else set()
        self.vendor = world.vendor = vendor
        world.policy = self.policy()

    def policy(self) -> Policy:
        document: dict[str, Any] = {**deepcopy(POLICY), "categories": {"phishing": {"ban_for_days": 75}}}
        if self.dice.random() < 0.6:
            protected = self.dice.sample(URLS, self.dice.randint(1, 5))
            document["protected"] = [{"url": url, "comment": "a customer"} for url in protected]
        if self.dice.random() < 0.3:
            document["accounts"] = {ACCOUNT: {"managed_domains": ["example.com", "*.example.com"]}}
        return parse(document)

    def run(self) -> None:
        steps: dict[Step, int] = {
            self.reported: 4,
            self.policy_changed: 3,
            self.drained_in_trouble: 5,
            self.unbanned: 2,
            self.decided: 2,
            self.drained: 2,
            self.time_passed: 2,
            self.days_passed: 1,
            self.drifted: 1,
        }
        self.live(steps, pauses=[1, 30, 70])
        self.vendor.errors.clear()
        self.vendor.lose_answer = False
        for healed in range(12):  # A lost answer may be looked up for an hour.
            if healed < 6 or tasks.live(self.world.rows, ACCOUNT):
                carry_on_all(self.world)
                self.world.minutes(6)
        self.vendor.settle()
        self.judge()

    # --- what may happen -----------------------------------------------------------------------------------------

    def reported(self) -> None:
        urls = self.dice.sample(URLS, self.dice.randint(1, 8))
        self.world.queue({"urls": urls, "category": self.dice.choice(["phishing", "spam"])})
        self.world.intake()

    def policy_changed(self) -> None:
        self.world.policy = self.policy()

    def drained_in_trouble(self) -> None:
        trouble = self.dice.choice(
            [Unavailable("down"), AnswerUnknown("reset"), Throttled("later", retry_after=1), None]
        )
        if trouble:
            self.vendor.errors += [trouble] * self.dice.choice([1, 3])
        else:
            self.vendor.lose_answer = True
        self.world.drain(seconds=self.dice.choice([1, 5, 140]))

    def unbanned(self) -> None:
        undo(self.world, urls=tuple(self.dice.sample(URLS, self.dice.randint(1, 3))))

    def drained(self) -> None:
        self.world.drain()
        self.world.track()

    def time_passed(self) -> None:
        self.world.minutes(self.dice.randint(1, 3))
        carry_on_all(self.world)

    def days_passed(self) -> None:
        for _ in range(self.dice.choice([2, 12, 60])):
            self.world.clock.advance(hours=11)
            renew(self.world)
            self.world.minutes(3)

    def drifted(self) -> None:
        at_hand = self.world.crasher.at
        self.world.crasher.at = 0  # The comparison has its own tests. The next steps kill what follows from it.
        self.world.minutes(20)
        self.world.clock.advance(seconds=SETTLED.total_seconds())
        self.vendor.settle()
        known = claims.read(self.world.rows, [claims_key(url) for url in sorted(self.vendor.bans)], whole=True)
        # A ban that is lost after its planned end is not restored, and ends when the vendor's days would have ended.
        wanted = sorted(each.url for each in known.values() if each.until > self.world.clock().timestamp())
        for url in self.dice.sample(wanted, min(2, len(wanted))):
            self.vendor.lose(url)
        self.vendor.list_errors.clear()
        assert compare(self.world).complete
        self.world.crasher.at = at_hand
        self.world.minutes(3)

    # --- assertions ------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        world = self.world
        found = claims.read(world.rows, [claims_key(url) for url in URLS], consistent=True, whole=True)
        states = {each.url: each for each in Explainer(world.rows, now=world.clock()).explain(found.values())}
        for url in URLS:
            said = states.get(url)
            state = said.state.value if said else "unknown"
            there = "banned" if url in self.vendor.bans else "not banned"
            assert (there == "banned") == (state == "banned"), f"{url} is {state}, and {there} at the vendor"
            assert state in {*ENDS, "unknown"}, f"{url} is {state}"
        assert not tasks.live(world.rows, ACCOUNT)
        assert not [each for each in remaining.of_account(world.rows, ACCOUNT) if each.state is not ChunkState.HELD]


def claims_key(url: str) -> str:
    from chalicelib.domain.urls import url_key

    return url_key(ACCOUNT, url)


@pytest.mark.parametrize("first", range(0, COUNT, PART))
def test_the_record_says_what_the_vendor_does_whatever_happened(first: int) -> None:
    judge_each(range(first, first + PART), lambda number: History(number).run())
