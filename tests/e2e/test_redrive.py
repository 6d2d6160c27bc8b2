"""Redriven dead letters have no second effect, and unreadable ones block no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from chalicelib.reports.signature import seal
from dev.package import ROOT
from dev.redrive import readable, redrive
from dev.stack import WEBHOOK_SECRET, Stack

POISON = '{"urls": "a poison message of the redrive"}'


def die(stack: Stack, body: str, **attributes: str) -> None:
    """Put a message into the dead letters, as if it had been received too often."""
    stack.aws.sqs.send_message(
        QueueUrl=stack.aws.stack.reports_dead_letters_url,
        MessageBody=body,
        MessageAttributes={name: {"DataType": "String", "StringValue": each} for name, each in attributes.items()},
    )


def depth(stack: Stack, url: str) -> int:
    found = stack.aws.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    return sum(map(int, found.values()))


def state(stack: Stack, url: str) -> str:
    accounts = stack.get("urls", url=url).json().get("accounts", [])
    return str(accounts[0]["state"]) if accounts else ""


@pytest.fixture
def stack(stack: Stack) -> Stack:
    stack.aws.sqs.purge_queue(QueueUrl=stack.aws.stack.reports_dead_letters_url)
    return stack


def test_a_redriven_report_becomes_a_ban_under_the_report_id_it_had(stack: Stack) -> None:
    new, known = "https://www.example.com/e2e/redrive/new", "https://www.example.com/e2e/redrive/known"
    answer = stack.report([new, known], webhook_id="e2e-redrive")
    report_id = answer.json()["report_id"]
    stack.until(lambda: state(stack, known) == "banned", what="the URL is banned")
    tasks = stack.vendor.stats()["tasks"]
    received_at = "2026-01-01T00:00:00+00:00"
    body = json.dumps({"urls": [new, known]})
    kept = {"report_id": report_id, "received_at": received_at}
    for _ in range(2):  # This had been taken before it became a dead letter, even twice.
        die(stack, body, source="demo", seal=seal(WEBHOOK_SECRET, report_id, received_at, body.encode()), **kept)
    die(stack, json.dumps({"urls": [new + "/only-dead"]}), source="queue-demo")

    done = redrive(stack.aws.sqs, stack.aws.stack.reports_dead_letters_url, stack.aws.stack.reports_queue_url)

    assert (done.moved, done.kept) == (3, 0)
    assert depth(stack, stack.aws.stack.reports_dead_letters_url) == 0
    stack.until(lambda: state(stack, new + "/only-dead") == "banned", what="the URL that was only a dead letter")
    assert stack.vendor.stats()["doubles"] == 0
    assert stack.vendor.stats()["tasks"] == tasks + 1
    assert {each["state"] for each in stack.get(f"reports/{report_id}").json()["urls"]} == {"banned"}


def test_what_is_not_taken_stays_and_is_visible_again(stack: Stack) -> None:
    die(stack, POISON, source="queue-demo")
    done = redrive(
        stack.aws.sqs,
        stack.aws.stack.reports_dead_letters_url,
        stack.aws.stack.reports_queue_url,
        take=lambda message: message["Body"] != POISON,
    )
    assert (done.moved, done.kept) == (0, 1)
    again = stack.aws.sqs.receive_message(QueueUrl=stack.aws.stack.reports_dead_letters_url)
    assert [each["Body"] for each in again["Messages"]] == [POISON]


def test_no_more_are_moved_than_asked_for(stack: Stack) -> None:
    urls = [f"https://www.example.com/e2e/redrive/limit/{number}" for number in range(3)]
    for url in urls:
        die(stack, json.dumps({"urls": [url]}), source="queue-demo")
    queues = stack.aws.stack.reports_dead_letters_url, stack.aws.stack.reports_queue_url
    assert redrive(stack.aws.sqs, *queues, limit=2).moved == 2
    assert depth(stack, queues[0]) == 1


@pytest.mark.parametrize(
    ("body", "attributes", "fit"),
    [
        ('{"urls": ["https://www.example.com/a"]}', {}, True),
        ("hxxps://www[.]example[.]com/a", {}, True),
        ('{"Type": "Notification", "TopicArn": "a", "Message": "https://www.example.com/a"}', {}, True),
        ('{"urls": ["https://www.example.com/a"]}', {"format": "stix"}, False),
        ('{"urls": ["no url"]}', {}, False),
        ("{this is no report", {}, False),
    ],
)
def test_what_is_redriven_is_what_a_format_reads(body: str, attributes: dict[str, str], fit: bool) -> None:
    given = {name: {"DataType": "String", "StringValue": each} for name, each in attributes.items()}
    assert readable({"Body": body, "MessageAttributes": given}) is fit


def test_the_command_shows_what_it_would_move_and_then_moves_it(stack: Stack) -> None:
    url = "https://www.example.com/e2e/redrive/command"
    die(stack, json.dumps({"urls": [url]}), source="queue-demo")

    def command(**options: str) -> str:
        environment = {**os.environ, "AWS_ENDPOINT_URL": stack.aws.url, "STAGE": "local", **options}
        done = subprocess.run(
            [sys.executable, "-m", "dev.redrive"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    die(stack, POISON, source="queue-demo")
    assert "0 moved, 2 left" in command(DRY="1")
    said = command()
    assert "1 moved, 1 left" in said
    assert said.count("no format reads it") == 1
    stack.until(lambda: state(stack, url) == "banned", what="the redriven URL is banned")
    assert "1 moved, 0 left" in command(ALL="1")
    stack.aws.sqs.purge_queue(QueueUrl=stack.aws.stack.reports_queue_url)


def test_wake_ups_are_redriven_too(stack: Stack) -> None:
    sqs, queues = stack.aws.sqs, stack.aws.stack
    sqs.send_message(
        QueueUrl=queues.submit_dead_letters_url,
        MessageBody=json.dumps({"account": "huawei-main"}),
        MessageGroupId="huawei-main",
        MessageDeduplicationId="dead-wake-up",
    )
    assert redrive(sqs, queues.submit_dead_letters_url, queues.submit_queue_url).moved == 1
    stack.until(lambda: depth(stack, queues.submit_queue_url) == 0, what="the wake-up is taken")


def test_poison_blocks_no_neighbour_and_ends_as_a_dead_letter(stack: Stack) -> None:
    """The queue's visibility is shortened here: on AWS the six tries take half an hour."""
    sqs, queues = stack.aws.sqs, stack.aws.stack
    others = depth(stack, queues.reports_queue_url)  # Other tests' poison may be between two of its tries.
    sqs.set_queue_attributes(QueueUrl=queues.reports_queue_url, Attributes={"VisibilityTimeout": "2"})
    try:
        urls = []
        for number in range(6):
            stack.queue(POISON)
            urls.append(f"https://www.example.com/e2e/redrive/neighbour/{number}")
            stack.queue(json.dumps({"urls": [urls[-1]]}))
        stack.until(lambda: all(state(stack, url) == "banned" for url in urls), what="the neighbours are banned")
        stack.until(lambda: depth(stack, queues.reports_dead_letters_url) == 6, what="the poison is dead", seconds=90)
        stack.until(lambda: depth(stack, queues.reports_queue_url) <= others, what="nothing of it is left", seconds=60)
    finally:
        sqs.set_queue_attributes(QueueUrl=queues.reports_queue_url, Attributes={"VisibilityTimeout": "361"})
