"""edgeban ends bans that no vendor ends: once, at the planned end, unless a later word moved the end out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import ContentRefused, Unavailable
from chalicelib.domain.model import Action, VendorLimits
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claim_words, claims, control, due_chunks
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.lifecycle import explaining
from chalicelib.ports import Update, Write
from dev.fakes.killing import killed_at_each_call
from dev.fakes.operations import lasting, renew, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import LIMITS
from dev.fakes.world import ACCOUNT, World, pages

URLS = pages(40)
NEVER_ENDS = replace(LIMITS, longest_ban=None)


def reported(world: World | None = None, **report: Any) -> World:
    """Return a world whose vendor never ends a ban, in which these URLs are banned for a day."""
    world = world or World()
    world.vendor.limits = NEVER_ENDS
    world.post({"urls": URLS, **(report or {"ban_duration": 1})})
    world.minutes(3)
    assert world.states(URLS) == {"banned": 40}
    assert len(world.vendor.bans) == 40
    return world


def calls(world: World, action: Action = Action.UNBAN) -> list[int]:
    return [len(urls) for called, urls, _ in world.vendor.calls if called is action]


def test_a_ban_is_lifted_at_its_planned_end_by_one_call() -> None:
    world = reported()
    world.clock.advance(hours=23, minutes=50)
    world.minutes(2)
    assert len(world.vendor.bans) == 40

    world.minutes(15)

    assert world.vendor.bans == {}
    assert world.states(URLS) == {"expired": 40}
    assert calls(world) == [40]
    world.minutes(5)
    assert calls(world) == [40]


def test_a_ban_is_called_banned_until_the_vendor_has_lifted_it() -> None:
    world = reported()
    world.vendor.task_time = timedelta(minutes=10)
    world.clock.advance(days=1)
    world.minutes(6)
    assert calls(world) == [40]
    assert world.states(URLS) == {"banned": 40}
    (status,) = url_status.of_url(world.run(), URLS[0])
    assert status.public_reason == explaining.LIFTING

    world.minutes(15)
    assert world.states(URLS) == {"expired": 40}


def test_a_longer_plan_is_one_call_and_no_renewal() -> None:
    world = reported(lasting(ban_for_days=90), category="phishing")
    for _ in range(89):
        world.clock.advance(days=1)
        renew(world)
        world.minutes(1)
    assert len(world.vendor.bans) == 40
    assert calls(world, Action.BAN) == [40]

    world.clock.advance(days=1)
    world.minutes(10)

    assert world.vendor.bans == {}
    assert calls(world, Action.BAN) == [40]


def test_a_ban_until_unbanned_is_never_lifted() -> None:
    world = reported(lasting(until="unbanned"), category="phishing")
    for _ in range(5):
        world.clock.advance(days=300)
        renew(world)
        world.minutes(1)
    assert len(world.vendor.bans) == 40
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    assert world.vendor.bans == {}


def test_a_report_that_moves_the_end_out_keeps_its_url_banned_and_no_other() -> None:
    world = reported()
    world.post({"urls": URLS[:1], "ban_duration": 5}, webhook_id="w2")
    world.minutes(2)
    world.clock.advance(days=1)
    world.minutes(10)
    assert set(world.vendor.bans) == {URLS[0]}
    assert world.states(URLS) == {"banned": 1, "expired": 39}

    world.clock.advance(days=4)
    world.minutes(10)

    assert world.vendor.bans == {}
    assert calls(world) == [39, 1]


def test_a_report_while_the_lift_is_on_its_way_bans_after_it() -> None:
    world = reported()
    world.vendor.task_time = timedelta(minutes=10)
    world.clock.advance(days=1)
    world.minutes(4)
    assert calls(world) == [40]
    world.post({"urls": URLS[:1]}, webhook_id="w2")
    world.minutes(5)
    assert calls(world, Action.BAN) == [40]

    world.minutes(30)

    assert set(world.vendor.bans) == {URLS[0]}
    assert world.state(URLS[0]) == "banned"


def test_a_ban_that_began_late_lasts_its_days() -> None:
    world = World()
    world.vendor.limits = NEVER_ENDS
    control.set_paused(world.rows, ACCOUNT, actor="a", reason="r", now=world.clock())
    world.post({"urls": URLS, "ban_duration": 1})
    world.minutes(2)
    world.clock.advance(days=3)
    control.resume(world.rows, ACCOUNT, actor="a", now=world.clock())
    world.minutes(3)
    began = world.clock()
    assert len(world.vendor.bans) == 40
    world.clock.now = began + timedelta(hours=23)
    world.minutes(5)
    assert len(world.vendor.bans) == 40
    assert world.states(URLS) == {"banned": 40}

    world.clock.advance(hours=1)
    world.minutes(5)
    assert world.vendor.bans == {}


def test_a_person_unbans_before_the_end_and_nothing_is_lifted_twice() -> None:
    world = reported()
    undo(world, urls=tuple(URLS[:10]))
    world.minutes(3)
    world.clock.advance(days=1)
    world.minutes(10)
    assert world.vendor.bans == {}
    assert calls(world) == [10, 30]
    assert world.states(URLS) == {"unbanned": 10, "expired": 30}


def test_a_lift_that_the_vendor_refuses_is_told_and_tried_again_a_day_later() -> None:
    world = reported()
    world.vendor.refuse = {URLS[7]}
    world.clock.advance(days=1)
    world.minutes(10)
    assert set(world.vendor.bans) == {URLS[7]}
    assert world.states(URLS) == {"banned": 1, "expired": 39}
    assert world.events("unban_failed")

    world.vendor.refuse = set()
    world.clock.advance(days=1)
    world.minutes(5)

    assert world.vendor.bans == {}
    assert world.states(URLS) == {"expired": 40}


def test_a_vendor_that_is_down_delays_the_lift_and_loses_none() -> None:
    world = reported()
    world.clock.advance(days=1)
    world.vendor.errors = [Unavailable("down")] * 6
    world.minutes(20)
    assert world.vendor.bans == {}


@pytest.mark.parametrize("after", [False, True])
def test_a_lift_killed_at_any_call_is_done_once(after: bool) -> None:
    def prepare() -> World:
        world = reported()
        world.clock.advance(days=1, minutes=2)
        return world

    world = prepare()
    world.crasher.calls = 0
    world.sweep()
    count = world.crasher.calls
    assert count >= 8
    for at in range(1, count + 1):
        world = prepare()
        with world.crash(at, after=after):
            world.sweep()
        world.minutes(12)
        assert world.vendor.bans == {}, at
        assert world.states(URLS) == {"expired": 40}, at
        assert sum(calls(world)) == 40, at


@pytest.mark.parametrize("after", [False, True])
def test_a_submitter_killed_at_any_call_leaves_no_ban_without_an_end(after: bool) -> None:
    def prepare() -> World:
        world = World()
        world.vendor.limits = NEVER_ENDS
        world.post({"urls": URLS, "ban_duration": 1})
        world.intake()
        return world

    for at, world in killed_at_each_call(prepare, World.drain, after=after):
        world.minutes(4)
        assert len(world.vendor.bans) == 40, at
        world.clock.advance(days=1)
        world.minutes(6)
        assert world.vendor.bans == {}, at


class Meanwhile(MemoryRows):
    """Rows in which something happens right before the first claims are marked as ended."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[], object] | None = None

    def write(self, writes: Sequence[Write]) -> set[int]:
        happens = self.happens
        if happens and any(isinstance(write, Update) and write.set.get("outcome") == "expired" for write in writes):
            self.happens = None
            happens()
        return super().write(writes)


def test_a_report_that_moves_an_end_out_at_the_moment_of_the_end_wins() -> None:
    rows = Meanwhile()
    world = reported(World(rows=rows))
    world.clock.advance(hours=23, minutes=50)
    world.post({"urls": URLS[:1], "ban_duration": 5}, webhook_id="w2")
    read_at, world.clock.now = world.clock(), world.clock() + timedelta(minutes=12)

    def an_intake_that_began_earlier() -> None:
        now, world.clock.now = world.clock(), read_at
        world.intake()
        world.clock.now = now

    rows.happens = an_intake_that_began_earlier
    world.sweep()
    world.minutes(10)

    assert rows.happens is None
    assert world.state(URLS[0]) == "banned"
    assert set(world.vendor.bans) == {URLS[0]}
    world.clock.advance(days=5)
    world.minutes(10)
    assert world.vendor.bans == {}


def test_a_refused_unban_of_the_content_isolates_the_url() -> None:
    world = reported()
    world.vendor.errors = [ContentRefused("no")]
    world.clock.advance(days=1)
    world.minutes(10)
    assert world.vendor.bans == {}


def move_the_end_in(world: World, urls: list[str], *, until: datetime) -> None:
    """Do what a later word does: move the planned end of a claim in, and note that the chunk is due then."""
    found = claims.read(world.rows, [url_key(ACCOUNT, url) for url in urls], consistent=True)
    for claim in found.values():
        claim_words.change(world.rows, [(claim, claim.words, until)], now=world.clock())
        due_chunks.plan_end(world.rows, ACCOUNT, claim.chunk, at=until)


@pytest.mark.parametrize("limits", [LIMITS, NEVER_ENDS], ids=["the vendor ends bans", "it does not"])
def test_an_end_that_was_moved_in_is_kept_at_every_vendor(limits: VendorLimits) -> None:
    world = World()
    world.vendor.limits = limits
    world.post({"urls": URLS, "ban_duration": 7})
    world.minutes(3)
    until = (world.clock() + timedelta(days=2)).replace(microsecond=0)
    move_the_end_in(world, URLS[:5], until=until)
    assert [status.until for status in url_status.of_url(world.run(), URLS[0])] == [until]
    world.clock.now = until - timedelta(minutes=5)
    world.minutes(2)
    world.vendor.settle()
    assert len(world.vendor.bans) == 40

    world.minutes(10)
    assert set(world.vendor.bans) == set(URLS[5:])
    assert world.states(URLS) == {"expired": 5, "banned": 35}

    world.clock.advance(days=5)
    world.minutes(10)
    world.vendor.settle()
    assert world.vendor.bans == {}
    assert calls(world) == ([5] if limits.longest_ban else [5, 35])
