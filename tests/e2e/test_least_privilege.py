"""Each function's policy allows exactly the actions and resources that the function used in one run.

The run goes once through everything that the functions do, on a stack of its own, with the emulator's IAM enforcement
on and a recorder between the functions and AWS. The emulator checks no PartiQL actions; AWS and the comparison do.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.dynamodb import Table
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.urls import url_key
from chalicelib.ledger import callbacks, carriers, export_days, journal, remaining, unban_jobs
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.row import millis
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.intake.batch import intake_reports
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.run import Run as PipelineRun
from chalicelib.ports import Put, Update
from chalicelib.vendors.alibaba.client import CALENDAR
from dev.local_aws import Changes, FunctionBusy, LocalAws
from dev.package import ROOT, package
from dev.policies import Allowed, Use, allowed_by
from dev.recorder import Recorder
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings
from dev.simulators.huawei import HuaweiSimulator
from dev.stack import ACCOUNT, MANAGED, TOKEN, WEBHOOK_SECRET, Stack

SITE = "https://www.example.com/least"
SOURCES = {
    "demo": {
        "auth": "standard-webhooks",
        "secrets": [WEBHOOK_SECRET],
        "format": "native",
        "reports_per_minute": 1_000,
        "callback_url": "https://hooks.example.invalid/outcomes",
        "callback_secret": WEBHOOK_SECRET,
    },
    "queue-demo": {"auth": "none", "format": "native"},
    "exports": {"auth": "none", "format": "native"},
}
POLICY: dict[str, Any] = {
    "version": 1,
    "accounts": {ACCOUNT: {"managed_domains": MANAGED}},
    "categories": {"default": {"ban_days": 7}, "phishing": {"ban_for_days": 90}, "spam": {"min_reporters": 2}},
    "sources": {"queue-demo": {"relay": True}},
    "verification": {"sample": 1, "after_minutes": 1},
    # The policy is longer than a parameter, so that it stands in the archive bucket, which all its readers must reach.
    "protected": [{"host": f"p{n}.example.com", "comment": "a host that is never banned"} for n in range(120)],
}

EXCUSED: dict[tuple[str, str], str] = {
    ("api_handler", "dynamodb:DeleteItem"): "a cancellation of an unban that waits for a second person",
    ("api_handler", "dynamodb:PutItem"): "the same",
    (
        "submit_tasks",
        "dynamodb:PartiQLInsert",
    ): "the policy forbids URLs of a call to a declarative vendor whose answer was lost",
    ("intake_reports", "dynamodb:DeleteItem"): "a chunk whose URLs were all claimed meanwhile by another batch",
    ("intake_reports", "sqs:ChangeMessageVisibility"): "a batch that failed, or met another one at the same claim",
    ("renew_bans", "dynamodb:DeleteItem"): "a renewal whose URLs were all unbanned meanwhile",
    ("detect_drift", "dynamodb:DeleteItem"): "a chunk of lost bans whose URLs were all claimed meanwhile",
    ("detect_drift", "dynamodb:UpdateItem"): "the vendor refuses access: the account is blocked",
    ("archive_exports", "dynamodb:UpdateItem"): "the vendor refuses access: the account is blocked",
    ("track_tasks", "dynamodb:PartiQLUpdate"): "a task that failed for the last time: its URLs end as failed",
    ("track_tasks", "dynamodb:BatchWriteItem"): "a task that failed: its URLs are sent again later",
    ("archive_exports", "s3:GetObject"): "a crash after some of a day's files: they are read back, not made again",
    ("archive_ledger", "s3:GetObject"): "a crash after some of a day's files: they are read back, not made again",
    (
        "archive_ledger",
        "dynamodb:PartiQLInsert",
    ): "a day on which a report named its reporter, who has no pseudonym yet",
    (
        "detect_drift",
        "s3:ListBucket",
    ): "never called: without it S3 answers 403, not 404, for an index that is not there",
    ("sweep", "s3:ListBucket"): "never called: without it S3 answers 403, not 404, for an index that is not there",
    ("index_bans", "s3:ListBucket"): "never called: without it S3 answers 403, not 404, for an index that is not there",
    (
        "api_handler",
        "s3:ListBucket",
    ): "never called: without it S3 answers 403, not 404, for an index that is not there",
    ("track_tasks", "sqs:SendMessage"): "a task whose end the tracker of young tasks did not see first",
    ("index_bans", "dynamodb:BatchGetItem"): "bans that began ten minutes ago: a slow run is past them",
    ("index_bans", "sns:Publish"): "between midnight and 06:00 UTC nobody is told of bans that end",
    ("verify_bans", "sqs:SendMessage"): "the canary, which is off unless the policy has one",
    ("archive_exports", "s3:ListBucket"): "never called: without it S3 answers 403, not 404, for what is not there",
}
"""(function, action) that the run need not reach → when it is needed. Each is reached in the fault and unit tests."""


@dataclass(frozen=True)
class Run:
    """What the functions did, and what they may do."""

    stack: Stack
    uses: Mapping[str, set[Use]]
    unknown: list[str]
    beyond: list[str]
    allowed: list[Allowed]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    aws = LocalAws()
    recorder = Recorder(aws.url)
    aws = LocalAws(port=aws.port, changes=Changes(enforce_iam=True, amend=recorder.amend))
    with (
        HuaweiSimulator(task_seconds=0.5) as vendor,
        AlibabaSimulator(Settings(complete_after=0, rows=5)) as exporter,
        recorder,
        aws,
    ):
        stack = Stack(aws, vendor, Table(aws.dynamodb, aws.stack.table))
        configure(stack, exporter)
        go_through_everything(stack)
        names = functions_of(aws)
        done = {names[logical]: found for logical, found in recorder.uses.items()}
        yield Run(stack, done, recorder.unknown, recorder.beyond, allowed(aws))


# --- what may be done ------------------------------------------------------------------------------------------------


def template_of(aws: LocalAws) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((package(aws.stage) / "sam.json").read_text())
    return document


def functions_of(aws: LocalAws) -> dict[str, str]:
    """Return the name in ``app.py`` of each function, by logical id."""
    return {
        name: each["Properties"]["FunctionName"]["Fn::Sub"].removeprefix("edgeban-${Stage}-")
        for name, each in template_of(aws)["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function"
    }


def allowed(aws: LocalAws) -> list[Allowed]:
    """Return what the packaged template allows each function."""
    resources = template_of(aws)["Resources"]
    rules: list[Allowed] = []
    for logical, function in functions_of(aws).items():
        role = resources[resources[logical]["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"]
        for policy in role["Policies"]:
            rules += allowed_by(function, policy["PolicyDocument"], lambda resource: resolved(resource, aws))
    return rules


def resolved(resource: Mapping[str, Any], aws: LocalAws) -> str:
    """Name a policy's resource as the recorder does: the last part of its ARN."""
    stack = aws.stack
    named = {
        "Ledger": stack.table,
        "Archive": stack.bucket,
        "Intake": stack.intake_bucket,
        "Views": stack.views_bucket,
        "ReportsDeadLetters": stack.reports_dead_letters_url.rpartition("/")[2],
        "SubmitDeadLetters": stack.submit_dead_letters_url.rpartition("/")[2],
        "ReportsQueue": stack.reports_queue_url.rpartition("/")[2],
        "SubmitQueue": stack.submit_queue_url.rpartition("/")[2],
        "OutcomesQueue": f"edgeban-{aws.stage}-outcomes.fifo",
        "Holds": stack.holds_topic.rpartition(":")[2],
    }
    if "Fn::GetAtt" in resource:
        logical = str(resource["Fn::GetAtt"][0])
        return named.get(logical, logical)
    text = str(resource["Fn::Sub"]).replace("${Stage}", aws.stage)
    text = re.sub(r"\$\{(\w+)\.Arn\}", lambda found: named[found[1]], text)
    return text.rpartition(":secret:")[2].rpartition(":parameter")[2].removesuffix("-??????")


# --- the run ----------------------------------------------------------------------------------------------------------


def configure(stack: Stack, exporter: AlibabaSimulator) -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    stack.aws.configure(
        sources=SOURCES,
        operators={"tester": {"token_sha256": digest, "role": "approver"}},
        vendors={
            ACCOUNT: {"vendor": "huawei", "endpoint": stack.vendor.url, **stack.vendor.credentials},
            "exports": {
                "vendor": "alibaba",
                "endpoint": exporter.url,
                "access_key": "testid",
                "secret_key": "testsecret",
                "report_to_queue": "yes",
            },
        },
        policy=POLICY,
    )


def go_through_everything(stack: Stack) -> None:
    seed_the_past(stack)
    reports_of_every_kind(stack)
    urls_that_end_badly(stack)
    stack.until(
        lambda: states(stack, "webhook", "queue", "bucket", "spam", "lost", "renewed", "ended") == {"banned"},
        seconds=90,
    )
    report_of_a_ban_that_has_ended(stack)
    decisions_of_operators(stack)
    drift(stack)
    age_tasks(stack)
    invoke(stack, "sweep", "renew_bans", "verify_bans", "index_bans", "archive_ledger")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    days = f"stats?bucket=day&from={yesterday}"
    for path in ("bans", "overview", "stats", days, "sources", "events", "unbans", "policy"):
        assert stack.get(path).status_code == 200, path
    outcomes(stack)
    day_of_exports(stack)
    stack.until(lambda: not stack.get("tasks").json()["tasks"], what="every task has ended")


def seed_the_past(stack: Stack) -> None:
    """Make what takes time: bans about to lapse, a day to archive, a chunk and an unban that were left open."""
    now = datetime.now(UTC)
    for name, category, past in (
        ("renewed", "phishing", now - timedelta(days=29, hours=20)),
        ("lost", "other", now - timedelta(days=6, hours=20)),
        ("ended", "other", now - timedelta(days=8)),
    ):
        body = json.dumps({"urls": [f"{SITE}/{name}"], "category": category})
        message = {
            "messageId": name,
            "body": body,
            "messageAttributes": {"source": {"stringValue": "queue-demo", "dataType": "String"}},
        }
        run = PipelineRun(
            rows=stack.table,
            emit=lambda event, /, **fields: None,
            wake=lambda group, mark: None,
            clock=lambda at=past: at,  # type: ignore[misc]
            read_policy=lambda: parse_policy(POLICY),
        )
        assert not intake_reports(run, [message], Reading(parse_sources(SOURCES))).failed
    stack.table.write([Put(journal.entry("taken", "r-of-yesterday", now=now - timedelta(days=1)))])
    for _ in range(2):
        now -= timedelta(hours=1)
        url = f"{SITE}/left-open"
        key = url_key(ACCOUNT, url)
        chunk = Chunk(
            account=ACCOUNT,
            action=Action.BAN,
            ban_days=7,
            rule="",
            urls=(url,),
            keys=(key,),
            origins=(Origin("r-1", "demo", "", "", ""),),
            created_at=now,
            received_at=now,
            until=now + timedelta(days=7),
        )
        remaining.open_chunk(stack.table, chunk, then=ChunkState.WAITING)
    for selection in ({"urls": (f"{SITE}/never",)}, {"host": "nobody.example.com"}):
        job = Job(unban_jobs.new_id(now), "tester", "left open", 0, now, **selection)
        unban_jobs.record(stack.table, job)


def reports_of_every_kind(stack: Stack) -> None:
    webhook = [f"{SITE}/webhook", "https://www.example.com/", "https://shop.example.com/", "https://elsewhere.test/x"]
    for _ in range(2):  # This is the same report again.
        answer = stack.report(webhook, webhook_id="least-1", correlation_id="c-1")
        assert answer.status_code == 202, stack.aws.logs("receive_report")[-10:]
    stack.queue(json.dumps({"urls": [f"{SITE}/queue"]}))
    for reporter in ("one", "two"):
        stack.queue(json.dumps({"urls": [f"{SITE}/spam"], "category": "spam", "reporter": reporter}))
        time.sleep(1.5)
    key, body = "queue-demo/report.json", json.dumps({"urls": [f"{SITE}/bucket"]}).encode()
    stack.aws.s3.put_object(Bucket=stack.aws.stack.intake_bucket, Key=key, Body=body)
    plain = {"s3": {"bucket": {"name": stack.aws.stack.intake_bucket}, "object": {"key": key, "size": len(body)}}}
    event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", **plain}]}
    stack.queue(json.dumps(event))  # The bucket has no versions.


def report_of_a_ban_that_has_ended(stack: Stack) -> None:
    """Let intake ask the tasks how long a ban really lasts, since its claim is of a time that has passed."""
    assert stack.report([f"{SITE}/ended", f"{SITE}/beside-ended"]).status_code == 202
    stack.until(lambda: states(stack, "beside-ended") == {"banned"}, seconds=90, what="the batch is taken")


def urls_that_end_badly(stack: Stack) -> None:
    stack.vendor.poison("refused-by-vendor", mode="refuse")
    refused = [f"{SITE}/refused-by-vendor", f"{SITE}/beside"]
    assert stack.report(refused).status_code == 202
    stack.until(lambda: states(stack, "beside") == {"banned"}, seconds=90)
    stack.vendor.poison("fails", mode="fail_task")
    assert stack.report([f"{SITE}/fails"]).status_code == 202
    stack.until(lambda: failed_once(stack), seconds=90, what="a task has failed")
    stack.vendor.poison(mode="none")


def failed_once(stack: Stack) -> bool:
    return any('"task_finished"' in line and '"failed"' in line for line in stack.aws.logs("track_tasks"))


def decisions_of_operators(stack: Stack) -> None:
    holds = stack.get("holds").json()["holds"]
    assert len(holds) >= 1, "bare hosts wait for a person"
    first, *rest = [each["hold_id"] for each in holds]
    stack.get(f"holds/{first}")
    stack.ask(f"holds/{first}/approve", reason="least")
    for each in rest:
        stack.ask(f"holds/{each}/refuse", reason="least")
    stack.ask("pause", reason="least")
    assert stack.report([f"{SITE}/withdrawn"]).status_code == 202
    stack.until(lambda: states(stack, "withdrawn") != {""}, what="a URL waits for the pause to end")
    stack.ask("unbans", urls=[f"{SITE}/withdrawn", f"{SITE}/queue"], reason="least")
    stack.ask("resume", reason="least")
    for path in (
        "tasks",
        "holds",
        "exports",
        "audit?actor=tester",
        "health",
        "openapi.json",
        "reports?correlation_id=c-1",
    ):
        assert stack.get(path).status_code in {200, 400, 404}, path


def invoke(stack: Stack, *functions: str) -> None:
    for function in functions:
        for _ in range(20):
            try:
                stack.aws.invoke(function)
                break
            except FunctionBusy:
                time.sleep(0.5)


def age_tasks(stack: Stack) -> None:
    """Make tasks older: verification asks a minute after a task's end, and the index of bans reads of it after ten.

    A renewal is due a day before its bans end.
    """
    now = datetime.now(UTC)
    ended = [event.subject for event in journal.read(stack.table, now.date()) if event.kind == "task"]
    earlier = [journal.entry("task", task, now=now - timedelta(minutes=15)) for task in ended]
    stack.table.write([Put(row) for row in earlier])
    for row in stack.table.query(f"renewals#{ACCOUNT}"):
        for task, _, _ in carriers.links(stack.table, str(row["chunk"])):
            submitted_at = millis(now - timedelta(days=29, hours=20))
            stack.table.write([Update((f"task#{task}", "task"), set={"submitted_at": submitted_at})])


def outcomes(stack: Stack) -> None:
    """Let ``deliver_outcomes`` call a source that cannot be reached again, and remove a row that leads nowhere."""
    report_id = stack.report([f"{SITE}/webhook"]).json()["report_id"]
    past = datetime.now(UTC) - timedelta(minutes=5)
    stack.table.write([Put(callbacks.first("r-of-nobody", past)), Put(callbacks.first(report_id, past))])
    own = (f"report#{report_id}", "callback")

    def tried(times: int) -> bool:
        return int(str(stack.table.get([own]).get(own, {}).get("attempts", 0))) >= times

    stack.until(lambda: tried(1), what="the source is called")
    stack.until(lambda: tried(2), seconds=150, what="the source is called again after a minute")
    answer = stack.ask(f"callbacks/{report_id}/resend", reason="least")
    assert answer.status_code == 202, answer.text


def drift(stack: Stack) -> None:
    """Let all tasks of today have ended two hours ago, since young bans are not compared."""
    now = datetime.now(UTC)
    for event in journal.read(stack.table, now.date()):
        if event.kind == "task":
            finished_at = millis(now - timedelta(hours=2))
            stack.table.write([Update((f"task#{event.subject}", "task"), set={"finished_at": finished_at})])
    stack.vendor.lose_ban(f"{SITE}/lost")
    stack.vendor.invent_ban(f"{SITE}/invented")
    invoke(stack, "detect_drift")
    answer = stack.ask("unbans", urls=[f"{SITE}/invented"], reason="least")
    assert answer.status_code == 202, answer.text


def day_of_exports(stack: Stack) -> None:
    """Archive one day of the window; the others are on record as gone."""
    now = datetime.now(UTC)
    window = CALENDAR.finished_days(now)
    export_days.want(stack.table, "exports", window[:-1], now=now, lost="left out of this run")
    last: date = window[-1]
    for _ in range(5):
        invoke(stack, "archive_exports")
        found = {each.day: each for each in export_days.read(stack.table, "exports")}
        if found[last].ended:
            break
        stack.table.write([Update(("exports#exports", last.isoformat()), set={"not_before": 0})])
    assert found[last].state is export_days.DayState.ARCHIVED, found[last]
    stack.ask("exports", **{"from": last.isoformat(), "to": last.isoformat(), "account": "exports"})


def states(stack: Stack, *names: str) -> set[str]:
    found = set()
    for name in names:
        accounts = stack.get("urls", url=f"{SITE}/{name}").json().get("accounts", [])
        found.add(accounts[0]["state"] if accounts else "")
    return found


# --- the comparison --------------------------------------------------------------------------------------------------


def test_every_call_is_one_that_iam_knows(run: Run) -> None:
    assert run.unknown == []


def test_no_call_is_beyond_a_limit_of_aws(run: Run) -> None:
    """The local AWS takes more than AWS does."""
    assert run.beyond == []


def test_every_function_was_seen_at_work(run: Run) -> None:
    assert {function for function, found in run.uses.items() if not found} == set()
    assert set(run.uses) == {each.removesuffix(".json") for each in names_of_policies()}


def names_of_policies() -> list[str]:
    return [path.name for path in (ROOT / ".chalice" / "policies").glob("*.json")]


def test_every_function_did_only_what_its_policy_allows(run: Run) -> None:
    """The policy is read as by AWS, PartiQL and leading keys included."""
    refused = {
        (function, use)
        for function, found in run.uses.items()
        for use in found
        if not any(each.function == function and each.allows(use) for each in run.allowed)
    }
    assert sorted(refused, key=str) == []


def test_no_policy_allows_what_its_function_does_not_do(run: Run) -> None:
    unused = {
        (each.function, each.statement, each.action, each.resource)
        for each in run.allowed
        if not by_lambda(each)
        and (each.function, each.action) not in EXCUSED
        and not any(each.allows(use) for use in run.uses[each.function])
    }
    assert "\n".join(sorted(" ".join(each) for each in unused)) == ""


def by_lambda(each: Allowed) -> bool:
    """Whether Lambda itself needs this right, to write the logs or to read the queue that starts the function."""
    return (each.statement, each.action) in {
        ("Log", "logs:CreateLogStream"),
        ("Log", "logs:PutLogEvents"),
        ("Consume", "sqs:ReceiveMessage"),
        ("Consume", "sqs:DeleteMessage"),
        ("Consume", "sqs:GetQueueAttributes"),
    }


def test_every_excuse_is_of_something_that_is_allowed(run: Run) -> None:
    assert EXCUSED.keys() <= {(each.function, each.action) for each in run.allowed}


def test_the_emulator_refused_nothing(run: Run) -> None:
    for function in run.stack.aws.stack.functions:
        refused = [line for line in run.stack.aws.logs(function) if "AccessDenied" in line or "not authorized" in line]
        assert refused == [], function


def test_the_emulator_checked_policies(run: Run) -> None:
    """Otherwise the test before this one shows nothing."""
    arguments = {**run.stack.aws.client_arguments(), "aws_access_key_id": "AKIAOFNOBODY00000000"}
    stranger = boto3.client("dynamodb", **arguments)
    with pytest.raises(ClientError):
        stranger.get_item(TableName=run.stack.aws.stack.table, Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
