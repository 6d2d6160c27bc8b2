"""Erase a reporter's personal data on request: ``make erase STAGE=prod SUBJECT=ana@example.org``.

Every row of the ledger is read once (``Scan``: about a tenth of a dollar for a million URLs) and those that name the
person are changed. The key of the person's pseudonym in the archive is deleted. The index of bans is written anew
without the person, and its former bodies are deleted. It is not folded anew from the journal: that would lose the bans
that are older than the journal, at vendors that end none by themselves. A second run changes nothing. docs/policy.md
says how long each thing is kept.

Options come from the environment: SUBJECT (the name or address as reports give it), STAGE, DRY=1 (only count),
AWS_ENDPOINT_URL for a local AWS; region and credentials as boto3 finds them.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from chalicelib.aws.dynamodb import Table
from chalicelib.aws.s3 import ViewBucket
from chalicelib.aws.wire import row_of
from chalicelib.ledger import subjects
from chalicelib.pipeline.answers.ban_index import CURRENT, Reader, write
from chalicelib.ports import Row, Views

VIEW = "bans/"
"""Where the folded views of bans stand."""

TRIES = 5
"""How often the index is written anew while ``index_bans`` writes it too, once a minute."""


def scanned(client: Any, table: str) -> Iterator[Row]:
    """Yield the rows of the ledger in which a reporter may be named."""
    pages = client.get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        FilterExpression="sk IN (:chunk, :reporters)",
        ExpressionAttributeValues={":chunk": {"S": "chunk"}, ":reporters": {"S": "reporters"}},
    )
    for page in pages:
        for item in page["Items"]:
            yield row_of(item)


def forget_in_index(views: Views, subject: str, *, now: datetime) -> tuple[int, str]:
    """Take a person out of the index of bans; return how many bans changed, and the key of the body to keep.

    Raises RuntimeError if other processes kept writing the index.
    """
    form = subjects.form_of(subject)
    for _ in range(TRIES):
        view = Reader(views).read(now)
        named = [ban for ban in view.index.bans() if subjects.form_of(ban.reporter) == form]
        if not named:
            return 0, view.body
        index = view.index.copy()
        for ban in named:
            index.put(ban._replace(reporter=subjects.ERASED))
        body = f"{VIEW}{view.place}-{secrets.token_hex(4)}.txt.gz"  # readers keep a body by its name
        if write(views, replace(view, index=index), body=body, now=now):
            return len(named), body
    raise RuntimeError("other processes kept writing the index of bans: run this again")


def delete_others(s3: Any, bucket: str, body: str) -> int:
    """Delete all bodies of the index except one; return how many were deleted."""
    deleted = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=VIEW):
        for item in page.get("Contents", []):
            if item["Key"] not in {CURRENT, body}:
                s3.delete_object(Bucket=bucket, Key=item["Key"])
                deleted += 1
    return deleted


def main() -> int:
    """Erase the person whom the environment names."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    subject, stage = os.environ.get("SUBJECT", "").strip(), os.environ.get("STAGE") or "local"
    if len(subject) < subjects.SHORTEST:
        sys.stderr.write(f"make erase: SUBJECT is a name or an address of {subjects.SHORTEST} characters or more\n")
        return 2
    local = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in {"127.0.0.1", "localhost", "::1"}
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    session: dict[str, Any] = {"region_name": "us-east-1", **keys} if local else {}
    try:
        stack = boto3.client("cloudformation", **session).describe_stack_resources(StackName=f"edgeban-{stage}")
        names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in stack["StackResources"]}
        client = boto3.client("dynamodb", **session)
        rows = scanned(client, names["Ledger"])
        if os.environ.get("DRY", "") not in {"", "0"}:
            count = sum(subjects.names(row, subject) for row in rows)
            sys.stdout.write(f"{count:,} rows name the person; nothing was changed\n")
            return 0
        changed = subjects.erase(Table(client, names["Ledger"]), rows, subject)
        s3, now = boto3.client("s3", **session), datetime.now(UTC)
        bans, body = forget_in_index(ViewBucket(s3, names["Views"]), subject, now=now)
        delete_others(s3, names["Views"], body)
    except (BotoCoreError, ClientError, RuntimeError) as error:
        sys.stderr.write(f"make erase: {error}\n")
        return 2
    sys.stdout.write(f"{changed:,} rows and {bans:,} listed bans changed, the key of the pseudonym deleted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
