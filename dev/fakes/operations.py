"""What people, schedules and other systems do in a ``World``: one function for each thing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.policy.model import Approvals
from chalicelib.ledger import unban_jobs
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.answers.due_outcomes import name_due_reports
from chalicelib.pipeline.answers.outcomes import deliver_outcomes
from chalicelib.pipeline.decisions import holds, unban
from chalicelib.pipeline.decisions.holds import Approval
from chalicelib.pipeline.upkeep.drift import Drift, detect_drift
from chalicelib.pipeline.upkeep.renew import renew_bans
from chalicelib.pipeline.upkeep.verify import verify_bans
from chalicelib.ports import Objects
from chalicelib.reports.signature import verify as verify_signature
from dev.fakes.objects import MemoryObjects
from dev.fakes.world import ACCOUNT, POLICY, SOURCES, World, pages

ROOTS = [f"https://h{number}.example.com/" for number in range(4)]
"""URLs that the bare-host rule holds."""

NO_CAPS: Mapping[str, int] = POLICY["caps"]
"""Caps that are all off; merge the one that a test is about."""

STATEMENT: Mapping[str, Any] = {"territorial_scope": ["EEA"], "redress": "Object at https://www.example.com/appeals."}
CATEGORY_STATEMENT: Mapping[str, Any] = {
    "ground": "incompatible_content",
    "basis": "Terms of service, section 4.2",
    "explanation": "The page imitates another site to obtain passwords.",
    "dsa_category": "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
}
SOURCE_STATEMENT: Mapping[str, Any] = {"notice": "article_16", "automated_detection": False}
STATING: Mapping[str, Any] = {
    "statement": STATEMENT,
    "categories": {"default": {"statement": CATEGORY_STATEMENT}},
    "sources": {name: {"statement": SOURCE_STATEMENT} for name in SOURCES},
}
"""Fields of a policy under which every statement of reasons is complete."""

CALLBACK_SECRET = "whsec_" + "Y2FsbGJhY2sh" * 3
CALLBACK = {"callback_url": "https://desk.example.org/outcomes", "callback_secret": CALLBACK_SECRET}
DESK = {**SOURCES["desk"], **CALLBACK}


# --- worlds ---------------------------------------------------------------------------------------------------------


def world_with(**fields: Any) -> World:
    """Return a world whose policy has these fields beside those of ``POLICY``."""
    return World(policy=parse_policy({**POLICY, **fields}))


def lasting(**category: object) -> World:
    """Return a world in which a ban for phishing lasts as the category says."""
    return world_with(categories={"phishing": category})


def banned(urls: Sequence[str] = tuple(pages(5))) -> World:
    """Return a world in which these URLs were reported and are banned."""
    world = World()
    world.post({"urls": list(urls)})
    world.minutes(3)
    assert world.states(urls) == {"banned": len(urls)}
    return world


def held(urls: Sequence[str] = tuple(ROOTS)) -> tuple[World, str]:
    """Return a world in which the bare-host rule has stopped these URLs, and the id of the hold."""
    world = World()
    world.post({"urls": list(urls)})
    world.intake()
    (work,) = holds.all_held(world.rows, [ACCOUNT])
    return world, work.chunk


def world_with_callbacks(**sources: Any) -> tuple[World, Receiver]:
    """Return a world whose source ``desk`` has a callback, and what receives it."""
    world = World(sources=parse_sources({**SOURCES, "desk": DESK, **sources}))
    return world, Receiver(world)


# --- decisions of people --------------------------------------------------------------------------------------------


def undo(
    world: World,
    *,
    reason: str = "customer appealed",
    cool_down_days: int = 7,
    seconds: float = 20,
    rows: Any = None,
    **selection: Any,
) -> Job:
    """Let ana unban a selection, given by the fields of ``Job``."""
    now = world.clock()
    beginning = unban_jobs.beginning_of(selection)
    job = Job(unban_jobs.new_id(now, beginning=beginning), "ana", reason, cool_down_days, now, **selection)
    unban_jobs.record(world.crasher.wrap(world.rows), job)
    carry_on(world, job, seconds=seconds, rows=rows)
    return job


def carry_on(world: World, job: Job, *, seconds: float = 20, rows: Any = None) -> int | None:
    """Carry out one unban as far as the time reaches."""
    run = world.run(seconds=seconds)
    return unban.carry_out(replace(run, rows=rows) if rows else run, job)


def carry_on_all(world: World, *, seconds: float = 20) -> None:
    """Carry out the unbans that are not complete, as the sweep does."""
    unban.carry_on(world.run(seconds=seconds))


def approve(world: World, hold_id: str, *, actor: str = "ana", person: str = "", **approvals: int) -> Approval:
    """Let a person approve a hold, under the policy's ``approvals`` or others."""
    policy = replace(world.policy, approvals=Approvals(**approvals)) if approvals else world.policy
    run = replace(world.run(), read_policy=lambda: policy)
    return holds.approve(run, hold_id, actor=actor, reason="seen", person=person)


def refuse(world: World, hold_id: str = "", *, actor: str = "ana") -> int:
    """Let a person refuse a hold: the only one that there is, if none is named."""
    if not hold_id:
        (work,) = holds.all_held(world.rows, [ACCOUNT])
        hold_id = work.chunk
    return holds.refuse(world.run(), hold_id, actor=actor, reason="a customer")


# --- what schedules start -------------------------------------------------------------------------------------------


def renew(world: World) -> int:
    """Run the function that renews bans."""
    return renew_bans(world.run(seconds=240).at(ACCOUNT))


def compare(world: World, objects: Objects | None = None, *, minutes: float = 13) -> Drift:
    """Run the function that compares the ledger with the vendor's list of bans."""
    return detect_drift(world.run(seconds=60 * minutes).at(ACCOUNT), world.vendor, objects or MemoryObjects())


@dataclass
class Edge:
    """Answers 403 for what the fake vendor bans, else 200. ``says`` answers otherwise, ``asked`` lists the URLs."""

    world: World
    says: Callable[[str], int | Exception] | None = None
    asked: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    """The edges that were asked; an empty name is the URL's own host."""
    seconds: float = 0.2

    def __call__(self, url: str, *, edge: str = "") -> int:
        self.asked.append(url)
        self.hosts.add(edge)
        self.world.clock.sleep(self.seconds)
        self.world.vendor.settle()
        answer = self.says(url) if self.says else 403 if url in self.world.vendor.bans else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


def verify(world: World, edge: Edge, *, seconds: float = 200) -> int:
    """Run the function that asks the edge for banned URLs."""
    return verify_bans(world.run(seconds=seconds).at(ACCOUNT), world.crasher.wrap(edge))


@dataclass
class Receiver:
    """What a source runs: answers from a list (an error is raised), then 204."""

    world: World
    answers: list[int | Exception] = field(default_factory=list)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0

    def __call__(self, url: str, *, headers: dict[str, str], body: bytes) -> int:
        webhook_id = verify_signature(secrets=[CALLBACK_SECRET], headers=headers, body=body, now=self.world.clock())
        self.got.append((webhook_id, json.loads(body)))
        self.world.clock.advance(seconds=self.seconds)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return answer


def deliver(world: World, receiver: Receiver, *, seconds: float = 80, due: bool = True) -> dict[str, int]:
    """Name the reports that are ``due``, as the sweep does, and call sources back about all that were named."""
    if due:
        name_due_reports(world.run(seconds=seconds))
    results = Counter[str]()
    while world.ended:
        source, named = world.ended[0]
        run, post = world.run(seconds=seconds), world.crasher.wrap(receiver)
        results.update(deliver_outcomes(run, world.sources.get(source), named, post, threads=False))
        world.ended.pop(0)  # a message whose function was killed comes again
    return dict(results)
