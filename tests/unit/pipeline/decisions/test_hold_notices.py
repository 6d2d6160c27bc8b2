"""People are told of each new hold at least once, in at most one message a minute, whatever crashes or fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.domain.errors import NotNotified
from chalicelib.ledger import remaining
from chalicelib.pipeline.decisions import hold_notices, holds
from chalicelib.pipeline.submission.sweep import sweep
from dev.fakes.operations import ROOTS, refuse, world_with
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, World, pages


def hold(world: World, urls: list[str], *, name: str, source: str = "desk") -> None:
    """Let a source report URLs that are held."""
    if source == "desk":
        world.post({"urls": urls}, webhook_id=name)
    else:
        world.queue({"urls": urls}, source=source)
    world.intake()


def test_a_new_hold_is_told_within_a_minute_by_rule_and_source() -> None:
    world = world_with(sources={"queue": {"trust": "review"}})
    hold(world, ROOTS[:2], name="w1")
    hold(world, pages(3), name="w2", source="queue")
    world.minutes()
    ((subject, text),) = world.notices
    assert subject == "edgeban: 2 new holds with 5 URLs to decide"
    rows = [line.split() for line in text.splitlines()]
    assert ["2", "bare_host", "desk"] in rows
    assert ["3", "review", "queue"] in rows
    assert "In all 2 holds wait, the oldest for 0.0 hours." in text
    assert "edgeban holds review" in text


def test_a_hold_is_told_of_once() -> None:
    world = World()
    hold(world, ROOTS[:1], name="w1")
    world.minutes(5)
    assert len(world.notices) == 1
    hold(world, ROOTS[1:2], name="w2")
    world.minutes(5)
    assert [subject for subject, _ in world.notices] == ["edgeban: 1 new hold with 1 URL to decide"] * 2
    assert "In all 2 holds wait" in world.notices[1][1]


def test_nothing_is_told_and_nothing_written_where_nothing_is_held() -> None:
    world = World()
    world.post({"urls": pages(3)})
    world.minutes(3)
    rows = world.rows
    assert isinstance(rows, MemoryRows)
    rows.units.clear()
    world.sweep()
    assert world.notices == []
    assert not rows.units["written"]


def test_a_message_names_no_url_no_reporter_and_no_operator() -> None:
    world = world_with(approvals={"two_above": 0})
    world.post({"urls": ROOTS[:1], "reporter": "carl@example.org", "note": "my neighbour"})
    world.intake()
    world.minutes()
    told = " ".join(world.notices[0])
    assert not [word for word in ("carl", "neighbour", ROOTS[0]) if word in told]


def test_a_hold_that_was_decided_before_the_sweep_is_not_told() -> None:
    world = World()
    hold(world, ROOTS[:1], name="w1")
    refuse(world)
    world.minutes(2)
    assert world.notices == []


def test_two_sweeps_in_one_minute_send_one_message() -> None:
    world = World()
    hold(world, ROOTS[:1], name="w1")
    world.sweep()
    hold(world, ROOTS[1:2], name="w2")
    world.clock.advance(seconds=20)
    world.sweep()
    assert len(world.notices) == 1
    world.clock.advance(minutes=1)
    world.sweep()
    assert [subject for subject, _ in world.notices] == ["edgeban: 1 new hold with 1 URL to decide"] * 2


@pytest.mark.parametrize("after", [False, True])
def test_a_sweep_that_is_killed_anywhere_leaves_no_hold_untold_and_tells_once_a_minute(after: bool) -> None:
    calls = 1
    while True:
        world = World()
        hold(world, ROOTS[:1], name="w1")
        hold(world, ROOTS[1:2], name="w2")
        with world.crash(calls, after=after):
            world.sweep()
        killed_within = world.crasher.calls >= calls
        in_this_minute = len(world.notices)
        world.sweep()
        assert len(world.notices) <= 1, f"killed at call {calls}: two messages in one minute"
        world.minutes(2)
        assert 1 <= len(world.notices) <= 2, f"killed at call {calls}, {in_this_minute} told before"
        assert all(work.told_at for work in holds.all_held(world.rows, [ACCOUNT]))
        if not killed_within:
            return
        calls += 1


def test_a_message_that_is_not_taken_is_a_trouble_and_is_sent_again() -> None:
    world = World()
    hold(world, ROOTS[:1], name="w1")

    def refuses(subject: str, text: str) -> None:
        raise NotNotified(f"no topic for {subject} {len(text)}")

    sweep(world.run(), refuses)
    assert world.events("hold_notice_failed")
    world.minutes(2)
    assert len(world.notices) == 1


def test_an_account_that_fails_keeps_no_hold_of_another_untold() -> None:
    hosts = {"managed_domains": ["*.example.com"]}
    world = world_with(accounts={ACCOUNT: hosts, "other": hosts})
    hold(world, ROOTS[:1], name="w1")
    run, rows = world.run(), world.rows

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(rows, name)

        def query(self, pk: str, **options: object) -> object:
            if pk == "account#other":
                raise ValueError("made by the test")
            return rows.query(pk, **options)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="made by the test"):
        sweep(replace(run, rows=Failing()), world.notify)  # type: ignore[arg-type]
    assert len(world.notices) == 1


def test_many_holds_are_one_message_of_bounded_length() -> None:
    world = World()
    for number in range(hold_notices.LOOKED_INTO + 5):
        hold(world, [f"https://h{number}.example.com/"], name=f"w{number}")
    world.minutes()
    ((subject, text),) = world.notices
    assert subject == "edgeban: 105 new holds with 105 URLs to decide"
    assert "(others)" in text
    assert len(text.splitlines()) <= hold_notices.LINES + 8


def test_a_row_of_an_earlier_version_was_told_to_nobody() -> None:
    world = World()
    hold(world, ROOTS[:1], name="w1")
    (work,) = remaining.of_account(world.rows, ACCOUNT)
    assert work.told_at is None
    world.minutes()
    (work,) = remaining.of_account(world.rows, ACCOUNT)
    assert work.told_at
