"""The questions about what goes on: overview, counts, events, sources, callbacks and unbans."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.ledger import export_days, journal
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.answers.ban_index import index_bans
from chalicelib.ports import Value
from dev.fakes.api import OTHER_SECRET, SOURCES, Api, fixed, refused
from dev.fakes.operations import CALLBACK, Receiver, deliver
from dev.fakes.world import ACCOUNT, pages

ROOT = "https://www.example.com/"


@pytest.fixture
def desk(api: Api) -> Api:
    """Make an API whose clock is ten minutes behind: what settles now must not be later than the question."""
    api.world.clock.advance(minutes=-10)
    return api


def ask(api: Api, method: str, path: str, document: Any = None, **query: str) -> HTTPResponse:
    """Ask as an operator who may undo."""
    named = {"olaf": {"token_sha256": hashlib.sha256(b"olaf's").hexdigest(), "role": "operator"}}
    api.services._operators = fixed(parse_operators(named))
    headers = {"Authorization": "Bearer olaf's", "Content-Type": "application/json"}
    if method == "get":
        return api.get(path, headers, **query)
    return api.client.http.post(f"/v1/{path}", headers=headers, body=json.dumps(document).encode())


def test_the_overview_shows_accounts_holds_caps_and_the_last_hour(desk: Api) -> None:
    desk.post({"urls": [*pages(3), ROOT]})
    desk.settle()
    shown = desk.as_operator("overview").json_body
    (account,) = shown["accounts"]
    assert (account["account"], account["state"], account["tasks_under_way"]) == (ACCOUNT, "running", 0)
    assert (account["holds"]["count"], account["holds"]["urls"], account["waiting"]["urls"]) == (1, 1, 0)
    hour = shown["last_hour"]
    assert (hour["reported"], hour["to_ban"], hour["held"], hour["banned"]) == (4, 3, 1, 3)
    assert hour["p50"] is not None
    assert shown["dead_letters"] == {"reports": 0, "submit": 0}
    assert (account["bans_in_force"], shown["exports"]) == (None, {"open": 0, "late": 0, "failed": 0})


def test_the_overview_counts_the_bans_of_each_account_and_the_days_of_exports_that_are_late(desk: Api) -> None:
    desk.world.clock.advance(minutes=-20)
    desk.post({"urls": pages(3)})
    desk.settle()
    desk.world.clock.advance(minutes=15)
    index_bans(desk.world.run(), desk.services.bans)
    now = datetime.now(UTC)
    export_days.register(desk.world.rows, "exports", vendor="alibaba", calendar=ExportCalendar(UTC, 31), now=now)
    export_days.want(desk.world.rows, "exports", [(now - timedelta(days=days)).date() for days in (3, 2, 0)], now=now)
    shown = desk.as_operator("overview").json_body
    assert [account["bans_in_force"] for account in shown["accounts"]] == [3]
    assert shown["exports"]["open"] == 3
    assert shown["exports"]["late"] == 2


def test_events_come_in_answers_that_lambda_gives_back_and_none_is_left_out(desk: Api) -> None:
    """Five hundred batches of many sources each are above its 6 MB."""
    now = desk.world.clock()
    sources: dict[str, Value] = {
        f"a-source-of-the-field-{number}": dict.fromkeys("abcdefghijklmnop", 1) for number in range(120)
    }
    for number in range(500):
        journal.add_taken(desk.world.rows, f"{number:04}", sources, now=now + timedelta(milliseconds=number))
    after, seen, answers = stamp(now - timedelta(minutes=1)), list[str](), 0
    while events := (answer := desk.as_operator("events", after=after, limit="500").json_body)["events"]:
        seen += [event["subject"] for event in events]
        after, answers = answer["next"], answers + 1
    assert seen == [f"{number:04}" for number in range(500)]
    assert answers > 1


def test_the_overview_says_who_paused_and_why(desk: Api) -> None:
    ask(desk, "post", "pause", {"reason": "the vendor asked"})
    (account,) = desk_overview(desk)
    assert (account["state"], account["by"], account["reason"]) == ("paused", "olaf", "the vendor asked")


def desk_overview(api: Api) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = ask(api, "get", "overview").json_body["accounts"]
    return accounts


def test_what_a_source_reported_is_counted_by_verdict(desk: Api) -> None:
    desk.post({"urls": [*pages(3), ROOT, "https://elsewhere.org/x"]})
    desk.settle()
    desk.world.queue({"urls": pages(3)})
    desk.world.intake()
    (queue,) = [row for row in series(desk, by="source") if row["value"] == "queue"]
    (webhook,) = [row for row in series(desk, by="source") if row["value"] == "desk"]
    assert (webhook["reported"], webhook["ban"], webhook["hold"], webhook["messages"]) == (4, 3, 1, 1)
    assert (queue["reported"], queue["duplicate"]) == (3, 3)
    (account,) = series(desk, by="account")
    assert (account["value"], account["banned"]) == (ACCOUNT, 3)
    today = {each["name"]: each["today"] for each in desk.as_operator("sources").json_body["sources"]}
    assert sum(counts["reported"] for counts in today.values()) in {0, 7}, "0 in the first ten minutes of a day"


def test_what_a_person_undoes_counts_for_the_source_of_the_ban_before_and_after_it_is_indexed(desk: Api) -> None:
    desk.world.clock.advance(hours=-1)
    desk.post({"urls": pages(4)})
    desk.settle()
    ask(desk, "post", "unbans", {"urls": pages(4)[:1], "reason": "clean"})
    desk.settle()
    expected = {"banned": 4, "undone": 1, "undone_share": 0.25}
    assert of_desk(desk)["last_30_days"] == expected
    for by, unbanned in (("source", None), ("account", 1)):
        asked = {"by": by, "bucket": "day", "from": f"{datetime.now(UTC) - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"}
        rows = ask(desk, "get", "stats", **asked).json_body["series"]  # Shortly after midnight these are two days.
        assert (sum(row["banned"] for row in rows), sum(row["undone"] for row in rows)) == (4, 1), by
        assert rows[-1]["unbanned"] == unbanned
    for _ in range(2):  # The index has these bans; the next ones are counted from the journal behind its place.
        desk.world.clock.advance(minutes=11)
        index_bans(desk.world.run(), desk.services.bans)
        assert of_desk(desk)["last_30_days"] == expected
    ask(desk, "post", "unbans", {"source": "desk", "reason": "gone wrong"})
    desk.settle()
    assert of_desk(desk)["last_30_days"] == {"banned": 4, "undone": 4, "undone_share": 1.0}
    answer = desk.get("sources", {"Authorization": "Bearer olaf's", "Accept": "text/csv"})
    by_name = {each["name"]: each for each in csv.DictReader(io.StringIO(answer.body.decode()))}
    assert (by_name["desk"]["last_30_days.undone"], by_name["desk"]["today.messages"].isdigit()) == ("4", True)


def test_reports_that_were_refused_at_once_are_counted_for_their_source_and_not_for_strangers(desk: Api) -> None:
    desk.post({"urls": [*pages(1), "https://elsewhere.org/x"]})
    desk.post(b"{")
    desk.post({"urls": pages(1)}, secret=OTHER_SECRET)
    desk.post({"urls": pages(1)}, source="nobody")
    assert of_desk(desk)["refused_today"] == {"reports": 1, "by_code": {"unreadable_report": 1}, "urls": 1}
    assert sum(each["refused_today"]["reports"] for each in ask(desk, "get", "sources").json_body["sources"]) == 1


def test_what_was_refused_at_once_is_counted_by_day_while_the_ledger_knows_it(desk: Api) -> None:
    desk.post({"urls": ["https://elsewhere.org/x", "https://elsewhere.org/y"]})
    desk.post({"urls": [*pages(1), "https://elsewhere.org/z"]})
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    (row,) = series(desk, by="source", **{"from": today})
    assert (row["bucket"], row["value"], row["refused_at_once"], row["rejected"]) == (today, "desk", 3, 0)
    (row,) = series(desk, **{"from": today})
    assert (row["refused_at_once"], row["rejected"]) == (3, 0)
    desk.settle()
    for asked in ({"by": "rule"}, {"by": "account"}, {"from": f"{today}T00:00:01Z"}):
        assert {row["refused_at_once"] for row in series(desk, **asked)} == {None}, asked


def of_desk(api: Api) -> dict[str, Any]:
    sources: list[dict[str, Any]] = ask(api, "get", "sources").json_body["sources"]
    return next(each for each in sources if each["name"] == "desk")


def series(api: Api, **asked: str) -> list[dict[str, Any]]:
    answer = api.as_operator("stats", bucket="day", **asked).json_body
    assert answer["complete"] is True
    rows: list[dict[str, Any]] = answer["series"]
    return rows


def test_a_span_that_is_too_long_and_a_word_that_is_unknown_are_refused(desk: Api) -> None:
    refused(desk.as_operator("stats", **{"from": "2020-01-01"}), 400, "bad_request", "at most 31 days")
    minutes = {"from": "2020-01-01", "to": "2020-01-03", "bucket": "minute"}
    refused(desk.as_operator("stats", **minutes), 400, "bad_request", "at most 1 day for the bucket minute")
    old = {"from": "2020-01-01", "to": "2020-01-02", "bucket": "hour"}
    refused(desk.as_operator("stats", **old), 400, "bad_request", "ask for those days with bucket=day")
    refused(desk.as_operator("stats", by="colour"), 400, "bad_request", "by must be one of")
    refused(desk.as_operator("stats", bucket="year"), 400, "bad_request", "bucket must be one of")
    refused(desk.as_operator("events", after="20200101T"), 400, "bad_request", "older than 31 days")


def test_days_of_long_ago_are_counted_from_the_archive_with_one_object_each(desk: Api) -> None:
    objects: Any = desk.services.objects
    counted = {"ban": 7, "banned": 6, "p50": 9, "p95": 12}
    for day in ("2026-01-14", "2026-01-15"):
        summary = {"day": day, "events": {}, "seconds_to_ban": {}, "series": {"category": {"spam": counted}}}
        objects.objects[f"ledger-summary/dt={day}/summary.json"] = json.dumps(summary).encode()
    asked = {"from": "2026-01-13", "to": "2026-01-16", "by": "category", "bucket": "day"}
    body = desk.as_operator("stats", **asked).json_body
    assert (body["complete"], body["missing_days"]) == (True, ["2026-01-13"])
    assert [(row["bucket"], row["value"], row["reported"], row["banned"], row["p95"]) for row in body["series"]] == [
        ("2026-01-14", "spam", 7, 6, 12),
        ("2026-01-15", "spam", 7, 6, 12),
    ]
    longest = {"from": "2026-01-01", "to": "2026-04-04", "bucket": "day"}
    refused(desk.as_operator("stats", **longest), 400, "bad_request", "at most 92 days")


def test_what_was_decided_today_is_counted_by_category_rule_and_state(desk: Api) -> None:
    desk.post({"urls": [*pages(3), ROOT, "https://elsewhere.org/x"]})
    desk.settle()
    for by, expected in (
        ("category", {"phishing": 4, "": 1}),
        ("rule", {"default": 3, "bare_host": 1, "not_managed": 1}),
        ("state", {"banned": 3, "held": 1, "rejected": 1}),
    ):
        found = {row["value"]: row["reported"] for row in series(desk, by=by)}
        assert found == expected, by


def test_a_source_shows_its_hosts_its_cap_and_its_last_report(desk: Api) -> None:
    narrowed = {**SOURCES["desk"], "hosts": ["www.example.com", "*.shop.example.com"]}
    desk.services._sources = fixed(parse_sources({**SOURCES, "desk": narrowed}))
    desk.post({"urls": pages(3)})
    desk.settle()
    named = {each["name"]: each for each in desk.as_operator("sources").json_body["sources"]}
    assert named["desk"]["hosts"] == ["*.shop.example.com", "www.example.com"]
    assert named["desk"]["cap"] == {"used": 0, "limit": None}, "the policy of this test has no caps, and counts nothing"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(named["desk"]["last_report_at"])) < timedelta(minutes=15)
    assert (named["other"]["hosts"], named["other"]["last_report_at"]) == (None, None)


def test_events_are_followed_from_place_to_place(desk: Api) -> None:
    desk.post({"urls": pages(2)})
    desk.settle()
    place, kinds = "", []
    while True:
        page = desk.as_operator("events", limit="1", after=place or f"{desk.world.clock():%Y%m%d}T").json_body
        if not page["events"]:
            break
        place = page["next"]
        kinds += [event["kind"] for event in page["events"]]
    assert {"chunk", "taken", "task"} <= set(kinds)
    chosen = desk.as_operator("events", kinds="task", after=f"{desk.world.clock():%Y%m%d}T").json_body["events"]
    assert [(event["kind"], event["details"]["urls"]) for event in chosen] == [("task", 2)]


def test_sources_are_shown_without_their_secrets(desk: Api) -> None:
    answer = desk.as_operator("sources")
    named = {each["name"]: each for each in answer.json_body["sources"]}
    assert (named["desk"]["auth"], named["queue"]["auth"], named["slow"]["reports_per_minute"]) == (
        "standard-webhooks",
        "none",
        2,
    )
    for source in SOURCES.values():
        for secret in source.get("secrets", ()):
            assert secret not in answer.body.decode()


def test_the_reports_of_a_source_are_listed_by_day(desk: Api) -> None:
    made = [desk.post({"urls": pages(1)}).json_body["report_id"] for _ in range(3)]
    listed = ask(desk, "get", "reports", of="desk", limit="2").json_body
    rest = ask(desk, "get", "reports", of="desk", next_token=listed["next_token"]).json_body
    assert sorted(each["report_id"] for each in listed["reports"] + rest["reports"]) == sorted(made)
    assert ask(desk, "get", "reports", of="other").json_body == {"reports": []}
    refused(desk.get("reports", of="desk"), 401, "not_authenticated", "no token was sent")


def test_a_callback_is_shown_and_made_again(desk: Api) -> None:
    desk.services._sources = fixed(parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **CALLBACK}}))
    report = desk.post({"urls": pages(1)}).json_body["report_id"]
    (waiting,) = ask(desk, "get", "callbacks", source="desk").json_body["callbacks"]
    assert (waiting["report_id"], waiting["state"]) == (report, "waiting")
    answer = ask(desk, "post", f"callbacks/{report}/resend", {"reason": "their receiver was down"})
    assert (answer.status_code, answer.json_body["source"]) == (202, "desk")
    unknown = ask(desk, "post", "callbacks/r-none/resend", {"reason": "r"})
    refused(unknown, 404, "not_found", "no report with this report_id")
    refused(ask(desk, "get", "callbacks", source="nobody"), 404, "not_found", "no source")


def test_a_callback_that_was_tried_is_made_again_at_once(desk: Api) -> None:
    """Its report has a row of its own by then, and the API's role may write that."""
    sources = desk.world.sources = parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **CALLBACK}})
    desk.services._sources = fixed(sources)
    report = desk.post({"urls": pages(1)}).json_body["report_id"]
    desk.settle()
    receiver = Receiver(desk.world, answers=[500])
    assert deliver(desk.world, receiver, due=False) == {"failed": 1}
    assert ask(desk, "post", f"callbacks/{report}/resend", {"reason": "it is up again"}).status_code == 202
    assert [named for _, named in desk.world.ended] == [[report]]


def test_an_unban_is_listed_and_read(desk: Api) -> None:
    desk.post({"urls": pages(2)})
    desk.settle()
    done = ask(desk, "post", "unbans", {"urls": pages(2), "reason": "an appeal"}).json_body
    (listed,) = ask(desk, "get", "unbans").json_body["unbans"]
    read = ask(desk, "get", f"unbans/{done['unban_id']}").json_body
    assert read == listed
    assert (read["by"], read["reason"], read["urls"], read["complete"]) == ("olaf", "an appeal", 2, True)
    refused(ask(desk, "get", "unbans/u-none"), 404, "not_found", "no such unban")
    refused(ask(desk, "get", "unbans/u-20260115T0-x"), 404, "not_found", "no such unban")


def test_an_unban_tells_how_many_urls_the_vendor_failed_to_unban_and_is_found_by_that(desk: Api) -> None:
    desk.post({"urls": pages(3)})
    desk.settle()
    well = ask(desk, "post", "unbans", {"urls": pages(1), "reason": "clean"}).json_body["unban_id"]
    desk.settle()
    desk.world.vendor.fail, desk.world.vendor.names_failed = {pages(3)[2]}, True
    badly = ask(desk, "post", "unbans", {"urls": pages(3)[1:], "reason": "clean"}).json_body["unban_id"]
    for _ in range(3):
        desk.settle()
    found = {each["unban_id"]: each["failed"] for each in ask(desk, "get", "unbans").json_body["unbans"]}
    assert found == {badly: 1, well: 0}
    assert ask(desk, "get", f"unbans/{badly}").json_body["failed"] == 1
    for state, expected in (("failed", [badly]), ("complete", [badly, well]), ("under_way", [])):
        answer = ask(desk, "get", "unbans", state=state).json_body
        assert [each["unban_id"] for each in answer["unbans"]] == expected, state
    refused(ask(desk, "get", "unbans", state="lost"), 400, "bad_request", "state must be one of under_way, complete")


@pytest.mark.parametrize(
    ("path", "asked", "column"),
    [
        ("tasks", {"day": "today"}, "task_id"),
        ("unbans", {}, "unban_id"),
        ("audit", {}, "actor"),
        ("events", {"after": "today"}, "details"),
        ("reports", {"of": "desk"}, "report_id"),
        ("reports", {"correlation_id": "case-1"}, "report_id"),
        ("reports/{report}", {}, "state"),
        ("holds", {}, "hold_id"),
        ("holds/{hold}", {}, "reporter"),
        ("sources", {}, "name"),
        ("callbacks", {"source": "desk"}, "last_status"),
        ("stats", {"by": "source"}, "value"),
        ("bans", {}, "url"),
        ("bans/counts", {"by": "source"}, "value"),
    ],
)
def test_every_list_is_written_as_csv_in_which_no_cell_is_a_formula(
    desk: Api, path: str, asked: dict[str, str], column: str
) -> None:
    report = desk.post({"urls": [*pages(2), {"url": ROOT, "reporter": "=cmd()"}], "correlation_id": "case-1"})
    desk.settle()
    ask(desk, "post", "unbans", {"urls": pages(1), "reason": "=1+1"})
    (hold,) = ask(desk, "get", "holds").json_body["holds"]
    today = f"{desk.world.clock():%Y-%m-%d}"
    asked = {name: today if value == "today" else value for name, value in asked.items()}
    if path == "events":
        asked = {"after": f"{desk.world.clock():%Y%m%d}T"}
    path = path.format(report=report.json_body["report_id"], hold=hold["hold_id"])
    answer = desk.get(path, {"Authorization": "Bearer olaf's", "Accept": "text/csv"}, **asked)
    assert answer.status_code == 200
    header, *rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert column in header
    assert rows
    assert all(len(row) == len(header) for row in rows)
    assert not [cell for row in rows for cell in row if cell[:1] in {"=", "+", "@"}]


def test_what_a_receiver_answered_last_stands_beside_its_callback(desk: Api) -> None:
    desk.services._sources = fixed(parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **CALLBACK}}))
    desk.world.sources = desk.services.sources
    desk.post({"urls": pages(1)})
    desk.settle()
    desk.world.clock.advance(minutes=10)
    seen = []
    for answered in (503, 204):
        deliver(desk.world, Receiver(desk.world, answers=[answered]))
        (call,) = ask(desk, "get", "callbacks", source="desk").json_body["callbacks"]
        seen.append((call["state"], call["attempts"], call["last_status"], bool(call["next_at"])))
        desk.world.clock.advance(minutes=5)
    assert seen == [("waiting", 1, 503, True), ("delivered", 2, 204, False)]


@pytest.mark.parametrize("answered", [503, 204])
def test_a_source_that_was_called_is_called_again_when_a_person_asks_for_it(desk: Api, answered: int) -> None:
    desk.services._sources = fixed(parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **CALLBACK}}))
    desk.world.sources = desk.services.sources
    report = desk.post({"urls": pages(1)}).json_body["report_id"]
    desk.settle()
    desk.world.clock.advance(minutes=10)
    deliver(desk.world, Receiver(desk.world, answers=[answered]))
    asked = ask(desk, "post", f"callbacks/{report}/resend", {"reason": "their receiver was down"})
    assert asked.status_code == 202
    again = Receiver(desk.world)
    deliver(desk.world, again)
    (call,) = ask(desk, "get", "callbacks", source="desk").json_body["callbacks"]
    assert (len(again.got), call["state"], call["attempts"], call["last_status"]) == (1, "delivered", 1, 204)
    desk.world.clock.advance(minutes=10)
    deliver(desk.world, Receiver(desk.world))  # The sweep removes this row when it is due.
    assert [row for row in desk.world.rows.query("report#callbacks") if report in str(row["sk"])] == []


@pytest.mark.parametrize("path", ["unbans", "audit"])
@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("20260115T103000.000000Z-1", 200),
        ("00010101T000000.000000Z-1", 200),
        ("99999999T000000.000000Z-1", 400),
        ("20260230T000000.000000Z-1", 400),
        ("٢٠٢٦٠١١٥T0", 400),
        ("20260115", 400),
        ("x", 400),
    ],
)
def test_a_next_token_of_nowhere_is_refused_and_one_of_long_ago_finds_nothing(
    desk: Api, path: str, token: str, status: int
) -> None:
    assert ask(desk, "get", path, next_token=token).status_code == status


def test_an_unban_of_the_first_year_is_not_found(desk: Api) -> None:
    assert ask(desk, "get", "unbans/u-00010101T000000.000000Z-1").status_code == 404
