"""Histories drawn at random: the vendor bans, and operators and sources are shown, what the model says.

HISTORIES=n draws more of them than a usual run. A history that fails is drawn again by its number.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import (
    AccessRefused,
    Conflict,
    ContentRefused,
    HostNotReady,
    NotFound,
    QuotaExceeded,
    Throttled,
    Unavailable,
    VendorError,
)
from chalicelib.domain.model import Action, ChunkState, TaskState
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import control, remaining, reports, tasks, unban_jobs
from chalicelib.ledger.chunks import read as read_chunks
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import ban_by_hand, by_hand_request, holds
from chalicelib.pipeline.lifecycle.splitting import urls_of
from chalicelib.pipeline.submission.submit import Drained, submit_tasks
from chalicelib.pipeline.submission.track import Tracked, track_tasks
from dev.fakes.histories import judge_each
from dev.fakes.operations import CALLBACK, Receiver, carry_on, carry_on_all, compare, deliver, renew
from dev.fakes.reference_model import Model, Report, Source, Taken, Url, shown, told
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeTask, FakeVendor
from dev.fakes.world import ACCOUNT, POLICY, SECRET, World

COUNT = int(os.environ.get("HISTORIES") or 24)
PART = 8
URLS = [
    "https://a.example.com/page/1",
    "https://a.example.com/page/2",
    "https://b.example.com/page/1",
    "https://c.example.com/",
]
FOREIGN = "https://www.example.org/page/1"
SOURCES = [
    Source("isp"),
    Source("desk"),
    Source("lab", withdrawals_lift=True),
    Source("public", review=True),
    Source("relay", relay=True),
    Source("capped", cap=2),
    Source("brief", longest=timedelta(days=5)),
    Source("trial", dry_run=True),
]
PEOPLE = ["ana", "ben", "eva"]


def places(urls: Sequence[str]) -> list[int]:
    return [URLS.index(url) for url in urls]


NEIGHBOUR = "huawei-asia"

Shown = tuple[str, datetime | None]
"""A state, and its end."""

CLOSE = timedelta(minutes=20)
"""How near to the border between two outcomes either outcome may be right."""


@dataclass
class TroubledVendor(FakeVendor):
    """A vendor that is out of order as ``trouble`` says, and refuses bans of URLs in ``refused`` for their content."""

    trouble: str = ""
    refused: set[str] = field(default_factory=set)
    latest: dict[str, FakeTask] = field(default_factory=dict)
    """The vendor's last task of each URL."""
    unready: str = ""
    """A host whose state does not allow bans for now."""

    def _finish(self, task: FakeTask) -> None:
        super()._finish(task)
        self.fail -= {*task.urls}  # A URL that fails once succeeds at the next try.

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """See ``FakeVendor``."""
        errors: dict[str, VendorError] = {
            "down": Unavailable("down"),
            "throttled": Throttled("later", retry_after=1),
            "access": AccessRefused("locked"),
            **({"quota": QuotaExceeded("used up")} if action is Action.BAN else {}),
        }
        if self.trouble in errors:
            raise errors[self.trouble]
        self.lose_answer = self.trouble == "lost"
        if action is Action.BAN and any(self.unready and self.unready in url for url in urls):
            raise HostNotReady("the host is being configured", code="FAKE.0003")
        if action is Action.BAN and self.refused.intersection(urls):
            raise ContentRefused("refused for its content", code="FAKE.0001")
        before = set(self.tasks)
        try:
            return super().create_task(action, urls, ban_days)
        finally:
            for made in self.tasks.keys() - before:
                self._judge_single(self.tasks[made])

    def _judge_single(self, task: FakeTask) -> None:
        """Assert that the vendor makes no ban twice within an hour, as a repeated call would (I2)."""
        for url in task.urls:
            earlier = self.latest.get(url)
            self.latest[url] = task
            if earlier and earlier.state is not TaskState.FAILED:
                young = task.created_at - earlier.created_at < timedelta(hours=1)
                same = (task.action, task.days) == (earlier.action, earlier.days)
                assert not (young and same and task.action is Action.BAN), f"{url} is banned twice"

    def _list(self, name: str) -> None:
        if self.trouble in {"down", "access"}:
            raise Unavailable("down") if self.trouble == "down" else AccessRefused("locked")
        super()._list(name)


class Neighboured(World):
    """A world in which a second account serves the same hosts. Its vendor is slow and has its own troubles."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.neighbour = TroubledVendor(clock=self.clock, task_time=timedelta(minutes=40))

    def drain(self, *, seconds: float = 140) -> Drained:
        """Drain the neighbour's account first, then the usual one."""
        submit_tasks(self.run(seconds=seconds).at(NEIGHBOUR), self.crasher.wrap(self.neighbour), workers=0)
        return super().drain(seconds=seconds)

    def track(self) -> Tracked:
        """Track the neighbour's tasks first, then the others."""
        track_tasks(self.run(seconds=40).at(NEIGHBOUR), self.crasher.wrap(self.neighbour))
        return super().track()


class History:
    """One history."""

    def __init__(self, number: int) -> None:
        self.dice = random.Random(f"people {number}")
        self.is_neighboured = self.dice.random() < 0.25
        signing = {"auth": "standard-webhooks", "secrets": [SECRET], **CALLBACK}
        kind = Neighboured if self.is_neighboured else World
        self.world = kind(rows=MemoryRows(), sources=parse_sources({source.name: signing for source in SOURCES}))
        self.receiver = Receiver(self.world)
        self.called_back: dict[str, list[str]] = {}
        self.source_of: dict[str, Source] = {}
        self.world.crasher.tears = self.dice.random() < 0.5
        self.vendor = TroubledVendor(clock=self.world.clock, task_time=timedelta(seconds=self.dice.choice([0, 90])))
        self.world.vendor = self.vendor
        urls = [Url(url, root=url.endswith(".com/")) for url in URLS]
        self.model = Model(urls, self.world.clock())
        self.model.host_cap = self.dice.choice([0, 0, 2])
        self.world.policy = self.policy()
        self.log: list[str] = []
        self.sent = 0
        self.noted_at: dict[str, datetime] = {}
        self.last_report: dict[tuple[str, str], str] = {}
        self.calm, self.troubled_at = True, self.world.clock()

    def policy(self) -> Policy:
        document: dict[str, Any] = {
            **deepcopy(POLICY),
            "accounts": dict.fromkeys([ACCOUNT, NEIGHBOUR][: 1 + self.is_neighboured], POLICY["accounts"][ACCOUNT]),
            "categories": {
                "malware": {"ban_for_days": 75},
                "phishing": {"until": "unbanned"},
                "spam": {"ban_days": 3, "min_reporters": 2},
            },
            "sources": {
                "public": {"trust": "review"},
                "lab": {"withdrawals": "lift"},
                "relay": {"relay": True},
                "capped": {"max_per_hour": 2},
                "brief": {"longest_days": 5},
                "trial": {"dry_run": True},
            },
            "dry_run": self.model.dry_run,
            "protected": [{"url": url, "comment": "a customer"} for url in sorted(self.model.protected)],
            "approvals": {"two_above": 2, "per_person_per_day": 4},
        }
        document["caps"] |= {"lifts_per_source_per_hour": 2, "per_host_per_hour": self.model.host_cap}
        return parse_policy(document)

    # --- time --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        steps: list[Callable[[], None]] = [
            *[self.reported] * 6,
            *[self.withdrawn] * 2,
            self.all_taken_back,
            *[self.decided] * 3,
            self.lifted,
            self.lifted_before_bans,
            self.undone,
            self.banned_by_hand,
            self.protected,
            self.dry_run_changed,
            self.vendor_in_trouble,
            self.vendor_refuses,
            self.vendor_fails,
            self.vendor_forgets,
            self.neighbour_in_trouble,
        ]
        for _ in range(self.dice.randint(5, 16)):
            self.dice.choice(steps)()
            self.minutes(self.dice.choice([1, 3, 9]))
            if self.dice.random() < 0.6:
                self.peace()
                for _ in range(self.dice.choice([0, 1, 1, 4, 12, 40])):
                    self.world.clock.advance(hours=7)
                    self.maintain()
            self.judge()
        self.peace()
        self.judge()
        if not self.is_neighboured:  # URLs that wait for a neighbour's vendor have not ended.
            self.judge_callbacks()

    def note(self, what: str) -> None:
        self.log.append(f"{self.world.clock():%d.%m %H:%M} {what}")

    def minutes(self, count: int) -> None:
        for _ in range(count):
            carry_on_all(self.world)
            self.world.minutes()
        self.model.pass_time(self.world.clock())

    def maintain(self) -> None:
        """Run what is due every hour and every minute. Bans that are near their end end first."""
        self.model.pass_time(self.world.clock())
        self.move_on()
        renew(self.world)
        for url in self.model.urls.values():
            self.model.renew(url, self.world.clock())
        if self.dice.random() < 0.3:
            self.expire()
        self.minutes(1)
        if self.world.wakes or tasks.live(self.world.rows, ACCOUNT):
            self.minutes(9 if self.vendor.fail else 4)  # Failed URLs are tried again.
        if self.calm:
            self.model.reached_at = self.world.clock()
            if self.dice.random() < 0.3:
                self.call_back()

    def expire(self) -> None:
        """Let DynamoDB delete rows whose time has come."""
        rows, now = self.world.rows, self.world.clock().timestamp()
        assert isinstance(rows, MemoryRows)
        rows.rows = {key: row for key, row in rows.rows.items() if int(str(row.get("expires_at", 1 << 60))) > now}

    def near(self, url: Url) -> bool:
        """Whether a URL is so near to an end, or to a renewal of a late ban, that either side is right."""
        now = self.world.clock()
        ends = [url.end, url.decided_until] if url.state == "banned" else [url.decided_until]
        renewed_at = url.granted - timedelta(days=1)
        renewed = url.state == "banned" and renewed_at - timedelta(hours=2) - CLOSE < now < renewed_at + self.model.late
        return renewed or any(end is not None and abs(end - now) < CLOSE for end in ends)

    def move_on(self) -> None:
        """Let time pass until no URL is near to an end."""
        while any(self.near(url) for url in self.model.urls.values()):
            self.world.clock.advance(minutes=20)
            self.minutes(1)

    def peace(self) -> None:
        """Let the vendor answer well, and let every decision reach it."""
        self.vendor.trouble = self.vendor.unready = ""
        if control.paused(self.world.rows, ACCOUNT):
            control.resume(self.world.rows, ACCOUNT, actor="ana", now=self.world.clock())
        self.minutes(3 if self.calm else 24)
        self.move_on()
        self.minutes(3)
        self.model.reached_at = self.world.clock()
        if not self.calm:
            self.calm, self.model.late = True, max(self.model.late, self.world.clock() - self.troubled_at)
        self.call_back()

    def done(self, action: Callable[[], object]) -> None:
        """Do an action. Sometimes kill it first, and do it again."""
        if self.dice.random() < 0.4:
            with self.world.crash(self.dice.randint(1, 25), after=self.dice.random() < 0.5):
                action()
                return
            self.note("(killed)")
            self.minutes(self.dice.choice([1, 8]))
        action()

    # --- what may happen ---------------------------------------------------------------------------------------------

    def reported(self, source: Source | None = None, count: int = 0) -> None:
        dice, model = self.dice, self.model
        source, urls = source or dice.choice(SOURCES), dice.sample(URLS, count or dice.choice([1, 1, 2, 3]))
        category = dice.choice(["", "malware", "phishing", "spam", "spam"])
        days = dice.choice([None, 2, 9, 20]) if category != "spam" else None
        if source.cap:
            category, days = "", None
        reporter = dice.choice(["x", "y"])
        self.sent += 1
        report = Report("", source, category, timedelta(days=days) if days else None, reporter)
        if any(self.unclear(model.urls[url], report) or model.urls[url].state == "rejected" for url in urls):
            return
        document: dict[str, Any] = {"urls": [*urls, FOREIGN], "category": category, "reporter": reporter}
        if days:
            document["ban_duration"] = days
        received_at = self.world.clock()
        said_at = received_at - timedelta(hours=dice.choice([3, 30])) if dice.random() < 0.2 else None
        if said_at:
            document["reported_at"] = said_at.isoformat()
        self.note(f"{source.name} reports {places(urls)} {category} {days or ''} {reporter} {said_at or ''}")
        self.deliver(document, source, crash=not (source.cap or model.host_cap))  # A crash leaves counts too high.
        for url in urls:
            report_id = self.last_report[source.name, url] = self.report_id
            self.source_of[report_id] = source
            said = Report(report_id, source, category, report.lasts, reporter, received_at, said_at)
            model.report(url, said, self.world.clock())

    def unclear(self, url: Url, report: Report) -> bool:
        """Whether minutes decide if an end moves by a day, or if the ledger still knows that a source had spoken."""
        now = self.world.clock()
        lasts = report.lasts or {"": 7, "malware": 75, "spam": 3}.get(report.category, 0) * timedelta(days=1)
        ends = [url.until, url.end, *[said.until for said in url.words.values()]] if url.state == "banned" else []
        forgotten = url.marks.get(report.source.name, now) < now - timedelta(days=13)
        noted_at = self.noted_at.setdefault(url.name, now)
        if report.category == "spam":  # Reporters are known for 40 days.
            forgotten |= noted_at < now - timedelta(days=39)
            self.noted_at[url.name] = now
        return forgotten or any(abs(now + lasts - end - timedelta(days=1)) < CLOSE for end in ends)

    def deliver(self, document: dict[str, Any], source: Source, *, crash: bool) -> None:
        def send() -> None:
            self.report_id = self.world.post(document, webhook_id=f"w{self.sent}", source=source.name).report_id

        send()
        again = list(self.world.queued)
        if crash and not any(self.near(url) for url in self.model.urls.values()):
            self.done(self.world.intake)
            renew(self.world)  # If a renewal at once was killed, it comes within the hour.
        self.world.intake()
        if self.dice.random() < 0.2:
            self.world.queued += again
            self.world.intake()

    def withdrawn(self) -> None:
        source, url = self.dice.choice(SOURCES), self.dice.choice(URLS)
        if self.last_report and self.dice.random() < 0.6:
            name, url = self.dice.choice(sorted(self.last_report))
            source = next(each for each in SOURCES if each.name == name)
        self.sent += 1
        reporter = self.dice.choice(["x", "y"])
        now = self.world.clock()
        said_at = now - timedelta(hours=self.dice.choice([3, 30, 200])) if self.dice.random() < 0.5 else now
        self.note(f"{source.name} withdraws {URLS.index(url)} {reporter} {said_at if said_at < now else ''}")
        document = {"withdrawn": [{"url": url, "reporter": reporter, "said_at": said_at.isoformat()}]}
        self.deliver(document, source, crash=not source.withdrawals_lift)
        self.model.withdraw(url, source, reporter, self.world.clock(), said_at)

    def all_taken_back(self) -> None:
        """Let the source that may lift take all its words back. Up to its cap, no person is asked."""
        lab = SOURCES[2]
        self.reported(lab, len(URLS))
        self.minutes(3)
        self.decided()
        now = self.world.clock()
        urls = [url for url in URLS if lab.name in self.model.urls[url].words]
        if not urls:
            return
        self.sent += 1
        self.note(f"lab withdraws {places(urls)}")
        self.deliver({"withdrawn": [{"url": url, "reporter": "x"} for url in urls]}, lab, crash=False)
        for url in urls:
            self.model.withdraw(url, lab, "x", self.world.clock(), now)

    def decided(self) -> None:
        dice, world, model, now = self.dice, self.world, self.model, self.world.clock()
        all_work = holds.all_held(world.rows, [ACCOUNT])
        if not all_work:
            return
        work = dice.choice(all_work)
        chunk = read_chunks(world.rows, [work.chunk])[work.chunk]
        urls = [url for at, url in enumerate(chunk.urls) if at not in work.excluded]
        where, asks = places(urls), work.rule == "withdrawn"
        stale = [url for url in urls if not model.urls[url].question and not model.urls[url].furthest(now)]
        if asks and stale:
            return  # The question is about an earlier ban, and another person approved this one.
        if dice.random() < 0.4:
            self.note(f"refuses {work.rule} {where}")
            self.done(lambda: self.tolerant(lambda: holds.refuse(world.run(), work.chunk, actor="ana", reason="no")))
            self.settle_hold(urls, [], asks=asks)
            return
        person = dice.choice(PEOPLE)
        first = chunk.actor if work.rule == "by_hand" else ""
        if first == person:
            person = next(name for name in PEOPLE if name != first)
        excepted = urls[:1] if len(urls) > 1 and dice.random() < 0.3 else []
        two = not asks and not first and model.needs_two(len(urls) - len(excepted), person, now)
        self.note(f"{person} approves {work.rule} {where} but {places(excepted)}, {'two' if two else 'alone'}")
        self.done(lambda: self.tolerant(lambda: self.approve(work.chunk, person, excepted)))
        if two:
            held = [each.chunk for each in holds.all_held(world.rows, [ACCOUNT])]
            assert work.chunk in held, f"one person was enough: {self.said}"
            other = next(name for name in PEOPLE if name != person)
            self.done(lambda: self.tolerant(lambda: self.approve(work.chunk, other, excepted)))
        self.settle_hold(
            [url for url in urls if url in excepted], [url for url in urls if url not in excepted], asks=asks
        )

    def settle_hold(self, refused: Sequence[str], approved: Sequence[str], *, asks: bool) -> None:
        """Tell the model how a hold was decided, or the question whether to lift bans."""
        model, now = self.model, self.world.clock()
        for url in (*refused, *approved):
            if asks:
                model.answer(url, now, lift=url in approved)
            elif url in approved:
                model.approve(url, now)
            else:
                model.refuse(url, now)

    def approve(self, hold_id: str, person: str, excepted: Sequence[str]) -> None:
        holds.approve(self.world.run(), hold_id, actor=person, reason="seen", excepted=excepted)

    @staticmethod
    def tolerant(action: Callable[[], object]) -> None:
        """Let a person ask again after a crash. A decision that is already done is refused."""
        with suppress(Conflict, NotFound):
            action()

    def lifted(self) -> None:
        urls = self.dice.sample(URLS, self.dice.choice([1, 1, 2]))
        days = self.dice.choice([0, 7])
        self.note(f"lifts {places(urls)} for {days}")
        self.undo(days, urls=tuple(urls))
        for url in urls:
            self.model.lift(url, self.world.clock(), timedelta(days=days))

    def undo(self, days: int, **selection: Any) -> None:
        def ask() -> None:
            now = self.world.clock()
            job = Job(unban_jobs.new_id(now), "ana", "an appeal", days, now, **selection)
            unban_jobs.record(self.world.crasher.wrap(self.world.rows), job)
            carry_on(self.world, job)

        self.done(ask)

    def undone(self) -> None:
        """Let a person undo a source, a report or a task."""
        dice, model, now = self.dice, self.model, self.world.clock()
        nobody_asks = any(url.state == "banned" and not url.words for url in model.urls.values())
        if nobody_asks or any(url.question or url.state == "rejected" for url in model.urls.values()):
            return  # Nobody asks for the ban, or the vendor does not make it: an undoing would lift it.
        source = dice.choice(SOURCES).name
        made = sorted(
            (task.created_at, task.id, task)
            for task in tasks.read(self.world.rows, self.task_ids()).values()
            if (task.account, task.action, task.state) == (ACCOUNT, Action.BAN, TaskState.SUCCEEDED)
        )
        way = dice.choice(["source", "source", "report", "task"])
        even = dice.random() < 0.2
        self.note(f"undoes {way} {source} {even=}")
        if way == "source":
            self.undo(7, source=source, even_if_others_said_so=even)
            for url in URLS:
                model.undo(url, now, timedelta(days=7), Taken(source=source, whoever_said_so=even))
        elif way == "report" and self.last_report:
            of_report = dice.choice(sorted(set(self.last_report.values())))
            self.undo(7, report=of_report, even_if_others_said_so=even)
            for url in URLS:
                model.undo(url, now, timedelta(days=7), Taken(report=of_report, whoever_said_so=even))
        elif way == "task" and made:
            created_at, task_id, task = dice.choice(made)
            self.undo(7, task=task_id, even_if_others_said_so=even)
            carried = urls_of(task, read_chunks(self.world.rows, [part.chunk for part in task.slices]))
            for url in (url for url in URLS if url in carried):
                model.undo(url, now, timedelta(days=7), Taken(task_made_at=created_at, whoever_said_so=even))

    def task_ids(self) -> list[str]:
        assert isinstance(self.world.rows, MemoryRows)
        return sorted(pk[5:] for pk, _ in self.world.rows.rows if pk.startswith("task#"))

    def banned_by_hand(self) -> None:
        dice, model, now = self.dice, self.model, self.world.clock()
        person = dice.choice(PEOPLE)
        urls = dice.sample(URLS, dice.choice([1, 1, 2]))
        days, exact, only_in_force = dice.choice([1, 5, 30, 50]), dice.random() < 0.5, dice.random() < 0.3
        if only_in_force:
            urls = [url for url in urls if model.urls[url].state == "banned"]
        end = now + timedelta(days=days) + (timedelta(hours=5) if exact else timedelta())
        fresh = [
            url
            for url in urls
            if url not in model.protected
            and model.urls[url].state != "banned"
            and not (model.urls[url].rule == "by_hand" and f"operator:{person}" in model.urls[url].words)
        ]
        alone = not (fresh and model.needs_two(len(fresh), person, now))
        self.note(f"{person} {'changes' if only_in_force else 'bans'} {places(urls)} for {days} {exact=} {alone=}")
        request = by_hand_request.Request(
            person,
            person,
            "a ticket",
            tuple(urls),
            plan=None if exact else plan_for(days),
            end=end if exact else None,
            only_in_force=only_in_force,
            sources=[source.name for source in SOURCES],
        )
        if exact:  # Days begin anew when somebody asks again.
            self.done(lambda: ban_by_hand.ban(self.world.run(), request))
        else:
            ban_by_hand.ban(self.world.run(), request)
        for url in urls:
            model.ban(url, person, end, now, exact=exact, alone=alone)

    def protected(self) -> None:
        self.peace()
        self.model.protected ^= {self.dice.choice(URLS)}
        self.note(f"protects {places(sorted(self.model.protected))}")
        self.world.policy = self.policy()

    def dry_run_changed(self) -> None:
        self.model.dry_run = not self.model.dry_run and self.dice.random() < 0.5
        self.note(f"dry run: {self.model.dry_run}")
        self.world.policy = self.policy()

    def lifted_before_bans(self) -> None:
        """Lift a ban while a new ban waits that may not be sent. The lift does not wait."""
        self.peace()
        banned = [url.name for url in self.model.urls.values() if url.state == "banned" and not self.near(url)]
        if not banned:
            return
        url = self.dice.choice(banned)
        self.begin_trouble(self.dice.choice(["quota", "paused"]))
        self.sent += 1
        waiting = {"urls": [f"https://other{self.sent}.example.com/page"]}
        self.world.post(waiting, webhook_id=f"w{self.sent}", source="desk")
        self.minutes(2)
        self.note(f"lifts {places([url])} meanwhile")
        self.undo(7, urls=(url,))
        self.model.lift(url, self.world.clock(), timedelta(days=7))
        self.minutes(9)  # The sweep finishes a killed one after five.
        self.vendor.settle()
        assert url not in self.vendor.bans, f"the lift of {places([url])} waits: {self.said}"

    def vendor_in_trouble(self) -> None:
        self.begin_trouble(self.dice.choice(["down", "throttled", "access", "quota", "paused", "lost", ""]))
        self.vendor.unready = "" if self.vendor.trouble else "a.example.com"
        for _ in range(self.dice.choice([0, 1, 4])):
            self.minutes(30)
            self.world.clock.advance(minutes=20)

    def begin_trouble(self, trouble: str) -> None:
        self.troubled_at = self.world.clock() if self.calm else self.troubled_at
        self.calm, self.vendor.trouble = False, trouble
        if trouble == "paused":
            now = self.world.clock()
            control.set_paused(self.world.rows, ACCOUNT, actor="ana", reason="a mistake", now=now)
        self.note(f"vendor: {trouble or 'host not ready'}")

    def neighbour_in_trouble(self) -> None:
        if isinstance(self.world, Neighboured):
            self.world.neighbour.trouble = self.dice.choice(["down", "throttled", "access", "quota", "lost", ""])
            self.world.neighbour.fail = set(self.dice.sample(URLS, 2))

    def vendor_refuses(self) -> None:
        """Let the vendor refuse a URL for its content from now on, or take it again."""
        self.peace()
        self.model.refused_by_vendor ^= {self.dice.choice(URLS)}
        self.vendor.refused = set(self.model.refused_by_vendor)
        self.note(f"vendor refuses {places(sorted(self.vendor.refused))}")

    def vendor_fails(self) -> None:
        """Let the next task of a URL fail."""
        self.peace()
        self.vendor.fail = {self.dice.choice(URLS)}
        self.note(f"vendor fails {places(sorted(self.vendor.fail))} once")

    def vendor_forgets(self) -> None:
        """Let the vendor lose a ban that the daily comparison then misses."""
        self.peace()
        self.world.clock.advance(hours=2)
        self.maintain()
        lost = [url for url in self.model.urls.values() if url.state == "banned" and not self.near(url)]
        if lost:
            url = self.dice.choice(lost)
            self.note(f"vendor forgets {places([url.name])}")
            self.vendor.settle()
            del self.vendor.bans[url.name], self.vendor.latest[url.name]
            compare(self.world)
            self.model.restore(url.name, self.world.clock())
            self.peace()

    # --- assertions ------------------------------------------------------------------------------------------------

    @property
    def said(self) -> str:
        return "\n" + "\n".join(self.log) + "\n" + "\n".join(map(str, self.model.urls.values()))

    @property
    def bans_wait(self) -> bool:
        return any(work.state is not ChunkState.HELD for work in remaining.of_account(self.world.rows, ACCOUNT))

    def judge(self) -> None:
        now = self.world.clock()
        self.vendor.settle()
        assert FOREIGN not in self.vendor.bans
        for url in self.model.urls.values():
            bans_wait = self.vendor.trouble in {"quota", "paused"}
            if bans_wait and url.state == "cooling" and now - url.changed_at > timedelta(minutes=8):
                assert url.name not in self.vendor.bans, f"the lift of {URLS.index(url.name)} waits: {self.said}"
            must, where = self.model.must_be_banned(url, now), URLS.index(url.name)
            if must is None:
                continue
            assert (url.name in self.vendor.bans) == must, f"{where} at the vendor, {now}: {self.said}"
            self.judge_shown(url, where)
        for (source, name), report_id in self.last_report.items():
            if self.model.must_be_banned(self.model.urls[name], now) is not None:
                self.judge_told(source, self.model.urls[name], report_id)

    def call_back(self) -> None:
        """Call sources back about their reports: once each, with what the model says."""
        before = len(self.receiver.got)
        deliver(self.world, self.receiver)
        for webhook_id, body in self.receiver.got[before:]:
            report_id = body["data"]["report_id"]
            ids = self.called_back.setdefault(report_id, [])
            assert f"outcome-{report_id}" not in ids, f"{report_id} was told its end before: {self.said}"
            assert webhook_id not in ids[-1:], f"{webhook_id} was told twice: {self.said}"
            ids.append(webhook_id)
            for answer in body["data"]["urls"]:
                self.judge_callback(report_id, answer)

    def judge_callback(self, report_id: str, answer: dict[str, Any]) -> None:
        source, url = self.source_of.get(report_id), self.model.urls.get(answer["url"])
        if source is None or url is None or answer["account"] not in {"", ACCOUNT} or self.near(url):
            return
        if self.last_report[source.name, url.name] != report_id:
            return
        if self.model.must_be_banned(url, self.world.clock()) is not None:
            until = datetime.fromisoformat(answer["until"]) if "until" in answer else None
            where = f"{source.name} is called back about {URLS.index(url.name)}:"
            self.compare(where, (answer["state"], until), told(url, source, report_id))

    def judge_callbacks(self) -> None:
        """Assert that each report was told its end, or that URLs are held. Later words of others are not told."""
        for _ in range(2):
            self.world.clock.advance(hours=7)
            self.maintain()
            self.call_back()
        for report_id in self.source_of:
            report = reports.read(self.world.rows, report_id)
            if report is None:
                continue
            states = url_status.of_report(self.world.run(), report)
            if url_status.terminal(states):
                is_open = any(each.state == "held" or each.sent_again for each in states)
                last = self.called_back.get(report_id, [""])[-1]
                right = last if is_open else last == f"outcome-{report_id}"
                assert right, f"{report_id} was told {last}: {states} {self.said}"

    def judge_shown(self, url: Url, where: int) -> None:
        found = url_status.of_url(self.world.run(), url.name)
        state, end = shown(url)
        is_shown = (found[0].state.value, found[0].until) if found else ("", None)
        self.compare(f"{where} is shown as", is_shown, (state, end))

    def judge_told(self, source: str, url: Url, report_id: str) -> None:
        report = reports.read(self.world.rows, report_id)
        if report is None:  # Its row has expired.
            return
        states = url_status.of_report(self.world.run(), report, [url.name])
        (answer,) = [
            each for each in url_status.told_to(self.world.policy, source, states) if each.account in {"", ACCOUNT}
        ]
        by_name = {each.name: each for each in SOURCES}
        is_told = (answer.state.value, answer.until)
        self.compare(f"{source} is told of {URLS.index(url.name)}:", is_told, told(url, by_name[source], report_id))

    def compare(self, what: str, shown_as: Shown, expected: Shown) -> None:
        (state, end), (expected_state, expected_end) = shown_as, expected
        if (
            expected_state == "banned"
            and state in {"pending", "processing", "received"}
            and (tasks.live(self.world.rows, ACCOUNT) or self.bans_wait)
        ):
            return  # During a renewal, the answer shows the renewal.
        assert expected_state in {"", state}, f"{what} {state}, not {expected_state}: {self.said}"
        if state == "suppressed" and expected_end and expected_end < self.world.clock():
            expected_end = None
        late = abs(end - expected_end) if end and expected_end else timedelta()
        has_end = state not in {"held", "suppressed", "received"}  # These may show a planned or a past end.
        right = late <= self.model.late and (bool(end) == bool(expected_end) or not (has_end or expected_end))
        assert not expected_state or right, f"{what} {state} until {end}, not {expected_end}: {self.said}"


@pytest.mark.parametrize("first", range(0, COUNT, PART))
def test_what_is_in_force_and_what_is_shown_is_what_the_model_says(first: int) -> None:
    judge_each(range(first, first + PART), lambda number: History(number).run())
