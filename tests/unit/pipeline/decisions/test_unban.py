"""Unbans select the right URLs, reach the vendor in the right order, and survive every crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.domain.errors import ContentRefused
from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import audit, claims, remaining, unban_jobs
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.answers import history
from chalicelib.pipeline.answers.url_status import of_url
from chalicelib.pipeline.decisions import unban
from chalicelib.ports import Delete, Insert, Update
from dev.fakes.killing import killed_at_each_call
from dev.fakes.operations import approve, banned, carry_on, carry_on_all, held, renew, undo
from dev.fakes.vendor import FakeBan
from dev.fakes.world import ACCOUNT, POLICY, World, pages
from dev.fakes.wrappers import Each

URLS = pages(5)


def _taken() -> World:
    world = World()
    world.post({"urls": URLS})
    world.intake()
    return world


def memory(world: World) -> Any:
    return world.rows


def order_of_calls(world: World, url: str) -> list[str]:
    return [task.action.value for task in world.vendor.tasks.values() if url in task.urls]


def test_a_banned_url_is_unbanned_at_the_vendor_and_says_who_and_why() -> None:
    world = banned()
    undo(world, urls=(URLS[0],))
    assert world.state(URLS[0]) == "processing"  # The unban is on its way.
    world.minutes(3)
    assert world.state(URLS[0]) == "unbanned"
    assert URLS[0] not in world.vendor.bans
    assert set(world.vendor.bans) == set(URLS[1:])
    ((_, decision),) = audit.of_actor(world.rows, "ana")
    assert (decision.action, decision.reason, decision.subject) == ("unban", "customer appealed", f"url:{URLS[0]}")


def test_reports_in_the_cool_down_are_suppressed_and_say_so() -> None:
    world = banned()
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    receipt = world.post({"urls": URLS}, webhook_id="w2")
    world.minutes(3)
    assert world.report_states(receipt.report_id) == dict.fromkeys(URLS, "suppressed")
    assert not world.vendor.bans


def test_after_the_cool_down_a_report_bans_again() -> None:
    world = banned()
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    world.clock.advance(days=7, minutes=1)
    world.post({"urls": URLS}, webhook_id="w2")
    world.minutes(3)
    assert world.states(URLS) == {"banned": len(URLS)}
    assert set(world.vendor.bans) == set(URLS)
    assert order_of_calls(world, URLS[0]) == ["ban", "unban", "ban"]


def test_a_url_unbanned_before_it_was_submitted_never_reaches_the_vendor_as_a_ban() -> None:
    world = World()
    world.post({"urls": URLS})
    world.intake()
    undo(world, urls=(URLS[2],))
    world.minutes(5)
    assert world.state(URLS[2]) == "unbanned"
    assert order_of_calls(world, URLS[2]) == []
    assert world.states([*URLS[:2], *URLS[3:]]) == {"banned": 4}


def test_a_live_ban_is_unbanned_at_once_though_a_held_url_was_unbanned_with_it() -> None:

    world = banned(URLS[:1])
    held = ["https://a.example.com/", "https://b.example.com/"]
    world.post({"urls": held}, webhook_id="w2")
    world.minutes(2)
    assert world.states(held) == {"held": 2}
    undo(world, urls=(URLS[0], held[0]))
    world.minutes(3)
    assert world.states([URLS[0], held[0]]) == {"unbanned": 2}
    assert world.state(held[1]) == "held"
    assert not world.vendor.bans
    ((hold_id, state),) = [(w.chunk, w.state) for w in remaining.of_account(world.rows, ACCOUNT)]
    assert state is ChunkState.HELD
    approve(world, hold_id)
    world.minutes(3)
    assert set(world.vendor.bans) == {held[1]}
    assert order_of_calls(world, held[0]) == []


def test_an_unban_waits_for_the_part_of_a_chunk_that_is_at_the_vendor() -> None:
    world = World()
    world.vendor.limits = replace(world.vendor.limits, urls_per_task=2)
    world.vendor.task_time = timedelta(minutes=10)
    world.post({"urls": URLS})
    world.intake()
    with world.crash(at=12, after=True):
        world.drain()
    sent = [url for task in world.vendor.tasks.values() for url in task.urls]
    assert 0 < len(sent) < len(URLS)
    undo(world, urls=tuple(URLS))
    world.minutes(5)
    assert not [task for task in world.vendor.tasks.values() if task.action is Action.UNBAN]
    world.minutes(30)
    assert world.states(URLS) == {"unbanned": len(URLS)}
    assert not world.vendor.bans
    assert {url: order_of_calls(world, url) for url in sent} == {url: ["ban", "unban"] for url in sent}


def test_no_unban_is_sent_of_what_the_vendor_never_had_wherever_the_submitter_was_killed() -> None:
    for at in range(1, 30):
        world = _taken()
        undo(world, urls=tuple(URLS))
        with world.crash(at, after=True):
            world.drain()
        world.minutes(15)
        assert world.states(URLS) == {"unbanned": len(URLS)}, at
        assert not world.vendor.calls, at


@pytest.mark.parametrize("has_list", [True, False])
def test_a_refused_unban_of_a_second_ban_that_was_not_sent_is_no_failure(has_list: bool) -> None:
    world = World()
    world.vendor.has_list = has_list
    for _ in range(2):
        world.clock.advance(days=2)
        world.queue({"urls": URLS, "ban_duration": 1})
        world.intake()
        if not world.vendor.calls:
            world.drain()
            world.minutes(3)
    undo(world, urls=tuple(URLS))
    world.vendor.errors = [ContentRefused("no such object", code="CDN.0003") for _ in range(20)]
    world.minutes(15)
    assert world.vendor.calls[-1][0] is Action.UNBAN
    assert world.states(URLS) == {"unbanned": len(URLS)}


def test_a_refused_unban_of_a_renewal_that_was_not_sent_leaves_the_earlier_ban_and_says_so() -> None:
    world = World(policy=parse({**POLICY, "categories": {"phishing": {"ban_for_days": 90}}}))
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    renew(world)
    undo(world, urls=tuple(URLS))
    world.vendor.errors = [ContentRefused("no", code="X.1") for _ in range(20)]
    world.minutes(15)
    assert world.states(URLS) == {"banned": len(URLS)}
    assert set(world.vendor.bans) == set(URLS)


def test_an_unban_of_a_renewal_that_was_not_sent_lifts_the_earlier_ban_at_the_vendor() -> None:
    world = World(policy=parse({**POLICY, "categories": {"phishing": {"ban_for_days": 90}}}))
    world.post({"urls": URLS})
    world.minutes(3)
    world.clock.advance(days=29, hours=1)
    renew(world)
    world.wakes.clear()
    undo(world, urls=tuple(URLS))
    world.drain()
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": len(URLS)}
    assert order_of_calls(world, URLS[0]) == ["ban", "unban"]
    assert not world.vendor.bans


def test_an_unban_waits_until_the_ban_it_undoes_has_ended_at_the_vendor() -> None:
    world = World()
    world.vendor.task_time = timedelta(minutes=10)
    world.post({"urls": URLS})
    world.minutes(2)
    assert world.states(URLS) == {"processing": 5}
    undo(world, urls=tuple(URLS))
    world.minutes(5)
    assert order_of_calls(world, URLS[0]) == ["ban"]
    world.minutes(20)
    assert order_of_calls(world, URLS[0]) == ["ban", "unban"]
    assert world.states(URLS) == {"unbanned": 5}
    assert not world.vendor.bans


def test_an_unban_waits_for_a_ban_whose_answer_was_lost() -> None:
    world = World()
    world.post({"urls": URLS})
    world.intake()
    world.vendor.lose_answer = True
    world.drain()
    undo(world, urls=tuple(URLS))
    world.minutes(10)
    assert world.states(URLS) == {"unbanned": 5}
    assert order_of_calls(world, URLS[0]) == ["ban", "unban"]
    assert not world.vendor.bans


def test_a_ban_decided_after_an_unban_waits_for_it() -> None:
    world = banned()
    world.vendor.task_time = timedelta(minutes=10)
    undo(world, urls=tuple(URLS))
    world.clock.advance(days=7, seconds=1)  # The cool-down ends while nothing runs, so that the unban was never sent.
    world.post({"urls": URLS}, webhook_id="w2")
    world.intake()
    world.minutes(40)
    assert order_of_calls(world, URLS[0]) == ["ban", "unban", "ban"]
    assert world.states(URLS) == {"banned": 5}
    assert set(world.vendor.bans) == set(URLS)


def test_a_task_is_undone_as_a_whole_and_alone() -> None:
    world = banned(pages(3))
    world.post({"urls": pages(3, "shop.example.com")}, webhook_id="w2")
    world.minutes(3)
    event = world.events("task_submitted")[-1]
    undo(world, task=str(event["task_id"]))
    world.minutes(3)
    assert set(world.vendor.bans) == set(pages(3))


def test_undoing_a_report_undoes_only_what_it_caused() -> None:
    world = banned(pages(3))
    second = world.post({"urls": pages(5)}, webhook_id="w2")  # Three of them are banned for the first report.
    world.minutes(3)
    undo(world, report=second.report_id)
    world.minutes(3)
    assert set(world.vendor.bans) == set(pages(3))


def test_a_source_gone_wrong_is_undone_in_one_request() -> None:
    world = banned(pages(3))
    world.queue({"urls": pages(2500, "cdn.example.net")})
    world.minutes(4)
    assert len(world.vendor.bans) == 2503
    undo(world, source="queue")
    world.minutes(4)
    assert set(world.vendor.bans) == set(pages(3))
    unbans = [call for call in world.vendor.calls if call[0] is Action.UNBAN]
    assert sorted(len(urls) for _, urls, _ in unbans) == [500, 1000, 1000]


def test_a_job_that_ran_out_of_time_is_carried_on() -> None:
    world = banned(pages(3))
    for part in range(4):
        world.queue({"urls": pages(10, f"h{part}.example.net")})
        world.minutes(1)
    world.minutes(2)
    job = undo(world, seconds=-1, source="queue")
    assert [each.id for each in unban_jobs.unfinished(world.rows)] == [job.id]
    for _ in range(5):
        carry_on_all(world)
    assert unban_jobs.unfinished(world.rows) == []
    world.minutes(3)
    assert set(world.vendor.bans) == set(pages(3))


def test_a_walk_that_ran_out_of_time_goes_on_from_where_it_stopped() -> None:
    world = banned(pages(3))
    urls = pages(60, "cdn.example.net")
    for url in urls:
        world.queue({"urls": [url]})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(3)
    job = undo(world, seconds=-1, source="queue")
    places = []
    while left := unban_jobs.unfinished(world.rows):
        places.append(left[0].place)
        before = memory(world).calls["get"]
        carry_on(world, left[0], seconds=-1)
        assert memory(world).calls["get"] - before < 15  # This holds whatever was walked before.
    assert all(places)
    assert places == sorted(set(places))
    assert world.events("unban_carried_out")[-1]["job_id"] == job.id
    world.minutes(3)
    assert set(world.vendor.bans) == set(pages(3))


def test_a_walk_sees_its_deadline_where_nothing_is_to_be_undone() -> None:
    world = World()
    for url in pages(100):
        world.queue({"urls": [url]})
        world.intake()
        world.clock.advance(seconds=1)

    def slow(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        world.clock.sleep(1)
        return function(*args, **kwargs)

    begun = world.clock()
    undo(world, seconds=3, rows=Each(world.rows, slow), source="desk")
    assert world.clock() - begun <= timedelta(seconds=12)
    (job,) = unban_jobs.unfinished(world.rows)
    assert job.place


def test_a_job_that_fails_stops_no_other_and_is_told_of() -> None:
    world = banned()
    bad = undo(world, seconds=-1, source="desk")
    world.rows.write([Update(("jobs", bad.id), set={"source": "queue", "place": "no place"})])
    job = Job(unban_jobs.new_id(world.clock()), "ana", "r", 7, world.clock(), urls=(URLS[0],))
    unban_jobs.record(world.rows, job)
    carry_on_all(world)
    assert world.events("unban_failed") == [{"job_id": bad.id, "error": "ValueError"}]
    assert [each.id for each in unban_jobs.unfinished(world.rows)] == [bad.id]
    world.minutes(3)
    assert world.state(URLS[0]) == "unbanned"


def test_a_task_whose_chunk_has_expired_is_undone_as_far_as_it_is_known() -> None:
    world = World()
    for url in URLS:
        world.queue({"urls": [url]})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(3)
    (event,) = world.events("task_submitted")
    (expired, *_) = [key for key in memory(world).rows if key[0].startswith("chunk#") and key[1] == "chunk"]
    del memory(world).rows[expired]
    undo(world, task=str(event["task_id"]))
    assert unban_jobs.unfinished(world.rows) == []
    world.minutes(3)
    assert len(world.vendor.bans) == 1


@pytest.mark.parametrize("selection", [{"urls": tuple(URLS)}, {"source": "desk"}, {"report": ""}, {"task": ""}])
def test_an_unban_that_meets_a_renewal_undoes_it(selection: dict[str, Any]) -> None:
    world = World(policy=parse({**POLICY, "categories": {"phishing": {"ban_for_days": 90}}}))
    receipt = world.post({"urls": URLS})
    world.minutes(3)
    if "report" in selection:
        selection = {"report": receipt.report_id}
    if "task" in selection:
        selection = {"task": str(world.events("task_submitted")[0]["task_id"])}
    world.clock.advance(days=29, hours=1)
    renewed: list[int] = []

    def meets(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(each, Update) and each.key[0].startswith("url#") for each in args[0]) and not renewed:
            renewed.append(0)
            renewed.append(renew(world))
        return function(*args, **kwargs)

    undo(world, rows=Each(world.rows, meets, "write"), **selection)
    assert renewed == [0, len(URLS)]
    assert unban_jobs.unfinished(world.rows) == []
    world.minutes(5)
    assert world.states(URLS) == {"unbanned": len(URLS)}
    assert not world.vendor.bans


def test_a_task_whose_bans_were_renewed_is_undone_with_its_renewals() -> None:
    world = World(policy=parse({**POLICY, "categories": {"phishing": {"ban_for_days": 90}}}))
    world.post({"urls": URLS})
    world.minutes(3)
    task = str(world.events("task_submitted")[0]["task_id"])
    for _ in range(2):
        world.clock.advance(days=29, hours=1)
        assert renew(world) == len(URLS)
        world.minutes(3)
    undo(world, task=task)
    world.minutes(3)
    assert world.states(URLS) == {"unbanned": len(URLS)}
    assert not world.vendor.bans


def test_a_ban_that_was_submitted_late_is_undone_after_its_planned_end() -> None:
    world = World()
    world.queue({"urls": URLS, "ban_duration": 1})
    world.intake()
    world.clock.advance(hours=20)
    world.minutes(3)
    world.clock.advance(hours=5)
    assert set(world.vendor.bans) == set(URLS)
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    assert not world.vendor.bans
    assert world.states(URLS) == {"unbanned": len(URLS)}


def test_an_unban_of_many_small_reports_reads_what_they_share_once() -> None:
    world = World()
    urls = pages(200)
    for url in urls:
        world.queue({"urls": [url]})
        world.intake()
        world.clock.advance(seconds=1)
    world.minutes(3)
    before = Counter(memory(world).calls)
    undo(world, urls=tuple(urls))
    used = memory(world).calls - before
    assert used["get"] < 20
    assert used["query"] <= len(urls)


def test_an_unban_that_loses_every_time_is_kept_for_the_sweep() -> None:
    world = banned(URLS[:1])

    def moves(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for each in args[0]:
            if isinstance(each, Update) and each.key[0].startswith("url#"):
                memory(world).rows[each.key]["chunk"] = f"{memory(world).rows[each.key]['chunk']}x"
        return function(*args, **kwargs)

    original = dict(next(row for key, row in memory(world).rows.items() if key[1] == "claim"))
    undo(world, rows=Each(world.rows, moves, "write"), urls=(URLS[0],))
    assert len(unban_jobs.unfinished(world.rows)) == 1
    memory(world).rows[str(original["pk"]), "claim"] = original
    carry_on_all(world)
    assert unban_jobs.unfinished(world.rows) == []
    world.minutes(3)
    assert not world.vendor.bans


def test_a_report_that_came_by_the_queue_is_undone_by_its_id() -> None:
    world = banned(pages(3))
    for part in range(2):
        world.queue({"urls": pages(5, f"h{part}.example.net")})
        world.intake()
    world.minutes(3)
    (status,) = of_url(world.run(), pages(1, "h1.example.net")[0])
    undo(world, report=status.report)
    world.minutes(3)
    assert set(world.vendor.bans) == {*pages(3), *pages(5, "h0.example.net")}


@pytest.mark.parametrize("by", ["urls", "report"])
def test_a_ban_is_seen_and_undone_though_its_account_serves_the_host_no_more(by: str) -> None:
    world = World()
    receipt = world.post({"urls": URLS})
    world.minutes(3)
    world.policy = parse({**POLICY, "accounts": {ACCOUNT: {"managed_domains": ["other.example.org"]}}})
    (status,) = of_url(world.run(), URLS[0])
    assert (status.state.value, status.account) == ("banned", ACCOUNT)
    if by == "urls":
        undo(world, urls=tuple(URLS))
    else:
        undo(world, report=receipt.report_id)
    world.minutes(3)
    assert not world.vendor.bans
    assert world.states(URLS) == {"unbanned": len(URLS)}


def test_an_unban_that_the_vendor_refuses_leaves_the_ban_and_says_so() -> None:
    world = banned(URLS[:1])
    undo(world, urls=(URLS[0],))
    world.vendor.errors = [ContentRefused("no such ban", code="X.1")]
    world.minutes(3)
    assert world.state(URLS[0]) == "banned"
    assert URLS[0] in world.vendor.bans


def test_a_held_url_that_is_unbanned_is_not_banned_by_the_approval_of_its_hold() -> None:

    world, hold_id = held(["https://a.example.com/", "https://b.example.com/"])
    undo(world, urls=("https://a.example.com/",))
    world.minutes(2)
    approve(world, hold_id)
    world.minutes(3)
    assert set(world.vendor.bans) == {"https://b.example.com/"}
    assert world.state("https://a.example.com/") == "unbanned"


def test_the_history_of_a_url_tells_every_decision_about_it() -> None:
    world = banned()
    undo(world, urls=tuple(URLS))
    world.minutes(3)
    world.clock.advance(days=8)
    world.post({"urls": URLS, "reporter": "ben@example.org"}, webhook_id="w2")
    world.minutes(3)
    (status,) = of_url(world.run(), URLS[0])
    told = history.of_status(world.rows, status)
    assert [(each.action.value, each.actor, each.reason) for each in told] == [
        ("ban", "", ""),
        ("unban", "ana", "customer appealed"),
        ("ban", "", ""),
    ]
    assert [each.reporter for each in told] == ["ben@example.org", "ana", ""]
    assert all(each.tasks for each in told)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("prepare", [banned, _taken])
def test_an_unban_killed_at_any_call_is_carried_out_once(prepare: Callable[[], World], after: bool) -> None:
    world = prepare()
    world.crasher.calls = 0
    undo(world, urls=tuple(URLS))
    calls = world.crasher.calls
    assert calls >= 8
    for at in range(1, calls + 1):
        world = prepare()
        with world.crash(at, after=after):
            undo(world, urls=tuple(URLS))
        recorded = bool(unban_jobs.unfinished(world.rows)) or at > 2
        for _ in range(15):
            world.minutes()
            carry_on_all(world)
        if recorded:
            assert world.states(URLS) == {"unbanned": len(URLS)}, at
            assert not world.vendor.bans
        else:  # The operator saw no answer, and nothing is on record.
            assert world.states(URLS) == {"banned": len(URLS)}


@pytest.mark.parametrize("after", [False, True])
def test_a_submitter_killed_over_an_unban_carries_it_out(after: bool) -> None:
    def prepare() -> World:
        world = _taken()
        undo(world, urls=tuple(URLS[:2]))
        return world

    for at, world in killed_at_each_call(prepare, World.drain, after=after):
        world.minutes(15)
        assert world.states(URLS[:2]) == {"unbanned": 2}, at
        assert world.states(URLS[2:]) == {"banned": 3}
        assert set(world.vendor.bans) == set(URLS[2:])


# --- unbans beside what is still under way ----------------------------------------------------------------------------


def test_two_unbans_of_one_waiting_chunk_both_hold() -> None:
    world = _taken()
    undo(world, urls=(URLS[0],))
    undo(world, urls=(URLS[1],))
    world.minutes(4)
    assert world.states(URLS) == {"unbanned": 2, "banned": len(URLS) - 2}
    assert set(world.vendor.bans) == set(URLS[2:])


def test_an_unban_is_the_last_word_over_an_open_chunk_that_is_finished_after_it() -> None:
    world, at = _taken(), 0
    while not any(each.state is ChunkState.OPEN for each in remaining.of_account(world.rows, ACCOUNT)):
        at += 1
        world = World()
        world.queue({"urls": URLS})
        with world.crash(at, after=False):  # The chunk is open, and has claimed nothing.
            world.intake()
    world.clock.advance(minutes=1)
    world.minutes(1)  # The report is delivered again.
    assert world.states(URLS) == {"banned": len(URLS)}
    undo(world, urls=(URLS[0],))
    world.minutes(10)  # The lease of the open chunk ends.
    assert world.events("chunk_finished")
    assert world.states(URLS) == {"unbanned": 1, "banned": len(URLS) - 1}
    assert set(world.vendor.bans) == set(URLS[1:])


def test_a_refused_unban_of_a_ban_that_was_withdrawn_leaves_the_url_to_be_reported_again() -> None:
    world = World()
    world.vendor.refuse = {URLS[0]}
    world.queue({"urls": URLS[:1]})
    world.minutes(3)
    assert world.state(URLS[0]) == "rejected"
    world.queue({"urls": URLS})
    world.intake()
    world.clock.advance(seconds=1)
    undo(world, urls=(URLS[0],))  # The vendor refuses every call that names the URL.
    world.minutes(5)
    assert world.state(URLS[0]) == "unbanned"
    world.vendor.refuse = set()
    world.clock.advance(days=8)
    world.queue({"urls": URLS[:1]})
    world.minutes(5)
    assert world.state(URLS[0]) == "banned"


# --- unbans of what the ledger does not know ------------------------------------------------------------------------

STRANGE = "https://www.example.com/banned-by-others"


def blocked_by_others() -> World:
    """Return a world whose vendor blocks a URL of ours that nobody here asked for."""
    world = World()
    now = world.clock()
    world.vendor.bans[STRANGE] = FakeBan(now, now, now + timedelta(days=300))
    return world


def unbans_sent(world: World, url: str) -> int:
    return order_of_calls(world, url).count("unban")


def test_a_url_that_the_ledger_does_not_know_is_unbanned_at_the_vendor_with_a_cool_down() -> None:
    world = blocked_by_others()
    undo(world, urls=(STRANGE,))
    assert world.state(STRANGE) == "processing"
    world.minutes(3)
    assert world.state(STRANGE) == "unbanned"
    assert STRANGE not in world.vendor.bans
    receipt = world.post({"urls": [STRANGE]})
    world.minutes(3)
    assert world.report_states(receipt.report_id) == {STRANGE: "held"}
    world.clock.advance(days=7, minutes=1)
    world.post({"urls": [STRANGE]}, webhook_id="w2")
    world.minutes(3)
    assert world.state(STRANGE) == "banned"
    assert order_of_calls(world, STRANGE) == ["unban", "ban"]
    (status,) = of_url(world.run(), STRANGE)
    decisions = [(each.action.value, each.rule) for each in history.of_status(world.rows, status)]
    assert decisions == [("ban", "released"), ("ban", "decided_before"), ("unban", "unban")]


@pytest.mark.parametrize("prepare", [blocked_by_others, lambda: banned([STRANGE])])
def test_an_unban_that_is_repeated_is_sent_again(prepare: Callable[[], World]) -> None:
    world = prepare()
    for times in (1, 2, 3):
        undo(world, urls=(STRANGE,))
        world.minutes(3)
        assert unbans_sent(world, STRANGE) == times
        assert world.state(STRANGE) == "unbanned"


def test_an_unban_that_is_repeated_while_it_is_on_its_way_is_one_with_the_later_cool_down() -> None:
    world = blocked_by_others()
    world.vendor.task_time = timedelta(minutes=10)
    undo(world, urls=(STRANGE,), cool_down_days=3)
    world.minutes(2)
    undo(world, urls=(STRANGE,), cool_down_days=9)
    assert world.events("unban_carried_out")[-1]["urls"] == 1
    world.minutes(20)
    assert unbans_sent(world, STRANGE) == 1
    world.clock.advance(days=8)
    world.queue({"urls": [STRANGE]})
    world.minutes(3)
    assert world.state(STRANGE) == "held"
    undo(world, urls=(STRANGE,), cool_down_days=0)  # The second cool-down never shortens the first one.
    world.minutes(20)
    for hours, state in ((1, "unbanned"), (24, "banned")):
        world.clock.advance(hours=hours)
        world.queue({"urls": [STRANGE]})
        world.minutes(20)
        assert world.state(STRANGE) == state


def test_a_ban_that_has_expired_and_that_the_vendor_still_blocks_is_unbanned() -> None:
    world = banned(URLS[:1])
    world.clock.advance(days=8)
    now = world.clock()
    world.vendor.bans[URLS[0]] = FakeBan(now, now, now + timedelta(days=300))
    assert world.state(URLS[0]) == "expired"
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    assert world.state(URLS[0]) == "unbanned"
    assert not world.vendor.bans


def test_a_url_that_the_vendor_had_refused_is_unbanned_when_a_person_says_so() -> None:
    world = World()
    world.vendor.refuse = {URLS[0]}
    world.queue({"urls": URLS[:1]})
    world.minutes(3)
    assert world.state(URLS[0]) == "rejected"
    world.vendor.refuse = set()
    undo(world, urls=(URLS[0],))
    world.minutes(3)
    assert (world.state(URLS[0]), unbans_sent(world, URLS[0])) == ("unbanned", 1)


def test_a_protected_url_is_unbanned_and_one_of_a_host_that_is_not_ours_is_not_sent() -> None:
    world = blocked_by_others()
    world.policy = parse({**POLICY, "protected": [{"url": STRANGE, "comment": "a customer"}]})
    foreign = "https://elsewhere.example.org/x"
    undo(world, urls=(STRANGE, foreign))
    world.minutes(3)
    assert [urls for _, urls, _ in world.vendor.calls] == [(STRANGE,)]
    assert world.states([STRANGE, foreign]) == {"unbanned": 1, "unknown": 1}


def test_an_unban_of_an_unknown_url_that_the_vendor_refuses_has_failed_and_a_report_bans_it() -> None:
    world = blocked_by_others()
    undo(world, urls=(STRANGE,))
    world.vendor.errors = [ContentRefused("no such ban", code="X.1")]
    world.minutes(3)
    (status,) = of_url(world.run(), STRANGE)
    assert (status.state.value, status.reason) == (
        "failed",
        "the unban failed: X.1 no such ban",
    )
    world.queue({"urls": [STRANGE]})
    world.minutes(3)
    assert world.state(STRANGE) == "banned"


def test_a_repeated_unban_that_the_vendor_refuses_leaves_the_url_unbanned() -> None:
    world = banned(URLS[:1])
    for _ in range(2):
        undo(world, urls=(URLS[0],))
        world.vendor.errors = [ContentRefused("no such ban", code="X.1")] if not world.vendor.bans else []
        world.minutes(3)
        assert world.state(URLS[0]) == "unbanned"
    assert not world.vendor.errors


def test_a_report_that_comes_before_an_unban_of_its_unknown_url_is_claimed_is_undone() -> None:
    world = blocked_by_others()

    def meets(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(each, Insert) and each.row["pk"] == key_of_strange for each in args[0]) and not world.queued:
            world.queue({"urls": [STRANGE]})
            world.intake()
            world.queue({"urls": []})
        return function(*args, **kwargs)

    key_of_strange = f"url#{url_key(ACCOUNT, STRANGE)}"
    undo(world, rows=Each(world.rows, meets, "write"), urls=(STRANGE,))
    world.queued.clear()
    world.minutes(5)
    assert world.state(STRANGE) == "unbanned"
    assert "ban" not in order_of_calls(world, STRANGE)


def test_a_ban_of_others_that_an_earlier_version_took_over_is_in_force_and_can_be_undone() -> None:
    world = blocked_by_others()
    now = world.clock()
    origin = Origin("", "operator:ana", "ana", "adopted", "ours now")
    chunk = Chunk(
        account=ACCOUNT,
        action=Action.BAN,
        ban_days=30,
        rule="adopted",
        urls=(STRANGE,),
        keys=(url_key(ACCOUNT, STRANGE),),
        origins=(origin,),
        created_at=now,
        received_at=now,
        until=now + timedelta(days=30),
    )
    remaining.open_chunk(world.rows, chunk, then=ChunkState.WAITING)
    claims.claim(world.rows, chunk, {}, now=now)
    work = (f"account#{ACCOUNT}", f"chunk#{chunk.id}")
    world.rows.write([Update(work, set={"then": "adopted"})])
    assert remaining.of_account(world.rows, ACCOUNT)[0].then is None
    world.rows.write([Delete(work)])  # Intake had sealed it so.
    assert world.state(STRANGE) == "banned"
    undo(world, urls=(STRANGE,))
    world.minutes(3)
    assert (world.state(STRANGE), order_of_calls(world, STRANGE)) == ("unbanned", ["unban"])


@pytest.mark.parametrize("after", [False, True])
def test_an_unban_of_an_unknown_url_killed_at_any_call_is_sent_once(after: bool) -> None:
    world = blocked_by_others()
    world.crasher.calls = 0
    undo(world, urls=(STRANGE,))
    calls = world.crasher.calls
    assert calls >= 8
    for at in range(1, calls + 1):
        world = blocked_by_others()
        with world.crash(at, after=after):
            undo(world, urls=(STRANGE,))
        recorded = bool(unban_jobs.unfinished(world.rows)) or at > 2
        for _ in range(15):
            world.minutes()
            carry_on_all(world)
        assert world.state(STRANGE) == ("unbanned" if recorded else "unknown"), at
        assert unbans_sent(world, STRANGE) == int(recorded), at


@pytest.mark.parametrize("after", [False, True])
def test_a_submitter_killed_over_an_unban_of_an_unknown_url_sends_it_once(after: bool) -> None:
    def prepare() -> World:
        world = blocked_by_others()
        undo(world, urls=(STRANGE,))
        return world

    for at, world in killed_at_each_call(prepare, World.drain, after=after):
        world.minutes(15)
        assert (world.state(STRANGE), unbans_sent(world, STRANGE)) == ("unbanned", 1), at


def test_a_request_that_is_not_carried_out_after_an_hour_is_told_of() -> None:
    world = banned()
    job = undo(world, seconds=-1, source="desk")
    world.clock.advance(minutes=50)
    unban.carry_on(world.run(seconds=-1))
    assert not world.events("unban_overdue")
    world.clock.advance(minutes=20)
    unban.carry_on(world.run(seconds=-1))
    assert [event["job_id"] for event in world.events("unban_overdue")] == [job.id]
