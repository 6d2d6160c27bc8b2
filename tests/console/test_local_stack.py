"""The deployed console on the local AWS, from a report to a decision that people see."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

ROOT = Path(__file__).parents[2]
FIRST_PAINT_MS = 1000
START_SECONDS = 180
WAITS, BANNED = "https://shop.example.com/", "https://files.example.com/mal/1.exe"


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Start what ``make local`` starts, and return how to reach it."""
    place = tmp_path_factory.mktemp("local") / "access.json"
    program = (
        "import sys, pathlib, dev.local as local; place = pathlib.Path(sys.argv[1]); write = local.write_access;"
        "local.write_access = lambda document: write(document, place);"
        "local.remove_access = lambda document: None; sys.exit(local.main())"
    )
    command = [str(ROOT / ".venv" / "bin" / "python"), "-c", program, str(place)]
    environment = {**os.environ, "PORT": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as stack:
        deadline = time.monotonic() + START_SECONDS
        while not place.exists() and stack.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert place.exists(), "the local AWS did not start"
        found: dict[str, Any] = json.loads(place.read_text())
        yield found
        stack.terminate()


def report(access: dict[str, Any], urls: list[str]) -> None:
    """Send a signed report, as a source does."""
    body = json.dumps({"urls": urls, "category": "malware"}).encode()
    webhook_id, stamp = f"console-{time.time_ns()}", str(int(time.time()))
    key = base64.b64decode(access["sources"]["desk"]["secret"].removeprefix("whsec_"))
    digest = hmac.new(key, f"{webhook_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    urllib.request.urlopen(urllib.request.Request(f"{access['api']}/v1/reports/desk", body, headers)).close()


def test_from_a_report_to_a_decision_that_is_seen(access: dict[str, Any], chromium: Any) -> None:
    report(access, [WAITS, BANNED])
    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(90_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
    page.goto(access["console"])
    page.get_by_label("Your operator's token").fill(access["tokens"]["approver"])
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Waits for a person")
    page.evaluate("location.hash = '#/queue'")
    page.wait_for_selector("tr.cursor >> text=shop.example.com")
    page.keyboard.press("i")
    page.keyboard.type("ticket 4711")
    page.keyboard.press("Enter")
    page.keyboard.press("a")
    page.wait_for_selector("text=1 URL approved.")
    for url, story in ((BANNED, "desk reported it as malware"), (WAITS, "approver approved")):
        page.evaluate("place => { location.hash = place }", f"#/url?url={quote(url, safe='')}")
        page.wait_for_selector(f"text={story}")
        page.wait_for_selector(".says >> text=/Banned at/")
    for view in ("bans", "reports", "tasks", "sources", "exports", "audit", "policy"):
        page.evaluate("place => { location.hash = place }", f"#/{view}")
        page.wait_for_selector(f"h1:text-is('{view.capitalize()}')")
        page.wait_for_selector("[aria-busy=true]", state="detached")
        assert not page.locator(".problem").all_inner_texts(), view
    painted = []
    for _ in range(3):
        page.reload()
        page.wait_for_selector("main h1")
        painted.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(painted) <= FIRST_PAINT_MS, painted
    print(f"first paint after {min(painted):.0f} ms")
    assert not problems
