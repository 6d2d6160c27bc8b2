"""A repeated delivery is the same report, and a new word is a new report."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import TooManyRequests
from chalicelib.pipeline.intake.deliveries import Receipt, WebhookCall
from chalicelib.pipeline.intake.receive import receive_report
from dev.fakes.killing import killed_at_each_call
from dev.fakes.world import ACCOUNT, POLICY, World, pages

SECRET = "a-secret-of-some-length"
SOURCES: dict[str, Any] = {
    "hub": {"auth": "hub-sha256", "secrets": [SECRET], "format": "native", "reports_per_minute": 3},
    "bearer": {"auth": "bearer", "secrets": [SECRET], "format": "native"},
}
BODY = json.dumps({"urls": pages(1)}).encode()


def deliver(world: World, source: str, body: bytes = BODY, **headers: str) -> Receipt:
    """Let a source send a body, with the headers of its scheme and others."""
    signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, sha256).hexdigest()}
    proof = signed if source == "hub" else {"Authorization": f"Bearer {SECRET}"}
    call = WebhookCall(source, {**proof, **{name.replace("_", "-"): value for name, value in headers.items()}}, body)
    return receive_report(world.run(), call, world.sources, world.crasher.wrap(world))


@pytest.fixture
def world() -> World:
    return World(sources=parse_sources(SOURCES))


@pytest.mark.parametrize("days", [8, 39])
def test_a_hub_body_without_an_id_that_is_replayed_bans_nothing_again(world: World, days: int) -> None:
    first = deliver(world, "hub")
    world.minutes(3)
    assert world.state(pages(1)[0]) == "banned"
    world.clock.advance(days=days)
    assert deliver(world, "hub") == first
    world.minutes(3)
    assert world.state(pages(1)[0]) == "expired"
    assert world.live_bans(pages(1)[0]) == 1


def test_replays_use_up_no_rate(world: World) -> None:
    deliver(world, "hub")
    for _ in range(30):
        deliver(world, "hub")
    for number in range(2):
        deliver(world, "hub", json.dumps({"urls": pages(2), "note": f"{number}"}).encode())
    with pytest.raises(TooManyRequests):
        deliver(world, "hub", json.dumps({"urls": pages(3)}).encode())


def test_a_hub_delivery_with_an_id_of_its_own_is_a_new_word(world: World) -> None:
    first = deliver(world, "hub", X_GitHub_Delivery="d-1")
    world.minutes(3)
    world.clock.advance(days=8)
    again = deliver(world, "hub", X_GitHub_Delivery="d-1")
    assert again.report_id == first.report_id
    second = deliver(world, "hub", X_GitHub_Delivery="d-2")
    assert second.report_id != first.report_id
    world.minutes(3)
    assert world.state(pages(1)[0]) == "banned"


@pytest.mark.parametrize("offset", [0, 300, 599])
def test_a_bearer_body_is_one_delivery_for_ten_minutes_and_a_new_word_then(world: World, offset: int) -> None:
    world.clock.advance(seconds=offset)
    first = deliver(world, "bearer")
    world.clock.advance(seconds=599)
    assert deliver(world, "bearer").report_id == first.report_id
    world.clock.advance(seconds=2)
    assert deliver(world, "bearer").report_id != first.report_id


def test_what_was_refused_is_decided_anew_when_a_bearer_source_says_it_later(world: World) -> None:
    allowed = world.policy
    world.policy = parse_policy({**POLICY, "protected": [{"url": pages(1)[0], "comment": "clean"}]})
    assert deliver(world, "bearer").accepted == 0
    world.policy = allowed
    world.clock.advance(minutes=11)
    assert deliver(world, "bearer").accepted == 1


def test_a_host_that_is_added_later_is_managed_for_a_new_delivery(world: World) -> None:
    world.policy = parse_policy({**POLICY, "accounts": {ACCOUNT: {"managed_domains": ["other.example.com"]}}})
    assert deliver(world, "hub", X_GitHub_Delivery="d-1").accepted == 0
    world.policy = parse_policy(POLICY)
    assert deliver(world, "hub", X_GitHub_Delivery="d-2").accepted == 1


def test_a_report_is_known_for_as_long_as_replays_of_its_source_are(world: World) -> None:
    hub = replace(world.sources["hub"], replay_days=100)
    world.sources = {**world.sources, "hub": hub}
    first = deliver(world, "hub")
    rows: Any = world.rows
    ends = {row["expires_at"] for (pk, sk), row in rows.rows.items() if pk == f"report#{first.report_id}"}
    assert ends == {int(world.clock().timestamp()) + 100 * 86_400}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("source", ["hub", "bearer"])
def test_a_delivery_killed_at_any_call_is_taken_when_it_comes_again(source: str, after: bool) -> None:
    def prepare() -> World:
        return World(sources=parse_sources(SOURCES))

    for at, world in killed_at_each_call(prepare, partial(deliver, source=source), after=after):
        world.clock.advance(seconds=61)
        assert deliver(world, source).accepted == 1
        world.minutes(3)
        assert world.state(pages(1)[0]) == "banned", at
        assert world.live_bans(pages(1)[0]) == 1
