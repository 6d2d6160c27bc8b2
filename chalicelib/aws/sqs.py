"""The queues: reports on their way to intake, and wake-ups for submitters."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import NotQueued

WINDOW_SECONDS = 5
"""Seconds in which all wake-ups of one account are one message. The submit queue delays messages by as long."""

BATCH = 10
"""Most messages in one SendMessageBatch, by AWS's limit."""

BATCH_BYTES = 900 * 1024
"""Most bytes in one SendMessageBatch: AWS takes 1 MiB, less room for what our count leaves out."""


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


class SubmitQueue:
    """The FIFO queue that wakes submitters: implements ``ports.Wake``."""

    def __init__(self, client: Any, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._url = url
        self._clock = clock

    def __call__(self, account: str, *, now: datetime) -> None:
        """See ``Wake``."""
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=json.dumps({"account": account}),
            MessageGroupId=account,
            # The window is the one of sending, not of the intake's beginning: the wake-up of that earlier window may be
            # consumed by now, and SQS would drop this one as its duplicate.
            MessageDeduplicationId=f"{account}-{int(max(now.timestamp(), self._clock())) // WINDOW_SECONDS}",
        )
