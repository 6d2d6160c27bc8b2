"""If two intakes take reports of one URL at the same moment, both words stand, whichever is quicker (I1, I2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.urls import url_key
from chalicelib.ledger import claims
from chalicelib.ledger.packed_words import unpack
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import AtCall

(URL,) = pages(1)
REVIEW = parse_policy({**POLICY, "sources": {"queue": {"trust": "review"}}})
TRUSTED = parse_policy(POLICY)


def reported(world: World) -> None:
    world.queue({"urls": [URL], "ban_duration": 3})


def withdrawn(world: World) -> None:
    world.queue({"withdrawn": [{"url": URL}]})


@pytest.mark.parametrize(
    ("policy", "quicker", "sources", "days"),
    [
        (REVIEW, reported, {"desk", "queue"}, 20),
        (TRUSTED, reported, {"desk", "queue"}, 20),
        (TRUSTED, withdrawn, {"desk"}, 20),
    ],
    ids=["it was held", "it was banned for less", "it was withdrawn"],
)
def test_a_report_stands_beside_what_another_intake_took_at_any_moment(
    policy: object, quicker: Callable[[World], None], sources: set[str], days: int
) -> None:
    call, done = 0, False
    while not done:
        call += 1
        rows = MemoryRows()
        other = World(rows=rows, policy=policy)  # type: ignore[arg-type]
        quicker(other)
        moment = AtCall(rows, call, other.intake)
        world = World(rows=rows, clock=other.clock, policy=policy)  # type: ignore[arg-type]
        world.post({"urls": [URL], "ban_duration": days})
        world.rows = moment
        world.intake()
        done = moment.calls < call
        other.queued += world.queued
        other.wakes += world.wakes
        other.minutes(9)
        assert not other.queued
        claim = claims.read(rows, [url_key(ACCOUNT, URL)])[url_key(ACCOUNT, URL)]
        assert other.state(URL) == "banned", call
        assert {word.source for word in unpack(claim.words, ["desk", "queue"])} == sources, call
        assert claim.until - other.clock().timestamp() > (days - 1) * 86_400, call
        assert other.live_bans(URL) == 1
    assert call > 5
