"""Run the official SDK against a server: reads one JSON document a line, writes one back. Needs requirements-sdk.txt.

{"do": "create", "task_name": …, "time_point": …} · {"do": "describe", "task_id": …} · {"do": "connect", "endpoint": …,
"access_key": …, "secret_key": …, "security_token": …, "signature": "acs3" | "rpc"}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from alibabacloud_cdn20180510 import models
from alibabacloud_cdn20180510.client import Client
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions
from Tea.exceptions import TeaException

RUNTIME = RuntimeOptions(autoretry=False, connect_timeout=3000, read_timeout=10_000)


def connect(given: dict[str, Any]) -> Any:
    config = Config(
        access_key_id=given["access_key"],
        access_key_secret=given["secret_key"],
        security_token=given.get("security_token") or None,
        endpoint=given["endpoint"],
        protocol="http",
    )
    if given.get("signature") == "rpc":
        config.signature_algorithm = "v2"
    return Client(config)


def perform(client: Any, given: dict[str, Any]) -> dict[str, Any]:
    if given["do"] == "create":
        request = models.CreateIllegalUrlExportTaskRequest(task_name=given["task_name"], time_point=given["time_point"])
        body = client.create_illegal_url_export_task_with_options(request, RUNTIME).body
        return {"task_id": body.task_id, "request_id": body.request_id}
    request = models.DescribeIllegalUrlExportTaskRequest(task_id=given["task_id"])
    body = client.describe_illegal_url_export_task_with_options(request, RUNTIME).body
    return {"status": body.status, "download_url": body.download_url}


def main() -> None:
    client: Any = None
    for line in sys.stdin:
        given = json.loads(line)
        try:
            if given["do"] == "connect":
                client, answer = connect(given), {}
            else:
                answer = perform(client, given)
        except TeaException as exc:
            answer = {"error": exc.code, "kind": type(exc).__name__}
        except Exception as exc:  # noqa: BLE001  (what the SDK makes of a broken connection is its own affair)
            answer = {"error": type(exc).__name__, "kind": "other"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
