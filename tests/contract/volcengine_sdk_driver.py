"""Run the official SDKs against a server: reads one JSON document a line, writes one back.

Needs requirements-sdk-volcengine.txt. {"do": "connect", "sdk": "volcengine" | "byteplus", "host": …, "access_key": …,
"secret_key": …, "security_token": …} · {"do": "submit_block_task", "body": {…}}, or another method of ``CDNService``.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def connect(given: dict[str, Any]) -> Any:
    name = {"volcengine": "volcengine", "byteplus": "byteplus_sdk"}[given["sdk"]]
    client = importlib.import_module(f"{name}.cdn.service").CDNService()
    client.set_ak(given["access_key"])
    client.set_sk(given["secret_key"])
    client.service_info.credentials.session_token = given.get("security_token", "")
    client.set_host(given["host"])
    client.set_scheme("http")
    return client


def main() -> None:
    client: Any = None
    for line in sys.stdin:
        given = json.loads(line)
        try:
            if given["do"] == "connect":
                client, answer = connect(given), {}
            else:
                answer = getattr(client, given["do"])(given["body"])
        except Exception as exc:  # noqa: BLE001  (the SDKs raise a bare Exception that holds the body)
            body = exc.args[0] if exc.args else ""
            answer = {"exception": body.decode() if isinstance(body, bytes) else str(body)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
