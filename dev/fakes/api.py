"""The app itself in this process: its routes by ``chalice.test.Client``, with a ``World`` where AWS would be."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from chalice.test import Client, HTTPResponse, TestHTTPClient

import app as app_module
from chalicelib.aws.documents import Cached
from chalicelib.bootstrap import Services, now, services
from chalicelib.config.operators import parse as parse_operators
from chalicelib.config.policy import parse as parse_policy
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.model import VendorAccount
from chalicelib.pipeline.answers.ban_index import Reader
from chalicelib.reports.signature import sign
from dev.described import check_answer, check_csv
from dev.fakes import limits
from dev.fakes.fifo import FifoQueue
from dev.fakes.objects import MemoryObjects
from dev.fakes.world import ACCOUNT, POLICY, SECRET, World

TOKEN = "app-test-operator-token"
HUB_SECRET = "hub-secret-of-16-or-more"
BEARER = "bearer-token-of-16-or-more"
OTHER_SECRET = "whsec_" + "b3RoZXIh" * 5
UNCOUNTED = {"reports_per_minute": 0}
"""Without a limit no report is counted: what is refused leaves no row."""

SOURCES: dict[str, Any] = {
    "desk": {"auth": "standard-webhooks", "secrets": [SECRET], "category": "phishing", **UNCOUNTED},
    "other": {"auth": "standard-webhooks", "secrets": [OTHER_SECRET], "format": "native", **UNCOUNTED},
    "hub": {"auth": "hub-sha256", "secrets": [HUB_SECRET]},
    "bearer": {"auth": "bearer", "secrets": [BEARER]},
    "slow": {"auth": "bearer", "secrets": [BEARER], "reports_per_minute": 2},
    "queue": {"auth": "none", "format": "native"},
}
ONE_OF_MANY = re.compile(
    r"(?<![\d,.:/-])1 (?:URLs|bans|holds|reports|statements|others|tasks|days|hours|minutes|dead letters)\b"
)
"""Matches a plural noun after the number one ("1 bans"), which no message for people may have."""

OPERATORS = {"tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "reader"}}


def fixed(value: Any) -> Cached[Any]:
    """Return a document that never changes."""
    return Cached(lambda: ("", lambda: value), on_error=print)


@dataclass
class Api:
    """The app's HTTP side. ``world`` is what stands behind it, its clock at the real time."""

    client: Client
    services: Services
    world: World

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> HTTPResponse:
        """Ask for a path below ``/v1``."""
        full = f"/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        return self.client.http.get(full, headers=dict(headers or {}))

    def as_operator(self, path: str, **query: str) -> HTTPResponse:
        """Ask as the operator ``tester``, a reader."""
        return self.get(path, {"Authorization": f"Bearer {TOKEN}"}, **query)

    def as_source(
        self, path: str, source: str = "desk", secret: str = SECRET, at: float | None = None, **query: str
    ) -> HTTPResponse:
        """Ask as a Standard Webhooks source does."""
        return self.get(path, {"X-Edgeban-Source": source, **signed(b"", secret=secret, at=at)}, **query)

    def post(
        self, document: Any, *, source: str = "desk", headers: Mapping[str, str] | None = None, **signature: Any
    ) -> HTTPResponse:
        """Post a signed report."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        given = {"Content-Type": "application/json", **signed(body, **signature), **(headers or {})}
        return self.client.http.post(f"/v1/reports/{source}", headers=given, body=body)

    def settle(self) -> None:
        """Take what is queued, submit it and let the vendor finish."""
        while self.world.queued:
            self.world.intake()
        self.world.drain()
        self.world.clock.advance(minutes=5)
        self.world.track()


def signed(body: bytes, *, webhook_id: str = "", secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    webhook_id, stamp = webhook_id or str(uuid.uuid4()), int(time.time() if at is None else at)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(secret, webhook_id, stamp, body),
    }


def refused(answer: HTTPResponse, status: int, code: str, words: str) -> None:
    """Hold a refusal against its status, its code and words of its message."""
    assert answer.status_code == status, answer.json_body
    error = answer.json_body["error"]
    assert error.keys() == {"code", "message", "request_id"}
    assert error["code"] == code
    assert words in error["message"]


class NoDeadLetters(Services):
    """Services whose dead-letter queues are empty."""

    @property
    def dead_letters(self) -> dict[str, int]:
        """See ``Services.dead_letters``."""
        return {"reports": 0, "submit": 0}


class DescribedAPI(TestHTTPClient):
    """Chalice's client. Answers are held against the API's description and Lambda's limit.

    Their headers are those that a client gets from API Gateway, which renames some.
    """

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> HTTPResponse:
        """Send a request, as the base class does."""
        answer = super().request(method, path, headers, body)
        limits.check_function_answer(
            {"statusCode": answer.status_code, "headers": answer.headers, "body": answer.body.decode()}
        )
        assert not (wrong := ONE_OF_MANY.findall(answer.body.decode())), wrong
        if str(answer.headers.get("Content-Type", "")).startswith("text/csv"):
            check_csv(path, method, answer.status_code)
        else:
            check_answer(path, method, answer.status_code, answer.json_body)
        answer.headers = limits.through_gateway(answer.headers)
        return answer


@contextmanager
def api_over_a_world() -> Iterator[Api]:
    """Wire the app to a new world, and take the wiring away at the end."""
    services.cache_clear()
    made = services()
    made.__class__ = NoDeadLetters
    sources = parse_sources(SOURCES)
    world = World(sources=sources)
    world.clock.now = datetime.now(UTC)
    made.rows, made.reports_queue, made.wake, made.emit = world.rows, world, world.wake, world.emit
    made.settings = made.settings._replace(
        reports_queue_url="https://sqs.example.invalid/reports",
        submit_queue_url="https://sqs.example.invalid/submit.fifo",
        outcomes_queue_url="https://sqs.example.invalid/outcomes.fifo",
    )
    made.sqs, made.call_back = FifoQueue(now), world.call_back
    made._sources, made._operators = fixed(sources), fixed(parse_operators(OPERATORS))
    made._policy = Cached(lambda: (json.dumps(POLICY), lambda: parse_policy(POLICY)), on_error=print)
    account = VendorAccount(ACCOUNT, "huawei", "https://cdn.example.invalid", {})
    made.views, made.objects = world.views, MemoryObjects()
    made.bans = Reader(world.views)
    made._accounts = fixed({ACCOUNT: account})
    made._clients.keep(account, world.vendor)
    with Client(app_module.app, stage_name="local") as client:
        client._http_client = DescribedAPI(app_module.app, client._chalice_config)
        yield Api(client, made, world)
    services.cache_clear()
