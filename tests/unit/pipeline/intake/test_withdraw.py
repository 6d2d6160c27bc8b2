"""A source takes its own word back: the words of others stand, and the policy says who lifts the other bans (I2)."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import Action
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, reports
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.answers import url_status
from chalicelib.pipeline.decisions import holds
from dev.fakes.operations import carry_on_all, refuse, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URLS = pages(3)
URL = URLS[0]


def _world(**rules: Any) -> World:
    return World(rows=MemoryRows(), policy=parse_policy({**POLICY, "sources": {"queue": rules}}))


LIFTS: dict[str, Any] = {"withdrawals": "lift"}


def _report(world: World, days: int = 7, *, source: str = "queue", urls: list[str] = URLS) -> None:
    document = {"urls": [{"url": url, "ban_duration": days} for url in urls]}
    if source == "queue":
        world.queue(document)
    else:
        world.post(document, webhook_id=f"{days} {world.clock()}")


def _withdraw(world: World, *, source: str = "queue", urls: list[str] = URLS, **beside: Any) -> None:
    document = {"withdrawn": [{"url": url, **beside} for url in urls]}
    if source == "queue":
        world.queue(document)
    else:
        world.post(document, webhook_id=f"back {world.clock()}")


def _claim(world: World, url: str = URL) -> Claim:
    key = url_key(ACCOUNT, url)
    return claims.read(world.rows, [key], whole=True)[key]


def _banned(world: World, *sources: tuple[str, int]) -> World:
    for source, days in sources or (("queue", 7),):
        _report(world, days, source=source)
        world.minutes(3)
    assert world.states(URLS) == {"banned": 3}
    return world


def _is_banned_there(world: World, url: str = URL) -> bool:
    world.vendor.settle()
    return url in world.vendor.bans


@pytest.mark.parametrize("source", ["queue", "desk"])
def test_a_ban_that_nobody_asks_for_is_lifted_where_the_source_may(source: str) -> None:
    policy = parse_policy({**POLICY, "sources": {source: LIFTS}})
    world = _banned(World(rows=MemoryRows(), policy=policy), (source, 7))
    _withdraw(world, source=source)
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": 3}
    assert not _is_banned_there(world)
    _report(world, source=source)  # This is a new word, and there is no cool-down.
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}


def test_a_person_decides_where_the_source_may_not_lift_and_the_ban_stays_until_then() -> None:
    for lift in (True, False):
        world = _banned(_world())
        _withdraw(world)
        world.minutes(3)
        assert world.states(URLS) == {"banned": 3}
        assert _is_banned_there(world)
        (work,) = holds.all_held(world.rows, [ACCOUNT])
        assert (work.rule, work.count) == ("withdrawn", 3)
        if lift:
            world.approve()
        else:
            refuse(world)
        world.minutes(3)
        assert world.states(URLS) == {"unbanned" if lift else "banned": 3}
        assert _is_banned_there(world) is not lift
        assert not holds.all_held(world.rows, [ACCOUNT])


def test_a_person_is_asked_once_however_often_a_url_is_reported_and_withdrawn_meanwhile() -> None:
    world = _banned(_world())
    for source in ("queue", "desk", "queue"):
        _withdraw(world, source=source)
        world.minutes(3)
        _report(world, 9, source=source, urls=URLS[:2])
        world.minutes(3)
        _withdraw(world, source=source, urls=URLS[:2])
        world.minutes(3)
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    assert (work.rule, work.count) == ("withdrawn", 3)
    refuse(world)
    _report(world, 12)
    world.minutes(3)
    _withdraw(world)
    world.minutes(3)
    (again,) = holds.all_held(world.rows, [ACCOUNT])
    assert again.chunk != work.chunk, "the former question is answered"


def test_a_question_costs_as_many_reads_whatever_waits_beside_it() -> None:
    reads = []
    for waiting in (0, 60):
        world = _banned(_world())
        for number in range(waiting):
            world.queue({"urls": [f"https://h{number}.example.com/"]})  # a hold each
            world.intake()
            world.clock.advance(minutes=1)
        for _ in range(2):  # the second time the question is open
            _report(world, 9)
            world.minutes(3)
            rows = world.rows
            assert isinstance(rows, MemoryRows)
            before = rows.units["halves read"]
            _withdraw(world)
            world.intake()
            reads.append(rows.units["halves read"] - before)
            world.minutes(2)
    assert reads[:2] == reads[2:]


@pytest.mark.parametrize("days_later", [0, 10])
def test_a_person_who_is_asked_about_a_ban_lifts_none_that_another_source_asks_for_since(days_later: int) -> None:
    world = _banned(_world())
    _withdraw(world)
    world.minutes(3)
    world.clock.advance(days=days_later)  # Ten days later the ban has ended, and the report begins another one.
    world.minutes(3)
    _report(world, source="desk", urls=URLS[:1])
    world.minutes(3)
    world.approve()
    world.minutes(3)
    assert world.state(URL) == "banned"
    assert [_is_banned_there(world, url) for url in URLS] == [True, False, False]


def test_what_another_source_said_stands_to_its_end_and_is_lifted_then() -> None:
    world = _banned(_world(**LIFTS), ("queue", 30), ("desk", 5))
    _withdraw(world)
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}
    assert [word.source for word in unpack(_claim(world).words, world.sources)] == ["desk"]
    assert 4.9 < (_claim(world).until - world.clock().timestamp()) / 86_400 <= 5
    world.clock.advance(days=5)
    carry_on_all(world)
    world.minutes(3)
    assert not _is_banned_there(world)


def test_no_withdrawal_lifts_a_ban_that_a_person_approved() -> None:
    world = _world(trust="review", **LIFTS)
    _report(world)
    world.minutes(1)
    world.approve()
    world.minutes(3)
    _withdraw(world)
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    assert work.rule == "withdrawn"


@pytest.mark.parametrize("after", [False, True])
def test_whatever_is_killed_of_an_approval_a_withdrawal_leaves_no_ban_that_the_record_denies(after: bool) -> None:
    calls = 0
    killed = True
    while killed:
        calls += 1
        world = _world(trust="review")
        _report(world)
        world.minutes(1)
        with world.crash(calls, after=after):
            world.approve()
            killed = False
        world.minutes(7)
        _withdraw(world)
        world.minutes(7)
        world.vendor.settle()
        assert _is_banned_there(world) == (world.state(URL) == "banned"), f"killed at call {calls}: {world.state(URL)}"
    assert calls > 4


def test_above_the_cap_of_its_source_and_hour_a_person_decides() -> None:
    world = _banned(_world(**LIFTS))
    world.policy = parse_policy(
        {**POLICY, "caps": {**POLICY["caps"], "lifts_per_source_per_hour": 2}, "sources": {"queue": LIFTS}}
    )
    _withdraw(world)
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": 2, "banned": 1}
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    assert work.count == 1


def test_a_held_url_leaves_its_hold_once_its_last_source_withdraws() -> None:
    world = _world(trust="review")
    _report(world)
    world.minutes(1)
    _withdraw(world, urls=URLS[:1])
    world.minutes(1)
    assert world.state(URL) == "suppressed"
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    world.approve(work.chunk)
    world.minutes(3)
    assert world.states(URLS) == {"suppressed": 1, "banned": 2}
    assert not _is_banned_there(world)


@pytest.mark.parametrize("known", [False, True])
def test_a_report_that_is_withdrawn_before_it_arrives_bans_nothing_and_a_later_one_does(known: bool) -> None:
    world = _banned(_world()) if known else _world()
    if known:
        world.clock.advance(days=8)
    said = world.clock()
    world.clock.advance(hours=1)
    _withdraw(world)
    world.minutes(1)
    world.queue({"urls": URLS, "reported_at": said.isoformat()})
    world.minutes(3)
    assert not _is_banned_there(world)
    world.queue({"urls": URLS})
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}


@pytest.mark.parametrize("rules", [{}, {"trust": "review"}])
def test_what_was_said_before_its_withdrawal_and_arrives_late_adds_nothing_to_what_others_said(
    rules: dict[str, str],
) -> None:
    world = World(rows=MemoryRows(), policy=parse_policy({**POLICY, "sources": {"desk": rules}}))
    said_at = world.clock()
    _report(world, 2, source="desk")
    world.minutes(3)
    _withdraw(world)
    world.minutes(3)
    late = [{"url": url, "ban_duration": 20, "reported_at": said_at.isoformat()} for url in URLS]
    world.queue({"urls": late})
    world.minutes(3)
    assert [word.source for word in unpack(_claim(world).words, world.sources)] == ["desk"]
    assert world.states(URLS) == {"held" if rules else "banned": 3}


def test_another_source_s_report_is_not_withdrawn() -> None:
    world = _world()
    _withdraw(world)
    world.minutes(1)
    _report(world, source="desk")
    world.minutes(3)
    _withdraw(world)
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}
    assert not holds.all_held(world.rows, [ACCOUNT])


def test_a_report_and_its_withdrawal_in_one_batch_say_nothing_whatever_the_order() -> None:
    for later_first in (False, True):
        world = _world()
        _report(world)
        world.clock.advance(seconds=2)
        _withdraw(world)
        if later_first:
            world.queued.reverse()
        world.minutes(3)
        assert not world.vendor.calls


def test_a_url_that_the_same_message_reports_is_not_withdrawn() -> None:
    world = _world()
    world.queue({"urls": URLS, "withdrawn": URLS})
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}


def test_a_word_that_is_withdrawn_twice_writes_once() -> None:
    world = _banned(_world(), ("queue", 7), ("desk", 5))
    assert isinstance(world.rows, MemoryRows)
    _withdraw(world, said_at=world.clock().isoformat())
    again = list(world.queued)
    world.intake()
    world.queued = again
    written = world.rows.units["written"]
    world.intake()
    assert world.rows.units["written"] <= written + 1  # One write counts the batch.


def test_an_unban_of_a_url_of_which_there_is_only_a_marker_is_sent() -> None:
    world = _world()
    _withdraw(world)
    world.minutes(1)
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": 3}
    assert [action for action, _, _ in world.vendor.calls] == [Action.UNBAN]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("rules", "others", "state"),
    [(LIFTS, (), "unbanned"), ({}, (), "banned"), (LIFTS, (("desk", 5),), "banned")],
)
def test_a_withdrawal_killed_at_any_call_is_done_by_its_next_delivery(
    rules: dict[str, Any], others: tuple[tuple[str, int], ...], state: str, after: bool
) -> None:
    for at in range(1, 24):
        world = _banned(_world(**rules), ("queue", 30), *others)
        _withdraw(world)
        world.crasher.tears = True
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        assert world.states(URLS) == {state: 3}
        assert bool(holds.all_held(world.rows, [ACCOUNT])) == (not rules)
        assert all(not unpack(_claim(world, url).words, ["queue"]) or others for url in URLS)
        for work in holds.all_held(world.rows, [ACCOUNT]):
            world.approve(work.chunk)
        world.minutes(3)
        assert _is_banned_there(world) == bool(others)
        for url in URLS:
            lifts = [action for action, urls, _ in world.vendor.calls if action is Action.UNBAN and url in urls]
            assert len(lifts) == (0 if others else 1)


@pytest.mark.parametrize("after", [False, True])
def test_leaving_a_hold_killed_at_any_call_is_done_by_its_next_delivery(after: bool) -> None:
    for at in range(1, 16):
        world = _world(trust="review")
        _report(world)
        world.minutes(1)
        _withdraw(world)
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        assert world.states(URLS) == {"suppressed": 3}
        assert not holds.all_held(world.rows, [ACCOUNT])
        assert not world.vendor.calls


# --- URLs that wait for reporters ---------------------------------------------------------------------------------


def _corroborated(**rules: Any) -> World:
    categories = {"default": {"min_reporters": 2}}
    return World(rows=MemoryRows(), policy=parse_policy({**POLICY, "categories": categories, "sources": rules}))


def test_a_source_that_takes_its_word_back_no_longer_counts_among_the_reporters() -> None:
    world = _corroborated()
    _report(world)
    world.minutes(1)
    _withdraw(world, urls=URLS[:1])
    world.minutes(1)
    _report(world, source="desk")
    world.minutes(3)
    assert world.states(URLS) == {"suppressed": 1, "banned": 2}
    _report(world)  # This is a new word.
    world.minutes(3)
    assert world.states(URLS) == {"banned": 3}


def test_a_reporter_of_a_relay_who_takes_the_word_back_no_longer_counts() -> None:
    world = _corroborated(queue={"relay": True})
    world.queue({"urls": URLS, "reporter": "ana@example.org"})
    world.minutes(1)
    _withdraw(world, urls=URLS[:1], reporter="Ana@example.org")
    world.minutes(1)
    world.clock.advance(seconds=2)
    world.queue({"urls": URLS, "reporter": "ben@example.net"})
    world.minutes(3)
    assert world.states(URLS) == {"suppressed": 1, "banned": 2}


def test_a_report_that_was_withdrawn_before_it_arrives_counts_for_no_reporter() -> None:
    world = _corroborated()
    said = world.clock()
    world.clock.advance(hours=1)
    _withdraw(world)
    world.minutes(1)
    world.queue({"urls": URLS, "reported_at": said.isoformat()})
    world.minutes(1)
    _report(world, source="desk")
    world.minutes(3)
    assert not world.vendor.calls


@pytest.mark.parametrize("after", [False, True])
def test_a_reporter_s_withdrawal_killed_at_any_call_is_done_by_its_next_delivery(after: bool) -> None:
    for at in range(1, 12):
        world = _corroborated()
        _report(world)
        world.minutes(1)
        _withdraw(world)
        with world.crash(at, after=after):
            world.intake()
        world.minutes(8)
        _report(world, source="desk")
        world.minutes(3)
        assert not world.vendor.calls, at


def test_a_source_that_waits_for_others_is_not_told_that_another_one_withdrew() -> None:
    policy = parse_policy({**POLICY, "categories": {"phishing": {"min_reporters": 2}}})
    world = World(rows=MemoryRows(), policy=policy)
    receipt = world.post({"urls": [URL]}, webhook_id="waits")
    world.intake()
    _withdraw(world, urls=[URL])
    world.minutes(2)
    report = reports.read(world.rows, receipt.report_id)
    assert report
    (told,) = url_status.of_report(world.run(), report)
    assert (told.state, told.rule) == ("suppressed", "corroboration")


def test_a_source_that_waits_for_others_is_told_that_a_person_lifted_what_another_one_withdrew() -> None:
    policy = parse_policy({**POLICY, "categories": {"phishing": {"min_reporters": 2}}})
    world = World(rows=MemoryRows(), policy=policy)
    receipt = world.post({"urls": [URL]}, webhook_id="waits")
    world.intake()
    _withdraw(world, urls=[URL])
    world.minutes(2)
    undo(world, urls=(URL,), cool_down_days=7)
    world.minutes(2)
    report = reports.read(world.rows, receipt.report_id)
    assert report
    (told,) = url_status.of_report(world.run(), report)
    assert told.state == "unbanned"


def test_once_a_source_asks_again_its_older_report_that_arrives_late_counts_as_any_other() -> None:
    world = _world()
    said = world.clock()
    world.clock.advance(hours=1)
    _withdraw(world)
    world.minutes(1)
    _report(world, 2)
    world.minutes(3)
    before = _claim(world).until
    world.queue({"urls": [{"url": URL, "ban_duration": 9}], "reported_at": said.isoformat()})
    world.minutes(3)
    assert _claim(world).until > before
