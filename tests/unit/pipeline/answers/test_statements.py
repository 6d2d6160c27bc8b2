"""A statement of reasons tells what the ledger knows, adds what the policy says, and makes nothing up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.model import Action
from chalicelib.domain.policy.statement import EEA
from chalicelib.ledger import reports
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.answers import as_json, statement_words, statements
from chalicelib.pipeline.answers.dsa import shaped
from chalicelib.pipeline.answers.statements import Place, Statement
from chalicelib.pipeline.decisions.ban_by_hand import ban
from chalicelib.pipeline.decisions.by_hand_request import Request
from chalicelib.pipeline.submission.submit import submit_tasks
from chalicelib.pipeline.submission.track import track_tasks
from chalicelib.pipeline.upkeep.take_over import Request as TakeOver
from chalicelib.pipeline.upkeep.take_over import take_over
from dev.fakes.operations import (
    CATEGORY_STATEMENT,
    ROOTS,
    SOURCE_STATEMENT,
    STATEMENT,
    STATING,
    compare,
    renew,
    undo,
    world_with,
)
from dev.fakes.rows import MemoryRows
from dev.fakes.vendor import FakeVendor
from dev.fakes.world import ACCOUNT, START, World, pages

URL = pages(1)[0]


def stated(world: World, *, limit: int = 100) -> list[Statement]:
    """Return the statements of all bans since the beginning."""
    return [each for page in stated_pages(world, limit=limit) for each in page]


def stated_pages(world: World, *, limit: int) -> Iterator[list[Statement]]:
    """Yield the pages of the statements of all bans since the beginning."""
    place: Place | None = Place(stamp(START - timedelta(hours=1)))
    while place:
        page, place = statements.of_span(world.run(), place, until=world.clock() + timedelta(seconds=1), limit=limit)
        assert len(page) <= limit
        yield page


def banned_with(document: Any = None, **fields: Any) -> World:
    """Return a world with these fields of the policy, in which the URLs of a report are banned."""
    world = world_with(**{**STATING, **fields})
    world.post(document or {"urls": [URL]})
    world.minutes(3)
    return world


# --- what a statement says -------------------------------------------------------------------------------------------


def test_a_statement_says_what_article_17_asks_for() -> None:
    world = banned_with(categories={"phishing": {"ban_days": 7, "statement": CATEGORY_STATEMENT}})
    (statement,) = stated(world)
    shown = as_json.statement(statement)
    assert (shown["decision"], shown["url"], shown["account"]) == ("access_disabled", URL, ACCOUNT)
    assert shown["territorial_scope"] == list(EEA)
    assert statement.until
    assert timedelta(days=7) <= statement.until - START < timedelta(days=7, minutes=3)
    assert START <= statement.applied_at <= START + timedelta(minutes=3)
    assert shown["facts"] == (
        "On 2026-01-15 the provider received a report that a URL served through its network falls under the category "
        "phishing. The report met the provider's rules, and access to it was disabled automatically."
    )
    assert (shown["notice"], shown["automated_detection"], shown["automated_decision"]) == ("article_16", False, True)
    assert {name: shown[name] for name in CATEGORY_STATEMENT} == CATEGORY_STATEMENT
    assert shown["redress"] == STATEMENT["redress"]
    assert shown["missing"] == []


def test_a_ban_until_it_is_unbanned_has_no_end() -> None:
    world = banned_with(categories={"phishing": {"until": "unbanned", "statement": CATEGORY_STATEMENT}})
    (statement,) = stated(world)
    assert statement.until is None
    document = shaped(statement)
    assert document
    assert "end_date_visibility_restriction" not in document


def test_a_ban_that_a_person_approved_was_not_decided_automatically() -> None:
    world = world_with(**STATING)
    world.post({"urls": ROOTS[:1]})
    world.intake()
    assert stated(world) == []
    world.clock.advance(days=2)
    world.approve()
    world.minutes(3)
    (statement,) = stated(world)
    assert not statement.automated_decision
    assert statement.facts.endswith("A person decided to disable access to it.")
    assert statement.until
    assert statement.until - statement.applied_at > timedelta(days=6, hours=23), "a hold begins when it is approved"


def test_a_ban_by_hand_is_the_providers_own_and_names_nobody() -> None:
    world = world_with(**STATING)
    ban(world.run(), Request("ana", "Ana Novak", "seen", (URL,), category="phishing"))
    world.minutes(3)
    (statement,) = stated(world)
    shown = as_json.statement(statement)
    assert (shown["notice"], shown["automated_detection"], shown["automated_decision"]) == ("voluntary", False, False)
    assert (shown["report_id"], shown["notified_at"], shown["missing"]) == (None, None, [])
    assert "staff of the provider found" in statement.facts
    assert not re.search(r"\bana\b|novak", json.dumps(shown).lower())


def test_a_ban_that_a_report_released_from_its_hold_was_decided_automatically() -> None:
    reviewed = {"trust": "review", "statement": SOURCE_STATEMENT}
    world = world_with(**{**STATING, "sources": {**STATING["sources"], "queue": reviewed}})
    world.queue({"urls": [URL], "category": "phishing"})
    world.intake()
    assert world.state(URL) == "held"
    world.post({"urls": [URL]})
    world.minutes(3)
    assert world.state(URL) == "banned"
    (statement,) = stated(world)
    assert statement.automated_decision


def test_what_the_policy_does_not_say_is_named_and_never_made_up() -> None:
    world = banned_with(statement=STATEMENT, categories={"phishing": {}}, sources={})
    (statement,) = stated(world)
    shown = as_json.statement(statement)
    assert shown["missing"] == ["categories.phishing.statement", "sources.desk.statement"]
    absent = ("notice", "automated_detection", "ground", "basis", "explanation", "dsa_category")
    assert {shown[name] for name in absent} == {None}
    assert shaped(statement) is None
    bare = World()
    bare.post({"urls": [URL]})
    bare.minutes(3)
    (statement,) = stated(bare)
    assert statement.missing == ("categories.default.statement", "sources.desk.statement", "statement")


@pytest.mark.parametrize("shape", ["full", "dsa"])
def test_no_statement_holds_personal_data_of_a_reporter(shape: str) -> None:
    secret = {"reporter": "carl@example.org", "note": "my neighbour Carl told me", "category": "carls own words"}
    world = banned_with({"urls": [{"url": URL, **secret}]})
    (statement,) = stated(world)
    shown = as_json.statement(statement) if shape == "full" else shaped(statement)
    assert shown
    if shape == "full":
        assert shown.pop("category") == "carls own words", "for operators, as in every other answer to them"
    assert "carl" not in json.dumps(shown).lower()
    if shape == "dsa":
        assert URL not in json.dumps(shown)
        assert "desk" not in json.dumps(shown)


# --- which bans have one ---------------------------------------------------------------------------------------------


def test_nothing_that_was_not_banned_has_a_statement() -> None:
    world = world_with(**STATING)
    world.post({"urls": [URL, ROOTS[0], "https://elsewhere.org/x"]})
    world.intake()
    assert stated(world) == []
    assert statements.of_url(world.run(), URL) == []


def test_a_renewal_is_no_new_decision() -> None:
    world = banned_with(categories={"phishing": {"ban_for_days": 90, "statement": CATEGORY_STATEMENT}})
    world.clock.advance(days=29, hours=12)
    renew(world)
    world.minutes(3)
    (statement,) = stated(world)
    assert statement.until
    assert statement.until - START > timedelta(days=89)
    (of_url,) = statements.of_url(world.run(), URL)
    assert of_url.puid == statement.puid


def test_a_ban_that_was_taken_over_has_no_statement() -> None:
    world = world_with(**STATING)
    world.vendor.create_task(Action.BAN, [URL], 7)
    world.vendor.settle()
    take_over(world.run().at(ACCOUNT), world.vendor, TakeOver("ana", "moving in", 7))
    world.minutes(3)
    assert statements.of_url(world.run(), URL) == []


def test_each_ban_of_a_url_has_its_own_statement_also_after_it_was_undone() -> None:
    world = banned_with()
    undo(world, urls=(URL,), cool_down_days=0)
    world.minutes(3)
    world.post({"urls": [URL]}, webhook_id="w2")
    world.minutes(3)
    assert world.state(URL) == "banned"
    newest, oldest = statements.of_url(world.run(), URL)
    assert newest.puid != oldest.puid
    assert newest.applied_at > oldest.applied_at
    assert [each.puid for each in stated(world)] == [oldest.puid, newest.puid]


def test_a_report_has_the_statements_of_the_bans_that_it_began() -> None:
    world = world_with(**STATING)
    first = world.post({"urls": pages(3)}).report_id
    world.minutes(3)
    second = world.post({"urls": pages(5)}, webhook_id="w2").report_id
    world.minutes(3)
    for report_id, expected in ((first, pages(3)), (second, pages(5)[3:])):
        report = reports.read(world.rows, report_id)
        assert report
        found, following = statements.of_report(world.run(), report, start=0, limit=100)
        assert [each.url for each in found] == expected
        assert following is None
    assert report
    found, following = statements.of_report(world.run(), report, start=3, limit=1)
    assert [each.url for each in found] == [pages(4)[3]]
    assert following == 4


def test_urls_that_the_vendor_names_as_failed_have_no_statement() -> None:
    world = world_with(**STATING)
    world.vendor.fail, world.vendor.names_failed = {pages(3)[1]}, True
    world.post({"urls": pages(3)})
    world.minutes(10)
    assert world.states(pages(3)) == {"banned": 2, "failed": 1}
    assert [each.url for each in stated(world)] == [pages(3)[0], pages(3)[2]]
    assert statements.of_url(world.run(), pages(3)[1]) == []


def test_a_url_that_is_banned_by_a_repetition_is_stated_once() -> None:
    world = world_with(**STATING)
    world.vendor.fail, world.vendor.names_failed = {pages(3)[1]}, True
    world.post({"urls": pages(3)})
    world.minutes()
    assert [each.url for each in stated(world)] == [pages(3)[0], pages(3)[2]]
    world.vendor.fail = set()
    world.minutes(8)
    assert world.states(pages(3)) == {"banned": 3}
    assert sorted(each.url for each in stated(world)) == sorted(pages(3))


def test_a_ban_that_left_its_hold_late_keeps_its_length_after_another_chunk_has_the_url() -> None:
    world = world_with(**{**STATING, "categories": {"phishing": {"ban_for_days": 90, "statement": CATEGORY_STATEMENT}}})
    world.post({"urls": ROOTS[:1]})
    world.intake()
    world.clock.advance(days=2)
    world.approve()
    world.minutes(3)
    undo(world, urls=(ROOTS[0],), cool_down_days=0)
    world.minutes(3)
    world.post({"urls": ROOTS[:1]}, webhook_id="w2")
    world.minutes()
    (statement,) = statements.of_url(world.run(), ROOTS[0])
    assert statement.until
    assert statement.until - statement.applied_at > timedelta(days=89, hours=23)


def test_what_a_repetition_gives_up_is_not_stated() -> None:
    """The repetition succeeded for one URL, so that only the claim of the other one tells of the failure."""
    world = world_with(**STATING)
    world.vendor.fail, world.vendor.names_failed = set(pages(3)[1:]), True
    world.post({"urls": pages(3)})
    world.minutes()
    world.vendor.fail = {pages(3)[1]}
    world.minutes(8)
    assert world.states(pages(3)) == {"banned": 2, "failed": 1}
    assert sorted(each.url for each in stated(world)) == [pages(3)[0], pages(3)[2]]
    assert statements.of_url(world.run(), pages(3)[1]) == []


def test_what_the_vendor_failed_and_edgeban_sent_again_is_the_decision_that_was_made_first() -> None:
    world = world_with(**STATING)
    world.vendor.fail, world.vendor.names_failed = {pages(3)[1]}, True
    world.post({"urls": pages(3)})
    world.minutes(8)
    assert world.states(pages(3)) == {"banned": 2, "failed": 1}
    world.vendor.fail = set()
    world.clock.advance(days=1)
    renew(world)
    world.minutes(5)
    assert world.states(pages(3)) == {"banned": 3}
    late = next(each for each in stated(world) if each.url == pages(3)[1])
    assert late.automated_decision
    assert late.notified_at
    assert late.applied_at - late.notified_at > timedelta(hours=23)
    assert sorted(each.url for each in stated(world)) == sorted(pages(3))
    assert [each.puid for each in statements.of_url(world.run(), pages(3)[1])] == [late.puid]


def test_a_hundred_statements_cost_few_reads() -> None:
    world = world_with(**STATING)
    world.post({"urls": pages(100)})
    world.minutes(3)
    rows = world.rows
    assert isinstance(rows, MemoryRows)
    rows.units.clear()
    assert len(stated(world)) == 100
    assert rows.units["halves read"] / 2 <= 60, "half a unit for each claim, and some for the task and its chunk"
    assert not rows.units["written"]


# --- the words of the day ---------------------------------------------------------------------------------------------


def terms(basis: str) -> dict[str, Any]:
    """Return fields of a policy whose grounds have this basis."""
    return {**STATING, "categories": {"default": {"statement": {**CATEGORY_STATEMENT, "basis": basis}}}}


def change(world: World, **fields: Any) -> None:
    """Put a policy in force, and let the sweep see it."""
    world.policy = world_with(**fields).policy
    statement_words.keep(world.run(), b"", "")
    world.clock.advance(minutes=5)


def test_a_ban_is_stated_in_the_words_that_held_when_it_was_decided() -> None:
    world = world_with(**terms("Terms of 2025"))
    change(world, **terms("Terms of 2025"))
    world.post({"urls": [URL]})
    world.minutes(3)
    change(world, **{**terms("Terms of 2026"), "statement": {**STATEMENT, "redress": "Write a letter."}})
    world.post({"urls": pages(2)[1:]}, webhook_id="w2")
    world.minutes(3)
    old, new = stated(world)
    assert old.ground
    assert new.ground
    assert old.rules
    assert new.rules
    assert (old.ground.basis, new.ground.basis) == ("Terms of 2025", "Terms of 2026")
    assert (old.rules.redress, new.rules.redress) == (STATEMENT["redress"], "Write a letter.")
    assert old.words_since
    assert new.words_since
    assert old.words_since < old.decided_at < new.words_since < new.decided_at
    assert statements.of_url(world.run(), URL) == [old]


def test_a_hold_is_stated_in_the_words_that_held_when_a_person_approved_it() -> None:
    world = world_with(**terms("Terms of 2025"))
    change(world, **terms("Terms of 2025"))
    world.post({"urls": ROOTS[:1]})
    world.minutes(3)
    change(world, **terms("Terms of 2026"))
    world.approve()
    world.minutes(3)
    (statement,) = stated(world)
    assert statement.ground
    assert statement.ground.basis == "Terms of 2026"
    assert statement.rule == "bare_host"


def test_a_hold_that_the_vendor_failed_at_first_was_decided_when_a_person_approved_it() -> None:
    world = world_with(**terms("Terms of 2025"))
    change(world, **terms("Terms of 2025"))
    world.vendor.fail, world.vendor.names_failed = {ROOTS[0]}, True
    world.post({"urls": ROOTS[:1]})
    world.minutes(2)
    world.approve()
    approved_at = world.clock()
    world.minutes(8)
    assert world.states(ROOTS[:1]) == {"failed": 1}
    change(world, **terms("Terms of 2026"))
    world.vendor.fail = set()
    world.clock.advance(days=1)
    renew(world)
    world.minutes(5)
    assert world.states(ROOTS[:1]) == {"banned": 1}
    (statement,) = stated(world)
    assert abs(statement.decided_at - approved_at) < timedelta(seconds=1)
    assert statement.ground
    assert statement.ground.basis == "Terms of 2025"


def test_words_that_were_given_later_serve_and_say_since_when_they_are_there() -> None:
    world = world_with()
    change(world)
    world.post({"urls": [URL]})
    world.minutes(3)
    assert stated(world)[0].missing
    change(world, **terms("Terms of 2025"))
    change(world, **terms("Terms of 2026"))
    (statement,) = stated(world)
    assert statement.ground
    assert (statement.ground.basis, statement.missing) == ("Terms of 2025", ())
    assert statement.words_since
    assert statement.words_since > statement.decided_at


def test_words_are_recorded_once_and_read_once_by_each_process() -> None:
    world = world_with(**STATING)
    rows = world.rows
    assert isinstance(rows, MemoryRows)
    known = statement_words.keep(world.run(), b"", "")
    rows.units.clear()
    assert statement_words.keep(world.run(), known, "") == known
    assert not rows.units, "nothing is read where nothing changed"
    assert statement_words.keep(world.run(), b"", "") == known
    assert not rows.units["written"], "another process finds them on record"


def test_an_end_that_moved_stands_beside_the_one_that_was_decided() -> None:
    world = banned_with(categories={"default": {"ban_days": 7, "statement": CATEGORY_STATEMENT}})
    world.queue({"urls": [URL], "ban_duration": 30})
    world.minutes(3)
    (statement,) = stated(world)
    assert statement.until
    assert statement.decided_until
    assert (statement.until - statement.decided_until).days >= 22


# --- pages, and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_of_any_size_have_every_statement_once(limit: int) -> None:
    world = world_with(**STATING)
    for number in range(3):
        world.post({"urls": pages(10)[number * 3 : number * 3 + 4]}, webhook_id=f"w{number}")
        world.minutes(3)
    assert sorted(each.url for each in stated(world, limit=limit)) == sorted(pages(10))


def test_a_page_that_runs_out_of_time_says_where_to_go_on() -> None:
    world = banned_with()
    run = world.run(seconds=0)
    found, place = statements.of_span(run, Place(stamp(START)), until=world.clock(), limit=100)
    assert place
    more, _ = statements.of_span(world.run(), place, until=world.clock(), limit=100)
    assert [each.url for each in (*found, *more)] == [URL]


def test_a_statement_has_the_same_name_however_it_is_asked_for_and_whatever_the_policy_says_by_then() -> None:
    world = banned_with()
    names = {each.puid for each in (*stated(world), *statements.of_url(world.run(), URL))}
    world.policy = world_with().policy
    world.clock.advance(days=3)
    names |= {each.puid for each in stated(world)}
    (name,) = names
    assert name.startswith("edgeban-")
    assert name.replace("-", "").isalnum()


def test_one_decision_that_two_accounts_carry_out_has_one_name() -> None:
    hosts = {"managed_domains": ["*.example.com"]}
    world = world_with(**STATING, accounts={ACCOUNT: hosts, "other": hosts})
    world.post({"urls": [URL]})
    world.minutes(3)
    other = FakeVendor(clock=world.clock)
    submit_tasks(world.run(seconds=140).at("other"), other)
    world.clock.advance(minutes=1)
    track_tasks(world.run(seconds=40).at("other"), other)
    world.clock.advance(seconds=1)
    first, second = stated(world)
    assert {first.account, second.account} == {ACCOUNT, "other"}
    assert first.puid == second.puid


def test_a_ban_that_the_vendors_list_lost_keeps_its_statement() -> None:
    world = banned_with()
    world.vendor.bans.clear()
    compare(world)
    world.minutes(3)
    assert len({each.puid for each in stated(world)}) == 1
