"""Read the notices of holds on a local AWS, by a queue that is subscribed to their topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dev.local_aws import LocalAws


@contextmanager
def hold_notices(aws: LocalAws, told: Callable[[str], None]) -> Iterator[None]:
    """Pass every line of the messages of the holds' topic to a function, until the context ends."""
    url = aws.sqs.create_queue(QueueName=f"edgeban-{aws.stage}-hold-notices")["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    aws.sns.subscribe(
        TopicArn=aws.stack.holds_topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            for message in aws.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
                for line in message["Body"].splitlines():
                    told(f"hold notice   {line}")
                aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield
    finally:
        ended.set()
        reading.join()
