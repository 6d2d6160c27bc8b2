"""Drains and sweeps do not read thousands of holds each time, and a released one is sent at once."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.domain.policy.model import Approvals
from chalicelib.domain.urls import url_key
from chalicelib.ledger import remaining, waiting_from
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.waiting_from import READ_ALL_AFTER, WORTH, Mark
from chalicelib.pipeline.decisions import hold_view, holds
from chalicelib.pipeline.submission.sweep import sweep
from chalicelib.ports import Update
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World
from dev.fakes.wrappers import Each, Meanwhile

PAGE = "https://www.example.com/page"


def with_holds(count: int = WORTH) -> World:
    """Return a world with ``count`` holds of one URL each, all older than an hour."""
    world = World(policy=parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}}))
    for number in range(count):
        world.queue({"urls": [f"https://www.example.com/held/{number}"]})
        world.intake()
        world.clock.advance(seconds=1)
    world.clock.advance(hours=2)
    return world


def held(world: World) -> list[str]:
    return [work.chunk for work in holds.all_held(world.rows, [ACCOUNT])]


def seed(world: World, count: int) -> None:
    """Put ``count`` holds of one URL each on record, as intake does, a second apart; the youngest is an hour old."""
    at = world.clock() - timedelta(hours=1, seconds=count)
    for number in range(count):
        at += timedelta(seconds=1)
        url = f"https://www.example.com/held/{number}"
        key = url_key(ACCOUNT, url)
        chunk = Chunk(
            account=ACCOUNT,
            action=Action.BAN,
            ban_days=7,
            rule="review",
            urls=(url,),
            keys=(key,),
            origins=(Origin(f"r-{number}", "queue", "", "phishing"),),
            created_at=at,
            received_at=at,
            until=at + timedelta(days=7),
        )
        remaining.open_chunk(world.rows, chunk, then=ChunkState.HELD)
        assert remaining.seal(world.rows, chunk, {key}, then=ChunkState.HELD)


def units_read(world: World, work: Callable[[], object]) -> float:
    """Return the read units that some work takes."""
    assert isinstance(world.rows, MemoryRows)
    before = world.rows.units["halves read"]
    work()
    return (world.rows.units["halves read"] - before) / 2


def read_by_a_drain(world: World) -> float:
    return units_read(world, world.drain) * 2


def test_a_drain_reads_what_waits_and_not_what_is_held() -> None:
    world = with_holds()
    few = read_by_a_drain(World())
    assert read_by_a_drain(world) > few + 10
    world.sweep()
    assert read_by_a_drain(world) <= few + 2
    world.post({"urls": [PAGE]})
    world.intake()
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [(PAGE,)]


def test_few_holds_are_marked_by_no_row() -> None:
    world = with_holds(WORTH - 1)
    world.sweep()
    assert not waiting_from.read(world.rows, ACCOUNT).is_written


def test_what_waits_among_the_holds_is_never_behind_the_mark() -> None:
    world = with_holds(WORTH // 2)
    world.post({"urls": [PAGE]})
    world.intake()
    for number in range(WORTH):
        world.queue({"urls": [f"https://www.example.com/later/{number}"]})
        world.intake()
    world.clock.advance(hours=2)
    world.sweep()
    mark = waiting_from.read(world.rows, ACCOUNT).chunk
    waiting = [work.chunk for work in remaining.of_account(world.rows, ACCOUNT) if work.state is ChunkState.WAITING]
    assert mark
    assert [chunk > mark for chunk in waiting] == [True]
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [(PAGE,)]


def test_a_hold_that_is_released_is_sent_by_the_next_drain() -> None:
    world = with_holds()
    world.sweep()
    world.approve(held(world)[3])
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/3",)]
    world.sweep()
    assert waiting_from.read(world.rows, ACCOUNT).chunk == "", "less than are worth it are left"


@pytest.mark.parametrize("marked", [True, False])
def test_a_hold_that_is_released_while_the_sweep_reads_is_sent_by_the_next_drain(*, marked: bool) -> None:
    world = with_holds(WORTH + 1)
    if marked:
        world.sweep()
        world.queue({"urls": [PAGE]})  # With one more hold, the mark would move.
        world.intake()
        world.clock.advance(hours=2)
    rows, hold = world.rows, held(world)[0]
    run = world.run()
    world.rows = Meanwhile(rows, "query", lambda: holds.approve(run, hold, actor="ana", reason="seen"))
    sweep(world.run())
    world.rows = rows
    assert waiting_from.read(rows, ACCOUNT).released == hold
    world.drain()
    assert [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/0",)]


@pytest.mark.parametrize("decide", [holds.approve, holds.refuse])
def test_a_sweep_that_reads_a_hold_just_before_it_is_decided_writes_no_mark(decide: Callable[..., object]) -> None:
    world = with_holds(WORTH + 1)
    world.sweep()
    hold, seen = held(world)[0], list[tuple[Mark, list[Work]]]()

    def read_in_between(function: Callable[..., object], write: object) -> object:
        if isinstance(write, Update) and not seen:  # The mark is taken back, and the hold's row does not say so yet.
            seen.append((waiting_from.read(world.rows, ACCOUNT), remaining.of_account(world.rows, ACCOUNT)))
        return function(write)

    run = World(rows=Each(world.rows, read_in_between, "apply"), clock=world.clock, policy=world.policy).run()
    decide(run, hold, actor="ana", reason="seen")
    ((mark, all_work),) = seen
    waiting_from.advance(world.rows, ACCOUNT, mark, all_work, age=timedelta(hours=1), now=world.clock())
    assert not waiting_from.read(world.rows, ACCOUNT).chunk
    world.queue({"urls": [PAGE]})  # The next sweep marks the holds again.
    world.intake()
    world.sweep()
    world.drain()
    world.sweep()
    assert waiting_from.read(world.rows, ACCOUNT).chunk


def copy_of(begun: World) -> World:
    """Return a world with the same rows, policy and time, and nothing else of the first."""
    assert isinstance(begun.rows, MemoryRows)
    rows = MemoryRows()
    rows.rows.update(deepcopy(begun.rows.rows))
    world = World(rows=rows, policy=begun.policy)
    world.clock.now = begun.clock()
    return world


def test_an_approval_that_is_killed_anywhere_leaves_a_hold_or_a_ban_that_is_sent() -> None:
    begun = with_holds()
    begun.sweep()
    hold = held(begun)[0]
    for at, after in product(range(1, 20), (False, True)):
        world = copy_of(begun)
        with world.crash(at, after=after):
            world.approve(hold)
        world.sweep()
        world.drain()
        sent = [urls for _, urls, _ in world.vendor.calls] == [("https://www.example.com/held/0",)]
        assert sent != (hold in held(world)), (at, after)


def test_a_hold_that_an_earlier_version_wrote_is_listed_by_its_source_too() -> None:
    world = with_holds(3)
    for hold in held(world):
        world.rows.apply(Update((f"account#{ACCOUNT}", f"chunk#{hold}"), set={}, remove=("source",)))
    page = hold_view.waiting(world.run(), hold_view.Wanted(source="queue"), limit=2)
    assert [(group["holds"], group["urls"]) for group in page.groups] == [(3, 3)]
    assert [view.hold.work.chunk for view in page.following] == held(world)
    rest = hold_view.waiting(world.run(), hold_view.Wanted(), after=held(world)[1], limit=2)
    assert [view.hold.work.chunk for view in rest.following] == held(world)[2:]


# --- the sweep ---------------------------------------------------------------------------------------------------


def swept(world: World) -> dict[str, int]:
    """Sweep, and return what the sweep says of holds."""
    world.sweep()
    event = world.events("account_swept")[-1]
    return {name: event[name] for name in ("chunks_held", "holds_overdue")}


def listed(world: World, wanted: hold_view.Wanted, pages: list[hold_view.Waiting]) -> None:
    pages.append(hold_view.waiting(world.run(), wanted, limit=100))


def test_three_thousand_holds_cost_a_minute_what_none_do() -> None:
    """The figures stand in docs/design.md."""
    empty, world = World(), World()
    seed(world, 3_000)
    world.minutes(2)  # This run tells people of them and writes the mark.
    for name in ("sweep", "drain", "track"):
        assert units_read(world, getattr(world, name)) <= units_read(empty, getattr(empty, name)) + 1, name
    reports = []
    for each in (empty, world):
        each.queue({"urls": [PAGE]})
        reports.append(units_read(each, each.intake))
    assert reports[0] == reports[1]
    world.clock.advance(minutes=READ_ALL_AFTER / timedelta(minutes=1))
    assert 100 < units_read(world, world.sweep) < 150, "all of them, every ten minutes"
    pages: list[hold_view.Waiting] = []
    for wanted in (hold_view.Wanted(), hold_view.Wanted(source="queue")):
        listing = units_read(world, partial(listed, world, wanted, pages))
        assert 200 < listing < 250, "every row, to count it, and the chunks of the page"
    for page in pages:
        assert [(group["holds"], group["urls"], group["source"]) for group in page.groups] == [(3_000, 3_000, "queue")]
        assert len(page.following) == 101


def test_holds_that_are_not_read_are_counted_all_the_same() -> None:
    world = with_holds(WORTH + 10)
    seen = [swept(world)]
    for _ in range(9):
        world.clock.advance(minutes=1)
        seen.append(swept(world))
    assert seen == [{"chunks_held": WORTH + 10, "holds_overdue": 0}] * 10
    world.queue({"urls": [PAGE]})
    world.intake()
    assert swept(world)["chunks_held"] == WORTH + 11


def test_a_hold_that_waits_for_too_long_is_told_although_it_is_not_read() -> None:
    world = with_holds()
    world.policy = replace(world.policy, approvals=Approvals(alarm_after_minutes=125))
    assert swept(world)["holds_overdue"] == 0
    assert waiting_from.read(world.rows, ACCOUNT).speaks_for_holds(world.clock())
    world.clock.advance(minutes=4)
    assert swept(world)["holds_overdue"] >= 1
    world.clock.advance(minutes=6)
    assert swept(world)["holds_overdue"] == WORTH


def test_a_message_about_a_new_hold_says_how_many_wait_in_all() -> None:
    world = with_holds()
    world.sweep()
    world.clock.advance(minutes=1)
    world.queue({"urls": [PAGE]})
    world.intake()
    world.sweep()
    subject, text = world.notices[-1]
    assert subject == "edgeban: 1 new hold with 1 URL to decide"
    assert f"In all {WORTH + 1} holds wait, the oldest for 2.1 hours." in text


def test_a_refusal_that_is_killed_anywhere_is_finished_by_the_next_sweep() -> None:
    begun = with_holds()
    begun.sweep()
    hold, url = held(begun)[0], "https://www.example.com/held/0"
    outcomes = set()
    for at, after in product(range(1, 12), (False, True)):
        world = copy_of(begun)
        with world.crash(at, after=after):
            holds.refuse(world.run(), hold, actor="ana", reason="clean")
        killed = world.crasher.calls == at
        world.clock.advance(minutes=1)
        world.sweep()
        state = world.state(url)
        assert (state, hold in held(world)) in {("held", True), ("rejected", False)}, (at, after)
        outcomes.add((state, killed))
    assert outcomes >= {("held", True), ("rejected", True), ("rejected", False)}


def test_a_refusal_that_an_earlier_version_left_half_done_is_finished_within_ten_minutes() -> None:
    """The earlier version does not take the mark back."""
    world = with_holds()
    world.sweep()
    hold = held(world)[0]
    half: dict[str, str] = {"state": ChunkState.REFUSED.value, "refused": "refused by ana: clean"}
    world.rows.apply(Update((f"account#{ACCOUNT}", f"chunk#{hold}"), set={**half}))
    world.minutes(11)
    assert world.state("https://www.example.com/held/0") == "rejected"


def test_a_mark_of_an_earlier_version_speaks_for_no_hold() -> None:
    world = with_holds()
    world.sweep()
    world.rows.apply(Update((f"account#{ACCOUNT}", "waiting_from"), set={}, remove=("read_at", "held", "oldest")))
    assert swept(world)["chunks_held"] == WORTH
