"""The installed command line against the deployed stack, from a report to a ban and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.package import ROOT
from dev.stack import APPROVER_TOKEN, WEBHOOK_SECRET, Stack

URL = "https://www.example.com/told-by-the-command-line"
Edgeban = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the repository into an environment of its own, as pipx does."""
    place = tmp_path_factory.mktemp("pipx")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "pip", "install", "--quiet", ROOT], check=True, capture_output=True)
    return place / "bin" / "edgeban"


@pytest.fixture
def edgeban(installed: Path, stack: Stack, tmp_path: Path) -> Edgeban:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "EDGEBAN_URL": stack.aws.stack.api_url,
        "EDGEBAN_TOKEN": APPROVER_TOKEN,
        "EDGEBAN_SOURCE": "demo",
        "EDGEBAN_SOURCE_SECRET": WEBHOOK_SECRET,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([installed, *arguments], env=environment, capture_output=True, text=True, check=False)

    return run


def test_nothing_of_lambda_is_installed_and_nothing_of_it_is_in_the_package(installed: Path) -> None:
    libraries = installed.parent.parent / "lib"
    names = {path.name for path in libraries.glob("python*/site-packages/*")}
    assert "edgeban" in names
    assert not names & {"chalicelib", "boto3", "chalice", "dev"}


def test_a_url_is_reported_followed_explained_listed_and_unbanned(edgeban: Edgeban, stack: Stack) -> None:
    reported = edgeban("report", URL, "--category", "phishing", "--json")
    assert reported.returncode == 0, reported.stderr
    (report,) = json.loads(reported.stdout)["reports"]
    stack.until(lambda: edgeban("why", URL, "--exit-status").returncode == 0, what="the URL is banned")
    told = edgeban("why", URL)
    assert f"{URL}   BANNED at" in told.stdout
    states = json.loads(edgeban("reports", "show", report, "--json").stdout)
    assert [state["state"] for state in states] == ["banned"]
    assert URL in edgeban("bans", "--q", "told-by-the-command-line").stdout
    undone = edgeban("unban", URL, "--reason", "it was a trial", "--no-wait")
    assert undone.returncode == 0, undone.stderr
    stack.until(lambda: edgeban("why", URL, "--exit-status").returncode == 9, what="the URL is unbanned")
    assert "it was a trial" in edgeban("audit", "--by", "approver").stdout
