"""What one writes in an afternoon with Chalice and boto3, to compare with: no batches, no queue between the steps.

For every URL one conditional PutItem, and for every URL that was new one POST to the vendor. It is measured only for
its speed: it loses what it has put and then not posted, knows no limits and bans whatever it is told to.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import boto3
import requests
from botocore.exceptions import ClientError
from chalice.app import Chalice, SQSEvent

from chalicelib.vendors.huawei.auth import AkSkAuth

app = Chalice(app_name="naive", configure_logs=False)
_made: dict[str, Any] = {}


@app.on_sqs_message(queue="reports", name="ban_urls")
def ban_urls(event: SQSEvent) -> dict[str, int]:
    """Ban the URLs of a batch of queue messages."""
    if not _made:
        _connect()
    banned = seen = refused = 0
    for record in event:
        for entry in json.loads(record.body)["urls"]:
            url = entry["url"] if isinstance(entry, dict) else entry
            try:
                _made["table"].put_item(Item={"pk": url, "sk": "url"}, ConditionExpression="attribute_not_exists(pk)")
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                seen += 1
                continue
            answer = _made["session"].post(
                f"{_made['endpoint']}/v1.0/cdn/content/access-control-urls/ban",
                data=json.dumps({"access_control_urls": {"urls": [url], "ban_duration": 7}}),
                headers={"Content-Type": "application/json"},
                auth=_made["auth"],
                timeout=10,
            )
            banned += answer.status_code == 200
            refused += answer.status_code != 200
    return {"banned": banned, "seen": seen, "refused": refused}


def _connect() -> None:
    _made["table"] = boto3.resource("dynamodb").Table(os.environ["EDGEBAN_TABLE"])
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["EDGEBAN_VENDORS_SECRET"])
    account = next(iter(json.loads(secret["SecretString"]).values()))
    _made["endpoint"] = account["endpoint"]
    _made["auth"] = AkSkAuth(account["access_key"], account["secret_key"], clock=lambda: datetime.now(UTC))
    _made["session"] = requests.Session()
