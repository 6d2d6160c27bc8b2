"""``GET /v1/statements``: who may ask, by which filters, and in which shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.policy import parse
from chalicelib.handlers import schedules
from chalicelib.pipeline.answers import statement_words
from dev.fakes.api import TOKEN, Api, fixed
from dev.fakes.operations import ROOTS, STATEMENT, STATING
from dev.fakes.world import POLICY, pages
from dev.simulators.transparency_rules import problems

URL = pages(1)[0]
YESTERDAY = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"


class Context:
    """What Lambda tells a function of its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return a minute."""
        return 60_000


@pytest.fixture
def stating(api: Api) -> Api:
    """Make an API whose clock is ten minutes behind, and whose policy says all that statements need."""
    api.world.clock.advance(minutes=-10)
    api.world.policy = parse({**POLICY, **STATING})
    api.services._policy = fixed(api.world.policy)
    statement_words.keep(api.world.run(), b"", "")
    return api


def all_of(api: Api, **asked: str) -> list[dict[str, Any]]:
    """Return the statements of all pages."""
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = api.as_operator("statements", **asked, **token)
        assert page.status_code == 200, page.json_body
        found += page.json_body["statements"]
        if "next_token" not in page.json_body:
            return found
        token = {"next_token": page.json_body["next_token"]}


def test_statements_are_found_by_url_by_report_and_by_time(stating: Api) -> None:
    receipt = stating.post({"urls": pages(3)})
    stating.settle()
    by_time = all_of(stating, **{"from": YESTERDAY})
    assert {each["url"] for each in by_time} == set(pages(3))
    by_report = all_of(stating, report_id=receipt.json_body["report_id"], limit="2")
    assert by_report == sorted(by_time, key=lambda each: pages(3).index(each["url"]))
    assert all_of(stating, url=URL) == [each for each in by_time if each["url"] == URL]


def test_the_shape_of_the_commission_is_a_batch_that_its_rules_take(stating: Api) -> None:
    stating.post({"urls": pages(3)})
    stating.settle()
    batch = stating.as_operator("statements", url=URL, shape="dsa").json_body
    assert batch["left_out"] == 0
    assert [problems(statement) for statement in batch["statements"]] == [{}]


def test_incomplete_statements_are_left_out_of_a_batch_and_counted(api: Api) -> None:
    api.world.clock.advance(minutes=-10)
    api.post({"urls": [URL]})
    api.settle()
    assert api.as_operator("statements", url=URL, shape="dsa").json_body == {"statements": [], "left_out": 1}
    (statement,) = api.as_operator("statements", url=URL).json_body["statements"]
    assert statement["missing"]


def test_statements_are_answered_as_csv(stating: Api) -> None:
    stating.post({"urls": [URL]})
    stating.settle()
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/csv"}
    lines = stating.get("statements", headers, url=URL).body.decode().splitlines()
    assert lines[0].startswith("puid,url,account,report_id,")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "name one of url=, report_id= and from="),
        ({"url": URL, "from": "2026-01-01"}, "name one of url=, report_id= and from="),
        ({"url": URL, "to": "2026-01-01"}, "to goes with from"),
        ({"url": "nothing"}, "url: "),
        ({"url": URL, "shape": "pdf"}, "shape must be one of full, dsa"),
        ({"url": URL, "limit": "101"}, "limit must be a whole number from 1 to 100"),
        ({"from": "yesterday"}, "from must be a time"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from must be earlier than to"),
        ({"from": "2026-01-01", "to": "2026-02-02"}, "at most 31 days"),
        ({"from": "2001-01-01", "to": "2001-01-02"}, "from is too long ago"),
    ],
)
def test_a_question_that_names_nothing_or_too_much_is_refused(stating: Api, asked: dict[str, str], said: str) -> None:
    answer = stating.as_operator("statements", **asked)
    assert answer.status_code == 400
    assert said in answer.json_body["error"]["message"]


@pytest.mark.parametrize("token", ["x", "0", "0.x", "-1.20260115T083000", "0.20269915T083000.000000Z", "٣.20260115T08"])
def test_a_token_of_no_page_is_refused(stating: Api, token: str) -> None:
    answer = stating.as_operator("statements", **{"from": YESTERDAY, "next_token": token})
    assert answer.status_code == 400
    assert "next_token" in answer.json_body["error"]["message"]


def test_a_report_that_nobody_knows_is_not_found(stating: Api) -> None:
    assert stating.as_operator("statements", report_id="r-" + "a" * 26).status_code == 404


def test_a_report_that_came_by_the_queue_has_the_statements_of_its_bans(stating: Api) -> None:
    stating.post({"urls": pages(6)[3:]})
    stating.world.queue({"urls": pages(3)})
    stating.settle()
    report = next(each["report_id"] for each in all_of(stating, url=URL))
    found = all_of(stating, report_id=report, limit="2")
    assert [each["url"] for each in found] == pages(3)
    assert {each["report_id"] for each in found} == {report}


def test_the_sweep_keeps_the_words_so_that_a_later_policy_changes_no_statement(stating: Api) -> None:
    stating.post({"urls": [URL]})
    stating.settle()
    before = all_of(stating, url=URL)
    stating.services._policy = fixed(
        parse({**POLICY, **STATING, "statement": {**STATEMENT, "redress": "Not any more."}})
    )
    schedules.sweep_every_account(stating.services, Context())
    assert len(stating.world.rows.query("policy#statements")) == 2
    assert all_of(stating, url=URL) == before


def test_a_hold_has_no_statement(stating: Api) -> None:
    stating.post({"urls": ROOTS[:1]})
    stating.settle()
    assert all_of(stating, url=ROOTS[0]) == []
