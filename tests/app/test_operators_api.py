"""Operators' routes: who may do what, what they select and show, and that every decision is on record."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from chalice.test import HTTPResponse

from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.policy import parse as parse_policy
from chalicelib.handlers.unbans import PREVIEW_URLS, UNBAN_URLS
from chalicelib.ledger import control
from chalicelib.pipeline.upkeep.verify import verify_bans
from dev.fakes.api import Api, fixed, refused
from dev.fakes.vendor import FakeBan
from dev.fakes.world import ACCOUNT, POLICY, pages

ROLES = {"rita": "reader", "olaf": "operator", "anna": "approver", "ben": "approver"}
ROOTS = [f"https://h{number}.example.com/" for number in range(3)]


@dataclass
class Desk:
    """The API with operators of every role. The first argument of each call is who asks."""

    api: Api

    def get(self, who: str, path: str, **query: str) -> HTTPResponse:
        return self.api.get(path, bearer(who), **query)

    def csv(self, who: str, path: str, **query: str) -> str:
        return self.api.get(path, {**bearer(who), "Accept": "text/csv"}, **query).body.decode()

    def post(self, who: str, path: str, document: Any = None) -> HTTPResponse:
        body = document if isinstance(document, bytes) else json.dumps(document or {}).encode()
        headers = {"Content-Type": "application/json", **bearer(who)}
        return self.api.client.http.post(f"/v1/{path}", headers=headers, body=body)

    def send(self, method: str, who: str, path: str, document: Any) -> HTTPResponse:
        headers = {"Content-Type": "application/json", **bearer(who)}
        return self.api.client.http.request(method.upper(), f"/v1/{path}", headers, json.dumps(document).encode())

    def ban(self, *reports: list[str]) -> list[str]:
        """Have each report banned by a task of its own; return the tasks' ids, oldest first."""
        for urls in reports:
            assert self.api.post({"urls": urls}).status_code == 202
            self.api.settle()
        rows: Any = self.api.world.rows
        return sorted(pk[5:] for pk, sk in rows.rows if sk == "task" and pk.startswith("task#"))

    def hold(self, urls: list[str] = ROOTS) -> str:
        self.api.post({"urls": urls})
        self.api.settle()
        held = self.get("rita", "holds").json_body["holds"]
        return str(held[-1]["hold_id"])

    def states(self, *urls: str) -> list[str]:
        return [self.get("rita", "urls", url=url).json_body["accounts"][0]["state"] for url in urls]

    def decisions(self, **asked: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("rita", "audit", **asked).json_body["decisions"]
        return found


def bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token of {who}"} if who else {}


@pytest.fixture
def desk(api: Api) -> Desk:
    named = {
        who: {"token_sha256": hashlib.sha256(f"token of {who}".encode()).hexdigest(), "role": role}
        for who, role in ROLES.items()
    }
    api.services._operators = fixed(parse_operators(named))
    return Desk(api)


# --- who may ------------------------------------------------------------------------------------------------------

ROUTES = [
    ("get", "tasks", "reader"),
    ("get", "tasks/x", "reader"),
    ("get", "holds", "reader"),
    ("get", "holds/x", "reader"),
    ("get", "urls", "reader"),
    ("get", "audit", "reader"),
    ("post", "unbans", "operator"),
    ("post", "bans", "operator"),
    ("patch", "bans", "operator"),
    ("post", "pause", "operator"),
    ("post", "resume", "operator"),
    ("post", "holds/x/approve", "approver"),
    ("post", "holds/x/refuse", "approver"),
]


@pytest.mark.parametrize(("method", "path", "role"), ROUTES)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer nobody", "Basic token of anna", "token of anna"])
def test_without_a_known_token_nothing_is_shown_and_nothing_done(
    desk: Desk, method: str, path: str, role: str, given: str
) -> None:
    headers = {"Content-Type": "application/json", **({"Authorization": given} if given else {})}
    answer = getattr(desk.api.client.http, method)(f"/v1/{path}", headers=headers, body=b"")
    refused(answer, 401, "not_authenticated", "Authorization: Bearer")
    assert answer.headers["x-amzn-Remapped-WWW-Authenticate"] == "Bearer", "API Gateway renames the header"
    rows: Any = desk.api.world.rows
    assert not rows.rows


@pytest.mark.parametrize(("method", "path", "role"), [each for each in ROUTES if each[2] != "reader"])
def test_a_role_allows_what_is_its_own_and_no_more(desk: Desk, method: str, path: str, role: str) -> None:
    too_low = ["rita", "olaf"] if role == "approver" else ["rita"]
    for who in too_low:
        refused(desk.post(who, path, {"reason": "r"}), 403, "not_allowed", f"the role {ROLES[who]}; this needs {role}")
    rows: Any = desk.api.world.rows
    assert not rows.rows
    assert desk.post("anna", path, {"reason": "r"}).status_code in {200, 400, 404}  # An approver may do everything.


# --- tasks ----------------------------------------------------------------------------------------------------------


def test_tasks_under_way_are_listed_and_those_that_ended_by_their_day(desk: Desk) -> None:
    desk.api.post({"urls": pages(3)})
    desk.api.world.intake()
    desk.api.world.drain()
    (task,) = desk.get("rita", "tasks").json_body["tasks"]
    assert (task["state"], task["urls"], task["account"], task["finished_at"]) == ("processing", 3, ACCOUNT, None)
    desk.api.settle()
    assert desk.get("rita", "tasks").json_body == {"tasks": []}
    today = desk.api.world.clock().date().isoformat()
    (ended,) = desk.get("rita", "tasks", day=today).json_body["tasks"]
    assert (ended["task_id"], ended["state"]) == (task["task_id"], "succeeded")
    assert desk.get("rita", "tasks", day="2020-01-01").json_body == {"tasks": []}


def test_the_list_of_tasks_pages_without_losing_any(desk: Desk) -> None:
    made = desk.ban(*(pages(2, f"h{number}.example.com") for number in range(5)))
    days = sorted({(datetime.now(UTC) + timedelta(minutes=5 * after)).date().isoformat() for after in range(7)})
    seen, after = [], ""
    for day in days:
        while True:
            page = desk.get("rita", "tasks", day=day, limit="2", next_token=after).json_body
            assert len(page["tasks"]) <= 2
            seen += [each["task_id"] for each in page["tasks"]]
            after = page.get("next_token", "")
            if not after:
                break
    assert seen == made


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1.5", "²"])
def test_a_limit_that_is_no_whole_number_is_refused(desk: Desk, limit: str) -> None:
    refused(desk.get("rita", "tasks", limit=limit), 400, "bad_request", "limit must be a whole number from 1 to 1000")


def test_a_day_that_is_no_date_is_refused(desk: Desk) -> None:
    refused(desk.get("rita", "tasks", day="yesterday"), 400, "bad_request", "day must be a UTC day such as 2026-01-15")


def test_a_task_is_read_with_its_urls_by_our_id_or_the_vendors(desk: Desk) -> None:
    (made,) = desk.ban(pages(3))
    task = desk.get("rita", f"tasks/{made}").json_body
    assert task["urls_carried"] == pages(3)
    assert task["vendor_task_id"]
    assert task["verification"] is None
    assert desk.get("rita", f"tasks/{task['vendor_task_id']}", account=ACCOUNT).json_body == task
    refused(desk.get("rita", f"tasks/{task['vendor_task_id']}"), 404, "not_found", "name the account=")
    refused(desk.get("rita", "tasks/none"), 404, "not_found", "no such task")


def test_the_urls_of_a_task_come_in_parts_that_an_answer_has_room_for(desk: Desk) -> None:
    urls = [f"https://www.example.com/{number}/" + "x" * 8_000 for number in range(600)]
    desk.api.post({"urls": urls[:300]})
    desk.api.post({"urls": urls[300:]})
    desk.api.settle()
    today = datetime.now(UTC).date()
    days = [(today + timedelta(days=after)).isoformat() for after in (0, 1)]  # The clock has moved on since then.
    task = next(task for day in days for task in desk.get("rita", "tasks", day=day).json_body["tasks"])
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = desk.get("rita", f"tasks/{task['task_id']}", **token)
        assert answer.status_code == 200
        seen += answer.json_body["urls_carried"]
        if "next_token" not in answer.json_body:
            break
        token = {"next_token": answer.json_body["next_token"]}
    assert token, "more than one part"
    assert len(set(seen)) == len(seen) == task["urls"] >= 300


@pytest.mark.parametrize("path", ["tasks/{}", "holds/{}", "reports/{}", "audit?actor={}", "tasks?next_token={}"])
@pytest.mark.parametrize("name", ["x" * 2_100, "é" * 1_100, "%ED%A0%80", "%00"])
def test_a_name_that_no_row_can_have_is_refused_and_is_no_error_of_ours(desk: Desk, path: str, name: str) -> None:
    assert desk.get("rita", path.format(quote(name, safe="%"))).status_code in {200, 400, 404}


@pytest.mark.parametrize("field", ["reason", "account"])
def test_half_a_character_in_a_field_is_refused_by_name(desk: Desk, field: str) -> None:
    document = {"reason": "x", field: "half \ud800 a pair"}
    refused(desk.post("olaf", "pause", json.dumps(document).encode()), 400, "bad_request", field)


def test_a_task_shows_what_the_edge_said(desk: Desk) -> None:
    (made,) = desk.ban(pages(3))
    world = desk.api.world
    world.clock.advance(minutes=10)
    policy = parse_policy({**POLICY, "verification": {"sample": 2}})
    verify_bans(replace(world.run(seconds=60), account=ACCOUNT, read_policy=lambda: policy), lambda _, *, edge="": 200)
    said = desk.get("rita", f"tasks/{made}").json_body["verification"]
    assert (said["sampled"], said["blocked"], said["open"]) == (2, 0, 2)
    assert set(said["open_urls"]) <= set(pages(3))
    assert abs(datetime.fromisoformat(said["verified_at"]) - world.clock()) < timedelta(milliseconds=1)


def test_a_protected_url_is_shown_with_its_comment_to_operators_alone(desk: Desk) -> None:
    entry = {"host": "www.example.com", "comment": "our own site", "expires": "2099-12-31"}
    desk.api.services._policy = fixed(parse_policy({**POLICY, "protected": [entry]}))
    desk.api.world.policy = desk.api.services.policy
    receipt = desk.api.post({"urls": pages(1)})
    assert "our own site" not in json.dumps(receipt.json_body)
    said = desk.get("rita", "urls", url=pages(1)[0]).json_body
    assert said["protected"] == {
        "entry": "www.example.com",
        "comment": "our own site",
        "expires": "2100-01-01T00:00:00+00:00",
    }
    assert said["accounts"] == []


# --- bans by hand ----------------------------------------------------------------------------------------------------


def test_a_ban_by_hand_is_previewed_then_made_then_its_end_is_changed(desk: Desk) -> None:
    urls = [*pages(2), "https://elsewhere.example.org/"]
    preview = desk.post("olaf", "bans", {"urls": urls, "ban_for_days": 60, "preview": True})
    assert (preview.status_code, preview.json_body["preview"]) == (200, True)
    assert desk.decisions(actor="olaf") == []
    made = desk.post("olaf", "bans", {"urls": urls, "ban_for_days": 60, "reason": "ticket 4711"})
    assert made.status_code == 202
    for said in (preview.json_body, made.json_body):
        assert [(each["url"], each["effect"]) for each in said["first"]] == [(url, "ban") for url in urls[:2]]
        assert [each["rule"] for each in said["rejected"]] == ["not_managed"]
        assert (said["urls"], said["rejected_urls"], said["holds"], said["approvals_needed"]) == (2, 1, [], 1)
    desk.api.settle()
    assert desk.states(*urls[:2]) == ["banned", "banned"]
    end = (datetime.now(UTC) + timedelta(hours=40)).replace(microsecond=0)
    changed = desk.send("patch", "olaf", "bans", {"urls": urls[:1], "until": end.isoformat(), "reason": "sooner"})
    assert [each["effect"] for each in changed.json_body["first"]] == ["set_end"]
    shown = desk.get("rita", "urls", url=urls[0]).json_body["accounts"][0]
    assert datetime.fromisoformat(shown["until"]) == end
    assert (shown["rule"], shown["source"], shown["history"][0]["actor"]) == ("by_hand", "operator:olaf", "olaf")
    assert [each["action"] for each in desk.decisions(actor="olaf")] == ["set_end", "ban"]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"reason": "r"}, "urls is missing or empty"),
        ({"urls": pages(1)}, "reason is missing"),
        ({"urls": pages(1), "reason": "r", "ban_days": 31}, "ban_days must be from 1 to 30"),
        ({"urls": pages(1), "reason": "r", "ban_for_days": 0}, "ban_for_days must be from 1 to 1095"),
        ({"urls": pages(1), "reason": "r", "ban_days": 1, "until": "unbanned"}, "name one of ban_days and until"),
        ({"urls": pages(1), "reason": "r", "until": "2026-01-01T00:00:00"}, "with its zone"),
        ({"urls": pages(1), "reason": "r", "until": "tomorrow"}, "with its zone"),
        ({"urls": pages(1), "reason": "r", "until": "2020-01-01T00:00:00Z"}, "POST /v1/unbans"),
        ({"urls": pages(1), "reason": "r", "until": "2990-01-01T00:00:00Z"}, "days away"),
        ({"urls": pages(1), "reason": "r", "category": "c" * 129}, "longer than 128"),
        ({"urls": ["ftp://www.example.com/"], "reason": "r"}, "urls[0]"),
    ],
)
def test_a_ban_by_hand_that_cannot_be_made_is_refused_with_what_to_change(
    desk: Desk, document: dict[str, Any], words: str
) -> None:
    refused(desk.post("olaf", "bans", document), 400, "bad_request", words)


def test_a_changed_end_names_the_end(desk: Desk) -> None:
    answer = desk.send("patch", "olaf", "bans", {"urls": pages(1), "reason": "r"})
    refused(answer, 400, "bad_request", "name the new end")


def test_the_policy_bounds_what_a_person_may_ban_by_hand(desk: Desk) -> None:
    desk.api.services._policy = fixed(parse_policy({**POLICY, "approvals": {"longest_days": 14}}))
    for end in ({"ban_days": 15}, {"until": "unbanned"}, {"ban_for_days": 400}):
        refused(desk.post("olaf", "bans", {"urls": pages(1), "reason": "r", **end}), 400, "bad_request", "14 days")
    assert desk.post("olaf", "bans", {"urls": pages(1), "reason": "r", "ban_days": 14}).status_code == 202


# --- unbans -----------------------------------------------------------------------------------------------------------


def test_a_preview_counts_and_names_and_changes_nothing(desk: Desk) -> None:
    urls = pages(PREVIEW_URLS + 20)
    (made,) = desk.ban(urls)
    rows: Any = desk.api.world.rows
    before = dict(rows.rows)
    said = desk.post("olaf", "unbans", {"task_id": made, "preview": True}).json_body
    assert (said["preview"], said["urls"], said["counted_all"]) == (True, len(urls), True)
    assert len(said["first"]) == PREVIEW_URLS
    assert said["first"][0] == {"url": urls[0], "account": ACCOUNT}
    assert rows.rows == before


@pytest.mark.parametrize("selector", ["urls", "task_id", "report_id", "source"])
def test_each_selector_unbans_what_it_names_and_reports_are_suppressed_then(desk: Desk, selector: str) -> None:
    receipt = desk.api.post({"urls": pages(3)})
    desk.api.settle()
    (made,) = desk.ban()
    selected = {
        "urls": ["HTTPS://www.example.com:443/page/0#x", pages(3)[0]],
        "task_id": made,
        "source": "desk",
        "report_id": receipt.json_body["report_id"],
    }[selector]
    count = 1 if selector == "urls" else 3
    answer = desk.post("olaf", "unbans", {selector: selected, "reason": "an appeal", "cool_down_days": 3})
    assert answer.status_code == 202
    assert (answer.json_body["complete"], answer.json_body["urls"]) == (True, count)
    assert desk.api.world.wakes
    desk.api.settle()
    assert pages(3)[0] not in desk.api.world.vendor.bans
    assert desk.states(*pages(3)) == ["unbanned"] * count + ["banned"] * (3 - count)
    again = desk.api.post({"urls": pages(1)})
    desk.api.settle()
    (said,) = desk.get("rita", f"reports/{again.json_body['report_id']}").json_body["urls"]
    assert (said["state"], said["rule"]) == ("suppressed", "cool_down")
    (decision,) = desk.decisions(actor="olaf")
    assert (decision["action"], decision["reason"], decision["after"]) == (
        "unban",
        "an appeal",
        answer.json_body["unban_id"],
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"reason": "r"}, "exactly one of urls, task_id, report_id, chunk_id, source"),
        ({"urls": [], "source": "desk", "reason": "r"}, "exactly one of"),
        ({"source": "desk"}, "reason is missing"),
        ({"source": "desk", "reason": "  "}, "reason is missing"),
        ({"source": "desk", "reason": "r" * 501}, "reason is longer than 500"),
        ({"source": "desk", "reason": "r", "cool_down_days": 366}, "cool_down_days must be from 0 to 365"),
        ({"source": "desk", "reason": "r", "cool_down_days": -1}, "cool_down_days must be from 0 to 365"),
        ({"source": "desk", "reason": "r", "cool_down_days": True}, "cool_down_days must be of type int"),
        ({"source": 7, "reason": "r"}, "source must be of type str"),
        ({"sources": "desk", "reason": "r"}, "unknown field 'sources'"),
        ({"urls": ["x"], "reason": "r"}, "urls[0]: the URL does not begin with a scheme"),
        ({"urls": [pages(1)[0], 7], "reason": "r"}, "urls[1] must be a string"),
        ({"urls": ["https://a.example.com/"] * (UNBAN_URLS + 1), "reason": "r"}, "name at most 1,000 a request"),
        ({"urls": ["https://a.example.com/" + "x" * 4_000] * 100, "reason": "r"}, "longer than 300,000 characters"),
        (b"{", "the body is not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"[" * 200_000, "the body is not JSON"),
    ],
)
def test_an_unban_that_is_not_clear_is_refused_and_leaves_no_trace(desk: Desk, document: Any, words: str) -> None:
    refused(desk.post("olaf", "unbans", document), 400, "bad_request", words)
    rows: Any = desk.api.world.rows
    assert not rows.rows


def test_a_body_beyond_the_limit_is_refused(desk: Desk) -> None:
    refused(desk.post("olaf", "unbans", b" " * (512 * 1024 + 1)), 413, "too_large", "send at most 524,288")


def test_an_unban_of_a_url_that_is_not_banned_says_so(desk: Desk) -> None:
    (made,) = desk.ban(pages(3))
    for count in (3, 0):
        answer = desk.post("olaf", "unbans", {"task_id": made, "reason": "r"})
        assert (answer.status_code, answer.json_body["urls"]) == (202, count)


@pytest.mark.parametrize("more", [{"reason": "r"}, {"preview": True}])
@pytest.mark.parametrize(
    ("selector", "words"),
    [("task_id", "there is no task 'wrong'"), ("report_id", "no report 'wrong'"), ("source", "no source 'wrong'")],
)
def test_an_unban_of_a_task_report_or_source_that_does_not_exist_is_not_found(
    desk: Desk, selector: str, words: str, more: dict[str, Any]
) -> None:
    desk.ban(pages(3))
    refused(desk.post("olaf", "unbans", {selector: "wrong", **more}), 404, "not_found", words)
    rows: Any = desk.api.world.rows
    assert not [key for key in rows.rows if key[0] == "jobs"]


def test_a_url_that_the_vendor_bans_and_the_ledger_does_not_know_is_unbanned(desk: Desk) -> None:
    vendor, now = desk.api.world.vendor, desk.api.world.clock()
    (url,) = pages(1)
    vendor.bans[url] = FakeBan(now, now, now + timedelta(days=30))
    preview = desk.post("olaf", "unbans", {"urls": [url], "preview": True}).json_body
    assert (preview["urls"], preview["first"]) == (1, [{"url": url, "account": ACCOUNT}])
    for _ in range(2):  # A repeated unban is sent again.
        answer = desk.post("olaf", "unbans", {"urls": [url], "reason": "banned by hand"})
        assert (answer.status_code, answer.json_body["urls"]) == (202, 1)
        desk.api.settle()
    assert not vendor.bans
    assert [urls for _, urls, _ in vendor.calls] == [(url,), (url,)]
    (shown,) = desk.get("rita", "urls", url=url).json_body["accounts"]
    assert (shown["state"], shown["reason"], shown["source"]) == ("unbanned", "banned by hand", "operator:olaf")


@pytest.mark.parametrize("more", [{"reason": "r"}, {"preview": True}])
def test_an_unban_of_urls_of_other_hosts_is_no_success(desk: Desk, more: dict[str, Any]) -> None:
    asked = {"urls": ["https://elsewhere.example.org/x"], **more}
    refused(desk.post("olaf", "unbans", asked), 404, "not_found", "none of these URLs is of a managed domain")
    assert not desk.api.world.vendor.calls


def test_a_source_that_is_configured_no_more_is_undone_still(desk: Desk) -> None:
    desk.ban(pages(3))
    desk.api.services._sources = fixed({})
    assert desk.post("olaf", "unbans", {"source": "desk", "preview": True}).json_body["urls"] == 3
    assert desk.post("olaf", "unbans", {"source": "desk", "reason": "r"}).json_body["urls"] == 3
    refused(desk.post("olaf", "unbans", {"source": "desk", "reason": "r"}), 404, "not_found", "no ban in force")


def test_a_preview_names_what_stays_and_for_whom(desk: Desk) -> None:
    urls = pages(3)
    desk.ban(urls)
    desk.api.world.queue({"urls": urls[:1]})
    desk.api.settle()
    preview = {"source": "desk", "preview": True}
    said = desk.post("olaf", "unbans", preview).json_body
    stay = [{"url": urls[0], "account": ACCOUNT, "sources": ["queue"]}]
    assert (said["urls"], said["stay"], said["stay_first"], "note" in said) == (2, 1, stay, False)
    several = {"spam": {"min_reporters": 2}}
    desk.api.services._policy = fixed(parse_policy({**POLICY, "categories": several}))
    assert "was only counted stays" in desk.post("olaf", "unbans", preview).json_body["note"]
    said = desk.post("olaf", "unbans", {**preview, "even_if_others_said_so": True}).json_body
    assert (said["urls"], "stay" in said) == (3, False)
    regardless = {"urls": urls, "reason": "r", "even_if_others_said_so": True}
    refused(desk.post("olaf", "unbans", regardless), 400, "bad_request", "whoever asked")
    assert desk.post("olaf", "unbans", {"source": "desk", "reason": "r"}).json_body["urls"] == 2


def test_a_host_is_undone_after_a_preview_and_an_expectation(desk: Desk) -> None:
    shop, other = pages(12, "shop.example.com"), pages(2)
    desk.api.world.clock.advance(minutes=-10)  # The question reads the index and what has happened since.
    desk.ban([*shop, *other])
    asked: dict[str, Any] = {"host": ".shop.example.com"}
    preview = desk.post("olaf", "unbans", {**asked, "preview": True}).json_body
    assert (preview["urls"], preview["counted_all"], "stay" in preview) == (12, True, False)
    for expected in (0, 10, 14):
        answer = desk.post("olaf", "unbans", {**asked, "expect": expected, "reason": "r"})
        refused(answer, 409, "conflict", f"about 12 URLs, and the request expects {expected}")
    rows: Any = desk.api.world.rows
    assert not [key for key in rows.rows if key[0] == "jobs"]
    done = desk.post("olaf", "unbans", {**asked, "expect": 11, "reason": "an appeal"}).json_body
    assert (done["complete"], done["urls"]) == (True, 12)
    desk.api.settle()
    assert set(desk.api.world.vendor.bans) == set(other)
    shown = desk.get("rita", f"unbans/{done['unban_id']}").json_body
    assert (shown["selection"], shown["urls"], shown["complete"]) == ("host:.shop.example.com", 12, True)
    refused(desk.post("olaf", "unbans", {**asked, "reason": "r"}), 404, "not_found", "no ban in force is of host:.shop")


def test_several_selectors_are_named_together_and_found_in_the_audit_by_each(desk: Desk) -> None:
    desk.api.world.clock.advance(minutes=-10)
    desk.ban(pages(2))
    asked = {"host": "www.example.com", "source": "desk", "category": "phishing", "reason": "r"}
    assert desk.post("olaf", "unbans", asked).json_body["urls"] == 2
    for about in ("host:www.example.com", "source:desk", "category:phishing"):
        (decision,) = desk.decisions(about=about)
        assert decision["about"] == "source:desk host:www.example.com category:phishing"


def test_a_decision_is_undone_by_its_chunk(desk: Desk) -> None:
    desk.ban(pages(2))
    (account,) = desk.get("rita", "urls", url=pages(1)[0]).json_body["accounts"]
    assert desk.post("olaf", "unbans", {"chunk_id": account["chunk_id"], "reason": "r"}).json_body["urls"] == 2
    refused(desk.post("olaf", "unbans", {"chunk_id": "none", "reason": "r"}), 404, "not_found", "no chunk 'none'")


def test_urls_of_which_no_ban_is_known_are_named_and_sent_all_the_same(desk: Desk) -> None:
    known, unknown = pages(2)
    desk.ban([known])
    for more in ({"preview": True}, {"reason": "r"}):
        said = desk.post("olaf", "unbans", {"urls": [known, unknown], **more}).json_body
        assert (said["urls"], said["not_found"]) == (2, [unknown])
    desk.api.settle()
    assert any(unknown in urls for _, urls, _ in desk.api.world.vendor.calls)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"host": "https://x.example.com/"}, "host must be a host"),
        ({"host": "*.example.com"}, "host must be a host"),
        ({"host": ""}, "host must not be empty"),
        ({"host": "x.example.com", "urls": pages(1)}, "of source, host and category several may be named"),
        ({"task_id": "t", "since": "2026-01-01"}, "since and until_time go with source, host and category"),
        ({"host": "x.example.com", "until_time": "yesterday"}, "until_time must be a time"),
        ({"source": "desk", "since": "2999-01-01"}, "since must be a time of the last 40 days"),
        ({"host": "x.example.com", "since": "2999-01-01"}, "since is in the future"),
        ({"host": "x.example.com", "since": "2026-01-02", "until_time": "2026-01-01"}, "must be later than since"),
        ({"host": "x.example.com", "expect": -1}, "expect must be"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(desk: Desk, document: dict[str, Any], words: str) -> None:
    refused(desk.post("olaf", "unbans", {**document, "reason": "r"}), 400, "bad_request", words)


def test_a_source_is_undone_from_a_moment_on(desk: Desk) -> None:
    world = desk.api.world
    world.clock.advance(hours=-3)
    early, late = pages(2), pages(4)[2:]
    desk.ban(early)
    world.clock.advance(minutes=30)
    noon = world.clock()
    world.clock.advance(minutes=30)
    desk.ban(late)
    asked = {"source": "desk", "since": noon.isoformat(), "reason": "gone wrong at noon"}
    assert desk.post("olaf", "unbans", {**asked, "preview": True}).json_body["urls"] == 2
    assert desk.post("olaf", "unbans", asked).json_body["urls"] == 2
    desk.api.settle()
    assert desk.states(*early, *late) == ["banned"] * 2 + ["unbanned"] * 2
    refused(
        desk.post("olaf", "unbans", {"urls": early, "since": "2026-01-15", "reason": "r"}),
        400,
        "bad_request",
        "go with",
    )
    future = {**asked, "since": "2100-01-01"}
    refused(desk.post("olaf", "unbans", future), 400, "bad_request", "of the last 40 days")


# --- holds ------------------------------------------------------------------------------------------------------------


def test_holds_are_listed_and_read_with_who_reported_each(desk: Desk) -> None:
    hold_id = desk.hold()
    (hold,) = desk.get("rita", "holds").json_body["holds"]
    assert (hold["account"], hold["rule"], hold["urls"], hold["approved_by"]) == (ACCOUNT, "bare_host", 3, None)
    said = desk.get("rita", f"holds/{hold_id}").json_body
    assert [each["url"] for each in said["urls"]] == ROOTS
    assert {(each["source"], each["category"]) for each in said["urls"]} == {("desk", "phishing")}
    assert {each["reported_at"] for each in said["urls"]} == {said["urls"][0]["words"][0]["said_at"]}
    refused(desk.get("rita", "holds/none"), 404, "not_found", "its id is wrong, or its rows have expired")


def test_the_list_of_holds_pages(desk: Desk) -> None:
    made = [desk.hold([root]) for root in ROOTS]
    first = desk.get("rita", "holds", limit="2").json_body
    rest = desk.get("rita", "holds", limit="2", next_token=first["next_token"]).json_body
    assert [each["hold_id"] for each in first["holds"] + rest["holds"]] == made
    assert "next_token" not in rest


def test_an_approved_hold_is_banned_and_is_no_hold_any_more(desk: Desk) -> None:
    hold_id = desk.hold()
    answer = desk.post("anna", f"holds/{hold_id}/approve", {"reason": "seen"})
    counts = {"approvals": 1, "approvals_needed": 1, "approved": 3, "refused": 0}
    assert answer.json_body == {"hold_id": hold_id, "state": "approved", **counts}
    desk.api.settle()
    assert desk.states(*ROOTS) == ["banned"] * 3
    refused(desk.post("ben", f"holds/{hold_id}/approve", {"reason": "r"}), 404, "not_found", "decided already")
    (decision,) = desk.decisions(about=f"hold:{hold_id}")
    assert (decision["actor"], decision["action"], decision["reason"]) == ("anna", "approve", "seen")


def test_a_large_hold_takes_two_different_approvers(desk: Desk) -> None:
    desk.api.services._policy = fixed(parse_policy({**POLICY, "approvals": {"two_above": 2}}))
    hold_id = desk.hold()
    first = desk.post("anna", f"holds/{hold_id}/approve", {"reason": "seen"}).json_body
    nothing = {"approved": 0, "refused": 0}
    assert first == {"hold_id": hold_id, "state": "held", "approvals": 1, "approvals_needed": 2, **nothing}
    (hold,) = desk.get("rita", "holds").json_body["holds"]
    assert hold["approved_by"] == "anna"
    again = desk.post("anna", f"holds/{hold_id}/approve", {"reason": "seen"})
    refused(again, 409, "conflict", "two different people")
    desk.api.settle()
    assert not desk.api.world.vendor.calls
    second = desk.post("ben", f"holds/{hold_id}/approve", {"reason": "I, too"}).json_body
    counts = {"approvals": 2, "approvals_needed": 2, "approved": 3, "refused": 0}
    assert second == {"hold_id": hold_id, "state": "approved", **counts}
    desk.api.settle()
    assert desk.states(*ROOTS) == ["banned"] * 3
    assert [each["actor"] for each in desk.decisions(about=f"hold:{hold_id}")] == ["ben", "anna"]


def test_a_refused_hold_ends_as_rejected(desk: Desk) -> None:
    hold_id = desk.hold()
    answer = desk.post("anna", f"holds/{hold_id}/refuse", {"reason": "a customer"})
    assert answer.json_body == {"hold_id": hold_id, "state": "refused", "urls": 3}
    assert desk.states(*ROOTS) == ["rejected"] * 3
    assert desk.get("rita", "holds").json_body == {"holds": [], "groups": []}
    assert not desk.api.world.vendor.calls
    (decision,) = desk.decisions(actor="anna")
    assert (decision["action"], decision["before"], decision["after"]) == ("refuse", "held", "rejected")


def test_holds_are_counted_by_rule_and_source_and_filtered(desk: Desk) -> None:
    first, second = desk.hold(ROOTS[:1]), desk.hold(ROOTS[1:])
    listed = desk.get("rita", "holds", limit="1").json_body
    (group,) = listed["groups"]
    assert (group["rule"], group["source"], group["holds"], group["urls"]) == ("bare_host", "desk", 2, 3)
    (shown,) = listed["holds"]
    assert (shown["sources"], shown["first"]) == ([{"value": "desk", "urls": 1}], ROOTS[:1])
    assert (shown["approvals_needed"], shown["overdue"], shown["host_count"]) == (1, False, 1)

    def found(**asked: str) -> list[str]:
        return [each["hold_id"] for each in desk.get("rita", "holds", **asked).json_body["holds"]]

    assert found(host="h0.example.com") == [first]
    assert found(host=".example.com", source="desk", rule="bare_host", account=ACCOUNT) == [first, second]
    assert found(source="other") == found(rule="review") == found(host="example.com") == []
    assert desk.csv("rita", "holds").count("bare_host") == 2


def test_a_part_of_a_hold_is_approved_and_the_rest_refused(desk: Desk) -> None:
    hold_id = desk.hold()
    document = {"reason": "all but the customer", "except": [ROOTS[1]]}
    answer = desk.post("anna", f"holds/{hold_id}/approve", document).json_body
    assert (answer["approved"], answer["refused"]) == (2, 1)
    desk.api.settle()
    assert desk.states(*ROOTS) == ["banned", "rejected", "banned"]
    assert not desk.api.world.live_bans(ROOTS[1])
    read = desk.get("rita", f"holds/{hold_id}").json_body
    assert (read["state"], [each["actor"] for each in read["decisions"]]) == ("approved", ["anna"])
    (past,) = desk.get("rita", "urls", url=ROOTS[0]).json_body["accounts"][0]["history"]
    assert [(each["actor"], each["decision"]) for each in past["approvals"]] == [("anna", "approve")]


def test_the_history_of_a_url_says_by_which_rule_who_approved_why_and_until_when_it_cools(desk: Desk) -> None:
    hold_id = desk.hold()
    desk.post("anna", f"holds/{hold_id}/approve", {"reason": "ticket 4711"})
    desk.api.post({"urls": pages(1)})
    desk.api.settle()
    of_default = desk.get("rita", "urls", url=pages(1)[0]).json_body["accounts"][0]
    assert (of_default["rule"], of_default["cool_until"]) == ("default", None)
    assert [(past["rule"], past["approvals"]) for past in of_default["history"]] == [("default", [])]
    desk.post("olaf", "unbans", {"urls": ROOTS[:1], "reason": "appealed", "cool_down_days": 3})
    desk.api.settle()
    of_hold = desk.get("rita", "urls", url=ROOTS[0]).json_body["accounts"][0]
    assert of_hold["state"] == "unbanned"
    cooling = datetime.fromisoformat(of_hold["cool_until"]) - datetime.now(UTC)
    assert timedelta(days=2, hours=23) < cooling < timedelta(days=3, hours=1)
    unban, ban = of_hold["history"]
    assert (unban["action"], unban["actor"], unban["reason"]) == ("unban", "olaf", "appealed")
    (approval,) = ban["approvals"]
    assert (ban["rule"], approval["actor"], approval["reason"]) == ("bare_host", "anna", "ticket 4711")
    assert datetime.fromisoformat(approval["at"]).tzinfo


def test_what_is_excepted_is_in_the_hold_and_is_not_all_of_it(desk: Desk) -> None:
    path = f"holds/{desk.hold()}/approve"
    for named, words in ((pages(1), "is not in this hold"), (ROOTS, "names every URL")):
        refused(desk.post("anna", path, {"reason": "r", "except": named}), 400, "bad_request", words)
    assert len(desk.get("rita", "holds").json_body["holds"]) == 1


def test_both_approvers_leave_out_the_same_urls(desk: Desk) -> None:
    desk.api.services._policy = fixed(parse_policy({**POLICY, "approvals": {"two_above": 1}}))
    path = f"holds/{desk.hold()}/approve"
    desk.post("anna", path, {"reason": "r", "except": ROOTS[:1]})
    for other in ([], ROOTS[1:2]):
        answer = desk.post("ben", path, {"reason": "r", "except": other})
        refused(answer, 409, "conflict", "anna approved this hold without 1 of its URLs")
    assert desk.post("ben", path, {"reason": "r", "except": ROOTS[:1]}).json_body["approved"] == 2
    desk.api.settle()
    assert desk.states(*ROOTS) == ["rejected", "banned", "banned"]


def test_several_holds_are_decided_each_by_itself(desk: Desk) -> None:
    made = [desk.hold([root]) for root in ROOTS]
    decisions = [
        {"hold_id": made[0], "decision": "approve"},
        {"hold_id": "none", "decision": "approve"},
        {"hold_id": made[1], "decision": "refuse"},
    ]
    answer = desk.post("anna", "holds/decisions", {"reason": "looked at", "decisions": decisions}).json_body
    assert [each["status"] for each in answer["results"]] == ["done", "failed", "done"]
    assert [each["state"] for each in answer["results"]] == ["approved", None, "refused"]
    assert answer["results"][1]["error"]["code"] == "not_found"
    desk.api.settle()
    assert desk.states(*ROOTS) == ["banned", "rejected", "held"]


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ([], "from 1 to 100 holds"),
        ([{"hold_id": "h", "decision": "approve"}] * 2, "names a hold twice"),
        ([{"hold_id": "h"}], "decisions[0].decision must be approve or refuse"),
        ([{"hold_id": "h", "decision": "refuse", "except": ["u"]}], "goes with an approval alone"),
        ([{"hold_id": "h", "decision": "refuse", "why": "w"}], "decisions[0] must be an object"),
    ],
)
def test_a_list_of_decisions_that_cannot_be_read_decides_nothing(desk: Desk, decisions: Any, words: str) -> None:
    answer = desk.post("anna", "holds/decisions", {"reason": "r", "decisions": decisions})
    refused(answer, 400, "bad_request", words)


@pytest.mark.parametrize("verb", ["approve", "refuse"])
def test_a_decision_needs_its_reason(desk: Desk, verb: str) -> None:
    hold_id = desk.hold()
    refused(desk.post("anna", f"holds/{hold_id}/{verb}"), 400, "bad_request", "reason is missing")
    refused(desk.post("anna", f"holds/{hold_id}/{verb}", {"why": "r"}), 400, "bad_request", "unknown field 'why'")
    assert len(desk.get("rita", "holds").json_body["holds"]) == 1


# --- pause and resume -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [{}, {"account": ACCOUNT}])
def test_while_paused_reports_wait_and_on_resume_they_go(desk: Desk, named: dict[str, str]) -> None:
    answer = desk.post("olaf", "pause", {"reason": "the vendor asked", **named})
    shown = named.get("account", control.EVERYWHERE)
    assert answer.json_body == {"account": shown, "paused": True, "by": "olaf", "reason": "the vendor asked"}
    assert desk.api.post({"urls": pages(3)}).status_code == 202
    desk.api.settle()
    assert not desk.api.world.vendor.calls
    assert desk.states(*pages(3)) == ["pending"] * 3
    desk.api.world.wakes.clear()
    assert desk.post("olaf", "resume", {"reason": "done", **named}).json_body["paused"] is False
    assert desk.api.world.wakes == [ACCOUNT]
    desk.api.settle()
    assert desk.states(*pages(3)) == ["banned"] * 3
    acts = desk.decisions(about=f"account:{shown}")
    assert [(each["action"], each["reason"]) for each in acts] == [("resume", "done"), ("pause", "the vendor asked")]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_switch_names_an_account_of_the_policy_and_a_reason(desk: Desk, verb: str) -> None:
    refused(
        desk.post("olaf", verb, {"reason": "r", "account": "other"}), 400, "bad_request", f"one of {ACCOUNT}, or left"
    )
    refused(desk.post("olaf", verb), 400, "bad_request", "reason is missing")
    rows: Any = desk.api.world.rows
    assert not rows.rows


# --- audit ------------------------------------------------------------------------------------------------------------


def test_decisions_are_read_by_actor_and_by_subject_newest_first_in_pages(desk: Desk) -> None:
    for number in range(5):
        who = ("olaf", "anna")[number % 2]
        desk.post(who, "pause", {"reason": f"r{number}"})
    assert [each["reason"] for each in desk.decisions(actor="olaf")] == ["r4", "r2", "r0"]
    assert {each["actor"] for each in desk.decisions(actor="anna")} == {"anna"}
    assert desk.decisions(actor="ben") == []
    seen, after = [], ""
    while True:
        page = desk.get("rita", "audit", about=f"account:{control.EVERYWHERE}", limit="2", next_token=after).json_body
        seen += [each["reason"] for each in page["decisions"]]
        after = page.get("next_token", "")
        if not after:
            break
    assert seen == ["r4", "r3", "r2", "r1", "r0"]


@pytest.mark.parametrize("asked", [{"about": "account:*"}, {"day": "2026-01-15"}])
def test_the_audit_is_asked_by_one_filter_at_most(desk: Desk, asked: dict[str, str]) -> None:
    answer = desk.get("rita", "audit", actor="olaf", **asked)
    refused(answer, 400, "bad_request", "at most one of actor=, about= and day=")


def test_the_audit_without_a_filter_shows_what_everybody_decided(desk: Desk) -> None:
    banned = pages(2)
    desk.ban(banned)
    desk.post("olaf", "pause", {"reason": "first"})
    desk.post("anna", "resume", {"reason": "second"})
    desk.post("olaf", "unbans", {"urls": banned, "reason": "third"})
    assert [each["reason"] for each in desk.decisions()] == ["third", "second", "first"]
    assert [each["target_count"] for each in desk.decisions()] == [2, None, None]
    assert [each["reason"] for each in desk.decisions(action="pause")] == ["first"]
    assert [each["reason"] for each in desk.decisions(about=f"url:{banned[1]}")] == ["third"]
    today = datetime.now(UTC).date()
    assert len(desk.decisions(day=today.isoformat())) == 3
    assert desk.decisions(day=(today - timedelta(days=1)).isoformat()) == []
    first = desk.get("rita", "audit", limit="2").json_body
    rest = desk.get("rita", "audit", limit="2", next_token=first["next_token"]).json_body
    assert [each["reason"] for each in rest["decisions"]] == ["first"]
    assert desk.csv("rita", "audit", action="unban").splitlines()[1].endswith(",2")
