"""Histories of words drawn at random: what is in force at the vendor is what the model of docs/policy.md says.

HISTORIES=n draws more of them than every run of the tests does; a history that fails is drawn again by its number.
"""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.pipeline.decisions import holds
from dev.fakes.histories import judge_each
from dev.fakes.operations import carry_on_all, refuse, renew, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.words_model import UrlModel
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World, pages

COUNT = int(os.environ.get("HISTORIES") or 40)
PART = 20
(URL,) = pages(1)
SOURCE_NAMES = ["isp", "queue", "public"]
CLOSE = timedelta(hours=26)
"""Nothing is compared so near to an end: the vendor bans for whole days, and its ban begins later than planned."""


class History:
    """One of them."""

    def __init__(self, number: int) -> None:
        self.dice = random.Random(f"words {number}")
        policy = parse_policy({**POLICY, "sources": {"public": {"trust": "review"}}})
        sources = parse_sources({**SOURCES, "isp": SOURCES["queue"], "public": SOURCES["queue"]})
        self.world = World(rows=MemoryRows(), policy=policy, sources=sources)
        self.model = UrlModel()
        self.log: list[str] = []

    def run(self) -> None:
        for _ in range(self.dice.randint(4, 16)):
            self.step()
            for _ in range(self.dice.choice([1, 1, 4, 12, 40])):
                self.world.clock.advance(hours=6)
                carry_on_all(self.world)
                renew(self.world)
                self.world.minutes(3)
                self.model.pass_time(self.world.clock())
            self.judge()

    def step(self) -> None:
        dice, world, model, now = self.dice, self.world, self.model, self.world.clock()
        model.pass_time(now)
        source = dice.choice(SOURCE_NAMES)
        what = dice.choice(["report"] * 5 + ["withdraw", "decide", "decide", "unban", "undo"])
        self.log.append(f"{now:%d %H:%M} {what} {source}")
        if what == "report":
            days = dice.choice([2, 9, 20])
            world.queue({"urls": [{"url": URL, "ban_duration": days}]}, source=source)
            self.intake()
            model.report(source, days, now, bans=source != "public")
        elif what == "withdraw":
            world.queue({"withdrawn": [URL]}, source=source)
            self.intake()
            model.withdraw(source, now)
        elif what == "decide":
            self.decide()
        elif what == "unban":
            undo(world, urls=(URL,))
            model.unban(now)
        elif model.state == "banned" and source in model.words:
            undo(world, source=source)
            model.undo(source, now)
        world.minutes(4)

    def intake(self) -> None:
        """Take the message; now and then the function is killed, and the message comes again."""
        if self.dice.random() < 0.4:
            with self.world.crash(self.dice.randint(1, 20), after=self.dice.random() < 0.5):
                self.world.intake()
            self.world.minutes(8)

    def decide(self) -> None:
        world, model, now = self.world, self.model, self.world.clock()
        for work in holds.all_held(world.rows, [ACCOUNT])[:1]:
            if work.rule == "withdrawn":
                refuse(world, work.chunk)  # the ban is to stand
                model.questions -= 1
            elif self.dice.random() < 0.5:
                world.approve(work.chunk)
                model.approve(now)
            else:
                refuse(world, work.chunk)
                model.refuse(now)

    def judge(self) -> None:
        world, model = self.world, self.model
        if model.until and abs(model.until - world.clock()) < CLOSE:
            return
        world.vendor.settle()
        said = f"{model}: {' | '.join(self.log)}"
        assert (URL in world.vendor.bans) == (model.state == "banned"), f"the vendor, against {said}"
        state = world.state(URL)
        expected = {"banned": {"banned"}, "held": {"held"}, "refused": {"rejected"}, "cooling": {"unbanned"}}
        allowed = expected.get(model.state, {"unknown", "expired", "suppressed", "unbanned", "rejected"})
        assert state in allowed, f"{state}, against {said}"


@pytest.mark.parametrize("first", range(0, COUNT, PART))
def test_what_is_in_force_is_what_the_model_says(first: int) -> None:
    judge_each(range(first, first + PART), lambda number: History(number).run())
