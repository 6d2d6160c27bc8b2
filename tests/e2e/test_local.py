"""``make local``: what it prints can be pasted, and ``.local/access.json`` reaches all that it names."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.local import ACCESS, OPERATORS
from dev.package import ROOT

PATIENCE = 120.0


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start it as the Makefile does, and end it as Ctrl-C does; what it printed is in the file."""
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


def test_the_three_printed_commands_can_be_pasted(output: Path) -> None:
    commands = re.findall(r"^# .*\n(.*)$", output.read_text(), re.MULTILINE)
    assert len(commands) == 3
    assert paste(commands[0])["accepted"] == 1
    deadline = time.monotonic() + 60
    while "accounts" not in (explained := paste(commands[1])):
        assert time.monotonic() < deadline, explained
        time.sleep(1)
    assert explained["accounts"][0]["source"] == "desk"
    assert "holds" in paste(commands[2])


def paste(command: str) -> dict[str, Any]:
    """Run a command as a shell does; return what it answers."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
