"""One hostile message of each kind among a thousand honest ones: the thousand are taken (I12)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dev.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

HONEST = [f"https://h{number % 10}.example.com/neighbour/{number}" for number in range(1_000)]
"""URLs on ten hosts, since the policy holds those above 200 bans of a host in an hour."""


def late_duplicate(size: int) -> str:
    keys = ",".join(f'"k{number}":1' for number in range(size))
    return f'{{"urls":[{{{keys},"k{size - 1}":1}}]}}'


def pattern(text: str) -> str:
    return json.dumps({"type": "indicator", "id": "indicator--1", "pattern": f"[url:value = {text}"})


def s3_event(key: str, size: int) -> str:
    s3 = {"bucket": {"name": "not-ours"}, "object": {"key": key, "size": size}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})


HOSTILE = {
    "R14, a late duplicate key": (late_duplicate(14_000), {}),
    "R14, a pattern of many lists": (pattern("a:b IN(1)OR " * 15_000), {"format": "stix"}),
    "R15, a negative size": (s3_event("queue-demo/a.json", -1), {}),
    "R15, another source's prefix": (s3_event("demo/a.json", 0), {}),
    "R17, thousands of refused URLs": (
        json.dumps({"urls": [f"https://www.example.org/{n}/{'e' * 8}" for n in range(4_000)]}),
        {},
    ),
    "an event with a value that is no JSON": (
        '{"detail-type": "Report", "source": "queue-demo", "detail": {"urls": [NaN]}}',
        {},
    ),
}


def message(number: int, body: str, attributes: dict[str, str]) -> SendMessageBatchRequestEntryTypeDef:
    given = {"source": "queue-demo", **attributes}
    return {
        "Id": str(number),
        "MessageBody": body,
        "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in given.items()},
    }


def test_one_hostile_message_of_each_kind_among_a_thousand_honest_ones_harms_none(stack: Stack) -> None:
    messages = [(json.dumps({"urls": [url]}), dict[str, str]()) for url in HONEST]
    for place, hostile in zip(range(50, 1_000, 150), HOSTILE.values(), strict=False):
        messages.insert(place, hostile)
    again = stack.report([HONEST[0], *(f"https://www.example.org/{n}" for n in range(500))], webhook_id="e2e-r16")
    assert again.status_code == 202
    entries = [message(number, *each) for number, each in enumerate(messages)]
    queue = stack.aws.stack.reports_queue_url
    small = [each for each in entries if len(each["MessageBody"]) < 1_000]
    for start in range(0, len(small), 10):
        stack.aws.sqs.send_message_batch(QueueUrl=queue, Entries=small[start : start + 10])
    for large in [each for each in entries if len(each["MessageBody"]) >= 1_000]:
        stack.aws.sqs.send_message_batch(QueueUrl=queue, Entries=[large])
    for _ in range(20):  # R16: the same report again and again under one id
        same = [HONEST[0], *(f"https://www.example.org/{n}" for n in range(500))]
        assert stack.report(same, webhook_id="e2e-r16").status_code == 202

    def banned() -> bool:
        return all(stack.vendor.edge_status(url) == 403 for url in HONEST)

    stack.until(banned, seconds=240, what="all honest URLs are banned")
    rows = stack.table.query(f"report#{again.json()['report_id']}")
    assert len(rows) <= 4, "rows of a report do not grow with its repetitions"
    refused = {"urls": [f"https://www.example.org/{n}/{'é' * 180}" for n in range(9_700)]}  # R17
    answer = stack.post(json.dumps(refused, ensure_ascii=False).encode())
    assert (answer.status_code, answer.json()["rejected_left_out"] > 0) == (202, True)
