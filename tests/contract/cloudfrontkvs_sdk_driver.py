"""Run botocore, with awscrt, against a server: one JSON document a line in, one out. Needs requirements-sdk.txt.

{"endpoint": "http://localhost:…", "access_key": …, "secret_key": …, "arn": …, "do": "describe" | "update" | "list" |
"get", "etag": …, "puts": [["key", "value"]], "deletes": ["key"], "key": …}
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

_resolve = socket.getaddrinfo


def _loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Resolve the account's name below localhost: the SDK puts it in front of the endpoint's host."""
    return _resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)


def perform(client: Any, given: dict[str, Any]) -> dict[str, Any]:
    arn = given["arn"]
    if given["do"] == "describe":
        answer = client.describe_key_value_store(KvsARN=arn)
        return {"etag": answer["ETag"], "count": answer["ItemCount"]}
    if given["do"] == "update":
        puts = [{"Key": key, "Value": value} for key, value in given.get("puts", [])]
        deletes = [{"Key": key} for key in given.get("deletes", [])]
        answer = client.update_keys(KvsARN=arn, IfMatch=given["etag"], Puts=puts, Deletes=deletes)
        return {"etag": answer["ETag"], "count": answer["ItemCount"]}
    if given["do"] == "get":
        return {"value": client.get_key(KvsARN=arn, Key=given["key"])["Value"]}
    pages = client.get_paginator("list_keys").paginate(KvsARN=arn, MaxResults=2)
    return {"keys": [item["Key"] for page in pages for item in page.get("Items", [])]}


def main() -> None:
    socket.getaddrinfo = _loopback
    for line in sys.stdin:
        given = json.loads(line)
        client = botocore.session.Session().create_client(
            "cloudfront-keyvaluestore",
            region_name="us-east-1",
            endpoint_url=given["endpoint"],
            aws_access_key_id=given["access_key"],
            aws_secret_access_key=given["secret_key"],
            config=Config(retries={"max_attempts": 0}),
        )
        try:
            answer = perform(client, given)
        except ClientError as exc:
            answer = {"code": exc.response["Error"]["Code"]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
