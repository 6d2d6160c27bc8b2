"""``make local`` prints commands that can be pasted, and ``.local/access.json`` reaches all that it names."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import requests

from chalicelib.reports.signature import sign
from dev.local import ACCESS, OPERATORS
from dev.package import ROOT

PATIENCE = 120.0


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start ``make local`` as the Makefile does, and end it as Ctrl-C does. Yield the file with its output."""
    ACCESS.unlink(missing_ok=True)
    printed = tmp_path_factory.mktemp("local") / "output"
    with printed.open("wb") as file:
        running = subprocess.Popen([sys.executable, "-m", "dev.local"], cwd=ROOT, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + PATIENCE
        while "Ctrl-C ends it all" not in printed.read_text():
            assert running.poll() is None, printed.read_text()
            assert time.monotonic() < deadline, printed.read_text()
            time.sleep(0.5)
        yield printed
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 0
    assert not ACCESS.exists(), "a file that leads nowhere was left behind"


@pytest.fixture(scope="module")
def access(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ACCESS.read_text())
    return document


def test_the_file_names_all_and_is_its_owners_alone(access: dict[str, Any]) -> None:
    assert access.keys() == {"api", "console", "aws_endpoint", "tokens", "sources", "vendors"}
    assert access["tokens"].keys() == {"reader", "operator", "approver", "approver2"} == OPERATORS.keys()
    assert access["sources"]["desk"].keys() == {"auth", "secret"}
    assert access["vendors"]["huawei-main"].startswith("http://127.0.0.1:")
    assert stat.S_IMODE(ACCESS.stat().st_mode) == 0o600


def test_every_token_is_known_and_the_default_policy_is_in_force(access: dict[str, Any]) -> None:
    for token in access["tokens"].values():
        answer = requests.get(f"{access['api']}/v1/holds", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        assert (answer.status_code, answer.json()["holds"]) == (200, [])


def test_the_printed_commands_can_be_pasted(output: Path) -> None:
    commands = re.findall(r"^# .*\n(.*)$", output.read_text(), re.MULTILINE)
    assert len(commands) >= 3
    assert paste(commands[0])["accepted"] == 1
    deadline = time.monotonic() + 60
    while "accounts" not in (explained := paste(commands[1])):
        assert time.monotonic() < deadline, explained
        time.sleep(1)
    assert explained["accounts"][0]["source"] == "desk"
    assert "holds" in paste(commands[2])


def test_a_new_hold_is_shown_as_people_are_told_of_it(output: Path, access: dict[str, Any]) -> None:
    People(access).report(["https://told.example.com/"])
    deadline = time.monotonic() + 150
    while "hold notice   edgeban: 1 new hold with 1 URL to decide." not in output.read_text():
        assert time.monotonic() < deadline, output.read_text()[-2_000:]
        time.sleep(1)
    assert re.search(r"hold notice +1  bare_host +desk", output.read_text())


def paste(command: str) -> dict[str, Any]:
    """Run a command as a shell does; return the answer."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# --- the seventeen questions -----------------------------------------------------------------------------------------

BANNED = [f"https://shop.example.com/mal/{number}.exe" for number in range(5)]
ROOT_URL = "https://held.example.com/"
BY_HAND = "https://shop.example.com/by-hand"


@dataclass(frozen=True)
class People:
    """The people of the running stack, who ask and decide. Their questions are printed."""

    access: dict[str, Any]

    def ask(self, question: str, path: str, *, who: str = "reader", **query: str) -> dict[str, Any]:
        """Ask a question and print it with its call and the beginning of its answer."""
        answer = requests.get(self._url(path), headers=self._headers(who), params=query, timeout=60)
        called = f"GET /v1/{path}" + (f"?{urlencode(query)}" if query else "")
        print(f"\n{question}\n  {called}\n  {answer.status_code} {answer.text[:300]}")
        told: dict[str, Any] = answer.json()
        return told

    def csv(self, question: str, path: str, **query: str) -> str:
        """Ask for a list as CSV."""
        headers = {**self._headers("reader"), "Accept": "text/csv"}
        answer = requests.get(self._url(path), headers=headers, params=query, timeout=60)
        print(f"\n{question}\n  GET /v1/{path}, Accept: text/csv\n  {answer.status_code} {answer.text[:300]}")
        return answer.text

    def do(self, question: str, path: str, *, who: str, **fields: Any) -> dict[str, Any]:
        """Post a decision, or its preview."""
        answer = requests.post(self._url(path), headers=self._headers(who), json=fields, timeout=60)
        print(f"\n{question}\n  POST /v1/{path} {json.dumps(fields)}\n  {answer.status_code} {answer.text[:300]}")
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def report(self, urls: list[str]) -> str:
        """Report URLs as the source desk does."""
        body, name, now = json.dumps({"urls": urls, "category": "malware"}).encode(), str(uuid4()), int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self.access["sources"]["desk"]["secret"], name, now, body),
        }
        answer = requests.post(self._url("reports/desk"), data=body, headers=headers, timeout=60)
        return str(answer.json()["report_id"])

    def wait(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds; the schedules of the stack run every minute."""
        deadline = time.monotonic() + 180
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(2)

    def quietly(self, path: str, **query: str) -> dict[str, Any]:
        """Ask without printing."""
        answer = requests.get(self._url(path), headers=self._headers("reader"), params=query, timeout=60)
        told: dict[str, Any] = answer.json()
        return told

    def _url(self, path: str) -> str:
        return f"{self.access['api']}/v1/{path}"

    def _headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access['tokens'][who]}"}


def now() -> datetime:
    return datetime.now(UTC)


def test_each_of_the_seventeen_questions_has_an_answer(access: dict[str, Any]) -> None:
    people = People(access)
    report = people.report([*BANNED, ROOT_URL])
    people.wait(lambda: people.quietly("holds", host="held.example.com").get("holds"), "a hold")
    people.wait(lambda: people.quietly("bans", host="shop.example.com").get("total") == len(BANNED), "the bans")

    held = people.ask("5 What waits for me?", "holds", who="approver", host="held.example.com")
    (hold,) = held["holds"]
    assert (hold["rule"], hold["sources"][0]["value"], hold["approvals_needed"]) == ("bare_host", "desk", 1)
    people.do("  (approve it)", f"holds/{hold['hold_id']}/approve", who="approver", reason="ticket 4711")

    bans = people.ask("1 What is banned now?", "bans")
    assert {ban["url"] for ban in bans["bans"]} >= set(BANNED)
    found = people.ask("2 Is a host, or a text in a URL, banned?", "bans", host=".example.com", q="MAL/3")
    assert [ban["url"] for ban in found["bans"]] == [BANNED[3]]
    why = people.ask("3 Why was this banned, by whom, who approved?", "urls", url=ROOT_URL)
    (past,) = why["accounts"][0]["history"]
    assert [(each["actor"], each["reason"]) for each in past["approvals"]] == [("approver", "ticket 4711")]
    not_banned = people.ask("4 Why was it not banned?", "urls", url="https://elsewhere.org/x")
    assert "not_managed" in not_banned["error"]["message"]
    today = (datetime.now(UTC) - timedelta(hours=1)).date().isoformat()  # Around midnight the hour before counts too.
    by_source = people.ask(
        "6 How much did the source report today, and what became of it?",
        "stats",
        by="source",
        bucket="day",
        **{"from": today},
    )
    assert sum(row["ban"] for row in by_source["series"] if row["value"] == "desk") >= len(BANNED)
    undo = {"source": "desk", "host": "shop.example.com", "since": (now() - timedelta(hours=1)).isoformat()}
    preview = people.do("7 Undo what a source did since then (preview)", "unbans", who="operator", **undo, preview=True)
    assert (preview["urls"], preview["counted_all"], preview["stay"]) == (len(BANNED), True, 0)
    asked = people.do("  (unban one)", "unbans", who="operator", urls=BANNED[:1], reason="an appeal")
    assert asked["not_found"] == []
    unban = people.ask("8 How far is my unban?", f"unbans/{asked['unban_id']}")
    assert (unban["by"], unban["complete"], unban["urls"]) == ("operator", True, 1)
    assert people.csv("9 The bans in force as CSV", "bans").startswith("url,account,source")
    week = (datetime.now(UTC) + timedelta(days=8)).date().isoformat()
    assert people.ask("10 What ends soon?", "bans", ends_before=week)["total"] >= len(BANNED) - 1
    decided = people.ask("11 What did everybody decide today?", "audit")
    assert {each["action"] for each in decided["decisions"]} >= {"approve", "unban"}
    month = {"from": (now() - timedelta(days=30)).date().isoformat(), "bucket": "day"}
    days = people.ask("12 The numbers of a month", "stats", **month)
    assert sum(row["banned"] for row in days["series"]) >= len(BANNED)
    of_category = people.ask("   by category", "stats", by="category", **month)["series"]
    assert sum(row["reported"] for row in of_category if row["value"] == "malware") >= len(BANNED) + 1
    (reasons,) = people.ask("13 A statement of the reasons of a ban", "statements", url=BANNED[1])["statements"]
    assert (reasons["automated_decision"], reasons["category"]) == (True, "malware")
    assert "statement" in reasons["missing"], "the default policy says nothing of the law"
    ban = {"urls": [BY_HAND], "category": "phishing"}
    by_hand = people.do("14 Ban this URL now (preview)", "bans", who="operator", **ban, preview=True)
    assert (by_hand["urls"], by_hand["rejected"]) == (1, [])
    people.do("   (and do it)", "bans", who="operator", **ban, reason="ticket 4712")
    people.wait(lambda: people.quietly("bans", q="by-hand").get("total") == 1, "the ban by hand")
    tried = people.do("15 What would happen to this URL?", "policy/test", who="reader", urls=[ROOT_URL, BY_HAND])
    assert {each["verdict"] for each in tried["verdicts"]} <= {"duplicate", "hold", "ban"}
    now_running = people.ask("16 Is it running? Who paused? How much waits?", "overview")
    assert [account["state"] for account in now_running["accounts"]] == ["running"]
    callbacks = people.ask("17 Which webhooks were delivered?", "callbacks", source="desk")
    assert report in {each["report_id"] for each in callbacks["callbacks"]}
