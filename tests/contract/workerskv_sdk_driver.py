"""Run the official SDK against a server: reads one JSON document a line, writes one back. Needs requirements-sdk.txt.

{"do": "connect", "endpoint": …, "api_token": …, "account_id": …, "namespace_id": …} · {"do": "write", "pairs": [{"key":
…, "value": …, "expiration": …}]} · {"do": "delete" | "read", "keys": […]} · {"do": "list"}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cloudflare import APIStatusError, Cloudflare


class Sdk:
    """The vendor's client of one namespace."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.client: Any = Cloudflare(api_token=given["api_token"], base_url=given["endpoint"], max_retries=0)
        self.where = {"account_id": given["account_id"], "namespace_id": given["namespace_id"]}

    def perform(self, given: dict[str, Any]) -> dict[str, Any]:
        namespaces = self.client.kv.namespaces
        if given["do"] == "write":
            return _changed(namespaces.bulk_update(body=given["pairs"], **self.where))
        if given["do"] == "delete":
            return _changed(namespaces.bulk_delete(body=given["keys"], **self.where))
        if given["do"] == "read":
            return {"values": namespaces.bulk_get(keys=given["keys"], **self.where).values}
        return {"keys": [[key.name, key.expiration] for key in namespaces.keys.list(limit=10, **self.where)]}


def _changed(result: Any) -> dict[str, Any]:
    return {"successful": result.successful_key_count, "unsuccessful": result.unsuccessful_keys}


def main() -> None:
    sdk: Sdk | None = None
    for line in sys.stdin:
        given = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if given["do"] == "connect":
                sdk = Sdk(given)
            elif sdk is not None:
                answer = sdk.perform(given)
        except APIStatusError as exc:
            answer = {"status": exc.status_code, "codes": [error.code for error in exc.errors]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
