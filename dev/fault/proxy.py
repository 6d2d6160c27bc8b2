"""Break calls between the functions and AWS by ``microburst``, a process in a virtual environment of its own."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from dev.ministack import free_port
from dev.package import ROOT

PROGRAM = ROOT / ".venv-fault" / "bin" / "microburst"
BOOT_SECONDS = 60

OPERATIONS = {
    "dynamodb": (
        "BatchGetItem",
        "Query",
        "BatchWriteItem",
        "BatchExecuteStatement",
        "TransactWriteItems",
        "UpdateItem",
        "DeleteItem",
    ),
    "sqs": ("SendMessage", "SendMessageBatch"),
    "secretsmanager": ("GetSecretValue",),
    "ssm": ("GetParameter",),
    "s3": ("GetObject",),
}
"""The operations of AWS that the functions call."""

THROTTLED = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "sqs": "RequestThrottled",
    "secretsmanager": "ThrottlingException",
    "ssm": "ThrottlingException",
    "s3": "SlowDown",
}
STATEMENT_ERRORS = ("ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError")
KINDS = ("throttled", "error", "latency", "reset", "answer lost", "late", "statements throttled")
LATE_MILLISECONDS = 11_000
"""A delay beyond the functions' timeout for AWS: they ask again, and AWS does the first request after the second."""


def draw_rules(dice: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Draw what breaks for a while: kinds with rules of ``microburst``, each for one operation."""
    kind = dice.choice(KINDS)
    service = dice.choices(list(OPERATIONS), weights=(12, 4, 1, 1, 1))[0]
    if kind == "statements throttled":
        service = "dynamodb"
    operation = dice.choice(OPERATIONS[service])
    # The order of requests decides which ones fail, and not chance: so a seed fixes everything.
    often = {"sequence": {"fail": dice.randint(1, 3), "pass": dice.randint(2, 12)}, "ttl_s": dice.uniform(1, 5)}
    rule: dict[str, Any] = {"service": service, "operation": operation, **often}
    effects: dict[str, dict[str, Any]] = {
        "throttled": {"error": {"code": THROTTLED[service]}},
        "error": {"error": {"code": "InternalServerError", "status": dice.choice((500, 503))}},
        "latency": {"latency": {"min": 50, "max": dice.randint(200, 2_000)}},
        "reset": {"reset": True},
        "answer lost": {"response": {"abort_frac": 0.0}},
        "late": {"latency": LATE_MILLISECONDS, "times": 1},
    }
    if kind in effects:
        return [(kind, {**rule, **effects[kind]})]
    code = dice.choice(STATEMENT_ERRORS)
    return [(kind, {**rule, **_statements(code, count), "operation": "BatchExecuteStatement"}) for count in (1, 25)]


def _statements(code: str, count: int) -> dict[str, Any]:
    """Answer a batch of ``count`` statements as DynamoDB does that throttles each; none is done."""
    response = {"Error": {"Code": code, "Message": "made by a fault"}}
    fields = {"Responses": [response] * count}
    return {
        "body": f"length(Statements) == `{count}`",
        "error": {"code": "Statements", "status": 200, "fields": fields},
    }


class FaultProxy:
    """``microburst`` in front of ``upstream``, as a context manager. Without rules it only passes on."""

    def __init__(self, upstream: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._upstream = upstream
        self._http = requests.Session()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._directory = Path()
        self._kinds: dict[int, str] = {}

    def __enter__(self) -> Self:
        if not PROGRAM.exists():
            raise FileNotFoundError("microburst is not installed: run `make .venv-fault/.ready`")
        self._directory = Path(tempfile.mkdtemp(prefix="edgeban-proxy-"))
        command = [str(PROGRAM), "--upstream", self._upstream, "--port", str(self.port), "--no-resign"]
        with (self._directory / "microburst.log").open("wb") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, str(ROOT / "dev" / "supervise.py"), str(self._directory), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        assert self._supervisor
        assert self._supervisor.stdin
        self._supervisor.stdin.close()
        self._supervisor.wait(timeout=30)
        shutil.rmtree(self._directory, ignore_errors=True)

    def wait(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                self._http.get(f"{self.url}/_microburst/health", timeout=2).raise_for_status()
            except requests.RequestException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def break_down(self, rules: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Add rules, each with its kind."""
        answer = self._http.patch(f"{self.url}/_microburst/rules", json=[rule for _, rule in rules], timeout=10)
        answer.raise_for_status()
        for (kind, _), made in zip(rules, answer.json(), strict=True):
            self._kinds[made["id"]] = kind

    def heal(self) -> None:
        """Remove all rules."""
        self._http.delete(f"{self.url}/_microburst/rules", json=[], timeout=10).raise_for_status()

    def fired(self) -> Counter[str]:
        """Count how often each kind struck."""
        stats = self._http.get(f"{self.url}/_microburst/stats", timeout=10).json()
        counted: Counter[str] = Counter()
        for each in stats["by_rule"]:
            counted[self._kinds.get(each["id"], "?")] += each["fired"]
        return counted
