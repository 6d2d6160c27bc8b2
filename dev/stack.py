"""Use a deployed stack in end-to-end tests: the packaged app on a local AWS, and the vendor's simulator."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from chalicelib.aws.dynamodb import Table
from chalicelib.reports.signature import sign
from dev.local_aws import FunctionBusy, LocalAws
from dev.simulators.huawei import HuaweiSimulator

ACCOUNT = "huawei-main"
TOKEN = "e2e-operator-token-0123456789"
APPROVER_TOKEN = "e2e-approver-token-012345678"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
MANAGED = ["example.com", "*.example.com"]


@dataclass(frozen=True)
class Stack:
    """The deployed stack, and what the tests do with it."""

    aws: LocalAws
    vendor: HuaweiSimulator
    table: Table
    http: requests.Session = field(default_factory=requests.Session)

    @property
    def api(self) -> str:
        """The base URL of the API."""
        return f"{self.aws.stack.api_url}/v1"

    def report(
        self, urls: Sequence[object], *, webhook_id: str = "", source: str = "demo", **fields: object
    ) -> requests.Response:
        """Post a signed report, as an abuse system does."""
        return self.post(json.dumps({"urls": urls, **fields}).encode(), webhook_id=webhook_id, source=source)

    def post(
        self, body: bytes, *, webhook_id: str = "", source: str = "demo", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Post a signed body. ``headers`` replace headers of the signature."""
        webhook_id, now = webhook_id or str(uuid.uuid4()), int(time.time())
        signed = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(WEBHOOK_SECRET, webhook_id, now, body),
        }
        return self.http.post(
            f"{self.api}/reports/{source}", data=body, headers={**signed, **(headers or {})}, timeout=60
        )

    def queue(self, body: str, *, source: str = "queue-demo") -> None:
        """Put a message into the reports queue, as a producer does."""
        self.aws.sqs.send_message(
            QueueUrl=self.aws.stack.reports_queue_url,
            MessageBody=body,
            MessageAttributes={"source": {"DataType": "String", "StringValue": source}},
        )

    def get(self, path: str, *, token: str = TOKEN, **query: str) -> requests.Response:
        """Ask the API, as an operator does."""
        return self.http.get(
            f"{self.api}/{path}", params=query, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def ask(self, path: str, *, token: str = TOKEN, **fields: object) -> requests.Response:
        """Post to the API, as an operator does."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.post(f"{self.api}/{path}", json=fields, headers=headers, timeout=60)

    def tick(self) -> None:
        """Let the scheduled functions run now; one that runs already is left alone."""
        for function in ("track_tasks", "sweep"):
            try:
                self.aws.invoke(function)
            except FunctionBusy:
                continue

    def until(self, holds: Callable[[], Any], *, seconds: float = 60, what: str = "") -> Any:
        """Tick until ``ask`` returns something true, and return it. Fails after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not so within {seconds:.0f} s: {what or holds}")
            self.tick()
            time.sleep(0.5)
        return found
