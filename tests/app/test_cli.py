"""The command line against the app itself, over HTTP: what people type, what they read, what scripts get."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from chalicelib.config.policy import parse as parse_policy
from dev.fakes.api import Api, fixed
from dev.fakes.shell import Shell, shell_of
from dev.fakes.world import POLICY, SECRET

PAGE = "https://www.example.com/login"
ROOT = "https://www.example.com/"


@pytest.fixture
def shell(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    with shell_of(api, monkeypatch, tmp_path) as shell:
        yield shell


# --- from a report to a ban and back --------------------------------------------------------------------------------


def test_a_url_is_reported_banned_explained_and_unbanned(shell: Shell) -> None:
    reported = shell("report", PAGE, "--category", "phishing")
    assert reported.status == 0
    assert "1 URL accepted" in reported.out
    shell.api.settle()
    told = shell("why", PAGE, "--exit-status")
    assert told.status == 0
    assert "BANNED at huawei-main until" in told.out
    assert "desk" in told.out
    assert "phishing" in told.out
    assert f"undo: edgeban unban '{PAGE}'" in told.out
    undone = shell("unban", PAGE, "--reason", "false alarm", "--no-wait")
    assert undone.status == 0, undone
    shell.api.world.drain()
    shell.api.settle()
    assert shell("why", PAGE, "--exit-status").status == 9


def test_the_same_file_again_is_the_same_report(shell: Shell, tmp_path: Path) -> None:
    feed = tmp_path / "feed.json"
    feed.write_text(json.dumps({"urls": [f"{PAGE}/{number}" for number in range(3)]}))
    first, second = (shell.json("report", "--file", str(feed)) for _ in range(2))
    assert first["reports"] == second["reports"]
    assert first["accepted"] == 3


def test_a_refused_url_is_named_with_its_reason_and_the_status_says_partly(shell: Shell) -> None:
    result = shell("report", PAGE, "https://elsewhere.test/x")
    assert result.status == 6
    assert "refused https://elsewhere.test/x: " in result.out


def test_a_report_is_followed_to_its_end(shell: Shell) -> None:
    report = shell.json("report", PAGE)["reports"][0]
    shell.api.settle()
    states = shell.json("reports", "show", report)
    assert [(state["url"], state["state"]) for state in states] == [(PAGE, "banned")]
    assert shell("reports", "show", report, terminal=True).out.startswith("desk, ")


def test_a_wait_that_runs_out_has_its_own_status(shell: Shell) -> None:
    result = shell("report", PAGE, "--wait", "--wait-seconds", "1")
    assert result.status == 8
    assert "has not come to its end within 1 s" in result.err


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_url_that_nobody_reported_is_told_with_what_the_policy_would_do(shell: Shell) -> None:
    result = shell("why", PAGE)
    assert result.status == 3
    assert "NOT BANNED: no report of this URL was accepted" in result.out
    assert "if it were reported: ban at huawei-main" in result.out


def test_a_value_that_does_not_exist_is_answered_with_those_that_do(shell: Shell) -> None:
    for arguments, values in (
        (("audit", "--action", "dance"), "action must be one of approve, ban"),
        (("tail", "--kind", "dance"), "kinds must be one of taken, chunk"),
        (("bans", "--rule", "dance"), "rule must be one of default"),
        (("holds", "--rule", "dance"), "rule must be one of default"),
    ):
        told = shell(*arguments)
        assert told.status == 5, told
        assert values in told.err, told


def test_the_policy_is_tried_on_urls_and_writes_nothing(shell: Shell) -> None:
    verdicts = shell.json("test", PAGE, ROOT, "https://elsewhere.test/x")
    assert [verdict["verdict"] for verdict in verdicts] == ["ban", "hold", "rejected"]
    rows: Any = shell.api.world.rows
    assert not rows.rows


def test_a_draft_that_is_not_valid_names_its_field(shell: Shell, tmp_path: Path) -> None:
    draft = tmp_path / "draft.json"
    draft.write_text(
        json.dumps(
            {"version": 1, "accounts": {"huawei-main": {"managed_domains": ["example.com"]}}, "bare_hosts": "maybe"}
        )
    )
    result = shell("test", PAGE, "--policy", str(draft))
    assert result.status == 5
    assert "bare_hosts" in result.err


def test_whoami_names_the_operator(shell: Shell) -> None:
    assert shell.json("whoami", who="rita")["role"] == "reader"


def test_the_policy_is_printed_as_json(shell: Shell) -> None:
    assert json.loads(shell("policy").out)["version"] == 1


# --- forms of output -------------------------------------------------------------------------------------------------


def test_a_pipe_gets_tab_separated_lines_and_a_terminal_a_table(shell: Shell) -> None:
    shell("pause", "huawei-main", "--reason", "maintenance")
    piped, seen = shell("audit"), shell("audit", terminal=True)
    assert piped.out.count("\t") == 5
    assert "maintenance" in piped.out
    assert "who" in seen.out.splitlines()[0]
    assert "ago" in seen.out or "0 s" in seen.out


def test_csv_has_a_header_and_no_formula(shell: Shell) -> None:
    shell("pause", "huawei-main", "--reason", '=HYPERLINK("https://evil.test")')
    rows = list(csv.DictReader(io.StringIO(shell("audit", "--csv").out)))
    assert rows[0]["reason"].startswith("'=")


def test_chosen_fields_of_json(shell: Shell) -> None:
    shell("pause", "huawei-main", "--reason", "maintenance")
    result = shell("audit", "--json=actor,action")
    assert json.loads(result.out) == [{"actor": "anna", "action": "pause"}]


def test_hostile_text_is_shown_as_escapes(shell: Shell) -> None:
    shell("pause", "huawei-main", "--reason", "\x1b]0;owned\x07 \u202egnp.exe")
    for terminal in (False, True):
        seen = shell("audit", terminal=terminal).out
        assert "\x1b]" not in seen
        assert "\u202e" not in seen
        assert "\\x1b" in seen


# --- deciding --------------------------------------------------------------------------------------------------------


def hold_of(shell: Shell, *urls: str) -> str:
    shell("report", *(urls or (ROOT,)))
    shell.api.settle()
    return str(shell.json("holds")[0]["hold_id"])


def test_a_hold_is_listed_shown_and_approved(shell: Shell) -> None:
    hold = hold_of(shell)
    listed = shell("holds", terminal=True).out
    assert "bare_host" in listed
    assert "asked by" in listed
    assert hold in listed.replace("\n", "")
    assert "1 URL, held, needs 1" in shell("holds", "show", hold, terminal=True).out
    approved = shell("approve", hold, "--reason", "ticket 1")
    assert approved.status == 0
    assert "approved" in approved.out
    shell.api.settle()
    assert shell("why", ROOT, "--exit-status").status == 0
    assert "anna" in shell("why", ROOT).out


def test_a_hold_is_refused_and_gone(shell: Shell) -> None:
    hold = hold_of(shell)
    assert shell("refuse", hold, "--reason", "a customer").status == 0
    assert shell("holds", terminal=True).out == "nothing waits for a person\n"


def test_a_url_is_excepted_from_an_approval(shell: Shell) -> None:
    other = "https://shop.example.com/"
    hold = hold_of(shell, ROOT, other)
    if len(shell.json("holds")) == 1:
        result = shell("approve", hold, "--except", other, "--reason", "not the shop")
        assert result.status == 0, result
        assert "1 approved, 1 refused" in result.out


def test_a_review_asks_hold_by_hold(shell: Shell) -> None:
    hold_of(shell)
    result = shell("holds", "review", terminal=True, typed="a\nticket 7\n")
    assert result.status == 0
    assert ROOT in result.out
    assert "approved" in result.out


def test_holds_that_cannot_be_decided_are_named(shell: Shell) -> None:
    hold = hold_of(shell)
    result = shell("refuse", hold, "20260101T000000.000000Z-0000", "--reason", "r")
    assert result.status == 6
    assert "20260101T000000.000000Z-0000: " in result.err


def test_a_ban_by_hand_is_previewed_confirmed_and_done(shell: Shell) -> None:
    seen = shell("ban", PAGE, "--days", "7", "--preview")
    assert "a preview: nothing is done" in seen.out
    declined = shell("ban", PAGE, "--days", "7", "--reason", "r", terminal=True, typed="n\n")
    assert declined.status == 130
    shell.api.settle()
    assert shell("why", PAGE).status == 3
    assert shell("ban", PAGE, "--days", "7", "--reason", "r", "--yes").status == 0
    shell.api.settle()
    assert "BANNED" in shell("why", PAGE).out


def test_a_ban_that_the_policy_forbids_is_refused_with_the_rule(shell: Shell) -> None:
    result = shell("ban", "https://elsewhere.test/x", "--reason", "r", "--yes")
    assert result.status == 5
    assert "refused https://elsewhere.test/x" in result.out


def test_the_end_of_a_ban_is_changed(shell: Shell) -> None:
    shell("ban", PAGE, "--days", "7", "--reason", "r", "--yes")
    shell.api.settle()
    result = shell("extend", PAGE, "--days", "20", "--reason", "longer", "--yes")
    assert result.status == 0, result
    assert "end changed" in result.out


def test_an_unban_of_a_source_is_previewed_and_confirmed_by_a_person(shell: Shell) -> None:
    shell("report", *(f"{PAGE}/{number}" for number in range(3)))
    shell.api.settle()
    preview = shell("unban", "--source", "desk", "--preview")
    assert preview.out.startswith("3 bans would be undone")
    alone = shell("unban", "--source", "desk", "--reason", "r")
    assert alone.status == 2
    assert "--yes" in alone.err
    assert shell("unban", "--source", "desk", "--reason", "r", terminal=True, typed="n\n").status == 130
    done = shell("unban", "--source", "desk", "--reason", "r", "--yes", "--no-wait")
    assert done.status == 0


def test_an_unban_of_a_host_is_refused_where_it_is_about_other_than_expected(shell: Shell) -> None:
    shell.api.world.clock.advance(minutes=-10)
    shell("report", *(f"{PAGE}/{number}" for number in range(3)), "https://shop.example.com/x")
    shell.api.settle()
    host = ("unban", "--host", "www.example.com", "--source", "desk", "--reason", "r", "--yes", "--no-wait")
    assert "3 bans would be undone" in shell(*host, "--preview").out
    refused = shell(*host, "--expect", "1")
    assert (refused.status, "about 3 URLs, and the request expects 1" in refused.err) == (5, True)
    done = shell(*host, "--expect", "3")
    assert (done.status, "3 URLs are on the way to the vendor, to be unbanned" in done.out) == (0, True)
    assert shell("unban", "--host", "x", "--report", "r", "--reason", "r").status == 2
    assert shell("unban", "--host", "shop.example.com", "--since", "tomorrow", "--reason", "r").status == 5


def test_an_unban_that_waits_is_approved_by_another_person_or_cancelled(shell: Shell) -> None:
    shell.api.services._policy = fixed(parse_policy({**POLICY, "approvals": {"lifts_two_above": 1}}))
    shell.api.world.clock.advance(days=-3)
    for name in ("one", "two"):
        shell.api.world.queue({"urls": [f"{PAGE}/{name}/{number}" for number in range(2)]})
    shell.api.settle()
    shell.api.world.clock.now = datetime.now(UTC)
    by_name = [[f"{PAGE}/{name}/{number}" for number in range(2)] for name in ("one", "two")]
    assert "a second person must approve it" in shell("unban", *by_name[0], "--preview").out
    first, second = (shell.json("unban", *urls, "--reason", "r", "--yes")["unban_id"] for urls in by_name)
    assert [each["unban_id"] for each in shell.json("unbans", "--state", "waiting")] == [second, first]
    assert "it takes another person" in shell("unbans", first, "--approve", "--reason", "r", "--yes").err
    assert "--yes" in shell("unbans", first, "--approve", "--reason", "r", who="bert").err
    assert shell.json("unbans", first, "--approve", "--reason", "r", "--yes", who="bert")["urls"] == 2
    assert "cancelled; it undid nothing" in shell("unbans", second, "--cancel", "--reason", "r").out
    assert shell.json("unbans", "--state", "waiting") == []
    assert shell("unbans", "--approve", "--reason", "r").status == 2


def test_an_unban_names_urls_of_which_no_ban_is_on_record(shell: Shell) -> None:
    assert "1 of the URLs has no ban on record" in shell("unban", f"{PAGE}/never", "--preview").out


def test_pausing_everything_asks_and_an_account_does_not(shell: Shell) -> None:
    assert shell("pause", "--reason", "r").status == 2
    assert shell("pause", "huawei-main", "--reason", "r").out == "huawei-main: paused\n"
    assert shell("resume", "huawei-main", "--reason", "r").out == "huawei-main: running\n"


def test_a_reason_is_asked_for_on_a_terminal_and_demanded_elsewhere(shell: Shell) -> None:
    assert "give --reason" in shell("pause", "huawei-main").err
    assert shell("pause", "huawei-main", terminal=True, typed="maintenance\n").status == 0
    assert shell.json("audit")[0]["reason"] == "maintenance"


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_role_that_does_not_suffice_is_told(shell: Shell) -> None:
    result = shell("pause", "huawei-main", "--reason", "r", who="rita")
    assert result.status == 4
    assert "reader" in result.err
    assert "(request " in result.err


def test_a_token_that_nobody_has_is_told(shell: Shell) -> None:
    assert shell("whoami", who="nobody").status == 4


def test_an_error_as_json_is_the_apis_own(shell: Shell) -> None:
    result = shell("holds", "show", "x", "--json")
    assert result.status == 3
    assert json.loads(result.err)["error"].keys() == {"code", "message", "request_id"}


def test_an_api_that_does_not_answer_is_unreachable(shell: Shell) -> None:
    result = shell("--url", "http://127.0.0.1:9/api", "pause", "x", "--reason", "r")
    assert result.status == 7
    assert "does not answer" in result.err


def test_a_token_is_never_sent_in_clear_text(shell: Shell) -> None:
    result = shell("--url", "http://edgeban.example.com/api", "whoami")
    assert result.status == 2
    assert "https://" in result.err


def test_a_wrong_secret_is_refused_by_the_api(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBAN_SOURCE_SECRET", "whsec_" + "b3RoZXIh" * 5)
    assert shell("report", PAGE).status == 4


def test_a_misspelled_command_names_the_right_one(shell: Shell) -> None:
    result = shell("hold")
    assert result.status == 2
    assert "holds" in result.err


# --- lists and numbers -----------------------------------------------------------------------------------------------


def banned(shell: Shell, count: int = 3) -> list[str]:
    urls = [f"{PAGE}/{number}" for number in range(count)]
    shell("report", *urls, "--category", "phishing")
    shell.api.settle()
    return urls


def test_the_bans_in_force_are_listed_filtered_and_counted(shell: Shell) -> None:
    urls = banned(shell)
    assert sorted(ban["url"] for ban in shell.json("bans")) == urls
    assert [ban["url"] for ban in shell.json("bans", "--q", "login/1")] == [urls[1]]
    assert shell.json("bans", "--host", "other.example.com") == []
    assert shell.json("bans", "--by", "source") == [{"value": "desk", "bans": 3}]
    seen = shell("bans", "--limit", "2", terminal=True).out
    assert "2 of 3 bans" in seen
    rows = list(csv.DictReader(io.StringIO(shell("bans", "--csv").out)))
    assert sorted(row["url"] for row in rows) == urls


def test_the_status_says_what_needs_a_person_and_exits_with_ten(shell: Shell) -> None:
    well = shell("status")
    assert (well.status, "nothing needs you" in well.out) == (0, True)
    shell("pause", "huawei-main", "--reason", "maintenance")
    result = shell("status")
    assert result.status == 10
    assert "huawei-main is paused by anna: maintenance" in result.out


def test_events_are_followed_an_event_a_line(shell: Shell) -> None:
    banned(shell)
    lines = [json.loads(line) for line in shell("tail", "--json").out.splitlines()]
    assert "task" in {line["kind"] for line in lines}
    assert shell("tail").out.count("\n") == len(lines)
    rows = list(csv.DictReader(io.StringIO(shell("tail", "--csv").out)))
    assert [(row["kind"], json.loads(row["details"])) for row in rows] == [(e["kind"], e["details"]) for e in lines]


def test_why_reads_as_sentences_also_after_an_unban_and_of_a_defanged_url(shell: Shell) -> None:
    banned(shell)
    assert shell("unban", PAGE, "--reason", "an appeal", "--yes").status == 0
    shell.api.settle()
    told = shell("why", PAGE.replace("https", "hxxps").replace(".", "[.]")).out
    assert "UNBANNED at huawei-main, reports of it are suppressed until 20" in told
    assert "anna · unban: an appeal" in told
    assert "\n  now  " in told
    assert not re.search(r"9999|\d\+00:00|: \)", told), "no sort key, no time for machines, no empty reason"
    assert "(default)" in shell("why", f"{PAGE}/never").out


def test_a_month_shows_what_it_does_not_know_as_unknown(shell: Shell) -> None:
    banned(shell)
    told = shell("report-month", datetime.now(UTC).strftime("%Y-%m")).out
    assert "| desk | 3 | 3 | 0 | 0 | 0 | 0 | 3 | – | 0 |" in told


def test_the_numbers_of_a_day_and_of_a_month(shell: Shell) -> None:
    banned(shell)
    counts = {entry["value"]: entry for entry in shell.json("stats", "--by", "source")}
    assert counts["desk"]["reported"] == 3
    month = datetime.now(UTC).strftime("%Y-%m")
    assert "| desk | 3 |" in shell("report-month", month).out
    rows = list(csv.DictReader(io.StringIO(shell("report-month", month, "--csv").out)))
    assert {row["value"]: row["reported"] for row in rows if row["by"] == "source"}["desk"] == "3"


def test_the_sources_are_listed_without_their_secrets(shell: Shell) -> None:
    names = [source["name"] for source in shell.json("sources")]
    assert "desk" in names
    assert "desk" in shell("sources", terminal=True).out


def test_an_unban_is_listed_and_followed(shell: Shell) -> None:
    urls = banned(shell)
    done = shell.json("unban", *urls, "--reason", "r", "--yes", "--no-wait")
    followed = shell.json("unbans", done["unban_id"])
    assert followed[0]["by"] == "anna"
    assert shell.json("unbans")[0]["unban_id"] == done["unban_id"]


def test_callbacks_are_listed(shell: Shell) -> None:
    assert shell.json("callbacks") == []


def test_a_source_and_an_operator_are_made_with_a_secret_that_fits(shell: Shell) -> None:
    made = shell("source", "new", "partner", "--format", "xarf")
    entry = json.loads(made.out)["partner"]
    assert entry["format"] == "xarf"
    assert entry["secrets"][0] in made.err
    operator = shell("operator", "new", "carla", "--role", "approver")
    token = operator.err.split()[-1]
    assert json.loads(operator.out)["carla"]["token_sha256"] == hashlib.sha256(token.encode()).hexdigest()


def test_a_signed_request_is_verified_on_this_machine(shell: Shell, tmp_path: Path) -> None:
    from edgeban import signing

    body = b'{"urls": []}'
    signed = signing.headers("standard-webhooks", SECRET, body, message_id="i", now=datetime.now(UTC))
    (tmp_path / "headers").write_text("".join(f"{name}: {value}\n" for name, value in signed.items()))
    (tmp_path / "body").write_bytes(body)
    files = ("--headers", str(tmp_path / "headers"), "--body", str(tmp_path / "body"))
    assert shell("verify", *files).out == "signature, time and body are right\n"
    (tmp_path / "body").write_bytes(body + b"\n")
    wrong = shell("verify", *files)
    assert (wrong.status, wrong.out.split(":")[0]) == (5, "body")


def test_a_sample_callback_is_signed_as_a_receiver_checks_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBAN_CALLBACK_SECRET", SECRET)
    with received() as (url, requests):
        assert shell("trigger", "report.complete", "--to", url).status == 0
    ((headers, body),) = requests
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body)["type"] == "report.complete"


def test_the_outcome_of_a_report_is_forwarded_to_a_receiver_on_this_machine(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEBAN_CALLBACK_SECRET", SECRET)
    banned(shell)
    with received() as (url, requests):
        assert shell("listen", "--forward-to", url, "--once").status == 0
    ((headers, body),) = requests
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body)["data"]["counts"] == {"banned": 3}


@contextmanager
def received() -> Iterator[tuple[str, list[tuple[dict[str, str], str]]]]:
    """Receive callbacks on a port of this machine."""
    requests: list[tuple[dict[str, str], str]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", requests
        finally:
            server.shutdown()
            thread.join()
