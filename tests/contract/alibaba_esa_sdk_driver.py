"""Run the official SDK of ESA against a server: one JSON document a line in, one out. Needs requirements-sdk.txt.

{"endpoint": "host:port", "access_key": …, "secret_key": …, "site_id": …, "urls": […], "type": "block" | "unblock",
"max_age": 864000}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from alibabacloud_esa20240910 import models
from alibabacloud_esa20240910.client import Client
from alibabacloud_tea_openapi.models import Config


def main() -> None:
    for line in sys.stdin:
        given = json.loads(line)
        client: Any = Client(
            Config(
                access_key_id=given["access_key"],
                access_key_secret=given["secret_key"],
                endpoint=given["endpoint"],
                protocol="HTTP",
            )
        )
        request = models.BlockObjectRequest(
            site_id=int(given["site_id"]), content=given["urls"], type=given["type"], maxage=given.get("max_age")
        )
        answer: dict[str, Any]
        try:
            answer = {"task_id": client.block_object(request).body.task_id}
        except Exception as exc:  # noqa: BLE001, the SDK's errors have no common class across its releases
            answer = {"code": str(getattr(exc, "code", type(exc).__name__)), "text": str(exc)[:200]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
