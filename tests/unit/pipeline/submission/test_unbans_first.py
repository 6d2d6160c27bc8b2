"""Undoing harm goes first (I11): an unban waits for no other ban, no quota of bans and no pause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import AccessRefused, AnswerUnknown, HostNotReady, QuotaExceeded, VendorError
from chalicelib.domain.model import Action
from chalicelib.ledger import control, waiting_unbans
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.ports import Update
from dev.fakes.operations import banned, carry_on_all, undo
from dev.fakes.world import ACCOUNT, World, pages
from dev.fakes.wrappers import Each, Meanwhile

URL = "https://www.example.com/harmless"


def a_ban_and_a_backlog(count: int, *, each: int = 2_000) -> World:
    """Return a world in which one URL is banned, and ``count`` others wait."""
    world = banned([URL])
    for start in range(0, count, each):
        world.queue({"urls": pages(count)[start : start + each]})
        world.intake()
        world.clock.advance(seconds=1)
    return world


def actions(world: World) -> list[Action]:
    """Return the action of each create after the first ban."""
    return [action for action, _, _ in world.vendor.calls][1:]


def test_an_unban_goes_before_the_bans_that_waited_when_it_came() -> None:
    world = a_ban_and_a_backlog(12_000)
    undo(world, urls=(URL,))
    world.drain()

    assert actions(world) == [Action.UNBAN, *[Action.BAN] * 12]


def test_an_unban_goes_before_more_waiting_chunks_than_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.pipeline.submission.backlog.WORK_AT_ONCE", 5)
    world = a_ban_and_a_backlog(20, each=1)
    undo(world, urls=(URL,))
    world.drain()

    assert actions(world)[0] is Action.UNBAN


def test_an_unban_that_comes_during_a_drain_is_sent_within_three_seconds() -> None:
    world = a_ban_and_a_backlog(60_000, each=10_000)
    told_at = []

    def unban() -> None:
        told_at.append(world.clock())
        undo(world, urls=(URL,))

    def create(original: Callable[..., str], *args: Any) -> str:
        if args[0] is Action.UNBAN:
            told_at.append(world.clock())
        return original(*args)

    world.vendor = Meanwhile(Each(world.vendor, create, "create_task"), "create_task", unban)  # type: ignore[assignment]
    world.drain()

    asked_at, sent_at = told_at
    assert sent_at - asked_at <= timedelta(seconds=3)
    assert actions(world).count(Action.BAN) >= 60


def test_an_unban_that_comes_during_a_drain_takes_its_urls_out_of_the_planned_bans() -> None:
    world = a_ban_and_a_backlog(40_000, each=10_000)
    late = pages(40_000)[-1]
    world.vendor = Meanwhile(world.vendor, "create_task", lambda: undo(world, urls=(late,)))  # type: ignore[assignment]
    world.drain()

    assert late not in {url for _, urls, _ in world.vendor.calls for url in urls}
    assert world.state(late) == "unbanned"


@pytest.mark.parametrize("switch", [ACCOUNT, control.EVERYWHERE])
def test_a_pause_stops_bans_and_lets_unbans_through(switch: str) -> None:
    world = a_ban_and_a_backlog(3_000)
    control.set_paused(world.rows, switch, actor="a", reason="r", now=world.clock())
    undo(world, urls=(URL,))
    world.minutes(3)

    assert actions(world) == [Action.UNBAN]
    assert world.state(URL) == "unbanned"
    assert URL not in world.vendor.bans
    control.resume(world.rows, switch, actor="a", now=world.clock())
    world.minutes(3)
    assert world.states(pages(3_000)) == {"banned": 3_000}


def test_the_sweep_wakes_a_paused_account_for_an_unban_alone() -> None:
    world = a_ban_and_a_backlog(3)
    control.set_paused(world.rows, ACCOUNT, actor="a", reason="r", now=world.clock())
    world.wakes.clear()
    world.sweep()
    assert not world.wakes
    undo(world, urls=(URL,))
    world.wakes.clear()
    world.sweep()
    assert world.wakes == [ACCOUNT]


def test_a_used_up_quota_of_bans_lets_unbans_through() -> None:
    world = a_ban_and_a_backlog(3)
    world.vendor.errors = [QuotaExceeded("used up", code="CDN.0005")]
    assert world.drain().why == "blocked"
    undo(world, urls=(URL,))
    world.clock.advance(minutes=1)
    world.drain()

    assert actions(world) == [Action.BAN, Action.UNBAN]
    world.clock.advance(minutes=15)
    world.drain()
    assert actions(world) == [Action.BAN, Action.UNBAN, Action.BAN]


def test_a_used_up_quota_of_unbans_lets_bans_through() -> None:
    world = a_ban_and_a_backlog(3)
    undo(world, urls=(URL,))
    world.vendor.errors = [QuotaExceeded("used up")]
    assert world.drain().why == "blocked"

    assert actions(world) == [Action.UNBAN, Action.BAN]


def test_both_quotas_may_be_used_up_at_once() -> None:
    world = a_ban_and_a_backlog(3)
    undo(world, urls=(URL,))
    world.vendor.errors = [QuotaExceeded("used up")] * 2
    for _ in range(5):
        assert world.drain().why == "blocked"
        world.clock.advance(minutes=1)

    assert actions(world) == [Action.UNBAN, Action.BAN]


def test_refused_access_stops_unbans_too() -> None:
    world = a_ban_and_a_backlog(3)
    undo(world, urls=(URL,))
    world.vendor.errors = [AccessRefused("no such key")] * 9
    for _ in range(5):
        assert world.drain().why == "blocked"
        world.clock.advance(minutes=1)

    assert actions(world) == [Action.UNBAN]


def test_a_quota_that_version_1_wrote_is_one_of_bans() -> None:
    world = a_ban_and_a_backlog(3)
    control.block(
        world.rows, ACCOUNT, until=world.clock() + timedelta(minutes=15), error=QuotaExceeded("used up", code="x")
    )
    undo(world, urls=(URL,))
    assert world.drain().why == "blocked"

    assert actions(world) == [Action.UNBAN]


def test_the_second_row_of_an_unban_goes_with_the_unban() -> None:
    world = a_ban_and_a_backlog(3)
    undo(world, urls=(URL,))
    assert len(waiting_unbans.read(world.rows, ACCOUNT, now=world.clock())) == 1
    world.minutes(7)

    assert waiting_unbans.read(world.rows, ACCOUNT, now=world.clock()) == []
    assert not world.rows.query(f"account#{ACCOUNT}", prefix="unban#")


def test_the_end_of_a_block_is_written_though_transactions_are_on_the_row() -> None:
    world = banned([URL])
    control.block(world.rows, ACCOUNT, until=world.clock() + timedelta(minutes=10), error=AccessRefused("no such key"))
    conflicts = [False] * 4

    def apply(original: Callable[[Update], bool], update: Update) -> bool:
        return conflicts.pop() if conflicts else original(update)

    control.unblock(Each(world.rows, apply, "apply"), ACCOUNT)

    assert control.read(world.rows, [ACCOUNT])[ACCOUNT].block is None
    assert not conflicts


# --- an unban and its own ban, recorded and not to be called ----------------------------------------------------------


def a_recorded_ban(error: VendorError) -> World:
    """Record some bans as a task, and have the vendor refuse the call."""
    world = World()
    world.post({"urls": [URL, *pages(4)]})
    world.intake()
    world.vendor.errors = [error]
    world.drain()
    assert not world.vendor.tasks
    return world


@pytest.mark.parametrize(
    "error", [QuotaExceeded("used up", code="CDN.0005"), HostNotReady("locked", code="CDN.0116")], ids=str
)
def test_an_unban_does_not_wait_for_its_own_ban_that_may_not_be_called(error: VendorError) -> None:
    world = a_recorded_ban(error)
    undo(world, urls=(URL,))
    world.minutes(2)
    assert world.state(URL) == "unbanned"

    world.clock.advance(minutes=30)
    world.minutes(3)
    assert world.states(pages(4)) == {"banned": 4}
    assert all(URL not in task.urls for task in world.vendor.tasks.values() if task.action is Action.BAN)


def test_an_unban_of_a_ban_that_is_unknown_is_sent_while_bans_are_paused() -> None:
    """The drain looks the ban up although it may not call it: so it learns that no ban will come."""
    world = a_recorded_ban(AnswerUnknown("lost"))
    control.set_paused(world.rows, ACCOUNT, actor="ana", reason="stop", now=world.clock())
    undo(world, urls=(URL,))
    world.minutes(3)
    assert world.state(URL) == "unbanned"
    assert not any(task.action is Action.BAN for task in world.vendor.tasks.values())

    control.resume(world.rows, ACCOUNT, actor="ana", now=world.clock())
    world.minutes(3)
    assert world.states(pages(4)) == {"banned": 4}
    assert URL not in world.vendor.bans


def test_a_ban_that_did_arrive_is_lifted_while_bans_are_paused() -> None:
    world = World()
    world.post({"urls": [URL, *pages(4)]})
    world.intake()
    world.vendor.lose_answer = True
    world.drain(seconds=1)
    control.set_paused(world.rows, ACCOUNT, actor="ana", reason="stop", now=world.clock())
    undo(world, urls=(URL,))
    world.minutes(4)
    assert world.state(URL) == "unbanned"
    assert set(world.vendor.bans) == {*pages(4)}


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_while_an_unban_takes_its_url_out_of_a_recorded_ban_loses_nothing(after: bool) -> None:
    for at in range(1, 40):
        world = a_recorded_ban(QuotaExceeded("used up", code="CDN.0005"))
        undo(world, urls=(URL,))
        with world.crash(at, after=after):
            world.drain()
        calls = world.crasher.calls
        world.minutes(3)
        assert world.state(URL) == "unbanned"
        world.clock.advance(minutes=30)
        world.minutes(3)
        assert world.states(pages(4)) == {"banned": 4}
        assert URL not in world.vendor.bans
        if calls < at:
            return
    raise AssertionError("the drain makes more calls than were killed")


def test_an_unban_that_is_made_again_after_a_crash_and_a_report_is_in_the_call_once() -> None:
    """The first unban waits. The report is held, so that the second unban takes the URL out of the hold."""
    calls = []
    for at in range(1, 20):
        world = World()
        with world.crash(at, after=True):
            undo(world, urls=(URL,))
        world.clock.advance(seconds=20)
        world.post({"urls": [URL]})
        world.intake()
        carry_on_all(world)
        world.minutes(2)
        calls += [urls for action, urls, _ in world.vendor.calls if action is Action.UNBAN]
    assert set(calls) == {(URL,)}


def test_a_drain_ends_that_may_send_nothing_and_has_a_call_to_look_up_that_comes_due() -> None:
    world = World()
    world.vendor.list_lags = timedelta(seconds=57)
    world.queue({"urls": [URL]})
    world.intake()
    world.vendor.lose_answer, begun_at = True, world.clock()
    world.drain(seconds=20)
    undo(world, urls=(URL,))  # The unban waits for the ban, which the vendor may have.
    undo(world, urls=pages(1))
    world.vendor.errors = [AccessRefused("locked")]
    world.clock.now = begun_at + timedelta(seconds=52)
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        assert beats < 1_000, "the drain goes on for ever"

    submit_tasks(replace(world.run(seconds=140).at(ACCOUNT), beat=beat), world.vendor, workers=0)
    assert world.events("submission_blocked") or world.events("vendor_refuses")
    assert world.events("task_adopted")


def test_a_ban_that_never_reached_the_vendor_is_not_repeated_when_its_url_is_unbanned() -> None:
    world = World()
    world.vendor.errors = [AnswerUnknown("lost on its way to the vendor")]
    world.queue({"urls": [URL, *pages(3)]})
    world.minutes(1)
    undo(world, urls=(URL,))
    world.minutes(5)

    assert [URL in urls for action, urls, _ in world.vendor.calls if action is Action.BAN] == [True, False]
    assert world.state(URL) == "unbanned"
    assert world.states(pages(3)) == {"banned": 3}
