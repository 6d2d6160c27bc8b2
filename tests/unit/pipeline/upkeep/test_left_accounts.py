"""An account that leaves the policy with work undone does not stand still in silence."""

from __future__ import annotations

from datetime import timedelta

from chalicelib.config.policy import parse
from chalicelib.pipeline.upkeep.left_accounts import tell_of_left_accounts
from dev.fakes.operations import banned, lasting, undo
from dev.fakes.world import ACCOUNT, POLICY, World, pages

WITHOUT = parse({**POLICY, "accounts": {"huawei-two": POLICY["accounts"][ACCOUNT]}})
URL, *_ = URLS = pages(3)


def told(world: World) -> list[str]:
    """Run what runs every hour; return what people were told of accounts that left."""
    world.emitted.clear()
    tell_of_left_accounts(world.run())
    return [f"{event['account']}: {event['problem']}" for event in world.events("account_left")]


def leave(world: World) -> None:
    assert told(world) == [], "an account that is there is nothing to tell of"
    world.policy = WITHOUT


def test_an_account_that_was_renamed_with_an_unban_waiting_is_told_of_once() -> None:
    world = banned(URLS)
    undo(world, urls=(URL,))
    leave(world)
    assert told(world) == [f"{ACCOUNT}: the policy does not name it any more: bans or unbans wait"]
    assert told(world) == []


def test_a_task_that_nobody_follows_any_more_counts_as_work() -> None:
    world = World()
    world.vendor.task_time = timedelta(hours=1)
    world.queue({"urls": URLS})
    world.minutes(1)
    leave(world)
    assert len(told(world)) == 1


def test_bans_that_nobody_renews_any_more_count_as_work() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": URLS})
    world.minutes(3)
    leave(world)
    assert told(world) == [f"{ACCOUNT}: the policy does not name it any more: bans are in force"]


def test_an_account_without_work_leaves_in_silence_and_one_that_comes_back_may_leave_again() -> None:
    world = World()
    leave(world)
    assert told(world) == []

    world.policy = parse(POLICY)
    assert told(world) == []
    world.queue({"urls": URLS})
    world.intake()
    leave(world)
    assert len(told(world)) == 1
