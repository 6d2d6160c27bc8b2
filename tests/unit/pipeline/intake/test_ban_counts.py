"""The blast radius (I6): caps hold, reporters corroborate, a dry run sends nothing, a pause loses nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.urls import url_key
from chalicelib.ledger import ban_counts, claims, control
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions import holds
from dev.fakes.operations import NO_CAPS, undo, world_with
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Meanwhile


def test_above_the_cap_of_a_source_bans_are_held() -> None:
    world = world_with(caps={**NO_CAPS, "per_source_per_hour": 30})
    world.post({"urls": pages(50)})
    world.minutes(3)
    assert world.states(pages(50)) == {"banned": 30, "held": 20}


def test_a_sources_own_cap_holds_where_nothing_else_is_capped() -> None:
    world = world_with(sources={"desk": {"max_per_hour": 30}})
    world.post({"urls": pages(50)})
    world.minutes(3)
    assert world.states(pages(50)) == {"banned": 30, "held": 20}


def test_the_cap_counts_across_batches_and_begins_anew_each_hour() -> None:
    world = world_with(caps={**NO_CAPS, "per_source_per_hour": 30})
    for part in range(4):
        world.post({"urls": pages(10, f"h{part}.example.com")}, webhook_id=f"w{part}")
        world.intake()
    assert world.states(pages(10, "h3.example.com")) == {"held": 10}
    world.clock.advance(hours=1)
    world.post({"urls": pages(10, "h4.example.com")}, webhook_id="w4")
    world.intake()
    assert world.states(pages(10, "h4.example.com")) == {"pending": 10}


def test_above_the_cap_of_a_host_only_that_host_is_held() -> None:
    world = world_with(caps={**NO_CAPS, "per_host_per_hour": 5})
    world.post({"urls": pages(8, "a.example.com") + pages(3, "b.example.com")})
    world.minutes(3)
    assert world.states(pages(8, "a.example.com")) == {"banned": 5, "held": 3}
    assert world.states(pages(3, "b.example.com")) == {"banned": 3}


@pytest.mark.parametrize("beside", [[], ["https://b.example.com/new"]])
def test_above_a_cap_a_longer_word_extends_nothing_whatever_else_its_batch_reports(beside: list[str]) -> None:
    url = pages(1, "a.example.com")[0]
    world = world_with(caps={**NO_CAPS, "per_host_per_hour": 2}, categories={"malware": {"ban_for_days": 20}})
    world.post({"urls": pages(2, "a.example.com"), "ban_duration": 2}, webhook_id="w1")
    world.minutes(3)
    key = url_key(ACCOUNT, url)
    planned = claims.read(world.rows, [key])[key].until
    world.queue({"urls": [url, *beside], "category": "malware"})
    world.intake()
    claim = claims.read(world.rows, [key])[key]
    assert claim.until == planned
    assert {word.source: word.bans for word in unpack(claim.words, world.sources)} == {"desk": True, "queue": False}


def test_another_intake_that_counted_meanwhile_makes_this_one_decide_again() -> None:
    world = world_with(caps={**NO_CAPS, "per_account_per_hour": 10})
    world.post({"urls": pages(10, "a.example.com")}, webhook_id="w1")
    world.post({"urls": pages(10, "b.example.com")}, webhook_id="w2")
    first, second = world.queued
    world.queued = [second]

    class Interleaved:
        """Rows that run another intake between our read of the counts and our write."""

        done = False

        def __getattr__(self, name: str) -> Any:
            return getattr(world.rows, name)

        def get(self, keys: Any, **options: Any) -> Any:
            found = world.rows.get(keys, **options)
            if not self.done and any(sk.startswith("usage#") for _, sk in keys):
                self.done = True
                world.intake()
            return found

    other = World(rows=Interleaved(), clock=world.clock, policy=world.policy)
    other.queued = [first]
    other.intake()
    states = world.states(pages(10, "a.example.com") + pages(10, "b.example.com"))
    assert states == {"pending": 10, "held": 10}


INTAKES, BATCH = 10, 100


def at_once(world: World, *, batches: int) -> list[str]:
    """Run ``INTAKES`` intakes at one moment, each ledger call taking 4 to 12 ms; return the rules of the holds."""
    urls = [pages(BATCH, f"h{number}.example.com") for number in range(batches)]
    for number, batch in enumerate(urls):
        world.queue({"urls": batch}, part=str(number))
    messages, world.queued = world.queued, []
    slow = Slow(world.rows)

    def intake(message: dict[str, Any]) -> None:
        beside = World(rows=slow, clock=world.clock, policy=world.policy)
        beside.queued = [message]
        beside.intake()

    with ThreadPoolExecutor(INTAKES) as pool:
        list(pool.map(intake, messages))
    return [hold.rule for hold in holds.all_held(world.rows, [ACCOUNT])]


class Slow:
    """A ledger whose every call takes as long as DynamoDB's."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.dice = rows, Random(1)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.rows, name)

        def call(*args: Any, **options: Any) -> Any:
            time.sleep(self.dice.uniform(0.004, 0.012))
            return method(*args, **options)

        return call


def test_ten_intakes_at_once_hold_nothing_while_the_caps_are_far() -> None:
    world = world_with(caps={"per_source_per_hour": 100_000, "per_host_per_hour": 20_000, "share_of_live": 0})
    rules = at_once(world, batches=30)
    assert rules == []
    assert ban_counts.read(world.rows, [ACCOUNT], now=world.clock())[ACCOUNT].total == 30 * BATCH


def test_ten_intakes_at_once_exceed_a_cap_by_one_invocation_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    cap = 1_000
    world = world_with(caps={**NO_CAPS, "per_account_per_hour": cap})
    rules = at_once(world, batches=30)
    banned = 30 * BATCH - sum(hold.count for hold in holds.all_held(world.rows, [ACCOUNT]))
    assert ban_counts.read(world.rows, [ACCOUNT], now=world.clock())[ACCOUNT].total == banned
    with capsys.disabled():
        print(f"\ncap {cap:,}: {banned:,} banned, exceeded by {max(0, banned - cap)} (one invocation has {BATCH})")
    assert set(rules) == {"account_cap"}
    assert cap - BATCH <= banned <= cap + BATCH


def test_duplicates_cost_no_write_with_every_cap_on() -> None:
    world = World(policy=parse({name: value for name, value in POLICY.items() if name != "caps"}))
    world.post({"urls": pages(500)})
    world.intake()
    assert isinstance(world.rows, MemoryRows)
    first = world.rows.units["written"]
    world.queue({"urls": pages(500)}, part="first")
    world.intake()
    before = world.rows.units["written"]
    assert before - first <= 1.05 * 500 + 2  # The further source's word is written, also about the 300 that are held.
    for part in range(3):
        world.queue({"urls": pages(500)}, part=str(part))
    world.intake()
    assert world.rows.units["written"] == before + 1  # The counts of the batch are one row.


def test_a_category_that_needs_two_reporters_waits_for_the_second() -> None:
    world = world_with(sources={"desk": {"relay": True}}, categories={"phishing": {"min_reporters": 2}})
    first = world.post({"urls": pages(3), "reporter": "ana@example.org"})
    world.minutes(2)
    assert set(world.report_states(first.report_id).values()) == {"suppressed"}
    world.post({"urls": pages(3), "reporter": "Ana@example.org"}, webhook_id="w2")  # This is the same person again.
    world.minutes(2)
    assert not world.vendor.calls
    world.post({"urls": pages(3), "reporter": "ben@example.net"}, webhook_id="w3")
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 3}
    assert set(world.report_states(first.report_id).values()) == {"banned"}


def test_one_source_counts_once_however_many_reporters_it_names() -> None:
    world = world_with(categories={"phishing": {"min_reporters": 3}})
    world.post({"urls": [{"url": pages(1)[0], "reporter": f"reporter {number}"} for number in range(3)]})
    world.minutes(2)
    assert not world.vendor.calls
    world.queue({"urls": pages(1), "category": "phishing"})
    world.minutes(2)
    assert not world.vendor.calls


def test_a_url_reported_under_thousands_of_names_keeps_a_small_row() -> None:
    world = world_with(sources={"queue": {"relay": True}}, categories={"default": {"min_reporters": 100}})
    urls = [{"url": pages(1)[0], "reporter": f"reporter {number}"} for number in range(2_000)]
    for start in range(0, 2_000, 1_000):
        world.queue({"urls": urls[start : start + 1_000]})
    world.intake()
    rows: Any = world.rows
    (names,) = [row["names"] for (_, sk), row in rows.rows.items() if sk == "reporters"]
    assert len(names) == 100
    world.minutes(3)
    assert world.states(pages(1)) == {"banned": 1}


@pytest.mark.parametrize("why", ["protected", "cooling", "a dry account", "a dry run"])
def test_no_reporter_is_noted_of_what_is_not_banned_anyhow(why: str) -> None:
    (page,) = pages(1)
    by_reason: dict[str, dict[str, Any]] = {
        "protected": {"protected": [{"url": page, "comment": "clean"}]},
        "a dry run": {"dry_run": True},
        "a dry account": {"accounts": {ACCOUNT: {"managed_domains": ["*.example.com"], "dry_run": True}}},
    }
    world = World()
    if why == "cooling":
        world.queue({"urls": [page]})
        world.minutes(3)
        undo(world, urls=(page,))
    world.policy = parse({**POLICY, "categories": {"default": {"min_reporters": 2}}, **by_reason.get(why, {})})
    world.queue({"urls": [page]})
    world.minutes(1)
    rows: Any = world.rows
    assert not [key for key in rows.rows if key[1] == "reporters"]


def test_two_reporters_in_one_batch_corroborate_each_other() -> None:
    world = world_with(sources={"desk": {"relay": True}}, categories={"phishing": {"min_reporters": 2}})
    world.post({"urls": pages(3), "reporter": "ana@example.org"})
    world.post({"urls": pages(3), "reporter": "ben@example.net"}, webhook_id="w2")
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 3}


def test_scheme_variants_are_banned_together_where_the_policy_says_so() -> None:
    world = world_with(scheme_variants="together")
    world.post({"urls": ["https://www.example.com/a", "http://www.example.com/b", "https://www.example.com:8443/c"]})
    world.minutes(3)
    assert set(world.vendor.bans) == {
        "https://www.example.com/a",
        "http://www.example.com/a",
        "http://www.example.com/b",
        "https://www.example.com/b",
        "https://www.example.com:8443/c",
    }


def test_a_dry_run_says_what_it_would_do_and_sends_nothing() -> None:
    world = world_with(dry_run=True)
    receipt = world.post({"urls": pages(3)})
    world.minutes(3)
    assert set(world.report_states(receipt.report_id).values()) == {"suppressed"}
    assert not world.vendor.calls


def test_a_source_under_review_is_held() -> None:
    world = world_with(sources={"desk": {"trust": "review"}})
    world.post({"urls": pages(3)})
    world.minutes(2)
    assert world.states(pages(3)) == {"held": 3}


@pytest.mark.parametrize("first", ["desk", "queue"])
def test_a_source_on_trial_takes_nothing_from_a_trusted_one_in_the_same_batch(first: str) -> None:
    world = world_with(sources={"desk": {"dry_run": True}})
    if first == "desk":
        world.post({"urls": pages(3)})
    world.queue({"urls": pages(3)})
    if first == "queue":
        world.post({"urls": pages(3)})
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 3}


@pytest.mark.parametrize("account", [ACCOUNT, control.EVERYWHERE])
def test_a_pause_stops_submission_and_loses_nothing(account: str) -> None:
    world = World()
    world.post({"urls": pages(30)})
    control.set_paused(world.rows, account, actor="ana", reason="looks wrong", now=world.clock())
    world.minutes(10)
    assert not world.vendor.calls
    assert world.states(pages(30)) == {"pending": 30}
    assert world.events("account_swept")[-1]["paused"] == 1
    control.resume(world.rows, account, actor="ana", now=world.clock())
    world.minutes(3)
    assert world.states(pages(30)) == {"banned": 30}


def test_a_pause_in_the_middle_of_a_drain_is_effective_within_a_minute() -> None:
    world = World()
    for part in range(20):
        world.queue({"urls": pages(1000, f"h{part}.example.com")})
    world.intake()
    wait = world.clock.sleep

    def sleep(seconds: float) -> None:
        wait(seconds + 5)
        if len(world.vendor.calls) == 3:
            control.set_paused(world.rows, ACCOUNT, actor="ana", reason="stop", now=world.clock())
            paused_at.append(world.clock())

    paused_at: list[Any] = []
    world.clock.sleep = sleep  # type: ignore[method-assign]
    assert world.drain().why == "paused"
    assert (world.clock() - paused_at[0]).total_seconds() < 60
    assert len(world.vendor.calls) < 12


# --- how long a source may ask for --------------------------------------------------------------------------------


def reported(world: World, days: int, urls: list[str], *, source: str = "queue") -> None:
    world.queue({"urls": [{"url": url, "ban_duration": days} for url in urls]}, source=source)
    world.intake()


def until(world: World, url: str) -> timedelta:
    key = url_key(ACCOUNT, url)
    return datetime.fromtimestamp(claims.read(world.rows, [key])[key].until, tz=UTC) - world.clock()


def used(world: World, source: str = "queue") -> int:
    return ban_counts.read(world.rows, [ACCOUNT], now=world.clock())[ACCOUNT].sources[source]


@pytest.mark.parametrize(("days", "lasts"), [(30, 5), (3, 3), (None, 5)])
def test_a_source_is_bounded_in_what_it_may_ask_and_in_the_category_that_it_names(days: int | None, lasts: int) -> None:
    long = {"malware": {"until": "unbanned"}}
    world = world_with(sources={"queue": {"longest_days": 5}}, categories=long)
    asked = {"ban_duration": days} if days else {}
    world.queue({"urls": [{"url": pages(1)[0], "category": "malware", **asked}]})
    world.minutes(3)
    assert abs(until(world, pages(1)[0]) - timedelta(days=lasts)) < timedelta(minutes=5)
    assert [ban_days for _, _, ban_days in world.vendor.calls] == [lasts]
    reported(world, 30, pages(1))  # It extends no ban either.
    assert until(world, pages(1)[0]) < timedelta(days=5, minutes=1)


def test_extensions_beyond_the_plan_of_the_category_count_against_the_cap_of_their_source() -> None:
    world = world_with(sources={"queue": {"max_per_hour": 2}})
    urls = pages(4)
    world.post({"urls": urls})
    world.minutes(3)
    reported(world, 30, urls)
    longer = [url for url in urls if until(world, url) > timedelta(days=20)]
    assert len(longer) == 2
    assert used(world) == 2
    assert not holds.all_held(world.rows, [ACCOUNT])
    reported(world, 30, pages(1, "h.example.com"))  # The source's cap is used up, so that a new URL waits for a person.
    assert [hold.rule for hold in holds.all_held(world.rows, [ACCOUNT])] == ["source_cap"]
    world.clock.advance(hours=1)
    reported(world, 30, urls)
    assert all(until(world, url) > timedelta(days=20) for url in urls)


def test_extensions_up_to_the_plan_of_the_category_count_against_no_cap() -> None:
    world = world_with(sources={"queue": {"max_per_hour": 1}}, categories={"phishing": {"ban_days": 20}})
    world.post({"urls": [{"url": url, "ban_duration": 1} for url in pages(3)]})
    world.minutes(3)
    world.queue({"urls": [{"url": url, "category": "phishing"} for url in pages(3)]})
    world.intake()
    assert all(until(world, url) > timedelta(days=19) for url in pages(3))
    assert used(world) == 0


def test_ten_intakes_that_extend_at_once_exceed_the_cap_of_their_source_by_one_invocation_at_most() -> None:
    world = world_with(sources={"queue": {"max_per_hour": 300}})
    urls = [pages(BATCH, f"h{number}.example.com") for number in range(10)]
    for number, batch in enumerate(urls):
        world.post({"urls": batch}, webhook_id=str(number))
    world.minutes(3)
    for batch in urls:
        world.queue({"urls": [{"url": url, "ban_duration": 30} for url in batch]})
    messages, world.queued = world.queued, []
    slow = Slow(world.rows)

    def intake(message: dict[str, Any]) -> None:
        beside = World(rows=slow, clock=world.clock, policy=world.policy)
        beside.queued = [message]
        beside.intake()

    with ThreadPoolExecutor(INTAKES) as pool:
        list(pool.map(intake, messages))
    longer = sum(until(world, url) > timedelta(days=20) for batch in urls for url in batch)
    assert used(world) == longer
    assert 300 - BATCH <= longer <= 300 + BATCH


def test_what_another_intake_claimed_first_is_given_back_to_the_caps() -> None:
    world = world_with(caps={**NO_CAPS, "per_account_per_hour": 100})
    world.queue({"urls": pages(10)})
    other = World(rows=world.rows, clock=world.clock, policy=world.policy)
    other.queue({"urls": pages(15)})
    rows = Meanwhile(world.rows, "add", other.intake)  # Both have reserved counts, and the other one claims first.
    world.rows = rows
    world.intake()
    assert ban_counts.read(other.rows, [ACCOUNT], now=world.clock())[ACCOUNT].total == 15
    assert used(other) == 15


def test_an_extension_that_another_intake_made_first_is_given_back_to_the_cap_of_its_source() -> None:
    world = world_with(sources={"queue": {"max_per_hour": 100}})
    world.post({"urls": pages(10)})
    world.minutes(3)
    other = World(rows=world.rows, clock=world.clock, policy=world.policy, sent=50)
    for each in (world, other):
        each.queue({"urls": [{"url": url, "ban_duration": 30} for url in pages(10)]})
    world.rows = Meanwhile(world.rows, "add", other.intake)  # Both have reserved counts, and the other extends first.
    world.intake()
    world.rows = other.rows
    assert used(other) == 10
    world.minutes(3)
    assert all(until(world, url) > timedelta(days=20) for url in pages(10))
    assert used(other) == 10, "the message came again, and had nothing to extend"


@pytest.mark.parametrize("after", [False, True])
def test_counts_of_an_intake_killed_at_any_call_are_never_too_low(after: bool) -> None:
    for at in range(1, 24):
        world = world_with(caps={**NO_CAPS, "per_account_per_hour": 100}, sources={"queue": {"max_per_hour": 100}})
        world.post({"urls": pages(3)})
        world.minutes(3)
        desk = used(world, "desk")
        world.queue({"urls": [{"url": url, "ban_duration": 30} for url in pages(6)]})
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        assert all(until(world, url) > timedelta(days=20) for url in pages(6))
        assert used(world, "desk") == desk == 3
        assert used(world) >= 6, at
