"""The console's files are served by a fixed table, under a strict policy, are small, and fit each other."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from chalice.test import Client

import app as app_module
from chalicelib.handlers.console import FOLDER, PAGE, console
from dev.described import check_answer, find
from dev.fakes.console_api import MALWARE, FakeApi
from dev.package import ROOT
from edgeban.cli import cli

MOST_BYTES = 120 * 1024
"""Bytes of the whole console, compressed as API Gateway does."""

LOCK = json.loads((ROOT / "console-vendor.lock").read_text())
OWN = sorted(path for path in FOLDER.glob("*.mjs") if path.name not in LOCK["sha256"])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(app_module.app, stage_name="local") as client:
        yield client


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_console_is_entered_by_a_relative_address(client: Client) -> None:
    answer = client.http.get("/console")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "console/index.html"


def test_the_page_is_asked_for_again_and_its_files_are_kept_for_good(client: Client) -> None:
    page = client.http.get("/console/index.html")
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-cache"
    again = client.http.get("/console/index.html", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.body) == (304, b"")
    named = re.findall(rb'(?:href|src)="([^"]+\.(?:css|mjs))"', page.body)
    assert len(named) > 3
    for file in named:
        answer = client.http.get(f"/console/{file.decode()}")
        assert answer.status_code == 200, file
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["app.mjs", "console.css", "index.html", "..%2Fapp.py", "app.py", "__init__.py"])
def test_a_file_of_another_version_or_name_is_not_there(client: Client, name: str) -> None:
    version = console().version if name not in {"app.mjs", "console.css"} else "0123456789abcdef"
    answer = client.http.get(f"/console/{version}/{name}")
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_version_changes_with_every_file() -> None:
    assert re.fullmatch("[0-9a-f]{16}", console().version)
    assert console().version in console().texts[PAGE]
    assert "{version}" not in console().texts[PAGE]


@pytest.mark.parametrize("path", ["/console", "/console/index.html", "/console/x/y"])
def test_every_answer_carries_the_strict_policy(client: Client, path: str) -> None:
    headers = client.http.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|\*|https?:", headers["Content-Security-Policy"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_the_whole_console_is_small() -> None:
    sizes = {name: len(gzip.compress(text.encode(), 6)) for name, text in console().texts.items()}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_few_files_are_loaded_before_the_first_view() -> None:
    page = console().texts[PAGE]
    assert len(re.findall(r'(?:href|src)="[^"]+\.mjs"', page)) <= 7
    assert "uplot" not in page


def test_every_module_imports_what_is_served() -> None:
    for path in OWN:
        named = re.findall(r'(?:from |import |import\()["`]\./([\w.]+)["`]', path.read_text())
        assert not set(named) - console().texts.keys(), path.name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_module_writes_markup_or_runs_text(path: Path) -> None:
    """The console shows strangers' texts by text nodes alone."""
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(", text)
    assert 'style="' not in text
    assert "target=" not in text
    assert len(text.splitlines()) <= 200


def test_the_vendored_files_are_those_of_the_lock() -> None:
    for name, digest in LOCK["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
    for package in LOCK["packages"]:
        assert f"{package['name']}.LICENSE.txt" in LOCK["sha256"]
        assert package["integrity"].startswith("sha512-")


def test_a_stage_may_leave_the_console_out() -> None:
    program = "import app; print(sorted(path for path in app.app.routes if path.startswith('/console')))"
    for served, routes in (("no", 0), ("yes", 3)):
        environment = {**os.environ, "SERVE_CONSOLE": served}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.count("/console") == routes


# --- what people ask --------------------------------------------------------------------------------------------------


def test_every_question_has_a_command_and_a_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "draft.json").write_text("{}")
    page = (ROOT / "docs" / "questions.md").read_text()
    rows = re.findall(r"^\| (\d+) \| .+ \| `edgeban (.+)` \| `#/(\w+)` \|$", page, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 18))
    for _, line, view in rows:
        name, *arguments = shlex.split(line)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, arguments)  # It raises if the line is no command.
        assert f"{view}.mjs" in console().texts


# --- the fake API of the browser tests ----------------------------------------------------------------------------

ASKED = [
    ("GET", "health", {}, {}),
    ("GET", "overview", {}, {}),
    ("GET", "holds", {}, {}),
    ("GET", "holds/h-cap", {}, {}),
    ("GET", "audit", {}, {}),
    ("GET", "stats", {"bucket": "day"}, {}),
    ("GET", "bans", {}, {}),
    ("GET", "bans/counts", {"by": "source"}, {}),
    ("GET", "urls", {"url": MALWARE}, {}),
    ("GET", "statements", {"url": MALWARE}, {}),
    ("GET", "policy", {}, {}),
    ("POST", "policy/test", {}, {"urls": [MALWARE]}),
    ("POST", "unbans", {}, {"urls": [MALWARE], "preview": True}),
    ("GET", "reports", {"of": "desk"}, {}),
    ("GET", "reports/r-1", {}, {}),
    ("GET", "tasks", {}, {}),
    ("GET", "tasks/t-1", {}, {}),
    ("GET", "sources", {}, {}),
    ("GET", "callbacks", {"source": "desk"}, {}),
    ("GET", "unbans", {}, {}),
    ("POST", "unbans/u-3/approve", {}, {"reason": "r"}),
    ("POST", "unbans/u-3/cancel", {}, {"reason": "r"}),
    ("POST", "bans", {}, {"urls": [MALWARE], "preview": True}),
    ("GET", "exports", {}, {}),
    ("POST", "holds/decisions", {}, {"reason": "r", "decisions": [{"hold_id": "h-drift", "decision": "refuse"}]}),
]


@pytest.mark.parametrize(("method", "path", "query", "body"), ASKED, ids=lambda value: str(value)[:24])
def test_the_fake_api_answers_as_the_api_is_described(
    method: str, path: str, query: dict[str, str], body: dict[str, str]
) -> None:
    answer = FakeApi().answer(method, path, query, body, "ben")
    if find(f"/v1/{path}", method) is None:
        pytest.skip("the API has no such route yet; the console says so in its view")
    check_answer(f"/v1/{path}", method, 202 if path.endswith("/approve") else 200, answer)
