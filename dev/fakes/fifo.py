"""A FIFO queue in memory, as a client of SQS shows it, and as Lambda polls it: groups, duplicates, visibility."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from dev.fakes import rights
from dev.fakes.limits import refusal

RESOURCES = {"reports": "ReportsQueue", "submit.fifo": "SubmitQueue", "outcomes.fifo": "OutcomesQueue"}
"""The queue's resource in the template, by the end of its URL."""

DUPLICATES = timedelta(minutes=5)
"""How long SQS drops messages with the id of an accepted one."""


@dataclass(slots=True)
class Message:
    """A message, and until when it is invisible."""

    id: str
    group: str
    body: str
    visible_at: datetime
    receipt: str = ""
    receives: int = 0


@dataclass
class FifoQueue:
    """One queue, whatever its URL. ``delay`` and ``visibility`` are in seconds, as the template states them."""

    clock: Callable[[], datetime]
    delay: float = 0
    visibility: float = 190
    messages: list[Message] = field(default_factory=list)
    accepted: dict[str, datetime] = field(default_factory=dict)
    sent: int = 0

    # --- for the functions ----------------------------------------------------------------------------------

    def send_message(self, **request: Any) -> dict[str, Any]:
        """Accept a message, unless its id was accepted in the last five minutes."""
        now, identity = self.clock(), request["MessageDeduplicationId"]
        if identity in self.accepted and now - self.accepted[identity] < DUPLICATES:
            return {}
        self.accepted[identity] = now
        self.sent += 1
        visible_at = now + timedelta(seconds=self.delay)
        self.messages.append(
            Message(f"message-{self.sent}", request["MessageGroupId"], request["MessageBody"], visible_at)
        )
        return {}

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        """Change how long a received message stays invisible. Raises ClientError if it is not invisible any more."""
        rights.note("sqs:ChangeMessageVisibility", RESOURCES[request["QueueUrl"].rpartition("/")[2]])
        message = self._held("ChangeMessageVisibility", request["ReceiptHandle"])
        message.visible_at = self.clock() + timedelta(seconds=request["VisibilityTimeout"])
        return {}

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        """Change it for up to ten messages. The answer names those that are visible again."""
        failed = []
        for entry in request["Entries"]:
            try:
                self.change_message_visibility(QueueUrl=request["QueueUrl"], **entry)
            except ClientError as error:
                failed.append({"Id": entry["Id"], "Code": error.response["Error"]["Code"]})
        return {"Failed": failed}

    # --- for Lambda -----------------------------------------------------------------------------------------

    def receive(self) -> dict[str, Any] | None:
        """Deliver the first message whose group has none under way, as a record of a function's event."""
        now, busy = self.clock(), set()
        for message in self.messages:
            if message.group not in busy and message.visible_at <= now:
                message.receives += 1
                message.receipt = f"{message.id}-{message.receives}"
                message.visible_at = now + timedelta(seconds=self.visibility)
                return {
                    "messageId": message.id,
                    "receiptHandle": message.receipt,
                    "body": message.body,
                    "attributes": {"ApproximateReceiveCount": str(message.receives)},
                }
            busy.add(message.group)
        return None

    def answered(self, record: dict[str, Any], answer: dict[str, Any]) -> None:
        """Do what Lambda does with a function's answer: delete the message, unless it is reported as failed."""
        if {"itemIdentifier": record["messageId"]} in answer["batchItemFailures"]:
            return
        self.messages.remove(self._held("DeleteMessage", record["receiptHandle"]))

    def _held(self, operation: str, receipt: str) -> Message:
        for message in self.messages:
            if message.receipt == receipt and message.visible_at > self.clock():
                return message
        raise refusal(operation, "the receipt handle has expired", code="InvalidParameterValue")
