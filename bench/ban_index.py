"""Measure lists and searches of 100,000 bans in force: their seconds, sizes, memory and costs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.figures import Figure
from bench.handlers import event_list
from bench.local import ACCOUNT, Local
from bench.process import Process, Ran
from bench.reports import SCHEDULE, WAKE_UP, fresh_rows
from chalicelib.aws.dynamodb import Table
from chalicelib.aws.s3 import ViewBucket
from chalicelib.config.policy import parse as parse_policy
from chalicelib.pipeline.answers.ban_index import Reader, index_bans
from chalicelib.pipeline.run import Run
from dev.feed import FeedRow
from dev.simulators.huawei import HuaweiSimulator

BANS = 100_000
SECONDS = 1.0
"""The longest time until the first page of a list or a search."""

COLD, WARM = 3, 5
"""How often each question is asked. The fastest answer counts, since other programs use the machine too."""
TOKEN = "token-of-the-benchmark"


def measure(local: Local, rows: Sequence[FeedRow], count: int = BANS) -> list[Figure]:
    """Ban as many URLs as the figure names, index them as ``index_bans`` does, and ask as an operator does."""
    with HuaweiSimulator(rates=False, task_seconds=0) as vendor:
        environment = {**local.environment(vendor), **_operators(local)}
        with Process(environment) as process:
            process.run("intake_reports", event_list(fresh_rows(rows, local.managed, count)), seconds=600)
            process.run("submit_tasks", [WAKE_UP], seconds=600)
            process.run("track_tasks", [SCHEDULE], seconds=600)
    with Process(environment) as process:
        unindexed = _ask(process, "bans", PAGE, metered=True)
    indexing, size = _index(local, environment, count)
    colds = []
    for _ in range(COLD):
        with Process(environment) as process:
            _ask(process, "me", {})
            colds.append(_ask(process, "bans", PAGE))
    cold = min(colds, key=lambda ran: ran.wall[0])
    with Process(environment) as process:
        bare = _ask(process, "me", {}).peak_kb / 1024
        answer = json.loads(cold.results[0]["body"])
        assert answer["total"] == count, answer
        warm = {name: _ask(process, path, query, times=WARM) for name, (path, query) in QUESTIONS.items()}
        peak = max(ran.peak_kb for ran in warm.values()) / 1024
        counts = _ask(process, "bans", PAGE, metered=True).counts
    how = f"{count:,} bans in force, GET /v1/bans through the app's own route, in a process of its own"
    folded = sum(line.get("read", 0) for line in unindexed.counts) / count
    asked = sum(line.get("read", 0) for line in counts)
    written = sum(line.get("written", 0) for line in unindexed.counts)
    return [
        Figure(
            f"first page of {count:,} bans, cold and warm",
            f"≤ {SECONDS:.0f} s",
            f"{_shown(cold)}, {_shown(warm['list'])}",
            met=cold.wall[0] <= SECONDS,
            how=f"{how}; cold: the process has answered nothing about bans",
        ),
        *(
            Figure(
                f"{name} among {count:,} bans", f"≤ {SECONDS:.0f} s", _shown(ran), met=min(ran.wall) <= SECONDS, how=how
            )
            for name, ran in warm.items()
            if name != "list"
        ),
        Figure(
            f"index of {count:,} bans",
            "",
            f"{size / 1e6:.1f} MB, {size / count:.0f} bytes a ban",
            how="the object in S3; a question reads it once a process, and later the 200 bytes that name it",
        ),
        Figure(
            f"memory of {count:,} bans",
            "",
            f"{peak - bare:.0f} MB more than a question without them",
            how="peak resident size of the process that answers, the page and the parsing included",
        ),
        Figure(
            "index of bans: write units and read units a URL",
            "0 and ≤ 0.02",
            f"{written:.0f} and {folded:.4f}",
            met=not written and folded <= 0.02,
            how=f"all {count:,} folded by index_bans in {indexing:.1f} s of CPU; a question reads {asked:.1f} units",
        ),
        Figure(
            f"first page of {count:,} bans that are not indexed yet",
            "",
            f"{unindexed.wall[0]:.1f} s",
            how="the whole journal is folded for the question: once, after the view was deleted",
        ),
    ]


PAGE = {"limit": "100"}


def _shown(ran: Ran) -> str:
    """Return elapsed seconds and CPU seconds: on a busy machine, the elapsed seconds say little."""
    return f"{min(ran.wall):.2f} s ({min(ran.cpu):.2f} s of CPU)"


QUESTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "list": ("bans", PAGE),
    "search by text": ("bans", {"limit": "100", "q": "again=1"}),
    "search by host": ("bans", {"limit": "100", "host": ".example.com"}),
    "list of what ends first": ("bans", {"limit": "100", "sort": "until"}),
    "count by host": ("bans/counts", {"by": "host", "limit": "100"}),
}


def _operators(local: Local) -> dict[str, str]:
    """Make the secret of an operator who asks, and the bucket of the view."""
    name, digest = f"bench-operators-{time.monotonic_ns()}", hashlib.sha256(TOKEN.encode()).hexdigest()
    secret = json.dumps({"bench": {"token_sha256": digest, "role": "reader"}})
    local.aws.secrets.create_secret(Name=name, SecretString=secret)
    bucket = f"views-{time.monotonic_ns()}"
    local.aws.s3.create_bucket(Bucket=bucket)
    return {"EDGEBAN_OPERATORS_SECRET": name, "EDGEBAN_VIEWS_BUCKET": bucket}


def _nothing(*_: object, **__: object) -> None:
    """Tell nobody."""


def _index(local: Local, environment: dict[str, str], count: int) -> tuple[float, int]:
    """Run ``index_bans`` eleven minutes ahead, when no event is too young; return CPU seconds and the object's size."""
    policy = {"version": 1, "accounts": {ACCOUNT: {"managed_domains": list(local.managed)}}}
    run = Run(
        rows=Table(local.aws.dynamodb, environment["EDGEBAN_TABLE"]),
        emit=_nothing,
        wake=_nothing,
        clock=lambda: datetime.now(UTC) + timedelta(minutes=11),
        read_policy=lambda: parse_policy(policy),
    )
    reader = Reader(ViewBucket(local.aws.s3, environment["EDGEBAN_VIEWS_BUCKET"]))
    before = time.process_time()
    assert index_bans(run, reader) == count
    cpu = time.process_time() - before
    listed = local.aws.s3.list_objects_v2(Bucket=environment["EDGEBAN_VIEWS_BUCKET"])["Contents"]
    return cpu, max(item["Size"] for item in listed)


def _ask(process: Process, path: str, query: Mapping[str, str], *, times: int = 1, metered: bool = False) -> Ran:
    ran = process.run("app", [_event(path, query)] * times, metered=metered)
    assert all(result["statusCode"] == 200 for result in ran.results), ran.results[0]
    return ran


def _event(path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Make the event with which API Gateway asks for a path below ``/v1``."""
    return {
        "resource": f"/v1/{path}",
        "path": f"/v1/{path}",
        "httpMethod": "GET",
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        "multiValueHeaders": {},
        "queryStringParameters": dict(query),
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"resourcePath": f"/v1/{path}", "httpMethod": "GET", "identity": {}, "requestId": "bench"},
        "body": None,
        "isBase64Encoded": False,
    }
