"""A naive implementation to compare with, written in an afternoon: no batches, no queue between the steps.

It makes one conditional PutItem for every URL and one POST to the vendor for every new one. Only its speed is measured:
a crash between the two loses the URL, and it knows neither limits nor a policy.
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
_clients: dict[str, Any] = {}


@app.on_sqs_message(queue="reports", name="ban_urls")
def ban_urls(event: SQSEvent) -> dict[str, int]:
    """Ban the URLs of a batch of queue messages."""
    if not _clients:
        _connect()
    banned = seen = refused = 0
    for record in event:
        for entry in json.loads(record.body)["urls"]:
            url = entry["url"] if isinstance(entry, dict) else entry
            try:
                item = {"pk": url, "sk": "url"}
                _clients["table"].put_item(Item=item, ConditionExpression="attribute_not_exists(pk)")
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                seen += 1
                continue
            answer = _clients["session"].post(
                f"{_clients['endpoint']}/v1.0/cdn/content/access-control-urls/ban",
                data=json.dumps({"access_control_urls": {"urls": [url], "ban_duration": 7}}),
                headers={"Content-Type": "application/json"},
                auth=_clients["auth"],
                timeout=10,
            )
            banned += answer.status_code == 200
            refused += answer.status_code != 200
    return {"banned": banned, "seen": seen, "refused": refused}


def _connect() -> None:
    _clients["table"] = boto3.resource("dynamodb").Table(os.environ["EDGEBAN_TABLE"])
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["EDGEBAN_VENDORS_SECRET"])
    account = next(iter(json.loads(secret["SecretString"]).values()))
    _clients["endpoint"] = account["endpoint"]
    _clients["auth"] = AkSkAuth(account["access_key"], account["secret_key"], clock=lambda: datetime.now(UTC))
    _clients["session"] = requests.Session()
