"""A refusal concerns no more than its subject: a ban that is not there, or a host whose state passes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from chalicelib.domain.errors import (
    ContentRefused,
    HostNotReady,
    NotBanned,
    PermissionRefused,
    UnknownRefusal,
    VendorError,
)
from chalicelib.domain.model import Action
from chalicelib.ledger import control
from dev.fakes.operations import banned, compare, renew, undo, world_with
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, World, pages

URLS = pages(3)
LOCKED = "locked.example.com"


# --- unbans of bans that are not there --------------------------------------------------------------------------------


def lifted_by_hand() -> World:
    """Ban these URLs, and lift the first in the vendor's console."""
    world = banned(URLS)
    del world.vendor.bans[URLS[0]]
    return world


@pytest.mark.parametrize("error", [NotBanned("no such object", code="CDN.0003"), ContentRefused("no", code="X")])
def test_an_unban_of_what_is_not_banned_is_done(error: VendorError) -> None:
    world = lifted_by_hand()
    world.vendor.errors = [error]
    undo(world, urls=(URLS[0],))
    world.minutes(5)

    assert world.state(URLS[0]) == "unbanned"
    assert not world.events("unban_failed")


def test_an_unban_task_that_fails_since_nothing_is_banned_is_done() -> None:
    world = lifted_by_hand()
    world.vendor.fail = {URLS[0]}
    undo(world, urls=(URLS[0],))
    world.minutes(5)

    assert world.state(URLS[0]) == "unbanned"


def test_an_unban_that_is_refused_while_the_ban_stands_fails_with_an_alarm() -> None:
    world = banned(URLS)
    world.vendor.errors = [ContentRefused("no", code="X")]
    undo(world, urls=(URLS[0],))
    world.minutes(5)

    assert world.state(URLS[0]) == "banned"
    assert [event["urls"] for event in world.events("unban_failed")] == [1]


def test_drift_never_bans_again_what_a_person_asked_to_lift() -> None:
    world = banned(URLS)
    world.vendor.errors = [ContentRefused("no", code="X")]
    undo(world, urls=(URLS[0],))
    world.minutes(5)
    world.vendor.bans.clear()  # Somebody lifts them in the vendor's console.
    world.clock.advance(hours=2)
    compare(world)
    world.minutes(3)

    assert set(world.vendor.bans) == set(URLS[1:])
    assert world.state(URLS[0]) == "unbanned"


# --- hosts that are not ready ----------------------------------------------------------------------------------------


def locking(world: World) -> None:
    """Have the vendor refuse every call that names a URL of the locked host, from now on."""
    create = world.vendor.create_task

    def create_task(action: Action, urls: list[str], ban_days: int) -> str:
        if any(LOCKED in url for url in urls):
            world.vendor.calls.append((action, tuple(urls), ban_days))
            raise HostNotReady("the domain is locked", code="CDN.0116")
        return create(action, urls, ban_days)

    world.vendor.create_task = create_task  # type: ignore[method-assign, assignment]


def test_a_host_that_is_locked_for_minutes_is_tried_again_and_no_other_waits() -> None:
    world = World()
    free = world.vendor.create_task
    locking(world)
    urls = [*pages(500), *pages(500, LOCKED)]
    world.queue({"urls": urls})
    world.minutes(2)
    assert world.states(pages(500)) == {"banned": 500}
    assert len(world.vendor.calls) <= 25  # The submitter takes the task apart by host, and not URL by URL.
    world.minutes(30)
    assert world.states(pages(500, LOCKED)) == {"pending": 500}
    calls = len(world.vendor.calls)

    world.vendor.create_task = free  # type: ignore[method-assign]
    world.minutes(16)
    assert world.states(urls) == {"banned": 1_000}
    assert len(world.vendor.calls) <= calls + 10


def test_a_host_that_stays_locked_for_hours_ends_as_failed_with_an_alarm() -> None:
    world = world_with(retry_days=0)
    locking(world)
    urls = pages(3, LOCKED)
    world.queue({"urls": urls})
    began = world.clock()
    while world.state(urls[0]) in {"unknown", "pending"}:
        assert world.clock() - began < timedelta(hours=7)
        world.minutes(5)

    assert world.clock() - began >= timedelta(hours=6)
    assert world.states(urls) == {"failed": 3}
    assert len(world.vendor.calls) <= 40
    assert sum(event.get("given_up", 0) for event in world.events("task_finished")) == 3


def test_an_unban_waits_for_its_host_too_and_is_done_when_the_host_is_ready() -> None:
    url = f"https://{LOCKED}/a"
    world = banned([url])
    free = world.vendor.create_task
    locking(world)
    undo(world, urls=(url,))
    world.minutes(20)
    assert world.state(url) != "banned"
    assert url in world.vendor.bans
    world.vendor.create_task = free  # type: ignore[method-assign]
    world.minutes(16)

    assert world.state(url) == "unbanned"
    assert url not in world.vendor.bans


# --- a permission that is missing for some hosts ----------------------------------------------------------------------


class Forbidding(FakeVendor):
    """A vendor whose keys lack the permission for the hosts in ``forbidden``; ``*`` means every host."""

    forbidden: frozenset[str] = frozenset()

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        hosts = {urlsplit(url).netloc for url in urls}
        if hosts & self.forbidden or "*" in self.forbidden:
            self.calls.append((action, tuple(urls), ban_days))
            raise PermissionRefused("not authorised for the enterprise project", code="CDN.0020")
        return super().create_task(action, urls, ban_days)


def forbidding(*hosts: str) -> World:
    world = World()
    vendor = Forbidding(clock=world.clock)
    vendor.forbidden = frozenset(hosts)
    world.vendor = vendor
    return world


def test_a_batch_that_is_refused_for_one_host_is_taken_apart_and_the_others_are_banned() -> None:
    world = forbidding("h3.example.com")
    urls = [url for number in range(8) for url in pages(5, f"h{number}.example.com")]
    world.post({"urls": urls})
    world.minutes(3)

    assert world.states(urls) == {"banned": 35, "pending": 5}
    assert control.read(world.rows, [ACCOUNT])[ACCOUNT].block is None
    assert {event.get("host") for event in world.events("vendor_error")} == {None, "h3.example.com"}


def test_a_host_that_is_refused_waits_and_is_banned_once_the_permission_is_there() -> None:
    world = forbidding("h3.example.com")
    urls = pages(3, "h3.example.com")
    world.post({"urls": [*urls, *pages(3)]})
    for _ in range(30):
        world.minutes(20)
    tries = len([1 for _, called, _ in world.vendor.calls if urls[0] in called])
    assert 20 <= tries <= 60
    assert world.states(urls) == {"pending": 3}
    world.vendor.forbidden = frozenset()  # type: ignore[attr-defined]
    world.minutes(16)
    assert world.states(urls) == {"banned": 3}


def test_an_account_whose_hosts_are_all_refused_is_blocked_after_a_few_calls() -> None:
    world = forbidding("*")
    urls = [url for number in range(64) for url in pages(2, f"h{number}.example.com")]
    world.post({"urls": urls})
    world.minutes(2)
    assert len(world.vendor.calls) <= 12
    block = control.read(world.rows, [ACCOUNT])[ACCOUNT].block
    assert block
    assert block.kind == "access_refused"
    calls = len(world.vendor.calls)
    world.minutes(5)
    assert len(world.vendor.calls) == calls
    world.vendor.forbidden = frozenset()  # type: ignore[attr-defined]
    world.minutes(20)
    assert world.states(urls) == {"banned": 128}


def minutes_blocked(world: World, count: int) -> int:
    """Let minutes pass; return in how many of them the whole account was blocked."""
    blocked = 0
    for _ in range(count):
        world.minutes()
        block = control.read(world.rows, [ACCOUNT])[ACCOUNT].block
        blocked += block is not None and block.until > world.clock()
    return blocked


REFUSED = ("h0.example.com", "h1.example.com", "h2.example.com")


def test_three_refused_hosts_do_not_stop_an_account_that_the_vendor_served_a_moment_ago() -> None:
    world = forbidding(*REFUSED)
    world.post({"urls": pages(1)})
    world.minutes(2)
    world.post({"urls": [f"https://{host}/a" for host in (*REFUSED, "h9.example.com")]}, webhook_id="w2")

    assert minutes_blocked(world, 3) == 0
    assert world.state("https://h9.example.com/a") == "banned"


def test_hosts_that_wait_for_their_permission_never_block_the_account_again() -> None:
    world = forbidding(*REFUSED)
    world.post({"urls": [f"https://{host}/a" for host in REFUSED]})
    world.minutes(12)  # nothing was ever accepted, so the account itself was blocked first

    assert minutes_blocked(world, 120) == 0


def test_new_bans_of_a_refused_host_are_not_called_again_in_the_same_drain() -> None:
    world = forbidding("h3.example.com")
    for number in range(6):
        world.queue({"urls": [f"https://h3.example.com/{number}/{page}" for page in range(1000)]})
        world.intake()
    world.drain()
    assert len(world.vendor.calls) == 1


# --- a code that nobody knows -----------------------------------------------------------------------------------------


class Puzzling(FakeVendor):
    """A vendor that refuses calls with a code that we do not know: those with a bad URL, or all of them."""

    bad: frozenset[str] = frozenset()
    refuses_all = False

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        if self.refuses_all or not self.bad.isdisjoint(urls):
            self.calls.append((action, tuple(urls), ban_days))
            raise UnknownRefusal("the account is in arrears", code="CDN.0999")
        return super().create_task(action, urls, ban_days)


def puzzled(world: World | None = None) -> tuple[World, Puzzling]:
    world = world or World()
    vendor = Puzzling(clock=world.clock, bans=world.vendor.bans, tasks=world.vendor.tasks)
    world.vendor = vendor
    return world, vendor


def test_an_account_that_refuses_everything_for_a_reason_nobody_knows_loses_no_ban() -> None:
    world, vendor = puzzled()
    vendor.refuses_all = True
    urls = pages(1_000)
    world.queue({"urls": urls})
    world.minutes(60)
    assert world.states(urls) == {"pending": 1_000}
    assert len(vendor.calls) <= 150  # halving to the single URLs would take 1,999
    assert {event["subject"] for event in world.events("vendor_refuses")} == {"ban"}

    vendor.refuses_all = False
    world.minutes(30)
    assert world.states(urls) == {"banned": 1_000}


def test_a_code_that_nobody_knows_costs_the_other_urls_nothing() -> None:
    world, vendor = puzzled()
    urls = pages(1_000)
    vendor.bad = frozenset({urls[3], urls[700]})
    world.queue({"urls": urls})
    world.minutes(5)

    assert world.states(urls) == {"banned": 998, "failed": 2}
    assert {event["kind"] for event in world.events("vendor_word_unknown")} == {"CDN.0999"}


def test_a_single_url_that_is_refused_for_a_reason_nobody_knows_is_sent_again() -> None:
    world, vendor = puzzled()
    vendor.refuses_all = True
    (url,) = pages(1)
    world.queue({"urls": [url]})
    world.minutes(3)
    assert world.state(url) == "failed"
    assert world.events("bans_tried_again")

    vendor.refuses_all = False
    world.clock.advance(hours=1)
    renew(world)
    world.minutes(3)
    assert world.state(url) == "banned"


def test_an_unban_that_is_refused_for_a_reason_nobody_knows_is_told_at_once_and_tried_for_hours() -> None:
    world, vendor = puzzled(banned(URLS))
    vendor.refuses_all = True
    undo(world, urls=(URLS[0],))
    world.minutes(20)
    assert {event["subject"] for event in world.events("vendor_refuses")} == {"unban"}
    assert URLS[0] in vendor.bans

    vendor.refuses_all = False
    world.minutes(16)
    assert world.state(URLS[0]) == "unbanned"
    assert URLS[0] not in vendor.bans


def test_new_bans_are_tried_while_others_wait_for_a_reason_nobody_knows() -> None:
    world, vendor = puzzled()
    waiting = pages(64)
    vendor.bad = frozenset(waiting)
    world.queue({"urls": waiting})
    world.minutes(2)
    assert world.states(waiting)["pending"] >= 32
    (url,) = pages(1, "h9.example.com")
    world.queue({"urls": [url]})
    world.minutes(1)

    assert world.state(url) == "banned"
