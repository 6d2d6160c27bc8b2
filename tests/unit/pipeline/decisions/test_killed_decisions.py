"""Every decision that is killed at any call, and asked for again or carried on by the sweep, ends as if unharmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.errors import Conflict, NotFound
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims, control
from chalicelib.pipeline.decisions import ban_by_hand, holds
from chalicelib.pipeline.decisions.by_hand_request import Request
from dev.fakes.killing import WAYS, Step, Way, judge_killed, said, take_back, world_of_sources
from dev.fakes.operations import undo
from dev.fakes.world import ACCOUNT, START, World, pages

URLS = pages(4)
SOME = URLS[:2]
END = START + timedelta(days=3, hours=5)


# --- worlds ---------------------------------------------------------------------------------------------------------


def _held(**fields: Any) -> World:
    world = world_of_sources(**fields)
    said(world, "public", URLS, 5)
    return world


def _held_and_asked_for_longer() -> World:
    world = _held(sources={"public": {"trust": "review"}, "capped": {"trust": "review"}})
    said(world, "capped", SOME, category="malware")
    return world


def _held_for_two() -> World:
    return _held(approvals={"two_above": 3})


def _banned() -> World:
    world = world_of_sources()
    said(world, "desk", URLS, 9)
    return world


def _banned_by_both() -> World:
    world = _banned()
    said(world, "isp", SOME, 4)
    return world


def _all_kinds() -> World:
    """Return a world with four URLs: one is banned, one held, one lifted and one unknown."""
    world = world_of_sources(approvals={"two_above": 100})
    said(world, "desk", URLS[:1], 9)
    said(world, "public", URLS[1:2], 9)
    said(world, "desk", URLS[2:3], 9)
    undo(world, urls=tuple(URLS[2:3]))
    world.minutes(4)
    return world


def _all_kinds_for_two() -> World:
    world = _all_kinds()
    world.policy = world_of_sources(approvals={"two_above": 0}).policy
    return world


def _question() -> World:
    """Return a world in which a person is asked whether to lift bans that their source took back."""
    world = _banned()
    take_back(world, "desk", SOME)
    world.minutes(4)
    return world


def _waiting() -> World:
    """Return a world with decided bans, of which the vendor has none before somebody resumes."""
    world = world_of_sources()
    said(world, "isp", URLS[2:], 9)
    control.set_paused(world.rows, ACCOUNT, actor="ana", reason="a mistake", now=world.clock())
    said(world, "desk", URLS, 12)
    return world


def _under_way() -> World:
    """Return a world in which the vendor works on bans."""
    world = world_of_sources()
    world.vendor.task_time = timedelta(minutes=10)
    said(world, "desk", URLS, 9)
    world.vendor.task_time = timedelta()  # The unban's own task ends at once.
    return world


def _under_way_by_both() -> World:
    world = _under_way()
    said(world, "isp", SOME, 4)
    return world


# --- decisions ------------------------------------------------------------------------------------------------------


def _approved(*people: str, excepted: Sequence[str] = ()) -> Callable[[World], object]:
    """Let people approve the oldest hold, one after the other."""

    def decide(world: World) -> None:
        for person in people:
            for work in holds.all_held(world.rows, [ACCOUNT])[:1]:
                with suppress(Conflict, NotFound):
                    holds.approve(world.run(), work.chunk, actor=person, reason="seen", excepted=excepted)

    return decide


def _refused(world: World) -> None:
    for work in holds.all_held(world.rows, [ACCOUNT])[:1]:
        holds.refuse(world.run(), work.chunk, actor="ana", reason="a customer")


def _banned_by_hand(*urls: str, **more: Any) -> Callable[[World], object]:
    def decide(world: World) -> None:
        request = Request("ana", "ana", "a ticket", urls or tuple(URLS), sources=tuple(world.sources), **more)
        ban_by_hand.ban(world.run(), request)

    return decide


def _approved_by_ben(world: World) -> None:
    """Let a second person approve a ban by hand of the first one."""
    for work in [work for work in holds.all_held(world.rows, [ACCOUNT]) if work.rule == "by_hand"]:
        holds.approve(world.run(), work.chunk, actor="ben", reason="seen")


def _resumed(world: World) -> None:
    control.resume(world.rows, ACCOUNT, actor="ana", now=world.clock())


def _undone(**selection: Any) -> Callable[[World], object]:
    return lambda world: undo(world, cool_down_days=3, **selection)


def _task_undone(world: World) -> None:
    undo(world, task=world.events("task_submitted")[0]["task_id"], cool_down_days=3)


def _report_undone(world: World) -> None:
    (claim,) = claims.read(world.rows, [url_key(ACCOUNT, URLS[0])], whole=True).values()
    undo(world, report=claim.report, cool_down_days=3)


STEPS = {
    "approve": Step(_held, _approved("ana")),
    "approve words for longer than the vendor bans": Step(_held_and_asked_for_longer, _approved("ana")),
    "approve in parts": Step(_held, _approved("ana", excepted=SOME)),
    "approve by two": Step(_held_for_two, _approved("ana", "ben")),
    "approve in parts by two": Step(_held_for_two, _approved("ana", "ben", excepted=URLS[:1])),
    "refuse": Step(_held, _refused),
    "refuse, and nobody asks again": Step(_held, _refused, asked_again=False),
    "lift what its source took back": Step(_question, _approved("ana")),
    "lift some of what its source took back": Step(_question, _approved("ana", excepted=URLS[:1])),
    "leave what its source took back": Step(_question, _refused),
    "ban by hand": Step(_all_kinds, _banned_by_hand(plan=plan_for(20))),
    "ban by hand until a moment": Step(_all_kinds, _banned_by_hand(end=END)),
    "ban by hand by two": Step(_all_kinds_for_two, _banned_by_hand(end=END), afterwards=_approved_by_ben),
    "a later end": Step(_banned, _banned_by_hand(*SOME, plan=plan_for(40), only_in_force=True)),
    "an earlier end": Step(_banned, _banned_by_hand(*SOME, end=END, only_in_force=True)),
    "lift by URL": Step(_banned, _undone(urls=tuple(SOME)), asked_again=False),
    "lift what is held": Step(_held, _undone(urls=tuple(SOME)), asked_again=False),
    "lift what waits": Step(_waiting, _undone(urls=tuple(SOME)), asked_again=False, afterwards=_resumed),
    "lift behind its ban": Step(_under_way, _undone(urls=tuple(SOME)), asked_again=False),
    "undo a source": Step(_banned_by_both, _undone(source="desk"), asked_again=False),
    "undo a source that others are behind": Step(_banned_by_both, _undone(source="isp"), asked_again=False),
    "undo a source whatever others said": Step(
        _banned_by_both, _undone(source="isp", even_if_others_said_so=True), asked_again=False
    ),
    "undo a source whose bans wait": Step(_waiting, _undone(source="desk"), asked_again=False, afterwards=_resumed),
    "undo a source behind its bans": Step(_under_way_by_both, _undone(source="desk"), asked_again=False),
    "undo a source whose URLs are held": Step(_held, _undone(source="public"), asked_again=False),
    "undo a task": Step(_banned_by_both, _task_undone, asked_again=False),
    "undo a report": Step(_banned_by_both, _report_undone, asked_again=False),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_what_a_person_decides_comes_to_the_same_wherever_it_was_killed(step: Step, way: Way) -> None:
    judge_killed(step, way)
