"""If the policy says so, an unban of many URLs waits visibly for a second person, but never that of today's bans."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.errors import Conflict, LedgerUnavailable, NotFound
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, unban_jobs
from chalicelib.ledger import second_person as steps
from chalicelib.ledger.chunks import made_at
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.decisions import second_person, unban
from chalicelib.ports import Insert, Update
from dev.fakes.api import Api, fixed, refused
from dev.fakes.operations import banned, carry_on_all, lasting, renew
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import AtCall, Each

ROLES = {"rita": "reader", "olaf": "operator", "nora": "operator", "olaf-2": "operator"}
OLD, NEW = pages(3), pages(2, host="shop.example.com")
Decide = Callable[[World, str], bool]

TWO = {**POLICY, "approvals": {"lifts_two_above": 2}}


@pytest.fixture
def desk(api: Api) -> Api:
    """Give the API three bans of days ago and two of today, and operators, of whom one has two tokens."""
    operators = {
        name: {"token_sha256": hashlib.sha256(name.encode()).hexdigest(), "role": role} for name, role in ROLES.items()
    }
    operators["olaf"]["person"] = operators["olaf-2"]["person"] = "olaf@example.com"
    api.services._operators = fixed(parse_operators(operators))
    world = api.world
    world.clock.advance(days=-3)
    world.queue({"urls": OLD})
    settle(world)
    world.clock.advance(days=3)
    world.queue({"urls": NEW})
    settle(world)
    with_policy(api, TWO)
    return api


def settle(world: World) -> None:
    world.intake()
    world.drain()
    world.clock.advance(minutes=5)
    world.track()
    world.clock.advance(minutes=-5)


def with_policy(api: Api, policy: dict[str, Any]) -> None:
    api.services._policy = fixed(parse_policy(policy))
    api.world.policy = parse_policy(policy)


def ask(api: Api, who: str, path: str, **document: Any) -> HTTPResponse:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {who}"}
    return api.client.http.post(f"/v1/{path}", headers=headers, body=json.dumps(document).encode())


def shown(api: Api, unban_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"unbans/{unban_id}", {"Authorization": "Bearer rita"}).json_body
    return found


def sent(api: Api) -> list[str]:
    api.world.drain()
    return sorted(url for action, urls, _ in unbans(api) for url in urls)


def unbans(api: Api) -> list[Any]:
    return [(task.action, task.urls, 0) for task in api.world.vendor.tasks.values() if task.action.value == "unban"]


def waiting(api: Api) -> str:
    answer = ask(api, "olaf", "unbans", source="queue", reason="ticket 4711").json_body
    assert (answer["approvals_needed"], answer["complete"], answer["urls"]) == (2, False, len(NEW))
    return str(answer["unban_id"])


def test_the_preview_says_that_a_second_person_is_needed(desk: Api) -> None:
    preview = ask(desk, "olaf", "unbans", source="queue", preview=True).json_body
    assert (preview["urls"], preview["approvals_needed"]) == (5, 2)
    few = ask(desk, "olaf", "unbans", urls=OLD[:2], preview=True).json_body
    assert few["approvals_needed"] == 1


def test_old_bans_wait_and_those_of_today_are_lifted_at_once(desk: Api) -> None:
    unban_id = waiting(desk)
    assert sent(desk) == sorted(NEW)
    assert (shown(desk, unban_id)["waits"], shown(desk, unban_id)["complete"]) == (True, False)
    listed = desk.get("unbans", {"Authorization": "Bearer rita"}, state="waiting").json_body["unbans"]
    assert [each["unban_id"] for each in listed] == [unban_id]
    carry_on_all(desk.world)
    assert sent(desk) == sorted(NEW), "the sweep does not carry it out"


def test_an_unban_that_another_person_approves_is_carried_out_and_on_record(desk: Api) -> None:
    unban_id = waiting(desk)
    refused(ask(desk, "olaf-2", f"unbans/{unban_id}/approve", reason="r"), 409, "conflict", "another person")
    refused(ask(desk, "rita", f"unbans/{unban_id}/approve", reason="r"), 403, "not_allowed", "operator")
    assert ask(desk, "nora", f"unbans/{unban_id}/approve", reason="seen").json_body["urls"] == len(OLD)
    assert sent(desk) == sorted(OLD + NEW)
    assert (shown(desk, unban_id)["waits"], shown(desk, unban_id)["urls"]) == (False, len(OLD))
    refused(ask(desk, "nora", f"unbans/{unban_id}/approve", reason="r"), 404, "not_found", "decided already")
    decisions = desk.get("audit", {"Authorization": "Bearer rita"}, about=f"unban:{unban_id}").json_body["decisions"]
    assert next((each["actor"], each["action"]) for each in decisions) == ("nora", "approve")


def test_a_cancelled_unban_undoes_nothing(desk: Api) -> None:
    unban_id = waiting(desk)
    assert ask(desk, "olaf", f"unbans/{unban_id}/cancel", reason="a mistake").status_code == 200
    refused(ask(desk, "nora", f"unbans/{unban_id}/approve", reason="r"), 404, "not_found", "decided already")
    carry_on_all(desk.world)
    assert sent(desk) == sorted(NEW)
    assert (shown(desk, unban_id)["waits"], shown(desk, unban_id)["urls"]) == (False, 0)


def test_an_unban_that_an_earlier_version_began_to_cancel_is_not_carried_out(desk: Api) -> None:
    """It wrote into the row that the unban is cancelled, and removed the row in a second call."""
    unban_id = waiting(desk)
    (job,) = [job for job in unban_jobs.unfinished(desk.world.rows) if job.waits]
    half = Update(unban_jobs.key_of(job), set={"approved_by": "(cancelled)"})
    assert desk.world.rows.apply(half)
    carry_on_all(desk.world)
    assert sent(desk) == sorted(NEW)
    assert (shown(desk, unban_id)["waits"], shown(desk, unban_id)["urls"]) == (False, 0)


@pytest.mark.parametrize("policy", [POLICY, {**POLICY, "approvals": {"lifts_two_above": 3}}])
def test_no_unban_waits_without_the_limit_or_up_to_it(desk: Api, policy: dict[str, Any]) -> None:
    with_policy(desk, policy)
    answer = ask(desk, "olaf", "unbans", source="queue", reason="ticket 4711").json_body
    assert (answer["approvals_needed"], answer["complete"], answer["urls"]) == (1, True, 5)


def test_a_ban_after_the_request_is_not_part_of_the_unban(desk: Api) -> None:
    unban_id = waiting(desk)
    desk.world.clock.advance(minutes=10)
    later = pages(1, host="later.example.com")
    desk.world.queue({"urls": later})
    desk.settle()
    ask(desk, "nora", f"unbans/{unban_id}/approve", reason="seen")
    assert not {*later} & {*sent(desk)}


def test_an_unban_that_waits_too_long_is_told(desk: Api) -> None:
    unban_id = waiting(desk)
    carry_on_all(desk.world)
    assert not desk.world.events("unban_overdue")
    desk.world.clock.advance(hours=25)
    carry_on_all(desk.world)
    assert desk.world.events("unban_overdue")[-1]["job_id"] == unban_id


def test_an_approval_that_is_killed_anywhere_is_carried_out_once_or_can_be_repeated() -> None:
    for at, after in product(range(1, 30), (False, True)):
        world = banned(pages(3))
        world.clock.advance(days=3)
        job = unban_jobs.Job("u-x", "olaf", "ticket 4711", 7, world.clock(), source="desk")
        waits, _ = second_person.ask(world.run(), job, person="olaf", urls=3)
        with world.crash(at, after=after):
            run = world.run()
            unban.carry_out(run, second_person.approve(run, waits.id, actor="nora", person="nora", reason="seen"))
        still_waits = [each for each in unban_jobs.unfinished(world.rows) if each.waits and not each.approved_by]
        if still_waits:
            second_person.approve(world.run(), waits.id, actor="nora", person="nora", reason="seen")
        for _ in range(3):
            carry_on_all(world)
        world.minutes(10)
        assert world.states(pages(3)) == {"unbanned": 3}, (at, after)
        assert not unban_jobs.unfinished(world.rows)
        lifts = [task.urls for task in world.vendor.tasks.values() if task.action.value == "unban"]
        assert sum(map(len, lifts)) == 3, (at, after)


def approved(world: World, unban_id: str) -> bool:
    with suppress(Conflict, NotFound):
        return bool(second_person.approve(world.run(), unban_id, actor="nora", person="nora", reason="seen"))
    return False


def cancelled(world: World, unban_id: str) -> bool:
    with suppress(Conflict, NotFound):
        second_person.cancel(world.run(), unban_id, actor="olaf", reason="a mistake")
        return True
    return False


def decided(told: dict[Decide, bool], decide: Decide, world: World, unban_id: str) -> None:
    """Let a person decide, and note the answer."""
    told[decide] = decide(world, unban_id)


@pytest.mark.parametrize(("one", "other"), [(cancelled, approved), (approved, cancelled)])
def test_one_of_an_approval_and_a_cancellation_at_one_moment_counts(one: Decide, other: Decide) -> None:
    call, done = 0, False
    while not done:
        call += 1
        world = banned(pages(3))
        world.clock.advance(days=3)
        job = unban_jobs.Job("u-x", "olaf", "ticket 4711", 7, world.clock(), source="desk")
        waits, _ = second_person.ask(world.run(), job, person="olaf", urls=3)
        told: dict[Decide, bool] = {}
        moment = AtCall(world.rows, call, partial(decided, told, other, world, waits.id))
        decided(told, one, World(rows=moment, clock=world.clock, policy=world.policy), waits.id)
        done = moment.calls < call
        carry_on_all(world)
        world.minutes(10)
        assert done or told[one] != told[other], call
        assert world.states(pages(3)) == {"unbanned" if told.get(approved) else "banned": 3}, call
        assert not unban_jobs.unfinished(world.rows)
    assert call > 3


@pytest.mark.parametrize("after", [False, True])
def test_a_cancellation_that_is_killed_anywhere_is_carried_out_or_can_be_repeated(after: bool) -> None:
    at, killed = 0, True
    while killed:
        at += 1
        world = banned(pages(3))
        world.clock.advance(days=3)
        job = unban_jobs.Job("u-x", "olaf", "ticket 4711", 7, world.clock(), source="desk")
        waits, _ = second_person.ask(world.run(), job, person="olaf", urls=3)
        with world.crash(at, after=after):
            cancelled(world, waits.id)
            killed = False
        carry_on_all(world)
        if unban_jobs.unfinished(world.rows):
            assert cancelled(world, waits.id)
        assert unban_jobs.undone(world.rows, [waits.id]) == {waits.id: 0}
        carry_on_all(world)
        assert world.states(pages(3)) == {"banned": 3}
    assert at > 3


def test_an_unban_that_waited_tells_how_many_urls_the_vendor_failed_to_unban(desk: Api) -> None:
    unban_id = waiting(desk)
    desk.world.clock.advance(hours=2)
    ask(desk, "nora", f"unbans/{unban_id}/approve", reason="checked")
    desk.world.vendor.fail, desk.world.vendor.names_failed = {OLD[2]}, True
    for _ in range(4):
        desk.settle()
    assert (shown(desk, unban_id)["failed"], shown(desk, unban_id)["complete"]) == (1, True)
    listed = desk.get("unbans", {"Authorization": "Bearer rita"}, state="failed").json_body["unbans"]
    assert [each["unban_id"] for each in listed] == [unban_id]


def test_a_look_at_a_waiting_unban_that_fails_stops_no_other_unban() -> None:
    world = banned(pages(3))
    world.clock.advance(days=3)
    job = unban_jobs.Job("u-x", "olaf", "ticket 4711", 7, world.clock(), urls=(pages(3)[0],))
    waits, _ = second_person.ask(world.run(), job, person="olaf", urls=1)
    assert steps.approve(world.rows, waits, "nora"), "the approval died here"
    unban_jobs.record(world.rows, replace(job, id="u-y", urls=(pages(3)[1],)))
    rows, failing = world.rows, True

    def fails(function: Callable[..., object], *args: object, **kwargs: object) -> object:
        if failing and any(isinstance(write, Insert) and write.row["pk"] == "jobs" for write in args):
            raise LedgerUnavailable("throttled")
        return function(*args, **kwargs)

    world.rows = Each(rows, fails)
    carry_on_all(world)
    assert [event["job_id"] for event in world.events("unban_failed")] == [waits.id]
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 2, "unbanned": 1}
    failing = False
    carry_on_all(world)
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 1, "unbanned": 2}


def test_nobody_can_approve_a_cancelled_unban() -> None:
    world = banned(pages(3))
    world.clock.advance(days=3)
    job = unban_jobs.Job("u-x", "olaf", "ticket 4711", 7, world.clock(), source="desk")
    waits, _ = second_person.ask(world.run(), job, person="olaf", urls=3)
    second_person.cancel(world.run(), waits.id, actor="olaf", reason="a mistake")
    with pytest.raises(NotFound):
        second_person.approve(world.run(), waits.id, actor="nora", person="nora", reason="seen")
    world.clock.advance(minutes=1, seconds=timedelta(minutes=1).seconds)
    carry_on_all(world)
    assert world.states(pages(3)) == {"banned": 3}


def test_a_ban_that_was_renewed_today_is_as_old_as_its_first_report() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": pages(1), "category": "phishing"})
    settle(world)
    world.clock.advance(days=29, hours=12)
    assert renew(world) == 1
    key = url_key(ACCOUNT, pages(1)[0])
    claim = claims.read(world.rows, [key], consistent=True, whole=True)[key]
    assert made_at(claim.chunk) > stamp(world.clock() - timedelta(hours=1)), "the renewal's chunk is of now"
    assert not second_person.is_young(claim, world.clock())
