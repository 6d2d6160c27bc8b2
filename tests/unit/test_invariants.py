"""One test for each invariant of the design, at the mechanism that keeps it: remove the mechanism, and it fails.

Other tests hold the behaviour around each; these say in one place what must never be lost.
"""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from functools import cache

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import AnswerUnknown
from chalicelib.domain.model import Action
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Meanwhile
from dev.package import ROOT as PROJECT

DESIGN = PROJECT / "docs" / "design.md"
URLS = pages(40)
DONE = {"banned": len(URLS)}


def bans(world: World) -> list[str]:
    """Return the URLs of all ban tasks at the vendor; a URL of two tasks is there twice."""
    return sorted(url for task in world.vendor.tasks.values() if task.action is Action.BAN for url in task.urls)


# --- I1: nothing accepted is lost ------------------------------------------------------------------------------------


def test_i1_urls_whose_messages_are_gone_are_in_the_ledger_before_anything_else_happens() -> None:
    """Mechanism: the chunk is written open, under a lease, before its claims; the sweep finishes it."""
    for at in range(3, 7):
        world = World()
        world.queue({"urls": URLS})
        with world.crash(at, after=True):
            world.intake()
        world.queued.clear()  # The queue gave up on the message.
        world.minutes(10)
        assert world.states(URLS) == DONE, f"killed after call {at}"


def test_i1_what_waits_survives_an_outage_in_the_ledger() -> None:
    """Mechanism: a task that was refused or not answered stays ``submitting``; the sweep wakes until it is done."""
    world = World()
    world.vendor.errors = [AnswerUnknown("timeout")] * 500
    world.vendor.list_errors = [AnswerUnknown("timeout")] * 500
    world.queue({"urls": URLS})
    world.minutes(90)
    assert world.queued == []  # The message was acknowledged long ago.
    world.vendor.errors, world.vendor.list_errors = [], []
    world.minutes(10)
    assert world.states(URLS) == DONE


# --- I2: one effect --------------------------------------------------------------------------------------------------


def test_i2_two_intakes_at_once_make_one_ban_of_each_url() -> None:
    """Mechanism: a claim is one conditional write."""
    rows = MemoryRows()
    second = World(rows=rows)
    second.queue({"urls": URLS[::-1]})
    first = World(rows=Meanwhile(rows, "get", second.intake), clock=second.clock)
    first.queue({"urls": URLS})
    first.intake()

    world = World(rows=rows, clock=second.clock)
    world.minutes(5)
    assert bans(world) == sorted(URLS)


def test_i2_a_call_whose_answer_was_lost_is_adopted_and_not_repeated() -> None:
    """Mechanism: the submitter reads the vendor's task list before it calls again."""
    world = World()
    world.queue({"urls": URLS})
    world.intake()
    world.vendor.lose_answer = True
    world.minutes(10)
    assert len(world.vendor.calls) == 1
    assert bans(world) == sorted(URLS)
    assert world.states(URLS) == DONE


def test_i2_a_submitter_that_was_taken_for_dead_sends_nothing_more() -> None:
    """Mechanism: the number of the account's last drain, checked in the transaction that records a task."""
    world = World()
    world.queue({"urls": pages(3_000)})
    world.intake()
    slow = World(rows=world.rows, clock=world.clock)
    slow.vendor = Meanwhile(world.vendor, "create_task", world.drain, before=True)  # type: ignore[assignment]

    assert slow.drain().why == "stale"
    assert bans(world) == sorted(pages(3_000))


# --- I3: the vendor's limits -----------------------------------------------------------------------------------------


def test_i3_no_call_is_too_large_and_no_second_has_too_many_though_a_backlog_uses_95_percent() -> None:
    """Mechanism: packing by the vendor's limit, and a pace of 96 % of its rate that looks at the last ten calls."""
    world = World()
    for part in range(40):
        world.queue({"urls": pages(2_500, host=f"h{part}.example.com")})
        world.intake()
        world.clock.advance(seconds=1)
    dice = random.Random(1)
    times: list[datetime] = []

    class Watched(FakeVendor):
        """A vendor that notes when each call arrives. Calls travel for unequal times, and some keep the caller busy."""

        def create_task(self, *args: object) -> str:
            times.append(world.clock() + timedelta(milliseconds=dice.randrange(40)))
            world.clock.advance(milliseconds=dice.randrange(125))
            return super().create_task(*args)  # type: ignore[arg-type]

    world.vendor = Watched(clock=world.clock)
    world.drain()

    sizes = [len(urls) for _, urls, _ in world.vendor.calls]
    assert max(sizes) <= 1_000
    assert sum(sizes) / len(sizes) >= 950
    assert max(sum(t <= u < t + timedelta(seconds=1) for u in times) for t in times) <= 10
    assert (len(times) - 1) / (times[-1] - times[0]).total_seconds() >= 9.5


# --- I4: bans are exact ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reported", "sent"),
    [
        ("https://www.example.com/x?b=2&a=1&b=1", "https://www.example.com/x?b=2&a=1&b=1"),
        ("https://www.example.com/%7Euser/%2F/a%2fb", "https://www.example.com/%7Euser/%2F/a%2fb"),
        ("https://www.example.com//a///b/", "https://www.example.com//a///b/"),
        ("https://www.example.com/x?", "https://www.example.com/x?"),
        ("http://www.example.com/Case", "http://www.example.com/Case"),
        ("https://www.example.com/é?q=é", "https://www.example.com/%C3%A9?q=%C3%A9"),
        ("HTTPS://user:word@WWW.Example.COM:443/x#part", "https://www.example.com/x"),
    ],
)
def test_i4_the_vendor_is_sent_the_whatwg_url_without_fragment_and_userinfo_and_nothing_more_clever(
    reported: str, sent: str
) -> None:
    """Mechanism: one canonicalisation, by a parser of the standard, at the two doors."""
    world = World()
    world.post({"urls": [reported]})
    world.queue({"urls": [reported]})
    world.minutes(3)
    assert bans(world) == [sent]


# --- I5: only our own hosts ------------------------------------------------------------------------------------------

NOT_OURS = [
    "https://www.example.edu/x",
    "https://example.com.evil.example/x",
    "https://notexample.com/x",
    "https://www.example.com@evil.example/x",
    "https://192.0.2.1/x",
]
PROTECTED = "https://login.example.com/x"
ROOT = "https://www.example.com/"


@pytest.mark.parametrize("door", ["webhook", "queue"])
def test_i5_neither_a_foreign_nor_a_protected_url_nor_the_root_of_a_host_is_ever_sent(door: str) -> None:
    """Mechanism: scope when a batch is sorted and again in the verdict; the protected list and the rule for roots."""
    world = World(policy=parse_policy({**POLICY, "protected": [{"host": "login.example.com", "comment": "ours"}]}))
    body = {"urls": [*NOT_OURS, PROTECTED, ROOT, *URLS]}
    if door == "webhook":
        world.post(body)
    else:
        world.queue(body)
    world.minutes(5)
    assert bans(world) == sorted(URLS)


def test_i5_what_left_the_scope_between_report_and_intake_is_not_sent() -> None:
    """Mechanism: intake trusts no decision that was made before the message was queued."""
    world = World()
    world.post({"urls": URLS})
    world.policy = parse_policy({"version": 1, "accounts": {ACCOUNT: {"managed_domains": ["img.example.com"]}}})
    world.minutes(5)
    assert bans(world) == []


# --- all invariants --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("invariant", [f"I{number}" for number in range(1, 13)])
def test_every_invariant_has_a_test_that_exists(invariant: str) -> None:
    """``docs/design.md`` lists the invariants with their tests; those of I6 to I12 stand beside the behaviour."""
    (line,) = [line for line in DESIGN.read_text().splitlines() if line.startswith(f"| {invariant} |")]
    named = re.findall(r"`(test_\w+)`", line)
    assert named, f"{invariant} names no test"
    assert {*named} <= names_of_tests(), {*named} - names_of_tests()


@cache
def names_of_tests() -> set[str]:
    """Name every test function."""
    tests = (PROJECT / "tests").rglob("test_*.py")
    return {name for path in tests for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
