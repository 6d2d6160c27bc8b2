"""The routes for abuse systems: who may report and ask, which errors refuse, and what the answers tell."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.config.policy import parse as parse_policy
from chalicelib.pipeline.intake.receive import MAX_BODY
from chalicelib.reports.reading import ParserOptions
from dev.fakes.api import BEARER, HUB_SECRET, OTHER_SECRET, Api, fixed, refused, signed
from dev.fakes.rows import MemoryRows
from dev.fakes.world import ACCOUNT, POLICY, pages

SAMPLES = Path(__file__).parents[1] / "samples"
LIMITS = ParserOptions()


def untouched(api: Api) -> bool:
    """Whether a request left no trace: no row, no message."""
    assert isinstance(api.world.rows, MemoryRows)
    return not api.world.rows.rows and not api.world.queued


OURS = "https://www.example.com/page"

# --- limits -------------------------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    return b'{"urls": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b" " * (MAX_BODY + 1), 413, "too_large", f"send at most {MAX_BODY:,} a report"),
        (nested(LIMITS.max_depth), 400, "unreadable_report", f"nests deeper than {LIMITS.max_depth} levels"),
        (nested(100_000), 400, "unreadable_report", f"nests deeper than {LIMITS.max_depth} levels"),
        ({"urls": [OURS] * (LIMITS.max_urls + 1)}, 413, "too_large", f"more than {LIMITS.max_urls:,} URLs"),
        (b"", 400, "unreadable_report", "not JSON"),
        (b"\xff\xfe", 400, "unreadable_report", "not UTF-8"),
        ({"urls": [], "more": 1}, 400, "unreadable_report", "more"),
    ],
)
def test_a_report_beyond_a_limit_is_refused_with_its_own_error_and_leaves_no_more_than_a_count(
    api: Api, body: Any, status: int, code: str, words: str
) -> None:
    refused(api.post(body, source="other", secret=OTHER_SECRET), status, code, words)
    rows: Any = api.world.rows
    assert untouched(api) or set(rows.rows) == {("report#refused#other", f"{datetime.now(UTC):%Y-%m-%d}")}


def test_a_url_that_is_too_long_is_refused_and_the_report_is_not(api: Api) -> None:
    answer = api.post({"urls": ["https://www.example.com/" + "x" * 8_192, *pages(1)]})
    assert answer.status_code == 202
    assert answer.json_body["accepted"] == 1
    (rejected,) = answer.json_body["rejected"]
    assert rejected["rule"] == "unusable_url"
    assert rejected["reason"] == "the URL is longer than 8,192 characters"


@pytest.mark.parametrize(("skew", "words"), [(-301, "s old"), (302, "s ahead")])
def test_a_report_signed_at_another_time_is_refused(api: Api, skew: int, words: str) -> None:
    refused(api.post({"urls": pages(1)}, at=time.time() + skew), 401, "bad_signature", words)
    assert untouched(api)


def test_a_report_signed_minutes_ago_is_taken(api: Api) -> None:
    assert api.post({"urls": pages(1)}, at=time.time() - 290).status_code == 202


def test_a_source_above_its_rate_is_told_when_to_come_again(api: Api) -> None:
    bearer = {"Authorization": f"Bearer {BEARER}"}
    answers = [api.post({"urls": [url]}, source="slow", headers=bearer) for url in pages(4)]
    if answers[2].status_code == 202:  # A minute ended between the two.
        answers = [api.post({"urls": [url]}, source="slow", headers=bearer) for url in pages(3)]
    late = answers[-1]
    refused(late, 429, "too_many_requests", "more than 2 reports this minute")
    assert 1 <= int(late.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("content_type", ["text/html", "application/xml"])
def test_a_content_type_that_no_format_has_is_refused_with_a_list(api: Api, content_type: str) -> None:
    answer = api.post(b"<urls/>", headers={"Content-Type": content_type})
    refused(answer, 415, "unknown_format", "application/xarf+json")


def test_the_same_webhook_id_with_another_body_is_a_conflict(api: Api) -> None:
    first = api.post({"urls": pages(1)}, webhook_id="once")
    assert api.post({"urls": pages(1)}, webhook_id="once").json_body == first.json_body
    refused(api.post({"urls": pages(2)}, webhook_id="once"), 409, "conflict", "another body")


@pytest.mark.parametrize("source", ["desk", "queue", "nobody"])
def test_what_is_not_signed_is_refused_the_same_way_whoever_it_claims_to_be(api: Api, source: str) -> None:
    refused(api.post({"urls": pages(1)}, source=source, secret=OTHER_SECRET), 401, "bad_signature", "")
    assert untouched(api)


# --- who may ask --------------------------------------------------------------------------------------------


def reported(api: Api, **fields: Any) -> str:
    answer = api.post({"urls": pages(2), **fields})
    assert answer.status_code == 202, answer.json_body
    return str(answer.json_body["report_id"])


def without_request_id(answer: HTTPResponse) -> dict[str, str]:
    return {name: value for name, value in answer.json_body["error"].items() if name != "request_id"}


def test_a_source_reads_its_own_report_and_an_operator_every_one(api: Api) -> None:
    report = reported(api)
    mine, theirs = api.as_source(f"reports/{report}"), api.as_operator(f"reports/{report}")
    assert mine.status_code == theirs.status_code == 200
    assert mine.json_body == theirs.json_body
    assert mine.json_body["source"] == "desk"


def test_a_source_learns_no_more_about_anothers_report_than_about_none(api: Api) -> None:
    report = reported(api)
    others = api.as_source(f"reports/{report}", source="other", secret=OTHER_SECRET)
    none = api.as_source("reports/r-" + "a" * 26, source="other", secret=OTHER_SECRET)
    nonsense = api.as_source("reports/callbacks", source="other", secret=OTHER_SECRET)
    assert others.status_code == none.status_code == nonsense.status_code == 404
    assert without_request_id(others) == without_request_id(none) == without_request_id(nonsense)


def test_a_source_cannot_ask_in_the_name_of_another(api: Api) -> None:
    report = reported(api)
    refused(api.as_source(f"reports/{report}", source="desk", secret=OTHER_SECRET), 401, "bad_signature", "")
    refused(api.as_source(f"reports/{report}", source="nobody"), 401, "bad_signature", "")
    refused(api.as_source(f"reports/{report}", source="queue"), 401, "bad_signature", "")


@pytest.mark.parametrize("headers", [{}, {"webhook-id": "a"}, {"webhook-id": "a", "webhook-timestamp": "1"}])
def test_an_unknown_source_gets_the_same_answer_as_a_known_one(api: Api, headers: dict[str, str]) -> None:
    report = reported(api)
    answers = [
        api.get(f"reports/{report}", {**headers, "X-Edgeban-Source": name}) for name in ("desk", "queue", "nobody")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({json.dumps(without_request_id(answer)) for answer in answers}) == 1
    refused(api.get(f"reports/{report}"), 401, "not_authenticated", "operator")
    refused(api.get(f"reports/{report}", {"Authorization": f"Bearer {BEARER}"}), 401, "not_authenticated", "")


def test_a_question_that_was_signed_long_ago_is_refused(api: Api) -> None:
    report = reported(api)
    answer = api.as_source(f"reports/{report}", at=time.time() - 400)
    refused(answer, 401, "bad_signature", "s old")


def test_the_source_may_be_named_in_the_query(api: Api) -> None:
    report = reported(api)
    assert api.get(f"reports/{report}", signed(b""), source="desk").status_code == 200


def hub(text: bytes) -> dict[str, str]:
    digest = hmac.new(HUB_SECRET.encode(), text, hashlib.sha256).hexdigest()
    return {"X-Edgeban-Source": "hub", "X-Hub-Signature-256": f"sha256={digest}"}


def test_a_hub_signature_opens_the_one_report_that_it_signs(api: Api) -> None:
    bodies = [json.dumps({"urls": [url]}).encode() for url in pages(2)]
    first, second = (api.post(body, source="hub", headers=hub(body)).json_body["report_id"] for body in bodies)
    assert api.get(f"reports/{first}", hub(first.encode())).status_code == 200
    refused(api.get(f"reports/{second}", hub(first.encode())), 401, "bad_signature", "")
    refused(api.get(f"reports/{first}", hub(b"")), 401, "bad_signature", "")


def test_a_bearer_source_asks_with_its_token(api: Api) -> None:
    headers = {"Authorization": f"Bearer {BEARER}", "X-Edgeban-Source": "bearer"}
    report = api.post({"urls": pages(1)}, source="bearer", headers=headers).json_body["report_id"]
    assert api.get(f"reports/{report}", headers).status_code == 200
    wrong = {**headers, "Authorization": "Bearer a-token-of-somebody-else"}
    refused(api.get(f"reports/{report}", wrong), 401, "bad_signature", "")


# --- what is told -------------------------------------------------------------------------------------------


def test_the_state_of_each_url_comes_with_the_reason_for_it(api: Api) -> None:
    bad = "https://www.example.com/the-vendor-says-no"
    api.world.vendor.refuse.add(bad)
    foreign, root = "https://www.example.org/", "https://www.example.com/"
    answer = api.post({"urls": [*pages(1), bad, foreign, root]})
    report = answer.json_body["report_id"]
    before = api.as_source(f"reports/{report}").json_body
    assert before["complete"] is False
    assert before["counts"] == {"pending": 3, "rejected": 1}
    api.settle()
    said = api.as_source(f"reports/{report}").json_body
    states = {each["url"]: each for each in said["urls"]}
    assert states[pages(1)[0]]["state"] == "banned"
    assert states[bad]["state"] == "rejected"
    assert states[bad]["reason"]
    assert states[foreign]["reason"] == "the host is not one of our managed domains"
    assert states[root]["state"] == "held"
    assert states[root]["rule"] == "bare_host"
    assert said["complete"] is True
    assert said["counts"] == {"banned": 1, "held": 1, "rejected": 2}


def test_a_source_under_review_is_told_no_more_than_what_became_of_a_url_and_an_operator_all(api: Api) -> None:
    policy = parse_policy({**POLICY, "sources": {"desk": {"trust": "review"}}})
    api.world.policy, api.services._policy = policy, fixed(policy)
    report = reported(api)
    api.settle()
    mine, theirs = (ask(f"reports/{report}").json_body for ask in (api.as_source, api.as_operator))
    assert mine["urls"] == [{"url": url, "account": ACCOUNT, "state": "received"} for url in pages(2)]
    assert mine["counts"] == {"received": 2}
    assert {(each["state"], each["rule"]) for each in theirs["urls"]} == {("held", "review")}
    assert theirs["counts"] == {"held": 2}


def test_a_large_report_is_read_in_pages_that_hold_every_url_once(api: Api) -> None:
    urls = pages(2_500)
    report = reported(api, urls=[*urls, "https://www.example.org/foreign"])
    seen: list[str] = []
    token, sizes = "", []
    while True:
        query: dict[str, Any] = {"limit": "999", **({"next_token": token} if token else {})}
        answer = api.as_source(f"reports/{report}", **query).json_body
        assert ("complete" in answer) == (not token)
        seen += [each["url"] for each in answer["urls"]]
        sizes.append(len(answer["urls"]))
        token = answer.get("next_token", "")
        if not token:
            break
    assert sizes == [999, 999, 503]
    assert seen == [*urls, "https://www.example.org/foreign"]


def test_pages_of_long_urls_stay_below_what_lambda_gives_back(api: Api) -> None:
    urls = [f"https://www.example.com/{number}/" + "x" * 8_000 for number in range(500)]
    report = reported(api, urls=urls)
    first = api.as_operator(f"reports/{report}")
    assert len(first.body) < 4 * 1024 * 1024
    assert 0 < len(first.json_body["urls"]) < 500
    rest = api.as_operator(f"reports/{report}", next_token=first.json_body["next_token"]).json_body["urls"]
    assert len(first.json_body["urls"]) + len(rest) == 500


def test_an_answer_with_thousands_of_refused_urls_stays_below_what_lambda_gives_back(api: Api) -> None:
    urls = [f"https://www.example.org/{number}/{'é' * 180}" for number in range(9_700)]
    answer = api.post(json.dumps({"urls": urls}, ensure_ascii=False).encode())
    assert answer.status_code == 202
    body = answer.json_body
    assert len(body["rejected"]) + body["rejected_left_out"] == 9_700
    seen, token = 0, dict[str, str]()
    while True:
        page = api.as_operator(f"reports/{body['report_id']}", **token).json_body
        seen += len(page["urls"])
        if "next_token" not in page:
            break
        token = {"next_token": page["next_token"]}
    assert seen == 9_700


@pytest.mark.parametrize(
    ("query", "words"),
    [({"limit": "0"}, "limit"), ({"limit": "1001"}, "limit"), ({"limit": "x"}, "limit"), ({"next_token": "x"}, "next")],
)
def test_an_impossible_page_is_refused(api: Api, query: dict[str, str], words: str) -> None:
    refused(api.as_operator(f"reports/{reported(api)}", **query), 400, "bad_request", words)


# --- correlation ids ----------------------------------------------------------------------------------------


def test_reports_are_found_by_their_correlation_id_by_their_source_and_by_operators(api: Api) -> None:
    mine = {reported(api, correlation_id="case-17", urls=[url]) for url in pages(3)}
    theirs = api.post({"urls": pages(1), "correlation_id": "case-17"}, source="other", secret=OTHER_SECRET)
    reported(api, correlation_id="case-18")
    reported(api)
    found = api.as_source("reports", correlation_id="case-17").json_body["reports"]
    assert {each["report_id"] for each in found} == mine
    assert {each["correlation_id"] for each in found} == {"case-17"}
    everything = api.as_operator("reports", correlation_id="case-17").json_body["reports"]
    assert {each["report_id"] for each in everything} == mine | {theirs.json_body["report_id"]}
    assert api.as_source("reports", correlation_id="case-19").json_body == {"reports": []}
    refused(api.as_source("reports", source="other", correlation_id="case-17"), 401, "bad_signature", "")
    refused(api.get("reports", correlation_id="case-17"), 401, "not_authenticated", "")
    refused(api.as_operator("reports"), 400, "bad_request", "correlation_id is missing")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_found_reports_come_in_pages_that_hold_each_once(api: Api, limit: int) -> None:
    mine = [reported(api, correlation_id="c", urls=[url]) for url in pages(3)]
    for url in pages(2):
        answer = api.post({"urls": [url], "correlation_id": "c"}, source="other", secret=OTHER_SECRET)
        mine.append(answer.json_body["report_id"])
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = api.as_operator("reports", correlation_id="c", limit=str(limit), **token).json_body
        assert len(answer["reports"]) <= limit
        seen += [each["report_id"] for each in answer["reports"]]
        if "next_token" not in answer:
            break
        token = {"next_token": answer["next_token"]}
    assert sorted(seen) == sorted(mine)


def test_a_request_that_was_refused_in_the_end_is_not_found(api: Api) -> None:
    first = api.post({"urls": pages(1), "correlation_id": "mine"}, webhook_id="w")
    assert api.post({"urls": pages(2), "correlation_id": "planted"}, webhook_id="w").status_code == 409
    assert api.as_operator("reports", correlation_id="planted").json_body == {"reports": []}
    (found,) = api.as_operator("reports", correlation_id="mine").json_body["reports"]
    assert found["report_id"] == first.json_body["report_id"]


def test_a_report_without_a_correlation_id_writes_no_index_row(api: Api) -> None:
    reported(api)
    assert isinstance(api.world.rows, MemoryRows)
    assert not [pk for pk, _ in api.world.rows.rows if pk.startswith("correlation#")]


# --- tests --------------------------------------------------------------------------------------------------


def xarf_test() -> dict[str, Any]:
    report: dict[str, Any] = next(
        each for each in json.loads((SAMPLES / "xarf_v4.json").read_bytes()) if each["type"] == "phishing"
    )
    return {**report, "url": pages(1)[0], "tags": ["lifecycle:test"]}


@pytest.mark.parametrize(
    ("document", "content_type"),
    [({"urls": pages(1), "test": True}, "application/json"), (xarf_test(), "application/xarf+json")],
)
def test_a_test_report_walks_the_whole_path_and_never_reaches_a_vendor(
    api: Api, document: dict[str, Any], content_type: str
) -> None:
    answer = api.post(document, headers={"Content-Type": content_type})
    assert answer.status_code == 202
    assert answer.json_body["test"] is True
    assert answer.json_body["accepted"] == 1
    assert api.world.queued
    api.settle()
    said = api.as_source(f"reports/{answer.json_body['report_id']}").json_body
    assert said["test"] is True
    assert said["complete"] is True
    (state,) = said["urls"]
    assert (state["account"], state["state"], state["rule"]) == (ACCOUNT, "suppressed", "test")
    assert "test" in state["reason"]
    assert not api.world.vendor.tasks
    assert not api.world.wakes


@pytest.mark.parametrize("name", ["callbacks", "x" * 3_000, "r-" + "A" * 26, "r-" + "a" * 27])
def test_what_cannot_be_a_report_id_is_not_looked_up(api: Api, name: str) -> None:
    """DynamoDB refuses keys above 2 KB, and there are other rows than reports."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the ledger was asked")

    api.services.rows = type("Untouchable", (), {"query": never, "get": never})()
    refused(api.as_operator(f"reports/{name}"), 404, "not_found", "no report")


def test_no_answer_is_a_bare_500(api: Api) -> None:
    """A failure of ours names nothing but the request."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    api.services.rows = type("Broken", (), {"query": broken, "get": broken})()
    answer = api.as_operator("reports/r-" + "a" * 26)
    refused(answer, 500, "internal", "request_id")
    assert "secret detail" not in answer.body.decode()
