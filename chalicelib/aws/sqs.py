"""The queues: reports on their way to intake, and wake-ups for submitters, trackers and callbacks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import NotQueued
from chalicelib.ports import Emit

HOLD_SECONDS = 10
"""A dead invocation's message is delivered again so many seconds after its last beat."""

MOST_HOPS = 10
"""The most wake-ups in a row, each sent by the invocation of the one before. Lambda stops such a chain at 16. So after
these the schedules send the next wake-up, which begins a new chain."""

BEAT_SECONDS = 3
"""Seconds between two beats: two may be missed."""

BATCH = 10
"""The most messages in one SendMessageBatch, by AWS's limit."""

BATCH_BYTES = 900 * 1024
"""The most bytes in one SendMessageBatch: AWS takes 1 MiB; the rest is room for bytes that we do not count."""


REPORTS = 1_000
"""How many reports one message about outcomes names: some 30 KB, which SQS counts as one request."""


class Queue:
    """The queue of reports: implements ``ports.ReportQueue``."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """See ``ReportQueue.send``."""
        for part in cut(messages, count=BATCH, size=BATCH_BYTES, size_of=_size_of):
            self._send(
                [
                    {
                        "Id": str(index),
                        "MessageBody": body,
                        "MessageAttributes": {
                            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                        },
                    }
                    for index, (body, attributes) in enumerate(part)
                ]
            )

    def _send(self, entries: list[dict[str, Any]]) -> None:
        answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        failed = answer.get("Failed")
        if failed:
            raise NotQueued(f"SQS refused {len(failed)} of {len(entries)} messages: {failed[0].get('Code')}")


def _size_of(message: tuple[str, Mapping[str, str]]) -> int:
    """Return a message's bytes, with room for its attributes."""
    return len(message[0].encode()) + 1_024


SOON = (2, 10, 60)
"""Seconds until a message is delivered again after it was received once, twice, three times. After that the queue's own
visibility counts: a failure that lasts longer than a minute or two is an outage, and must not use up the receives."""


def deliver_soon(client: Any, url: str, records: Sequence[Mapping[str, Any]], *, emit: Emit) -> None:
    """Have SQS deliver an invocation's messages again soon. If this fails, they come after the queue's visibility."""
    from botocore.exceptions import BotoCoreError, ClientError

    entries = []
    for index, record in enumerate(records):
        receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
        if receives <= len(SOON):
            receipt, seconds = record["receiptHandle"], SOON[receives - 1]
            entries.append({"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": seconds})
    for part in cut(entries, count=BATCH, size=BATCH_BYTES, size_of=lambda _: 1):
        try:
            failed = client.change_message_visibility_batch(QueueUrl=url, Entries=part).get("Failed", [])
        except (BotoCoreError, ClientError) as error:
            emit("messages_not_given_back", messages=len(part), kind=type(error).__name__, problem=str(error)[:300])
            return
        if failed:
            emit("messages_not_given_back", messages=len(failed), kind=failed[0].get("Code"), problem="refused by SQS")


class WakeQueue:
    """A FIFO queue of wake-ups, one group for each account or source: implements ``ports.Wake``."""

    def __init__(self, client: Any, url: str, *, hops: Callable[[], int] = int) -> None:
        """``hops`` is how many wake-ups, each sent by the one before, led to this invocation."""
        self._client = client
        self._url = url
        self._hops = hops
        self._sent: dict[str, str] = {}
        """The last mark that this process sent to each group: SQS would drop a second one."""

    def __call__(self, group: str, *, mark: str) -> None:
        """See ``Wake``."""
        if self._sent.get(group) == mark or self._hops() >= MOST_HOPS:
            return
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=json.dumps({"account": group, "hops": self._hops() + 1}),
            MessageGroupId=group,
            MessageDeduplicationId=f"{group}-{mark}",
        )
        self._sent[group] = mark


class OutcomesQueue:
    """The FIFO queue of reports that may have ended: implements ``ports.CallBack``.

    It has one group for each source. So a slow receiver keeps no other source waiting, and no report of a source is
    looked at twice at the same time.
    """

    def __init__(self, client: Any, url: str, *, emit: Emit) -> None:
        self._client, self._url, self._emit = client, url, emit

    def __call__(self, source: str, reports: Sequence[str], *, mark: str) -> None:
        """See ``CallBack``."""
        from botocore.exceptions import BotoCoreError, ClientError

        group = hashlib.sha256(source.encode()).hexdigest()[:32]  # SQS does not take every source's name as a group
        for number, part in enumerate(cut(reports, count=REPORTS)):
            try:
                self._client.send_message(
                    QueueUrl=self._url,
                    MessageBody=json.dumps({"source": source, "reports": part}),
                    MessageGroupId=group,
                    MessageDeduplicationId=hashlib.sha256(f"{group}|{mark}|{number}".encode()).hexdigest(),
                )
            except (BotoCoreError, ClientError) as error:
                self._emit("call_back_left_to_sweep", source=source, reports=len(part), problem=str(error)[:300])


class HeldMessage:
    """The message that an invocation works on. It stays invisible only while the work goes on.

    SQS delivers it again ``HOLD_SECONDS`` after the last beat, and delivers no other message of its group until then.
    So if an invocation dies, another one takes over within seconds. If an invocation ends well, Lambda deletes the
    message. If it fails, or reports the message as failed, Lambda leaves the message's visibility as it is.
    """

    def __init__(
        self, client: Any, url: str, record: Mapping[str, Any], *, emit: Emit, clock: Callable[[], float] = time.time
    ) -> None:
        """``record`` is the message as the invocation's event has it."""
        self._client, self._url, self._clock, self._emit = client, url, clock, emit
        self._receipt = str(record["receiptHandle"])
        body = json.loads(record["body"])
        self.id = str(record["messageId"])
        self.account = str(body["account"])
        self.hops = int(body.get("hops", 1))
        self.receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
        self._beat_at = float("-inf")

    def beat(self) -> None:
        """Keep the message invisible for ``HOLD_SECONDS`` more, at most once in ``BEAT_SECONDS``."""
        now = self._clock()
        if now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            self._show_after(HOLD_SECONDS)

    def give_back(self, seconds: int = 0) -> dict[str, Any]:
        """Have SQS deliver the message again after some seconds; return the invocation's answer to Lambda."""
        self._show_after(seconds)
        return {"batchItemFailures": [{"itemIdentifier": self.id}]}

    def _show_after(self, seconds: int) -> None:
        """Change the visibility. A failure is only emitted: another invocation has the message, or SQS is away."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=self._receipt, VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as error:
            self._emit("wake_up_not_held", kind=type(error).__name__, problem=str(error)[:300])


def length(client: Any, url: str) -> int:
    """Return about how many messages lie in a queue, also those that are being read."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)
