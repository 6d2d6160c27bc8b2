"""When all URLs of a report have ended, its source is told once, signed, with tries for a day if need be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, Unavailable
from chalicelib.ledger import callbacks
from chalicelib.pipeline.answers.due_outcomes import name_due_reports
from chalicelib.ports import Put
from dev.fakes.operations import DESK, Receiver, deliver, refuse, world_with_callbacks
from dev.fakes.rows import MemoryRows
from dev.fakes.world import SOURCES, World, pages

ROOT = "https://www.example.com/"
"""A URL that the bare-host rule holds."""


def finished(world: World, *, webhook_id: str = "w1", **fields: Any) -> str:
    """Make a report whose URLs have all ended."""
    report = world.post({"urls": pages(2), **fields}, webhook_id=webhook_id).report_id
    world.minutes(4)
    return report


def waiting(world: World) -> list[str]:
    return [str(row["sk"]) for row in world.rows.query(callbacks.WAITING)]


def test_a_source_is_told_once_when_all_urls_have_come_to_an_end() -> None:
    world, receiver = world_with_callbacks()
    foreign = "https://www.example.org/not-ours"
    report = world.post({"urls": [*pages(2), foreign], "correlation_id": "case-1"}).report_id
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"waiting": 1}
    assert receiver.got == []
    world.minutes(4)
    assert deliver(world, receiver) == {"delivered": 1}
    ((webhook_id, said),) = receiver.got
    assert webhook_id == f"outcome-{report}"
    assert said["type"] == "report.complete"
    data = said["data"]
    assert (data["report_id"], data["correlation_id"], data["complete"]) == (report, "case-1", True)
    assert data["counts"] == {"banned": 2, "rejected": 1}
    assert [each["url"] for each in data["urls"]] == [*pages(2), foreign]
    world.clock.advance(days=2)
    assert deliver(world, receiver) == {}
    assert waiting(world) == []
    assert world.events("outcome_delivered") == [{"report_id": report, "source": "desk", "attempts": 1}]


def test_a_source_without_a_callback_url_costs_no_row() -> None:
    world = World()
    finished(world)
    assert isinstance(world.rows, MemoryRows)
    assert not [key for key in world.rows.rows if callbacks.WAITING in key]


def test_a_report_that_was_refused_wholly_is_told_as_well() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": ["https://www.example.org/not-ours"]})
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}
    assert receiver.got[0][1]["data"]["counts"] == {"rejected": 1}


def test_a_test_report_is_told_as_one() -> None:
    world, receiver = world_with_callbacks()
    finished(world, test=True)
    assert deliver(world, receiver) == {"delivered": 1}
    data = receiver.got[0][1]["data"]
    assert data["test"] is True
    assert data["counts"] == {"suppressed": 2}
    assert not world.vendor.tasks


def test_a_callback_of_a_large_report_tells_the_first_thousand_urls_and_where_the_rest_begins() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": [f"https://www.example.org/{number}" for number in range(1_200)]})
    world.clock.advance(minutes=1)
    deliver(world, receiver)
    data = receiver.got[0][1]["data"]
    assert len(data["urls"]) == 1_000
    assert data["next_token"] == "1000"
    assert data["counts"] == {"rejected": 1_200}


def test_an_unfinished_report_is_looked_at_less_and_less_often() -> None:
    world, receiver = world_with_callbacks()
    world.vendor.task_time = None  # The vendor never finishes.
    world.post({"urls": pages(1)})
    world.intake()
    world.drain()
    looks = 0
    for _ in range(600):
        world.clock.advance(minutes=1)
        looks += deliver(world, receiver).get("waiting", 0)
    assert 30 < looks < 60


@pytest.mark.parametrize(
    "failure",
    [500, 301, 404, Unavailable("no connection"), AnswerUnknown("too slow"), ConfigurationError("a private address")],
)
def test_a_receiver_that_fails_is_tried_again_with_the_same_id(failure: int | Exception) -> None:
    world, receiver = world_with_callbacks()
    finished(world)
    receiver.answers = [failure, failure]
    assert deliver(world, receiver) == {"failed": 1}
    assert deliver(world, receiver) == {}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"failed": 1}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}
    assert len({webhook_id for webhook_id, _ in receiver.got}) == 1
    assert len(receiver.got) == 3


def test_a_receiver_that_fails_for_a_day_is_given_up_with_an_event() -> None:
    world, receiver = world_with_callbacks()
    report = finished(world)
    receiver.answers = [503] * 1_000
    began = world.clock()
    while not world.events("outcome_given_up"):
        deliver(world, receiver)
        world.clock.advance(minutes=1)
        assert world.clock() - began < timedelta(hours=26)
    assert world.clock() - began >= timedelta(days=1)
    assert 20 < len(receiver.got) < 50
    (event,) = world.events("outcome_given_up")
    assert event["report_id"] == report
    assert event["problem"] == "the receiver answered 503"
    assert waiting(world) == []
    world.clock.advance(days=2)
    assert deliver(world, receiver) == {}


def test_a_receiver_that_fails_keeps_no_other_source_waiting() -> None:
    world, receiver = world_with_callbacks()
    world.sources = parse_sources({**SOURCES, "desk": DESK, "other": DESK})
    for number in range(30):
        world.post({"urls": ["https://www.example.org/x"]}, webhook_id=f"w{number}")
    world.clock.advance(seconds=1)
    world.post({"urls": ["https://www.example.org/x"]}, webhook_id="w", source="other")
    world.clock.advance(minutes=1)
    receiver.answers, receiver.seconds = [AnswerUnknown("too slow")], 10
    assert deliver(world, receiver) == {"failed": 30, "delivered": 1}
    assert len(receiver.got) == 2


def test_a_receiver_that_is_slow_uses_its_own_time_alone() -> None:
    world, receiver = world_with_callbacks()
    world.sources = parse_sources({**SOURCES, "desk": DESK, "other": DESK})
    for number in range(200):
        world.post({"urls": ["https://www.example.org/x"]}, webhook_id=f"w{number}")
    world.clock.advance(seconds=1)
    other = world.post({"urls": ["https://www.example.org/x"]}, webhook_id="w", source="other").report_id
    world.clock.advance(minutes=1)
    receiver.seconds = 9
    assert name_due_reports(world.run()) == 201
    assert [(source, len(ids)) for source, ids in world.ended] == [("desk", 200), ("other", 1)]
    assert deliver(world, receiver, seconds=80) == {"delivered": 9 + 1}
    assert receiver.got[-1][0] == f"outcome-{other}"


def test_a_run_ends_at_its_deadline_and_the_next_goes_on() -> None:
    world, receiver = world_with_callbacks()
    for number in range(10):
        world.post({"urls": ["https://www.example.org/x"]}, webhook_id=f"w{number}")
    world.clock.advance(minutes=1)
    receiver.seconds = 8
    assert deliver(world, receiver, seconds=30) == {"delivered": 4}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver, seconds=90) == {"delivered": 6}
    assert len({webhook_id for webhook_id, _ in receiver.got}) == 10


def test_a_source_that_wants_no_callbacks_any_more_gets_none() -> None:
    world, receiver = world_with_callbacks()
    finished(world)
    world.sources = parse_sources(SOURCES)
    assert deliver(world, receiver) == {"not_wanted": 1}
    assert receiver.got == []
    assert waiting(world) == []


def decided(world: World) -> None:
    world.approve()
    world.minutes(20)


def test_what_a_person_decides_later_is_told_as_well() -> None:
    world, receiver = world_with_callbacks()
    report = world.post({"urls": [*pages(2), ROOT]}).report_id
    world.minutes(4)
    assert deliver(world, receiver)["delivered"] == 1
    for _ in range(3):
        world.clock.advance(minutes=15)
        assert deliver(world, receiver) == {"waiting": 1}
    receiver.answers = [500]
    decided(world)
    assert deliver(world, receiver) == {"failed": 1}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}
    first, *others = [(webhook_id, said["data"]["counts"]) for webhook_id, said in receiver.got]
    assert first[0].startswith(f"outcome-{report}-held-")
    assert first[1] == {"banned": 2, "held": 1}
    assert others == [(f"outcome-{report}", {"banned": 3})] * 2
    assert waiting(world) == []


def test_a_receiver_that_failed_before_it_was_told_of_a_hold_has_a_day_for_what_follows() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": [ROOT]})
    world.minutes(4)
    receiver.answers = [500]
    assert deliver(world, receiver) == {"failed": 1}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}
    world.clock.advance(days=2)
    decided(world)
    receiver.answers = [500]
    assert deliver(world, receiver) == {"failed": 1}
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}


def test_a_report_that_waits_for_a_person_is_looked_at_less_and_less_often() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": [ROOT]})
    world.minutes(4)
    looks: list[int] = []
    for _ in range(3):
        looks.append(0)
        for _ in range(24 * 4):
            looks[-1] += deliver(world, receiver).get("waiting", 0)
            world.clock.advance(minutes=15)
    assert looks[0] > looks[1] >= looks[2] >= 4
    assert looks[0] < 24


def test_a_receiver_that_was_down_while_something_was_held_is_told_of_the_decision() -> None:
    world, receiver = world_with_callbacks()
    report = world.post({"urls": [ROOT]}).report_id
    world.minutes(4)
    receiver.answers = [503] * 100
    while not world.events("outcome_given_up"):
        deliver(world, receiver)
        world.clock.advance(minutes=10)
    receiver.answers, receiver.got = [], []
    decided(world)
    world.clock.advance(hours=6)
    assert deliver(world, receiver) == {"delivered": 1}
    assert [webhook_id for webhook_id, _ in receiver.got] == [f"outcome-{report}"]


@pytest.mark.parametrize("after", [False, True])
def test_what_is_told_of_a_hold_survives_a_crash_anywhere(after: bool) -> None:
    for at in range(1, 16):
        world, receiver = world_with_callbacks()
        report = world.post({"urls": [ROOT]}).report_id
        world.minutes(4)
        with world.crash(at, after=after):
            deliver(world, receiver)
            world.clock.advance(minutes=15)
            deliver(world, receiver)
        decided(world)
        for _ in range(3):
            world.clock.advance(hours=1)
            deliver(world, receiver)
        ids = [webhook_id for webhook_id, _ in receiver.got]
        assert ids.count(f"outcome-{report}") in {1, 2}, at
        assert receiver.got[-1][1]["data"]["counts"] == {"banned": 1}
        assert waiting(world) == []


# --- at once -----------------------------------------------------------------------------------------------------


def counts(receiver: Receiver) -> list[dict[str, int]]:
    return [said["data"]["counts"] for _, said in receiver.got]


def at_once(world: World, receiver: Receiver) -> list[dict[str, int]]:
    """Let half a minute pass, without the sweep; return what the receiver was told so far."""
    world.intake()
    world.seconds(30)
    deliver(world, receiver, due=False)
    return counts(receiver)


def test_a_source_is_told_as_soon_as_the_last_task_of_its_report_has_ended() -> None:
    world, receiver = world_with_callbacks()
    world.clock.advance(microseconds=123_456)
    world.post({"urls": pages(2)})
    assert at_once(world, receiver) == [{"banned": 2}]
    assert waiting(world) == []


@pytest.mark.parametrize("named", [True, False])
def test_a_source_is_told_at_once_of_what_the_vendor_refuses_or_fails_for_good(named: bool) -> None:
    world, receiver = world_with_callbacks()
    bad, good = pages(2)
    if named:
        world.vendor.refuse = {bad}
        world.post({"urls": [bad, good]})
        assert at_once(world, receiver) == [{"banned": 1, "rejected": 1}]
    else:
        world.vendor.fail = {bad}
        world.post({"urls": [bad]})
        assert at_once(world, receiver) == []
        world.minutes(10)
        deliver(world, receiver, due=False)
        assert counts(receiver) == [{"failed": 1}]


def test_a_report_of_which_nothing_is_to_be_banned_is_told_as_soon_as_it_was_taken() -> None:
    world, receiver = world_with_callbacks()
    world.queue({"urls": pages(1)})
    world.minutes(4)
    world.post({"urls": [*pages(1), "https://www.example.org/not-ours"]})
    world.intake()
    deliver(world, receiver, due=False)
    assert counts(receiver) == [{"banned": 1, "rejected": 1}]


def test_a_report_whose_urls_another_report_is_about_to_ban_is_told_within_minutes() -> None:
    world, receiver = world_with_callbacks()
    world.queue({"urls": pages(1)})
    world.intake()
    world.post({"urls": pages(1)})
    world.intake()
    deliver(world, receiver, due=False)
    assert at_once(world, receiver) == [], "the chunk knows the first report alone"
    world.minutes(2)
    deliver(world, receiver)
    assert counts(receiver) == [{"banned": 1}]


@pytest.mark.parametrize("approved", [True, False])
def test_a_source_is_told_at_once_of_a_hold_and_of_the_decision_about_it(approved: bool) -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": [ROOT]})
    assert at_once(world, receiver) == [{"held": 1}]
    if approved:
        world.approve()
    else:
        refuse(world)
    assert at_once(world, receiver)[1:] == [{"banned": 1} if approved else {"rejected": 1}]


def test_a_call_that_was_not_taken_is_not_repeated_before_it_is_due_whatever_ends() -> None:
    world, receiver = world_with_callbacks()
    receiver.answers = [500]
    report = world.post({"urls": pages(1)}).report_id
    assert at_once(world, receiver) == [{"banned": 1}]
    world.call_back("desk", [report], mark="another end")
    assert at_once(world, receiver) == [{"banned": 1}]
    world.clock.advance(minutes=1)
    deliver(world, receiver)
    assert len(receiver.got) == 2


def test_what_a_queue_reports_names_nobody_to_be_called() -> None:
    world, receiver = world_with_callbacks()
    world.queue({"urls": pages(2)})
    assert at_once(world, receiver) == []
    assert world.marks == {}


@pytest.mark.parametrize("after", [False, True])
def test_a_tracker_that_was_killed_anywhere_keeps_nobody_from_being_told_once(after: bool) -> None:
    for at in range(1, 16):
        world, receiver = world_with_callbacks()
        report = world.post({"urls": pages(2)}).report_id
        world.intake()
        world.drain()
        world.clock.advance(minutes=1)
        with world.crash(at, after=after):
            world.track()
        world.minutes(3)
        deliver(world, receiver)
        assert [webhook_id for webhook_id, _ in receiver.got] == [f"outcome-{report}"], at
        assert waiting(world) == []


def test_what_was_never_named_is_told_when_it_is_due() -> None:
    world, receiver = world_with_callbacks()
    world.post({"urls": pages(2)})
    world.minutes(4)
    world.ended.clear()
    assert deliver(world, receiver) == {"delivered": 1}


# --- crashes -------------------------------------------------------------------------------------------------


def test_a_repeated_request_is_not_told_twice() -> None:
    world, receiver = world_with_callbacks()
    finished(world)
    for _ in range(3):
        world.clock.advance(seconds=20)
        world.post({"urls": pages(2)})
    world.intake()
    for _ in range(10):
        world.clock.advance(minutes=1)
        deliver(world, receiver)
    assert len(receiver.got) == 1
    assert waiting(world) == []


def test_a_request_repeated_before_the_first_look_is_told_once() -> None:
    world, receiver = world_with_callbacks()
    for _ in range(3):
        world.post({"urls": ["https://www.example.org/x"]})
        world.clock.advance(seconds=5)
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {"delivered": 1}
    deliver(world, receiver)
    assert len(receiver.got) == 1
    assert waiting(world) == []


def test_a_row_whose_report_was_never_accepted_goes() -> None:
    world, receiver = world_with_callbacks()
    world.rows.write([Put(callbacks.first("r-never", world.clock()))])
    world.clock.advance(minutes=1)
    assert deliver(world, receiver) == {}
    assert waiting(world) == []


@pytest.mark.parametrize("after", [False, True])
def test_a_report_is_told_wherever_its_intake_was_killed(after: bool) -> None:
    for at in range(1, 5):
        world, receiver = world_with_callbacks()
        with world.crash(at, after=after):
            world.post({"urls": pages(2)})
        world.clock.advance(minutes=2)
        deliver(world, receiver)
        world.post({"urls": pages(2)})  # The sender saw no 202.
        for _ in range(10):
            world.minutes()
            deliver(world, receiver)
        assert len(receiver.got) == 1, at
        assert waiting(world) == []


@pytest.mark.parametrize("after", [False, True])
def test_a_delivery_that_was_killed_anywhere_reaches_the_receiver_under_one_id(after: bool) -> None:
    for at in range(1, 12):
        world, receiver = world_with_callbacks()
        report = finished(world)
        receiver.answers = [500]
        with world.crash(at, after=after):
            for _ in range(4):
                deliver(world, receiver)
                world.clock.advance(minutes=1)
        for _ in range(6):
            world.clock.advance(minutes=1)
            deliver(world, receiver)
        assert {webhook_id for webhook_id, _ in receiver.got} == {f"outcome-{report}"}
        assert 2 <= len(receiver.got) <= 3, at
        assert waiting(world) == []
        assert len(world.events("outcome_delivered")) <= 1
