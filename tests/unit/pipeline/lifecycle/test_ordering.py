"""An unban waits for the tasks of its URLs, and takes the URLs out of chunks that were not sent."""

from __future__ import annotations

from chalicelib.domain.model import TaskState
from chalicelib.ledger import carriers, remaining, tasks
from chalicelib.pipeline.lifecycle import ordering
from dev.fakes.operations import undo
from dev.fakes.world import ACCOUNT, World, pages

URLS = pages(6)


def reported(*groups: list[str]) -> World:
    """Take reports in, each as a chunk, and send nothing."""
    world = World()
    for urls in groups:
        world.queue({"urls": urls})
        world.intake()
        world.clock.advance(seconds=1)
    return world


def test_an_unban_withdraws_what_was_not_sent_and_leaves_the_rest_waiting() -> None:
    world = reported(URLS)
    undo(world, urls=tuple(URLS[:2]))
    ban, unban = remaining.of_account(world.rows, ACCOUNT)
    assert unban.after == (ban.chunk,)

    assert ordering.ready(world.rows, unban)
    (ban,) = remaining.of_account(world.rows, ACCOUNT)  # Nothing is left to undo: the unban ended.
    assert ban.excluded == (0, 1)


def test_an_unban_waits_for_the_tasks_that_carry_its_urls_and_for_no_others() -> None:
    world = reported(URLS[:3], URLS[3:])
    world.drain()
    (task,) = tasks.live(world.rows, ACCOUNT)
    first, second = (part.chunk for part in task.slices)
    undo(world, urls=(URLS[0],))
    (unban,) = remaining.of_account(world.rows, ACCOUNT)
    assert not ordering.ready(world.rows, unban)
    assert ordering.unended(world.rows, ACCOUNT, [first, second]) == {first, second}

    world.clock.advance(minutes=2)
    world.track()
    assert ordering.unended(world.rows, ACCOUNT, [first, second]) == set()
    assert ordering.ready(world.rows, unban)


def test_the_walk_from_a_chunk_follows_what_carried_its_urls_on() -> None:
    world = reported(URLS)
    (ban,) = remaining.of_account(world.rows, ACCOUNT)
    world.vendor.fail.add(URLS[5])
    world.minutes(20)

    everyone = list(carriers.of_chunk(world.rows, ban.chunk))
    of_first = list(carriers.of_chunk(world.rows, ban.chunk, [0]))
    of_last = list(carriers.of_chunk(world.rows, ban.chunk, [5]))
    assert (of_first[-1].state, of_last[-1].state) == (TaskState.SUCCEEDED, TaskState.FAILED)
    assert all(carriers.carries(task, ban.chunk, [5]) for task in of_last)
    assert {task.id for task in of_first + of_last} < {task.id for task in everyone}
