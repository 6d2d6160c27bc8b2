"""Bodies put into the intake bucket: S3 announces them to the reports queue, intake reads them."""

from __future__ import annotations

import json

from dev.stack import Stack


def test_a_body_put_into_the_intake_bucket_becomes_a_ban(stack: Stack) -> None:
    url = "https://www.example.com/e2e/bucket"
    stack.aws.s3.put_object(
        Bucket=stack.aws.stack.intake_bucket,
        Key="queue-demo/a report of today.json",
        Body=json.dumps({"urls": [url]}).encode(),
    )
    stack.until(lambda: stack.get("urls", url=url).status_code == 200, what="the URL of the object is known")
    stack.until(lambda: stack.vendor.edge_status(url) == 403, what="it is banned")


def test_a_body_in_another_bucket_is_not_read(stack: Stack) -> None:
    url = "https://www.example.com/e2e/other-bucket"
    stack.aws.s3.put_object(
        Bucket=stack.aws.stack.bucket, Key="queue-demo/x.json", Body=json.dumps({"urls": [url]}).encode()
    )
    s3 = {"bucket": {"name": stack.aws.stack.bucket}, "object": {"key": "queue-demo/x.json", "size": 50}}
    event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}
    stack.queue(json.dumps(event))
    stack.until(
        lambda: any("is not the intake bucket" in line for line in stack.aws.logs("intake_reports")),
        what="the message is refused",
    )
    assert stack.get("urls", url=url).status_code == 404
