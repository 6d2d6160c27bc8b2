"""The reports of the benchmarks, and the events in which queues deliver them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench.local import ACCOUNT, SECRET, SOURCE, WEBHOOK
from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.urls import HostPatterns, canonical_url, host_of
from chalicelib.reports.signature import sign
from dev.feed import MANAGED, FeedRow, read_feed, sample_feed

T = TypeVar("T")

ROWS = 20_000


def rows_of(feed: str, count: int = ROWS) -> tuple[list[FeedRow], list[str]]:
    """Read ``count`` rows of a feed, or invent them; return them with the domains that must be managed for them."""
    if not feed:
        return list(sample_feed(count)), list(MANAGED)
    rows = list(read_feed(Path(feed), count))
    hosts = {host_of(url) for url in canonical(row.url for row in rows)}
    return rows, sorted(hosts)


def canonical(urls: Iterable[str]) -> Iterator[str]:
    """Yield the canonical form of each URL that has one."""
    for url in urls:
        try:
            yield canonical_url(url)
        except UnusableUrl:
            continue


def fresh_rows(rows: Sequence[FeedRow], managed: Sequence[str], count: int, *, generation: str = "") -> list[FeedRow]:
    """Make real-shaped rows of managed hosts, each with a URL of its own.

    They are a feed's rows, repeated with another query each time. Calls with different ``generation`` share no URL.
    """
    hosts = HostPatterns(managed)
    rows_by_url: dict[str, FeedRow] = {}
    for turn in itertools.count():
        mark = f"{generation}{turn}" if generation or turn else ""
        for row in rows:
            try:
                url = canonical_url(row.url)
            except UnusableUrl:
                continue
            if not hosts.covers(host_of(url)):
                continue
            if mark:
                url += ("&" if "?" in url else "?") + f"again={mark}"
            rows_by_url.setdefault(url, FeedRow(url, row.reporter, row.reported_at, row.tags))
            if len(rows_by_url) == count:
                return list(rows_by_url.values())
    raise AssertionError("unreachable")


def bodies(rows: Iterable[FeedRow], size: int) -> list[str]:
    """Make reports in the native format, with ``size`` URLs each."""
    return [
        json.dumps(
            {
                "urls": [
                    {"url": row.url, "reporter": row.reporter, "category": "phishing"} if row.reporter else row.url
                    for row in part
                ]
            }
        )
        for part in batched(rows, size)
    ]


def webhook(body: str, number: int | str) -> dict[str, Any]:
    """Make the event in which API Gateway delivers a signed report."""
    now, delivery = int(time.time()), f"bench-{number}"
    return {
        "resource": "/v1/reports/{source}",
        "path": f"/v1/reports/{WEBHOOK}",
        "httpMethod": "POST",
        "headers": {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(SECRET, delivery, now, body.encode()),
        },
        "multiValueHeaders": {"content-type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"source": WEBHOOK},
        "stageVariables": None,
        "requestContext": {"httpMethod": "POST", "resourcePath": "/v1/reports/{source}", "identity": {}},
        "body": body,
        "isBase64Encoded": False,
    }


WAKE_UP = {"Records": [{"messageId": "wake-up", "receiptHandle": "-", "body": json.dumps({"account": ACCOUNT})}]}
SCHEDULE = {
    "version": "0",
    "id": "bench",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "000000000000",
    "time": "2026-01-15T08:30:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}


def events(reports: Iterable[str], messages: int, *, start: int = 0, source: str = SOURCE) -> list[dict[str, Any]]:
    """Make SQS events of ``messages`` messages each, all by one source."""
    sent = str(int(time.time() * 1000))
    records = [
        {
            "messageId": f"bench-{start + number}",
            "receiptHandle": "-",
            "body": body,
            "attributes": {"SentTimestamp": sent, "ApproximateReceiveCount": "1"},
            "messageAttributes": {"source": {"stringValue": source, "dataType": "String"}},
            "eventSource": "aws:sqs",
        }
        for number, body in enumerate(reports)
    ]
    return [{"Records": list(part)} for part in batched(records, messages)]


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Cut into tuples of ``size``. The last one may be shorter."""
    rest = iter(items)
    while part := tuple(itertools.islice(rest, size)):
        yield part
