"""The reports that benchmarks use, and the events in which queues deliver them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench.local import SOURCE
from chalicelib.domain.urls import UnusableUrl, canonical_url, host_of
from dev.feed import MANAGED, FeedRow, read_feed, sample_feed

T = TypeVar("T")

ROWS = 20_000


def rows_of(feed: str, count: int = ROWS) -> tuple[list[FeedRow], list[str]]:
    """Read so many rows of a feed, or make them up; and name the domains that are to be managed for them."""
    if not feed:
        return list(sample_feed(count)), list(MANAGED)
    rows = list(read_feed(Path(feed), count))
    hosts = {host_of(url) for url in canonical(row.url for row in rows)}
    return rows, sorted(hosts)


def canonical(urls: Iterable[str]) -> Iterator[str]:
    """The canonical form of each URL that has one."""
    for url in urls:
        try:
            yield canonical_url(url)
        except UnusableUrl:
            continue


def fresh_urls(rows: Sequence[FeedRow], count: int, *, generation: str = "") -> list[FeedRow]:
    """Real-shaped rows no two of which are the same URL: those of the feed, again and again with another query."""
    found: dict[str, FeedRow] = {}
    for turn in itertools.count():
        for row in rows:
            mark = f"{generation}{turn}" if generation or turn else ""
            url = row.url + ("&" if "?" in row.url else "?") + f"again={mark}" if mark else row.url
            try:
                found.setdefault(canonical_url(url), FeedRow(url, row.reporter, row.reported_at, row.tags))
            except UnusableUrl:
                continue
            if len(found) == count:
                return list(found.values())
    raise AssertionError("unreachable")


def bodies(rows: Iterable[FeedRow], size: int) -> list[str]:
    """Reports in the native format, with ``size`` URLs each."""
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


def events(reports: Iterable[str], messages: int, *, start: int = 0) -> list[dict[str, Any]]:
    """SQS events of so many messages each."""
    sent = str(int(time.time() * 1000))
    records = [
        {
            "messageId": f"bench-{start + number}",
            "receiptHandle": "-",
            "body": body,
            "attributes": {"SentTimestamp": sent, "ApproximateReceiveCount": "1"},
            "messageAttributes": {"source": {"stringValue": SOURCE, "dataType": "String"}},
            "eventSource": "aws:sqs",
        }
        for number, body in enumerate(reports)
    ]
    return [{"Records": list(part)} for part in batched(records, messages)]


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Cut into tuples of ``size``, the last one perhaps shorter."""
    rest = iter(items)
    while part := tuple(itertools.islice(rest, size)):
        yield part
