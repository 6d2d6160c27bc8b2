"""While a person lifts bans whose sources took their words back, none is left that nobody asks about (I2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.packed_words import all_words
from chalicelib.pipeline.decisions import holds
from dev.fakes.operations import carry_on_all, renew
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import AtCall

URLS = pages(3)


def withdrawn_by_the_other_source(world: World) -> None:
    world.clock.advance(seconds=1)
    world.post({"withdrawn": [{"url": url} for url in URLS]}, webhook_id="back")
    world.intake()


def renewed(world: World) -> None:
    renew(world)


def asked_about(*, other_source: bool) -> World:
    categories = {"phishing": {"ban_for_days": 60}}
    world = World(rows=MemoryRows(), policy=parse_policy({**POLICY, "categories": categories}))
    world.queue({"urls": URLS, "category": "phishing"})
    world.minutes(3)
    world.clock.advance(days=29)
    world.queue({"withdrawn": [{"url": url} for url in URLS]})
    world.intake()
    if other_source:
        world.post({"urls": URLS, "category": "phishing"}, webhook_id="too")
        world.intake()
    return world


@pytest.mark.parametrize(("act", "other_source"), [(withdrawn_by_the_other_source, True), (renewed, False)])
def test_what_loses_its_last_word_while_a_person_lifts_is_lifted_or_asked_about(
    act: Callable[[World], None], other_source: bool
) -> None:
    call, done = 0, False
    while not done:
        call += 1
        other = asked_about(other_source=other_source)
        (work,) = holds.all_held(other.rows, [ACCOUNT])
        moment = AtCall(other.rows, call, partial(act, other))
        person = World(rows=moment, clock=other.clock, policy=other.policy)
        holds.approve(person.run(), work.chunk, actor="ana", reason="seen")
        done = moment.calls < call
        if done:
            act(other)
        other.wakes.append(ACCOUNT)
        carry_on_all(other)
        other.minutes(5)
        asked = {url for each in holds.all_held(other.rows, [ACCOUNT]) for url in questions(other, each.chunk)}
        found = claims.read(other.rows, [url_key(ACCOUNT, url) for url in URLS], whole=True)
        for url in URLS:
            claim = found[url_key(ACCOUNT, url)]
            assert other.state(url) == "unbanned" or all_words(claim.words) or url in asked, (call, url)
    assert call > 4


def questions(world: World, hold: str) -> list[str]:
    found = holds.read_hold(world.rows, hold)
    return [found.chunk.urls[position] for position in found.positions]
