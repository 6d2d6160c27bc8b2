"""Histories of reports drawn at random: each report ends, shows the states of its URLs, is told and archived.

HISTORIES=n draws more of them than a usual run. A history that fails is drawn again by its number.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.ban_index import Ban, Wanted
from chalicelib.domain.model import ChunkState, UrlState
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import claims, remaining, reports, tasks, unban_jobs
from chalicelib.ledger.reports import Report
from chalicelib.ledger.row import text
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.answers.ban_index import Reader, index_bans, up_to_now
from chalicelib.pipeline.lifecycle.explaining import Explainer
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.pipeline.submission.track import Tracked, track_tasks
from chalicelib.pipeline.upkeep.renew import renew_bans
from dev.fakes.archive import LedgerWorld
from dev.fakes.histories import Drawn, Step, judge_each
from dev.fakes.objects import MemoryViews
from dev.fakes.operations import CALLBACK, Receiver, carry_on, carry_on_all, deliver
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, POLICY, SECRET, SOURCES, START, pages

ASIA = "huawei-asia"
URLS = [
    *pages(6),
    *pages(3, "a.shop.example.net"),
    "https://www.example.com/",
    "http://www.example.com/page/1",
    "https://user@www.example.com/page/2",
    "https://bad.example.org/",
]
SIGNING = {"auth": "standard-webhooks", "secrets": [SECRET], **CALLBACK}
COUNT = int(os.environ.get("HISTORIES") or 200)
PART = 50


class TwoAccounts(LedgerWorld):
    """A world with an archive and a second vendor account."""

    def __init__(self) -> None:
        super().__init__()
        self.vendors = {ACCOUNT: self.vendor, ASIA: FakeVendor(clock=self.clock)}

    def renew(self) -> None:
        for account in self.vendors:
            renew_bans(self.run(seconds=240).at(account))

    def drain(self, *, seconds: float = 140) -> Drained:
        for account, vendor in self.vendors.items():
            done = submit_tasks(self.run(seconds=seconds).at(account), self.crasher.wrap(vendor), workers=0)
        return done

    def track(self) -> Tracked:
        for account, vendor in self.vendors.items():
            done = track_tasks(self.run(seconds=40).at(account), self.crasher.wrap(vendor))
        return done


class History(Drawn):
    """One history."""

    accounts = (ACCOUNT, ASIA)
    world: TwoAccounts

    def __init__(self, number: int) -> None:
        super().__init__(f"reports {number}", TwoAccounts())
        dice, world = self.dice, self.world
        cap = {**SIGNING, "category": "spam"}
        world.sources = parse_sources(
            {
                "desk": SIGNING,
                "reviewed": SIGNING,
                "trial": SIGNING,
                "capped": cap,
                "queue": SOURCES["queue"],
            }
        )
        self.receiver = Receiver(world)
        self.reader = Reader(MemoryViews())
        self.steady = dice.random() < 0.5
        self.scheme_variants = "together" if dice.random() < 0.3 else "apart"
        world.policy = self.policy()
        self.posted: dict[str, tuple[str, dict[str, Any]]] = {}
        self.taken: list[dict[str, Any]] = []
        self.reports: set[str] = set()

    def policy(self) -> Policy:
        dice = self.dice
        document: dict[str, Any] = {
            **deepcopy(POLICY),
            "accounts": {
                ACCOUNT: {"managed_domains": ["example.com", "*.example.com", "*.example.net"]},
                ASIA: {"managed_domains": ["*.shop.example.net"]},
            },
            "sources": {"reviewed": {"trust": "review"}, "trial": {"dry_run": True}, "capped": {"max_per_hour": 3}},
            "categories": {"spam": {"min_reporters": 2}, "malware": {"ban_for_days": 20}},
            "scheme_variants": self.scheme_variants,
        }
        document["caps"] |= {"per_host_per_hour": dice.choice([0, 4]), "per_account_per_hour": dice.choice([0, 6])}
        if dice.random() < 0.5:
            document["protected"] = [{"url": dice.choice(pages(6)), "comment": "a customer"}]
        return parse(document)

    def run(self) -> None:
        steps: dict[Step, int] = {
            self.reported: 6,
            self.sent_again: 1,
            self.taken_in: 4,
            self.redelivered: 1,
            self.unbanned: 2,
            self.decided: 2,
            self.submitted: 2,
            self.minutes_passed: 3,
            self.days_passed: 1,
            self.policy_changed: 1,
        }
        world = self.world
        self.live(steps, pauses=[1, 20, 70])
        for webhook_id in self.posted:  # A sender that saw no 202 sends again.
            self.post(webhook_id)
        for _ in range(3):
            carry_on_all(world)
            world.minutes(7)
        for _ in range(8):
            world.clock.advance(hours=7)
            world.renew()
            world.minutes(2)
            deliver(world, self.receiver)
            world.archive()
        self.judge()

    # --- what may happen -----------------------------------------------------------------------------------------

    def reported(self) -> None:
        dice = self.dice
        source = dice.choice(["desk", "desk", "reviewed", "trial", "capped", "queue"])
        document: dict[str, Any] = {"urls": dice.sample(URLS, dice.randint(1, 6)), "reporter": dice.choice("xyz")}
        if dice.random() < 0.7:
            document["category"] = dice.choice(["spam", "phishing", "malware"])
        if dice.random() < 0.1:
            document["test"] = True
        if source == "queue":
            self.world.queue(document)
            return
        webhook_id = f"w{len(self.posted)}"
        self.posted[webhook_id] = source, document
        self.post(webhook_id)

    def post(self, webhook_id: str) -> None:
        source, document = self.posted[webhook_id]
        self.reports.add(self.world.post(document, webhook_id=webhook_id, source=source).report_id)

    def sent_again(self) -> None:
        if self.posted:
            self.post(self.dice.choice(list(self.posted)))

    def taken_in(self) -> None:
        world = self.world
        self.dice.shuffle(world.queued)
        before = list(world.queued)
        world.intake(limit=self.dice.randint(1, 5))
        self.taken += [each for each in before if each not in world.queued and self.dice.random() < 0.2]

    def redelivered(self) -> None:
        self.world.queued += self.taken
        self.taken = []

    def unbanned(self) -> None:
        dice, rows = self.dice, self.world.rows
        assert isinstance(rows, MemoryRows)
        made = sorted(pk[5:] for pk, _ in rows.rows if pk.startswith("task#"))
        ways: list[dict[str, Any]] = [
            {"urls": tuple(dice.sample(pages(6), 2))},
            {"source": dice.choice(["desk", "capped", "queue"])},
            *[{"report": each} for each in sorted(self.reports)[-1:]],
            *[{"task": each} for each in made[-1:]],
        ]
        now = self.world.clock()
        job = Job(unban_jobs.new_id(now), "ana", "appeal", dice.choice([0, 7]), now, **dice.choice(ways))
        unban_jobs.record(self.world.crasher.wrap(rows), job)
        carry_on(self.world, job)

    def submitted(self) -> None:
        self.world.drain()
        self.world.track()

    def minutes_passed(self) -> None:
        self.world.minutes(self.dice.randint(1, 7))
        index_bans(self.world.run(), Reader(self.world.crasher.wrap(self.reader.views)))
        carry_on_all(self.world)
        deliver(self.world, self.receiver)

    def days_passed(self) -> None:
        for _ in range(self.dice.choice([1, 4, 9])):
            self.world.clock.advance(hours=23, minutes=56)
            self.world.renew()
            self.minutes_passed()
            self.world.archive()

    def policy_changed(self) -> None:
        if not self.steady:
            self.world.policy = self.policy()

    # --- assertions ------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        world = self.world
        assert isinstance(world.rows, MemoryRows)
        for account, vendor in world.vendors.items():
            self.judge_account(account, vendor)
        assert not unban_jobs.unfinished(world.rows)
        assert not unban_jobs.ends_due(world.rows, now=world.clock())  # A later lift may still wait.
        self.judge_index()
        for report_id in sorted(self.reports):
            report = reports.read(world.rows, report_id)
            assert report
            self.judge_report(report)
        self.judge_archive()

    def judge_account(self, account: str, vendor: FakeVendor) -> None:
        world = self.world
        assert isinstance(world.rows, MemoryRows)
        vendor.settle()
        keys = [text(row, "pk")[4:] for row in world.rows.rows.values() if row["sk"] == "claim"]
        found = [each for each in claims.read(world.rows, keys, whole=True).values() if each.account == account]
        states = {each.url: each.state.value for each in Explainer(world.rows, now=world.clock()).explain(found)}
        assert {url for url, state in states.items() if state == "banned"} == set(vendor.bans)
        assert not {*states.values()} - {each.value for each in url_status.TERMINAL}
        assert not tasks.live(world.rows, account)
        assert not [each for each in remaining.of_account(world.rows, account) if each.state is not ChunkState.HELD]

    def judge_index(self) -> None:
        """Compare the index of bans, folded at once and as it was kept, with the bans at the vendors."""
        world = self.world
        banned = {(account, url) for account, vendor in world.vendors.items() for url in vendor.bans}
        for reader in (self.reader, Reader(MemoryViews())):
            index, as_of = up_to_now(world.run(), reader)
            listed = {(ban.account, ban.url) for ban in map(Ban.of, Wanted().select(index, now=as_of))}
            assert listed == banned, f"{len(listed - banned)} too many, {len(banned - listed)} missing"

    def judge_report(self, report: Report) -> None:
        world = self.world
        said = url_status.of_report(world.run(), report)
        assert url_status.terminal(said), f"{report.id} does not end: {said}"
        assert max(Counter((status.url, status.account) for status in said).values()) == 1, f"said twice: {said}"
        assert {status.url for status in said} >= {*report.urls}
        told = [body["data"] for _, body in self.receiver.got if body["data"]["report_id"] == report.id]
        assert told, f"{report.id} was never told"
        held = [
            {each["url"] for each in told[-1]["urls"] if each["state"] == "held"},
            {status.url for status in said if status.state is UrlState.HELD},
        ]
        # After a source was told that all has ended, it is not told of later reports by others.
        assert not held[0] or held[0] == held[1], f"{report.id}: what is held was told as {held[0]}, and is {held[1]}"

    def judge_archive(self) -> None:
        world = self.world
        told: Counter[tuple[str, str]] = Counter()
        day = START.date()
        while day < world.clock().date() - timedelta(days=1):
            with suppress(KeyError):  # Days before the first decision are not archived.
                told.update(
                    (each["chunk_id"], each["url"])
                    for each in world.of_day(day)
                    if each["event"] in {"ban", "hold", "unban"}
                )
            day += timedelta(days=1)
        assert not told or max(told.values()) == 1
        assert isinstance(world.rows, MemoryRows)
        for row in [row for row in world.rows.rows.values() if row["sk"] == "claim"]:
            made = text(row, "chunk")
            assert made[:8] >= f"{day:%Y%m%d}" or told[made, text(row, "url")] == 1, f"{row} is not in the archive"


@pytest.mark.parametrize("first", range(0, COUNT, PART))
def test_every_report_ends_and_says_what_its_urls_came_to_whatever_happened(first: int) -> None:
    judge_each(range(first, first + PART), lambda number: History(number).run())
