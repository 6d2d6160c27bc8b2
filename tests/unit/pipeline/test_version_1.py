"""edgeban reads, extends, withdraws and undoes what version 1 wrote; and version 1 survives what is written now.

``tests/samples/rows_of_version_1.json`` holds rows that the code of commit 96eb734 itself wrote, in the ``World`` of
its own tests: reports by webhook and queue; bans in force, planned for 90 days, lifted, being lifted, refused by the
vendor, under way, waiting, and sent without an answer; holds that nobody has decided, that one of two people has
approved, and that a person has refused; an unban whose request died after it recorded it; and an intake that was
killed between its claims and its seal, with its message. The file also holds the vendor's tasks and bans, and what
version 1 said of each URL. Bytes are base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.config.policy import parse as parse_policy
from chalicelib.domain.model import Action, TaskState
from chalicelib.domain.policy.duration import plan_for
from chalicelib.domain.urls import url_key
from chalicelib.ledger import audit, claims, reports
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.answers import history, url_status
from chalicelib.pipeline.decisions import ban_by_hand, by_hand_request, holds
from dev.fakes.operations import approve, carry_on_all, refuse, renew, undo
from dev.fakes.vendor import FakeBan, FakeTask
from dev.fakes.world import ACCOUNT, POLICY, World, pages

SAMPLE: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "samples" / "rows_of_version_1.json").read_text(encoding="utf-8")
)
BANNED, LIFTED_SOON = pages(3)[:2], pages(3)[2]
WWW = "https://www.example.com/"
HELD = [f"https://h{number}.example.com/" for number in (0, 1)]
REFUSED = "https://h2.example.com/"
APPROVED_ONCE = [f"https://h{number}.example.com/" for number in (3, 4)]
CATEGORIES = {"long": {"ban_for_days": 90}, "two": {"min_reporters": 2}}


@pytest.fixture
def world() -> World:
    """Return a world with the rows of version 1, and the vendor as it was."""
    world = World(policy=parse_policy({**POLICY, "categories": CATEGORIES}))
    world.clock.now = datetime.fromisoformat(SAMPLE["at"])
    rows: Any = world.rows
    for row in SAMPLE["rows"]:
        rows.rows[row["pk"], row["sk"]] = {name: _value(value) for name, value in row.items()}
    for each in SAMPLE["vendor_tasks"]:
        created_at = datetime.fromisoformat(each["created_at"])
        state = TaskState(each["state"])
        world.vendor.tasks[each["id"]] = FakeTask(
            each["id"], Action(each["action"]), tuple(each["urls"]), each["days"], created_at, created_at, state
        )
    for url, moments in SAMPLE["vendor_bans"].items():
        world.vendor.bans[url] = FakeBan(*map(datetime.fromisoformat, moments))
    for _ in SAMPLE["vendor_tasks"]:
        world.vendor.calls.append((Action.BAN, (), 0))  # New tasks are numbered after the old ones.
    for body in SAMPLE["queued"]:
        world.queue(body)
    return world


def _value(value: Any) -> Any:
    return base64.b64decode(value["bytes"]) if isinstance(value, dict) else value


def settle(world: World, minutes: int = 10) -> None:
    """Let minutes pass, and run all that is due in them, unbans included."""
    for _ in range(minutes):
        world.minutes()
        carry_on_all(world)


def test_each_url_is_what_version_1_said(world: World) -> None:
    for url, state in SAMPLE["states"].items():
        if url not in {LIFTED_SOON, f"{WWW}open"}:
            assert world.state(url) == state, url


def test_what_was_begun_comes_to_its_end_and_nothing_is_banned_twice(world: World) -> None:
    settle(world)
    sent = [f"{WWW}{name}" for name in ("long", "processing", "lost_answer", "waiting", "open")]
    assert world.states([*BANNED, *sent]) == {"banned": 7}
    assert world.states([LIFTED_SOON, f"{WWW}lifted", f"{WWW}lifting"]) == {"unbanned": 3}
    assert world.states([*HELD, *APPROVED_ONCE]) == {"held": 4}
    assert world.states([REFUSED, f"{WWW}bad"]) == {"rejected": 2}
    assert {world.live_bans(url) for url in [*BANNED, *sent]} == {1}
    world.vendor.settle()
    assert world.vendor.bans.keys() == {*BANNED, *sent}
    assert world.sweep() == {ACCOUNT: 0}


def test_a_report_of_version_1_is_read_and_its_urls_explained(world: World) -> None:
    settle(world)
    (summary,), _ = reports.find(world.rows, "desk", "case-17", limit=10)
    assert world.report_states(summary.id) == {**dict.fromkeys(BANNED, "banned"), LIFTED_SOON: "unbanned"}
    (status,) = url_status.of_url(world.run(), LIFTED_SOON)
    decisions = history.of_status(world.rows, status)
    assert [decision.action for decision in decisions] == [Action.UNBAN, Action.BAN]
    assert {decision.action for _, decision in audit.of_actor(world.rows, "ana")} == {"unban", "refuse", "approve"}


def test_the_later_end_of_another_source_stands_beside_the_word_of_version_1(world: World) -> None:
    world.queue({"urls": [{"url": BANNED[0], "ban_duration": 25}]})
    settle(world, 3)
    key = url_key(ACCOUNT, BANNED[0])
    claim = claims.read(world.rows, [key])[key]
    assert [word.source for word in unpack(claim.words, world.sources)] == ["desk", "queue"]
    assert datetime.fromtimestamp(claim.until, tz=UTC) - world.clock() > timedelta(days=24)
    undo(world, source="desk")
    settle(world, 3)
    assert world.states(BANNED) == {"banned": 1, "unbanned": 1}


def test_a_plan_of_90_days_is_renewed_without_a_gap(world: World) -> None:
    settle(world)
    for _ in range(4 * 89):
        world.clock.advance(hours=6)
        renew(world)
        world.minutes(2)
        world.vendor.settle()
        assert f"{WWW}long" in world.vendor.bans
    for _ in range(12):
        world.clock.advance(hours=6)
        renew(world)
        world.minutes(2)
    world.vendor.settle()
    assert f"{WWW}long" not in world.vendor.bans


def test_a_hold_of_version_1_is_approved_refused_and_left(world: World) -> None:
    holds_by_first = {holds.read_hold(world.rows, work.chunk).chunk.urls[0]: work.chunk for work in _held(world)}
    assert approve(world, holds_by_first[APPROVED_ONCE[0]], actor="ben").approvals == 2
    world.queue({"urls": [HELD[0]]})
    world.policy = parse_policy({**POLICY, "categories": CATEGORIES, "bare_hosts": "ban"})
    world.queue({"urls": [HELD[0]]})
    settle(world, 4)
    refuse(world, holds_by_first[HELD[0]])
    settle(world, 3)
    assert world.states(APPROVED_ONCE) == {"banned": 2}
    assert [world.state(url) for url in HELD] == ["banned", "rejected"]


def test_the_second_reporter_counts_beside_the_one_that_version_1_noted(world: World) -> None:
    world.post({"urls": [f"{WWW}two"], "category": "two"}, webhook_id="w9")
    settle(world, 3)
    assert world.state(f"{WWW}two") == "banned"


@pytest.mark.parametrize("selected", ["url", "report", "task", "source"])
def test_bans_of_version_1_are_undone(world: World, selected: str) -> None:
    settle(world)
    (summary,), _ = reports.find(world.rows, "desk", "case-17", limit=10)
    (status,) = url_status.of_url(world.run(), BANNED[0])
    selections: dict[str, Callable[[], dict[str, Any]]] = {
        "url": lambda: {"urls": tuple(BANNED)},
        "report": lambda: {"report": summary.id},
        "task": lambda: {"task": status.tasks[-1].id},
        "source": lambda: {"source": "desk"},
    }
    undo(world, **selections[selected]())
    settle(world, 4)
    assert world.states(BANNED) == {"unbanned": 2}
    world.vendor.settle()
    assert not world.vendor.bans.keys() & {*BANNED}


def test_a_person_s_word_stands_over_every_record_of_version_1(world: World) -> None:
    urls = [url for url in SAMPLE["states"] if url != f"{WWW}open"]
    request = by_hand_request.Request("ana", "ana", "ticket", tuple(urls), plan_for(40), sources=tuple(world.sources))
    ban_by_hand.ban(world.run(), request)
    world.vendor.refuse = set()
    settle(world, 15)
    # The unban of a URL is its earlier word, and the request that died is carried out.
    assert world.states([url for url in urls if url != LIFTED_SOON]) == {"banned": len(urls) - 1}
    world.vendor.settle()
    assert world.vendor.bans.keys() >= {*urls} - {LIFTED_SOON}


def _held(world: World) -> list[Any]:
    return list(holds.all_held(world.rows, [ACCOUNT]))


# --- back to version 1 ------------------------------------------------------------------------------------------------

STRICT = {"state": {"open", "waiting", "held", "refused", "submitting", "processing", "succeeded", "failed"}}
"""Values that version 1 parses strictly. It shows all other texts as they are."""


def _kind(row: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of a row: the first words of its keys, without ids, days and names."""
    pk, sk = str(row["pk"]).partition("#")[0], str(row["sk"]).partition("#")[0]
    return pk, "" if sk[:1].isdigit() or pk in {"jobs", "vendor", "correlation", "exports"} else sk


def test_every_row_that_is_written_now_has_what_version_1_reads_of_it() -> None:
    """New rows have each attribute that version 1 always wrote, with a value of its type.

    Version 1 ignores rows and attributes that it did not write: it reads rows by keys that it knows, and attributes by
    their names. (Its own code was also run over such a ledger: it read each URL as the new code does, brought each to
    its end, and undid it.)
    """
    always: dict[tuple[str, str], dict[str, type]] = {}
    for row in SAMPLE["rows"]:
        types = {name: type(_value(value)) for name, value in row.items()}
        known = always.setdefault(_kind(row), types)
        always[_kind(row)] = {name: kind for name, kind in known.items() if types.get(name) is kind}
    world = _of_everything()
    rows: Any = world.rows
    compared = 0
    for row in rows.rows.values():
        for name, kind in always.get(_kind(row), {}).items():
            assert isinstance(row.get(name), kind), (row["pk"], row["sk"], name)
            assert name not in STRICT or row[name] in STRICT[name], (row["pk"], row["sk"], name)
            compared += 1
    assert compared > 300


def _of_everything() -> World:
    """Return a world with what version 1 did not know: further words, bans and ends by hand, holds by two people."""
    world = World(policy=parse_policy({**POLICY, "categories": CATEGORIES, "approvals": {"two_above": 2}}))
    world.post({"urls": pages(4), "correlation_id": "case-17"}, webhook_id="w1")
    world.minutes(3)
    world.queue({"urls": [{"url": BANNED[0], "ban_duration": 20}]})
    world.queue({"urls": [f"{WWW}long"], "category": "long"})
    world.minutes(3)
    by_hand: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        ((f"{WWW}hand",), {"plan": plan_for(20)}),
        ((BANNED[1],), {"end": world.clock() + timedelta(hours=30)}),
        (tuple(APPROVED_ONCE), {}),
        (tuple(pages(9)[5:9]), {}),
    ]
    for urls, more in by_hand:
        ban_by_hand.ban(world.run(), by_hand_request.Request("ana", "ana", "ticket", urls, **more))
        world.minutes(1)
    world.post({"urls": [*HELD, REFUSED]}, webhook_id="w2")
    world.intake()
    approve(world, _held(world)[-1].chunk, two_above=0)
    undo(world, urls=(LIFTED_SOON,))
    world.minutes(3)
    world.queue({"urls": [LIFTED_SOON]})
    world.minutes(2)
    world.queue({"urls": [f"{WWW}waiting"]})
    world.intake()
    return world
