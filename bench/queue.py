"""Do what AWS does between two functions: take messages from the queue and make events of them."""

from __future__ import annotations

import os
from typing import Any

import boto3


def receive_all(_event: object, _context: object) -> dict[str, list[Any]]:
    """Empty the queue of reports; return events of at most ten messages."""
    sqs: Any = boto3.client("sqs")
    url = os.environ["EDGEBAN_REPORTS_QUEUE_URL"]
    events: list[Any] = []
    while True:
        messages = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages", [])
        if not messages:
            return {"events": events}
        events.append({"Records": [_record(message) for message in messages]})
        entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


def _record(message: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        name: {"stringValue": attribute["StringValue"], "dataType": attribute["DataType"]}
        for name, attribute in message["MessageAttributes"].items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
    }
