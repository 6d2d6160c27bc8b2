"""Operators read the policy, and what it or a draft would decide. Nothing is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from chalice.test import HTTPResponse

from chalicelib.aws.documents import Cached
from chalicelib.config.policy import parse
from chalicelib.pipeline.answers import statement_words
from dev.fakes.api import TOKEN, Api, refused
from dev.fakes.world import ACCOUNT, POLICY, pages

ROOT = "https://shop.example.com/"
PAGE = "https://shop.example.com/login"


def try_policy(api: Api, **asked: Any) -> HTTPResponse:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    return api.client.http.post("/v1/policy/test", headers=headers, body=json.dumps(asked).encode())


def verdicts(answer: HTTPResponse) -> list[tuple[str, str]]:
    return [(each["verdict"], each["rule"]) for each in answer.json_body["verdicts"]]


def test_the_policy_in_force_is_shown(api: Api) -> None:
    shown = api.as_operator("policy").json_body
    assert (shown["policy"], shown["refused"]) == (POLICY, None)


def test_the_policy_says_since_when_it_is_as_it_is(api: Api) -> None:
    def changed_at() -> str | None:
        said: str | None = api.as_operator("policy").json_body["changed_at"]
        return said

    def keep(known: bytes = b"") -> bytes:
        return statement_words.keep(api.world.run(), known, api.services.policy_document()[0])

    assert changed_at() is None, "nothing was recorded yet"
    known = keep()
    first = changed_at()
    assert first
    api.world.clock.advance(hours=1)
    keep(known)
    keep()
    assert changed_at() == first, "what did not change is not recorded again, also by another process"
    changed = {**POLICY, "ban_days": 3}
    api.services._policy = Cached(lambda: (json.dumps(changed), lambda: parse(changed)), on_error=print)
    assert changed_at() is None
    keep(known)
    second = changed_at()
    assert second
    assert second > first


def test_a_version_that_was_refused_is_named_while_the_last_good_one_is_in_force(api: Api) -> None:
    cached = api.services._policy
    api.as_operator("policy")
    cached._read_at, cached._read = 0, lambda: ("{", lambda: 1 / 0)  # type: ignore[assignment, return-value]
    shown = api.as_operator("policy").json_body
    assert shown["policy"] == POLICY
    assert "division" in shown["refused"]["problem"]


def test_each_url_has_the_verdict_that_a_report_of_it_would_have(api: Api) -> None:
    banned = pages(1)[0]
    api.post({"urls": [banned]})
    api.settle()
    rows: Any = api.world.rows
    before = dict(rows.rows)
    answer = try_policy(api, urls=[PAGE, ROOT, banned, "https://elsewhere.org/x", "nonsense"], source="desk")
    assert verdicts(answer) == [
        ("ban", "default"),
        ("hold", "bare_host"),
        ("duplicate", "live"),
        ("rejected", "not_managed"),
        ("rejected", "unusable_url"),
    ]
    assert [each["state_now"] for each in answer.json_body["verdicts"]] == [None, None, "banned", None, None]
    assert [each["account"] for each in answer.json_body["verdicts"]] == [ACCOUNT] * 3 + [None] * 2
    assert answer.json_body["counts"] == {"ban": 1, "duplicate": 1, "hold": 1, "rejected": 2}
    assert rows.rows == before, "a trial wrote something"


def test_a_draft_decides_instead_and_one_that_is_wrong_names_its_field(api: Api) -> None:
    draft = {**POLICY, "bare_hosts": "ban", "protected": [{"url": PAGE, "comment": "ours"}]}
    answer = try_policy(api, urls=[PAGE, ROOT], policy=draft)
    assert verdicts(answer) == [("suppressed", "protected"), ("ban", "default")]
    assert answer.json_body["verdicts"][0]["protected_by"] == PAGE
    refused(try_policy(api, urls=[PAGE], policy={**POLICY, "bare_hosts": "never"}), 400, "bad_request", "bare_hosts")


def test_caps_and_missing_reporters_count_in_a_trial_and_are_not_used_up(api: Api) -> None:
    capped = {**POLICY, "caps": {"per_source_per_hour": 2}}
    for _ in range(2):
        answer = try_policy(api, urls=pages(3), source="desk", policy=capped)
        assert verdicts(answer) == [("ban", "default")] * 2 + [("hold", "source_cap")]
    careful = {**POLICY, "categories": {"default": {"min_reporters": 2}}}
    for _ in range(2):
        assert verdicts(try_policy(api, urls=pages(1), policy=careful)) == [("suppressed", "corroboration")]


def test_what_was_never_reported_is_told_what_the_policy_would_do(api: Api) -> None:
    refused(api.as_operator("urls", url=ROOT), 404, "not_found", "the verdict would be hold (bare_host)")


def test_an_operator_is_told_their_name_and_role(api: Api) -> None:
    assert api.as_operator("me").json_body["name"] == "tester"
    refused(api.get("me"), 401, "not_authenticated", "no token was sent")
    refused(api.get("me", {"Authorization": "Bearer x"}), 401, "not_authenticated", "nobody has this token")


def test_a_trial_takes_the_length_that_a_report_would_ask_for(api: Api) -> None:
    (tried,) = try_policy(api, urls=pages(1), ban_duration=20).json_body["verdicts"]
    assert 19.9 < (datetime.fromisoformat(tried["until"]) - datetime.now(UTC)) / timedelta(days=1) <= 20
    refused(try_policy(api, urls=pages(1), ban_duration=31), 400, "bad_request", "ban_duration must be from 1 to 30")
    refused(try_policy(api, urls=pages(1), ban_days=20), 400, "bad_request", "ban_days")
