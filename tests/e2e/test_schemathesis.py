"""Right and wrong requests that schemathesis makes from the description get no 5xx and no undescribed answer.

By its name, this file is the last on the shared stack: no other test waits for what it reports, unbans and pauses.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.package import ROOT
from dev.stack import APPROVER_TOKEN, Stack

EXAMPLES = os.environ.get("EDGEBAN_API_EXAMPLES", "10")
"""Requests that are made up for each operation, beside those at the edges of each parameter."""

SECONDS = int(os.environ.get("EDGEBAN_API_SECONDS", "60"))

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.fixture
def running(stack: Stack) -> Iterator[Stack]:
    """Return the stack; afterwards, resume the submission that the requests paused."""
    yield stack
    for account in ({}, {"account": "huawei-main"}):
        answer = stack.http.post(
            f"{stack.api}/resume",
            json={**account, "reason": "the tests of the API are over"},
            headers={"Authorization": f"Bearer {APPROVER_TOKEN}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


def test_no_request_finds_a_5xx_or_an_answer_that_is_not_described(running: Stack, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{running.api}/openapi.json",
        "--url",
        running.aws.stack.api_url,
        "--checks",
        ",".join(CHECKS),
        "--phases",
        "examples,coverage,fuzzing",
        "--workers",
        "1",  # two threads at once in ast.parse break CPython 3.11: "AST constructor recursion depth mismatch"
        "--max-examples",
        EXAMPLES,
        "--max-time",
        str(SECONDS),
        "--seed",
        "20260115",
        "--continue-on-failure",
        "--warnings",
        "off",
        "--no-color",
        "--output-truncate",
        "false",
        "--generation-database",
        "none",
        "--report",
        "ndjson",
        "--report-dir",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS + 120,
    )
    assert done.returncode == 0, done.stdout[-12_000:]
    print(done.stdout[-2_000:])
