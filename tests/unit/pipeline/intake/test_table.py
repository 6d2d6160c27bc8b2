"""edgeban does what each cell of the table of docs/policy.md says (I2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.model import Action
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.urls import url_key
from chalicelib.domain.words.word import Effect, Kind, SourceWord, State
from chalicelib.ledger import claim_words, claims
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions import ban_by_hand, holds
from chalicelib.pipeline.decisions.by_hand_request import Request
from dev.fakes.operations import compare, refuse, renew, undo
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages

(URL,) = pages(1)
KEY = url_key(ACCOUNT, URL)
SOURCES = ("desk", "isp", "lab", "public", "form")
PAGE = Path(__file__).parents[4] / "docs" / "policy.md"

Step = Callable[[World], object]


def new_world(rows: MemoryRows) -> World:
    sources = parse_sources({name: {"auth": "none", "format": "native"} for name in SOURCES})
    rules = {"public": {"trust": "review"}, "form": {"trust": "review"}, "lab": {"withdrawals": "lift"}}
    categories = {"spam": {"ban_days": 3, "min_reporters": 3}}
    policy = parse_policy({**POLICY, "sources": rules, "categories": categories})
    return World(rows=rows, sources=sources, policy=policy)


# --- words ------------------------------------------------------------------------------------------------------------


def says(source: str, days: int = 7, category: str = "") -> Step:
    """Let a source report the page."""
    days = 3 if category else days

    def step(world: World) -> None:
        world.queue({"urls": [URL], "ban_duration": days, "category": category}, source=source)
        world.minutes(4)

    return step


def withdraws(source: str) -> Step:
    """Let a source take its report back."""

    def step(world: World) -> None:
        world.queue({"withdrawn": [{"url": URL}]}, source=source)
        world.minutes(4)

    return step


def person_bans(world: World) -> None:
    world.vendor.fail, world.vendor.refuse = set(), set()
    ban_by_hand.ban(world.run(), Request("ana", "ana", "ticket", (URL,), plan=plan_for(9), sources=SOURCES))
    world.minutes(4)


def person_lifts(world: World) -> None:
    undo(world, urls=(URL,))
    world.minutes(4)


def few(source: str) -> Step:
    """Let a source report the page in a category that wants three reporters."""
    return says(source, category="spam")


# --- records ----------------------------------------------------------------------------------------------------------


def refused(world: World) -> None:
    policy = world.policy
    world.policy = parse_policy({**POLICY, "sources": {"desk": {"trust": "review"}}})
    says("desk")(world)
    world.policy = policy
    refuse(world)
    world.minutes(1)


def cooling(world: World) -> None:
    says("desk")(world)
    person_lifts(world)


def vendor_refused(world: World) -> None:
    world.vendor.refuse = {URL}
    says("desk")(world)


def failed(world: World) -> None:
    world.vendor.fail = {URL}
    says("desk")(world)


def held_by_drift(world: World) -> None:
    for source, days in (("desk", 20), ("isp", 9)):
        world.queue({"urls": pages(1_001), "ban_duration": days}, source=source)
        world.minutes(4)
    world.vendor.settle()
    world.vendor.bans.clear()
    world.clock.advance(hours=2)
    compare(world)
    assert world.state(URL) == "held"


def in_order(*steps: Step) -> Step:
    def step(world: World) -> None:
        for each in steps:
            each(world)

    return step


def a_day_later(world: World) -> None:
    world.clock.advance(hours=25)
    renew(world)
    world.minutes(4)


def nothing(_: World) -> None:
    pass


BEFORE: dict[State, Step] = {
    State.NOTHING: nothing,
    State.IN_FORCE: says("desk"),
    State.TOO_FEW: few("desk"),
    State.HELD: says("public"),
    State.REFUSED: refused,
    State.COOLING: cooling,
    State.VENDOR_REFUSED: vendor_refused,
    State.FAILED: failed,
}

N, ADD, EXTEND, SUPPRESS = Effect.NOTHING, Effect.ADD, Effect.EXTEND, Effect.SUPPRESS
TAKE_BACK, SHORTEN, HOLD, LIFT = Effect.TAKE_BACK, Effect.SHORTEN, Effect.HOLD, Effect.LIFT
BOTH = in_order(says("desk", 20), says("isp", 5))

CASES: dict[tuple[State, Kind], list[tuple[Step, Effect] | tuple[Step, Effect, Step]]] = {
    (State.NOTHING, Kind.BAN): [(says("desk"), Effect.BAN)],
    (State.NOTHING, Kind.HOLD): [(says("public"), HOLD)],
    (State.NOTHING, Kind.TOO_FEW): [(few("desk"), Effect.NOTE)],
    (State.NOTHING, Kind.WITHDRAWAL): [(withdraws("desk"), Effect.MARK)],
    (State.IN_FORCE, Kind.BAN): [(says("desk"), N), (says("isp", 3), ADD), (says("isp", 30), EXTEND)],
    (State.IN_FORCE, Kind.HOLD): [
        (says("public"), ADD),
        (says("public"), N, in_order(says("desk"), says("public"))),
    ],
    (State.IN_FORCE, Kind.TOO_FEW): [(few("isp"), Effect.NOTE)],
    (State.IN_FORCE, Kind.WITHDRAWAL): [
        (withdraws("isp"), N),
        (withdraws("desk"), SHORTEN, BOTH),
        (withdraws("isp"), TAKE_BACK, BOTH),
        (withdraws("desk"), HOLD),
        (withdraws("lab"), LIFT, says("lab")),
    ],
    (State.TOO_FEW, Kind.BAN): [(says("isp"), Effect.BAN)],
    (State.TOO_FEW, Kind.HOLD): [(says("public"), HOLD)],
    (State.TOO_FEW, Kind.TOO_FEW): [(few("isp"), Effect.NOTE)],
    (State.TOO_FEW, Kind.WITHDRAWAL): [(withdraws("desk"), TAKE_BACK)],
    (State.HELD, Kind.BAN): [
        (says("desk"), Effect.RELEASE),
        (says("lab"), ADD, in_order(refused, says("isp"))),
        (says("isp"), N, in_order(refused, says("isp"))),
    ],
    (State.HELD, Kind.HOLD): [(says("form"), ADD), (says("public"), N)],
    (State.HELD, Kind.TOO_FEW): [(few("isp"), Effect.NOTE)],
    (State.HELD, Kind.WITHDRAWAL): [
        (withdraws("isp"), N),
        (withdraws("form"), TAKE_BACK, in_order(says("public"), says("form"))),
        (withdraws("public"), Effect.LEAVE_HOLD),
        (withdraws("desk"), SHORTEN, held_by_drift),
    ],
    (State.VENDOR_REFUSED, Kind.BAN): [
        (says("desk"), N),
        (says("isp"), Effect.TRY_AGAIN),
        (says("lab"), ADD, in_order(vendor_refused, says("isp"), a_day_later)),
    ],
    (State.VENDOR_REFUSED, Kind.HOLD): [
        (says("public"), ADD),
        (says("public"), N, in_order(vendor_refused, says("public"))),
    ],
    (State.VENDOR_REFUSED, Kind.TOO_FEW): [(few("isp"), Effect.NOTE)],
    (State.VENDOR_REFUSED, Kind.WITHDRAWAL): [(withdraws("desk"), TAKE_BACK), (withdraws("isp"), N)],
    (State.FAILED, Kind.BAN): [(says("desk"), N), (says("isp", 3), ADD), (says("isp", 30), EXTEND)],
    (State.FAILED, Kind.HOLD): [(says("public"), ADD), (says("public"), N, in_order(failed, says("public")))],
    (State.FAILED, Kind.TOO_FEW): [(few("isp"), Effect.NOTE)],
    (State.FAILED, Kind.WITHDRAWAL): [
        (withdraws("isp"), N),
        (withdraws("isp"), TAKE_BACK, in_order(failed, says("isp"))),
        (withdraws("desk"), Effect.END),
    ],
    **{
        (state, Kind.PERSON_BANS): [(person_bans, effect)]
        for state in State
        for effect in ({State.IN_FORCE: Effect.SET_END, State.HELD: Effect.RELEASE}.get(state, Effect.BAN),)
    },
    **{(state, Kind.PERSON_LIFTS): [(person_lifts, LIFT)] for state in State},
    **{(state, Kind.BAN): [(says("isp"), HOLD), (says("desk"), SUPPRESS)] for state in (State.REFUSED, State.COOLING)},
    **{(state, Kind.HOLD): [(says("public"), SUPPRESS)] for state in (State.REFUSED, State.COOLING)},
    **{(state, Kind.TOO_FEW): [(few("isp"), SUPPRESS)] for state in (State.REFUSED, State.COOLING)},
    **{
        (state, Kind.WITHDRAWAL): [(withdraws("isp"), N), (withdraws("desk"), TAKE_BACK)]
        for state in (State.REFUSED, State.COOLING)
    },
}


# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """The visible facts about the page."""

    claim: Claim | None
    words: frozenset[SourceWord]
    reporters: int
    holds: frozenset[str]
    state: str
    calls: tuple[Action, ...]


def look(world: World) -> Seen:
    claim = claims.read(world.rows, [KEY]).get(KEY)
    noted = world.rows.get([(f"url#{KEY}", "reporters")])
    names: Any = next((row["names"] for row in noted.values()), [])
    return Seen(
        claim,
        frozenset(unpack(claim.words, [*SOURCES, "operator:ana"])) if claim else frozenset(),
        len(names),
        frozenset(work.chunk for work in holds.all_held(world.rows, [ACCOUNT])),
        world.state(URL),
        tuple(action for action, urls, _ in world.vendor.calls if URL in urls),
    )


def effect_of(before: Seen, after: Seen, kind: Kind) -> Effect:
    """Name the effect on the page."""
    called = after.calls[len(before.calls) :]
    if called:
        banned = Effect.RELEASE if before.state == "held" else Effect.BAN
        return LIFT if Action.UNBAN in called else banned
    if after.state == "unbanned" != before.state:  # The vendor never had this ban.
        return LIFT
    if after.holds - before.holds:
        return HOLD
    old, new = before.claim, after.claim
    if old is None or new is None:
        return effect_without_a_claim(before, after)
    if before.words != after.words or old.until != new.until:
        return effect_on_words(before, after, kind)
    decided = after.state in {"rejected", "unbanned"} and new.cool_until and kind is not Kind.WITHDRAWAL
    noted = after.reporters > before.reporters
    return Effect.NOTE if noted else SUPPRESS if decided else N


def effect_without_a_claim(before: Seen, after: Seen) -> Effect:
    if after.reporters != before.reporters:
        return Effect.NOTE if after.reporters > before.reporters else TAKE_BACK
    assert after.claim
    assert after.claim.chunk == claim_words.NO_CHUNK
    return Effect.MARK


def effect_on_words(before: Seen, after: Seen, kind: Kind) -> Effect:
    assert before.claim
    assert after.claim
    if kind is Kind.PERSON_BANS:
        return Effect.SET_END
    if len(after.words) < len(before.words):
        if before.state == "held" and after.state != "held":
            return Effect.LEAVE_HOLD
        if after.claim.until < before.claim.until:
            return SHORTEN
        return Effect.END if before.state == "failed" and not after.words else TAKE_BACK
    if after.claim.retry_at > before.claim.retry_at:
        return Effect.TRY_AGAIN
    return EXTEND if after.claim.until > before.claim.until and after.state != "held" else ADD


@pytest.mark.parametrize(("state", "kind"), CASES, ids=lambda value: value.value)
def test_what_is_done_is_what_the_table_says(state: State, kind: Kind) -> None:
    seen: set[Effect] = set()
    for step, effect, *begun in CASES[state, kind]:
        world = new_world(MemoryRows())
        (begun[0] if begun else BEFORE[state])(world)
        before = look(world)
        world.clock.advance(minutes=1)
        step(world)
        assert effect_of(before, look(world), kind) is effect
        seen.add(effect)
    assert seen == cells()[state, kind]


def cells() -> dict[tuple[State, Kind], set[Effect]]:
    """Read the table of the page."""
    section = PAGE.read_text().partition("## What several words come to")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \|(.+)\|$", section, re.MULTILINE)
    return {
        (State(state), kind): {Effect(name) for name in re.findall(r"`([a-z_]+)`", cell)}
        for state, row in rows
        for kind, cell in zip(Kind, row.split("|"), strict=True)
    }


def test_every_cell_is_tried() -> None:
    assert CASES.keys() == cells().keys()
