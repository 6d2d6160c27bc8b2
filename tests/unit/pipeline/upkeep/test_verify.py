"""Verification asks the edge once for a few URLs of each ban task, and for no URL of other hosts."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import AnswerUnknown, ConfigurationError, Unavailable
from chalicelib.domain.policy.model import Policy
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.answers import as_json
from chalicelib.pipeline.upkeep.verify import LOOK_BACK, verify_bans
from dev.fakes.operations import Edge, undo, verify
from dev.fakes.world import ACCOUNT, POLICY, World, pages

URLS = pages(40)


def verifying(**verification: object) -> Policy:
    return parse({**POLICY, "verification": {"sample": 4, **verification}})


def banned(*reports: list[str], **verification: object) -> tuple[World, Edge]:
    """Make a world in which each list of URLs is banned by its own task, and all tasks are due."""
    world = World(policy=verifying(**verification))
    for number, urls in enumerate(reports or [URLS]):
        world.post({"urls": urls}, webhook_id=f"w{number}")
        world.minutes(3)
        assert world.states(urls) == {"banned": len(urls)}
    world.clock.advance(minutes=5)
    return world, Edge(world)


def all_tasks(world: World) -> list[Task]:
    rows: Any = world.rows
    return list(
        tasks.read(world.rows, sorted(pk[5:] for pk, sk in rows.rows if sk == "task" and pk[:5] == "task#")).values()
    )


def test_a_sample_of_a_task_is_asked_for_and_what_came_of_it_stands_on_the_task() -> None:
    world, edge = banned()
    assert verify(world, edge) == 1
    assert len(edge.asked) == 4
    assert set(edge.asked) <= set(URLS)
    (task,) = all_tasks(world)
    now = world.clock()
    assert as_json.task(task)["verification"] == {
        "verified_at": now.replace(microsecond=now.microsecond // 1000 * 1000).isoformat(),
        "sampled": 4,
        "blocked": 4,
        "open": 0,
        "open_urls": [],
    }
    (told,) = world.events("bans_verified")
    assert told == {"account": ACCOUNT, "task_id": task.id, "sampled": 4, "blocked": 4, "open": 0, "problem": ""}


def test_up_to_ten_open_urls_are_named() -> None:
    world, edge = banned(sample=20)
    edge.says = lambda url: 403 if int(url.rpartition("/")[2]) < 20 else 301
    verify(world, edge)
    (task,) = all_tasks(world)
    assert task.verified
    assert task.verified.blocked + task.verified.open == task.verified.sampled == 20
    assert task.verified.open > 10
    assert len(task.verified.open_urls) == 10
    assert all(int(url.rpartition("/")[2]) >= 20 for url in task.verified.open_urls)


def test_the_statuses_that_are_expected_are_the_policys() -> None:
    world, edge = banned(expect=[451])
    verify(world, edge)
    assert world.events("bans_verified")[0]["open"] == 4


def test_an_edge_that_does_not_answer_is_neither_open_nor_blocked() -> None:
    world, edge = banned()
    errors = iter([Unavailable("no connection"), AnswerUnknown("cut"), ConfigurationError("it is inside"), None])
    edge.says = lambda _: next(errors) or 403
    verify(world, edge)
    (told,) = world.events("bans_verified")
    assert (told["sampled"], told["blocked"], told["open"], told["problem"]) == (4, 1, 0, "it is inside")


def test_nothing_is_asked_where_verification_is_off() -> None:
    world, edge = banned(sample=0)
    assert verify(world, edge) == 0
    assert edge.asked == []


def test_a_task_is_asked_for_only_after_the_edge_had_its_minutes() -> None:
    world, edge = banned(after_minutes=20)
    assert verify(world, edge) == 0
    world.clock.advance(minutes=14)
    assert verify(world, edge) == 1


def test_a_task_is_verified_once() -> None:
    world, edge = banned()
    assert [verify(world, edge) for _ in range(3)] == [1, 0, 0]
    assert len(edge.asked) == 4


def test_what_another_run_recorded_meanwhile_is_not_counted_again() -> None:
    world, edge = banned()
    other = Edge(world)
    edge.says = lambda _: (verify(world, other) and 403) or 200
    assert verify(world, edge) == 0
    (told,) = world.events("bans_verified")
    assert (told["blocked"], len(other.asked)) == (4, 4)


def test_every_task_is_verified_in_its_turn_over_the_end_of_a_day() -> None:
    world, edge = banned()
    assert verify(world, edge) == 1
    for number in range(5):
        world.clock.advance(hours=7)
        urls = pages(3, f"h{number}.example.com")
        world.post({"urls": urls}, webhook_id=f"later-{number}")
        world.minutes(10)
        assert verify(world, edge) == 1
        assert set(edge.asked[-3:]) == set(urls)


def test_many_events_between_two_tasks_are_read_in_pages() -> None:
    world = World(policy=verifying())
    for number in range(130):
        world.post({"urls": [f"https://www.example.com/{number}"]}, webhook_id=f"w{number}")
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(3)
    world.post({"urls": URLS}, webhook_id="last")
    world.minutes(10)
    edge = Edge(world)
    assert verify(world, edge) == 2
    assert verify(world, edge) == 0


def test_a_task_that_ended_more_than_a_day_ago_is_not_asked_for() -> None:
    world, edge = banned()
    world.clock.advance(seconds=LOOK_BACK.total_seconds())
    assert verify(world, edge) == 0


def test_a_host_that_is_no_managed_domain_any_more_is_not_asked() -> None:
    elsewhere = pages(30, "shop.example.net")
    world, edge = banned([*elsewhere, *pages(2)])
    world.policy = parse(
        {**POLICY, "accounts": {ACCOUNT: {"managed_domains": ["www.example.com"]}}, "verification": {"sample": 4}}
    )
    verify(world, edge)
    assert set(edge.asked) == set(pages(2))


def test_a_url_that_was_unbanned_meanwhile_is_not_asked_for() -> None:
    world, edge = banned(sample=20)
    undo(world, urls=tuple(URLS[:38]))
    world.minutes(3)
    verify(world, edge)
    assert set(edge.asked) == set(URLS[38:])
    assert len(world.events("bans_verified")) == 1  # The unban task itself is not verified.


def test_a_task_that_failed_is_not_asked_for() -> None:
    world = World(policy=verifying())
    world.vendor.fail.update(URLS)
    world.post({"urls": URLS[:1]})
    world.minutes(10)
    edge = Edge(world)
    assert verify(world, edge) == 0
    assert edge.asked == []


def test_another_accounts_tasks_are_left_to_its_own_run() -> None:
    world, edge = banned()
    assert verify_bans(world.run(seconds=180).at("other"), edge) == 0
    assert verify(world, edge) == 1


def test_a_run_ends_at_its_deadline_and_the_next_goes_on() -> None:
    world, edge = banned(*(pages(8, f"h{number}.example.com") for number in range(6)))
    edge.seconds = 1
    runs = [verify(world, edge, seconds=10) for _ in range(4)]
    assert runs == [3, 3, 0, 0]  # In each run, the third task has two seconds left.
    assert len(edge.asked) == 2 * (4 + 4 + 2)


def test_a_slow_edge_does_not_keep_a_task_from_its_end() -> None:
    world, edge = banned(sample=20)
    edge.seconds = 8
    assert verify(world, edge, seconds=30) == 1
    assert world.events("bans_verified")[0]["sampled"] == 4


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 22))
def test_a_crash_anywhere_leaves_each_task_verified_once(at: int, *, after: bool) -> None:
    world, edge = banned(pages(3, "a.example.com"), pages(3, "b.example.com"))
    with world.crash(at, after=after):
        verify(world, edge)
    verify(world, edge)
    assert all(task.verified and task.verified.sampled == 3 for task in all_tasks(world))
    assert len(world.events("bans_verified")) <= 2
    assert len(edge.asked) <= 6 + 3


def test_a_run_with_nothing_to_do_costs_two_reads_and_no_write() -> None:
    world, edge = banned()
    verify(world, edge)
    rows: Any = world.rows
    rows.calls.clear()
    verify(world, edge)
    assert rows.calls == {"get": 1, "query": 1}


def test_an_account_is_asked_at_its_own_edge_which_answers_in_its_own_way() -> None:
    world, edge = banned()
    account = {**POLICY["accounts"][ACCOUNT], "edge_host": "edge.cdn.example.net", "edge_expect": [451]}
    world.policy = parse({**POLICY, "accounts": {ACCOUNT: account}, "verification": {"sample": 4}})
    edge.says = lambda url: 451 if url.endswith("0") else 403
    verify(world, edge)
    (task,) = all_tasks(world)
    assert edge.hosts == {"edge.cdn.example.net"}
    assert task.verified
    assert task.verified.blocked == sum(url.endswith("0") for url in edge.asked)
    assert task.verified.open == 4 - task.verified.blocked
