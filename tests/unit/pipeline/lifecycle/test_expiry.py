"""A ban lasts from its submission: one that had to wait ends later than planned, and is not banned twice (I2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.model import BareHosts
from chalicelib.ledger import control
from chalicelib.pipeline.decisions import holds
from dev.fakes.operations import ROOTS, approve, held, lasting, renew, undo
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URLS = pages(5)


def test_a_url_that_waits_out_a_long_pause_is_not_claimed_again() -> None:
    world = World()
    world.post({"urls": URLS, "ban_duration": 1})
    world.intake()
    control.set_paused(world.rows, ACCOUNT, actor="ana", reason="incident", now=world.clock())
    world.clock.advance(days=2)
    world.post({"urls": URLS, "ban_duration": 1}, webhook_id="w2")
    assert world.intake().verdicts["duplicate"] == len(URLS)
    control.resume(world.rows, ACCOUNT, actor="ana", now=world.clock())
    world.minutes(3)
    assert {world.live_bans(url) for url in URLS} == {1}
    assert world.states(URLS) == {"banned": len(URLS)}


def test_a_ban_that_was_sent_late_is_in_force_until_the_vendor_ends_it() -> None:
    world = World()
    world.post({"urls": URLS, "ban_duration": 1})
    world.intake()
    world.clock.advance(hours=20)
    world.minutes(3)
    world.clock.advance(hours=5)  # This is past the planned end, and before the vendor's.
    assert world.states(URLS) == {"banned": len(URLS)}
    world.post({"urls": URLS, "ban_duration": 1}, webhook_id="w2")
    assert world.intake().verdicts["duplicate"] == len(URLS)
    world.clock.advance(hours=20)
    assert world.states(URLS) == {"expired": len(URLS)}
    world.post({"urls": URLS, "ban_duration": 1}, webhook_id="w3")
    assert world.intake().verdicts["ban"] == len(URLS)


def test_a_hold_older_than_its_bans_is_still_the_one_that_counts() -> None:
    world, hold_id = held()
    world.clock.advance(days=9)
    world.post({"urls": ROOTS}, webhook_id="w2")
    assert world.intake().verdicts["duplicate"] == len(ROOTS)
    approve(world, hold_id)
    world.minutes(3)
    assert {world.live_bans(url) for url in ROOTS} == {1}


def test_an_approval_bans_nothing_that_was_unbanned_or_protected_since() -> None:
    world, hold_id = held()
    undo(world, urls=(ROOTS[0],))
    world.policy = parse({**POLICY, "protected": [{"url": ROOTS[1], "comment": "ours"}]})
    approve(world, hold_id)
    world.minutes(3)
    assert set(world.vendor.bans) == set(ROOTS[2:])


def test_an_approval_of_what_nobody_may_ban_any_more_closes_the_hold() -> None:
    world, hold_id = held()
    world.policy = parse({**POLICY, "protected": [{"host": "*.example.com", "comment": "ours"}]})
    approve(world, hold_id)
    world.minutes(3)
    assert not world.vendor.calls
    assert holds.all_held(world.rows, [ACCOUNT]) == []


def test_a_long_ban_that_was_held_is_renewed_by_when_it_began() -> None:
    world = lasting(ban_for_days=40)
    world.policy = replace(world.policy, bare_hosts=BareHosts.HOLD)
    world.post({"urls": ROOTS})
    world.intake()
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    world.clock.advance(days=20)
    approve(world, work.chunk)
    world.minutes(3)
    for _ in range(12):
        world.clock.advance(days=1)
        renew(world)
    assert len(world.vendor.calls) == 1  # This is day 32: the ban of day 20 has 18 days to go.
    for _ in range(18):
        world.clock.advance(days=1)
        renew(world)
        world.minutes(2)
    assert [days for _, _, days in world.vendor.calls] == [30, 11]
    world.vendor.settle()
    assert set(world.vendor.bans) == set(ROOTS)


@pytest.mark.parametrize("change", ["protected", "unmanaged"])
def test_a_url_that_is_now_protected_or_not_ours_is_not_renewed(change: str) -> None:
    world = lasting(ban_for_days=60)
    world.post({"urls": URLS})
    world.minutes(3)
    protected = {"protected": [{"url": URLS[0], "comment": "ours"}]}
    unmanaged = {"accounts": {ACCOUNT: {"managed_domains": ["shop.example.net"]}}}
    world.policy = parse({**POLICY, **(protected if change == "protected" else unmanaged)})
    world.clock.advance(days=29, hours=1)
    assert renew(world) == (4 if change == "protected" else 0)
