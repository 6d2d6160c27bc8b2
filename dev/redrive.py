"""Move dead letters back to the queue they came from: ``make redrive``.

It receives, sends, then deletes. A crash in between leaves a message in both queues, and a report that is taken twice
has no second effect. Bodies and message attributes are kept, and with them a webhook's report_id. On AWS the console's
"Start DLQ redrive" (StartMessageMoveTask) does the same. This works on any endpoint, shows what it moves, and leaves
the messages in which no parser reads a URL: they would only die again.

Options come from the environment: QUEUE (``reports`` or ``submit``, default ``reports``), STAGE, LIMIT (messages at the
most), DRY=1 (only look), ALL=1 (also what no parser reads), AWS_ENDPOINT_URL for a local AWS; region and credentials as
boto3 finds them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chalicelib.domain.errors import InputError, UnusableUrl
from chalicelib.domain.urls import canonical_url, refang
from chalicelib.reports import PARSERS, ParserOptions
from chalicelib.reports.envelope import unwrap

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
HOLD_SECONDS = 120
"""How long a message that was received here stays hidden from others: longer than moving it takes."""

QUEUES = {
    "reports": ("edgeban-{stage}-reports-dead-letters", "edgeban-{stage}-reports"),
    "submit": ("edgeban-{stage}-submit-dead-letters.fifo", "edgeban-{stage}-submit.fifo"),
}
"""Dead letters, and where they came from."""

SENT_FIELDS = {"DataType", "StringValue", "BinaryValue"}
"""Fields of a received attribute that a message is sent with."""


@dataclass(slots=True)
class Redriven:
    """How many messages were moved, and how many stayed where they were."""

    moved: int = 0
    kept: int = 0


def redrive(
    sqs: SQSClient,
    dead_letters_url: str,
    queue_url: str,
    *,
    limit: int = 0,
    take: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    say: Callable[[str], None] = lambda _: None,
) -> Redriven:
    """Move messages until the queue is empty, or ``limit`` messages (0: all). ``take`` says which are moved."""
    done = Redriven()
    kept: dict[str, str] = {}
    while not limit or done.moved < limit:
        most = min(BATCH, limit - done.moved) if limit else BATCH
        received = sqs.receive_message(
            QueueUrl=dead_letters_url,
            MaxNumberOfMessages=most,
            VisibilityTimeout=HOLD_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if not received:
            break
        for message in received:
            if not take(message):
                done.kept += 1
                kept[message["MessageId"]] = message["ReceiptHandle"]
                continue
            sqs.send_message(QueueUrl=queue_url, **_same(message, queue_url))
            sqs.delete_message(QueueUrl=dead_letters_url, ReceiptHandle=message["ReceiptHandle"])
            done.moved += 1
        say(f"{done.moved:,} moved, {done.kept:,} left")
    for handle in kept.values():  # Make it visible again at once.
        sqs.change_message_visibility(QueueUrl=dead_letters_url, ReceiptHandle=handle, VisibilityTimeout=0)
    return done


def _same(message: Mapping[str, Any], queue_url: str) -> dict[str, Any]:
    """Return the arguments that send a received message again, unchanged."""
    same: dict[str, Any] = {"MessageBody": message["Body"]}
    attributes = {
        name: {field: value for field, value in attribute.items() if field in SENT_FIELDS}
        for name, attribute in message.get("MessageAttributes", {}).items()
    }
    if attributes:
        same["MessageAttributes"] = attributes
    if queue_url.endswith(".fifo"):
        same["MessageGroupId"] = message["Attributes"]["MessageGroupId"]
        # The old id would not do: within five minutes of the first sending, SQS drops it.
        same["MessageDeduplicationId"] = hashlib.sha256(message["ReceiptHandle"].encode()).hexdigest()
    return same


def readable(message: Mapping[str, Any]) -> bool:
    """Return whether a format reads a URL in a message, or the message names an object that holds the report."""
    attributes = {
        name: str(attribute.get("StringValue", "")) for name, attribute in message.get("MessageAttributes", {}).items()
    }
    try:
        unwrapped = unwrap(message["Body"], attributes)
    except InputError:
        return False
    if unwrapped.objects or unwrapped.nothing:
        return True
    named = (unwrapped.attributes or {}).get("format", "")
    return any(_names_a_url(unwrapped.body, name) for name in ([named] if named in PARSERS else PARSERS))


def _names_a_url(body: bytes, format_name: str) -> bool:
    try:
        urls = PARSERS[format_name](body, ParserOptions(max_urls=100_000)).urls
    except InputError:
        return False
    for reported in urls:
        with suppress(UnusableUrl):
            return bool(canonical_url(refang(reported.url)))
    return False


def main() -> int:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    name, stage = os.environ.get("QUEUE") or "reports", os.environ.get("STAGE") or "local"
    limit, dry = os.environ.get("LIMIT") or "0", os.environ.get("DRY", "") not in {"", "0"}
    if name not in QUEUES or not limit.isdigit():
        sys.stderr.write(f"make redrive: QUEUE is one of {', '.join(QUEUES)}, LIMIT a number of messages\n")
        return 2
    dead_letters, queue = (queue_name.format(stage=stage) for queue_name in QUEUES[name])
    try:
        sqs = boto3.client("sqs", **_local())
        dead_letters_url = sqs.get_queue_url(QueueName=dead_letters)["QueueUrl"]
        queue_url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        everything = name == "submit" or os.environ.get("ALL", "") not in {"", "0"}

        def take(message: Mapping[str, Any]) -> bool:
            fit = everything or readable(message)
            _show(message, fit=fit)
            return fit and not dry

        done = redrive(sqs, dead_letters_url, queue_url, limit=int(limit), take=take, say=_say)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"make redrive: {error}\n")
        return 2
    _say(f"{dead_letters} -> {queue}: {done.moved:,} moved, {done.kept:,} left where they are")
    return 0


def _local() -> dict[str, Any]:
    """Return the client arguments for a local AWS, which accepts any credentials."""
    here = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in {"127.0.0.1", "localhost", "::1"}
    return {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"} if here else {}


def _show(message: Mapping[str, Any], *, fit: bool) -> None:
    source = message.get("MessageAttributes", {}).get("source", {}).get("StringValue", "-")
    received = message.get("Attributes", {}).get("ApproximateReceiveCount", "-")
    line = f"{message['MessageId']}  source {source}, {len(message['Body']):,} characters, received {received} times"
    _say(line if fit else f"{line}; no format reads it")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
