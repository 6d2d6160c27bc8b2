"""A run shares its time among vendor accounts."""

from __future__ import annotations

import threading

import pytest

from chalicelib.domain.errors import ConfigurationError
from chalicelib.pipeline.run import Run, all_accounts_at_once
from dev.fakes.world import World


def test_an_account_that_hangs_delays_no_other() -> None:
    others = threading.Barrier(3)
    world, order = World(), list[str]()

    def work(run: Run) -> str:
        if run.account == "slow":
            others.wait(10)  # The others take as long as that.
        order.append(run.account)
        if run.account != "slow":
            others.wait(10)
        return run.account

    done = all_accounts_at_once(world.run(), ["slow", "a", "b"], work)

    assert done == {name: name for name in ("slow", "a", "b")}
    assert order[-1] == "slow"


def test_an_account_that_fails_is_told_and_the_others_are_done() -> None:
    world, done = World(), set[str]()

    def work(run: Run) -> None:
        if run.account == "bad":
            raise ConfigurationError("no such account")
        done.add(run.account)

    with pytest.raises(ConfigurationError):
        all_accounts_at_once(world.run(), ["bad", "a", "b"], work)

    assert done == {"a", "b"}
    assert [event["account"] for event in world.events("account_failed")] == ["bad"]


def test_a_list_that_never_ends_is_read_at_its_rate_until_the_deadline() -> None:
    world = World()
    run = world.run(seconds=20)
    began = world.clock()
    pages = list(run.paced(iter(range(1_000)), run.pace(5)))

    assert 90 <= len(pages) <= 100
    assert (world.clock() - began).total_seconds() < 21
    assert run.time_is_up
