"""The abuse systems of ``make run``: one posts signed webhooks, the other puts messages into the queue."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from chalicelib.reports.signature import sign
from dev.feed import FeedRow
from dev.local_aws import LocalAws

URLS_PER_REPORT = 100
SENDERS = 2


@dataclass(slots=True)
class Sent:
    """What the senders have done so far."""

    reports: int = 0
    webhooks: int = 0
    messages: int = 0
    urls: int = 0
    refused: int = 0
    first: dict[str, datetime] = field(default_factory=dict)
    """URL as reported → when it was first sent."""
    report_id: str = ""
    problems: list[str] = field(default_factory=list)
    done: bool = False


class Senders:
    """Two abuse systems: one posts signed webhooks through API Gateway, the other puts messages into the queue."""

    def __init__(self, aws: LocalAws, rows: Sequence[FeedRow], *, secret: str) -> None:
        self._aws = aws
        self._reports = list(_grouped(rows))
        self._secret = secret
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._local = threading.local()
        self.total = len(self._reports)
        self.sent = Sent()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _send_all(self) -> None:
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(self._send, range(self.total)))
        self.sent.done = True

    def _send(self, number: int) -> None:
        if self._stop.is_set():
            return
        rows = self._reports[number]
        body = json.dumps({"urls": [_entry(row) for row in rows]}).encode()
        now = datetime.now(UTC)
        try:
            answer = self._post(f"demo-{number}", body) if number % 2 == 0 else self._queue(body)
        except (requests.RequestException, OSError) as error:
            answer = {"problem": f"report {number} was not taken: {error}"}
        with self._lock:
            if "problem" in answer:
                self.sent.problems.append(answer["problem"])
                return
            self.sent.reports += 1
            self.sent.webhooks += number % 2 == 0
            self.sent.messages += number % 2
            self.sent.urls += len(rows)
            self.sent.refused += len(answer.get("rejected", ()))
            self.sent.report_id = self.sent.report_id or answer.get("report_id", "")
            for row in rows:
                self.sent.first.setdefault(row.url, now)

    def _post(self, webhook_id: str, body: bytes) -> dict[str, Any]:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        for wait in (0.5, 1, 2, 4, 8):  # Senders of Standard Webhooks do so: the same id, a new signature.
            now = int(time.time())
            answer = self._local.session.post(
                f"{self._aws.stack.api_url}/v1/reports/demo",
                data=body,
                headers={
                    "content-type": "application/json",
                    "webhook-id": webhook_id,
                    "webhook-timestamp": str(now),
                    "webhook-signature": sign(self._secret, webhook_id, now, body),
                },
                timeout=60,
            )
            if answer.status_code < 500 and answer.status_code != 429:
                break
            self._stop.wait(wait)
        if answer.status_code != 202:
            return {"problem": f"webhook {webhook_id}: {answer.status_code} {answer.text[:300]}"}
        receipt: dict[str, Any] = answer.json()
        return receipt

    def _queue(self, body: bytes) -> dict[str, Any]:
        self._aws.sqs.send_message(
            QueueUrl=self._aws.stack.reports_queue_url,
            MessageBody=body.decode(),
            MessageAttributes={"source": {"DataType": "String", "StringValue": "queue-demo"}},
        )
        return {}


def _grouped(rows: Sequence[FeedRow]) -> Iterator[tuple[FeedRow, ...]]:
    iterator = iter(rows)
    while report := tuple(itertools.islice(iterator, URLS_PER_REPORT)):
        yield report


def _entry(row: FeedRow) -> dict[str, str]:
    entry = {"url": row.url, "reporter": row.reporter, "category": row.tags.split(" ")[0].lstrip("#")}
    with contextlib.suppress(ValueError):
        if row.reported_at:
            entry["reported_at"] = datetime.fromisoformat(row.reported_at).replace(tzinfo=UTC).isoformat()
    return {name: value for name, value in entry.items() if value}
