"""What AWS does between two functions: take messages from the queue and make events of them."""

from __future__ import annotations

import os
from typing import Any

import boto3


def receive_all(_event: object, _context: object) -> dict[str, list[Any]]:
    """Empty the queue of reports; answer events of at most ten messages."""
    sqs: Any = boto3.client("sqs")
    url = os.environ["EDGEBAN_REPORTS_QUEUE_URL"]
    events: list[Any] = []
    while True:
        found = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages", [])
        if not found:
            return {"events": events}
        events.append({"Records": [_record(message) for message in found]})
        entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(found)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


def _record(message: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        name: {"stringValue": each["StringValue"], "dataType": each["DataType"]}
        for name, each in message["MessageAttributes"].items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
    }
