"""What a seed reports: which URLs, in which deliveries, on which way, and by what mark one knows how they must end."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dev.feed import FeedRow, sample_feed

REFUSED = "/refused-by-the-vendor/"
"""A URL with this in it: the vendor refuses every call that holds it."""

FAILING = "/failing-at-the-vendor/"
"""A URL with this in it: the vendor takes it, and its task fails."""

ENDING = "/ends-soon/"
"""A URL with this in it stands in one delivery alone; a person gives its ban an end within the run."""

FORGED = "/forged/"
"""A URL with this in it was only ever in reports that nobody signed rightly."""

POISON = (
    "{this is no report",
    "",
    '{"urls": "none"}',
    "\u0000",
    '{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}}]}',
)
"""Messages that no parser takes. (SQS takes no empty one and no NUL: those are left out.)"""


class Way(StrEnum):
    """How a delivery comes in."""

    WEBHOOK = "webhook"
    MESSAGE = "message"
    OBJECT = "object"
    FORGED = "forged webhook"
    POISON = "poison message"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One report. ``times``: how often it is delivered, each time whole and the same."""

    number: int
    way: Way
    urls: tuple[str, ...]
    body: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a run holds. ``seconds``: how long things break at least, with the outage among them."""

    name: str
    reports: int
    deliveries: int
    seconds: float
    outage: float
    unbans: int = 12
    """URLs that a person unbans meanwhile, wherever they are on their way."""
    ends: int = 6
    """URLs whose bans a person gives an end within the run."""


BOUNDED = Scale("bounded", reports=3_000, deliveries=80, seconds=30, outage=8)
LONG = Scale("long", reports=24_000, deliveries=600, seconds=210, outage=120, unbans=80, ends=40)
SMALL = Scale("small", reports=300, deliveries=24, seconds=15, outage=4, unbans=5, ends=3)
"""With all vendors, in the form for every change: each URL becomes six claims."""
EVERY = Scale("every vendor", reports=1_500, deliveries=100, seconds=90, outage=20, unbans=30, ends=15)
"""With all vendors, for long: two of them take 3,000 URLs a day, of which edgeban keeps a tenth back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a seed sends: ``first`` before anything breaks, the others meanwhile."""

    seed: int
    scale: Scale
    first: Delivery
    deliveries: list[Delivery] = field(default_factory=list)


def make_plan(seed: int, scale: Scale) -> Plan:
    """Draw the deliveries of a seed."""
    dice = random.Random(f"plan {seed}")
    rows = list(sample_feed(scale.reports, seed))
    for number in range(4):
        rows[dice.randrange(len(rows) * 3 // 4)] = FeedRow(f"https://www.example.com{REFUSED}{seed}-{number}")
    # Few others beside the one that fails: halving them down to it takes a round of the submitter each time.
    first = [FeedRow(f"https://www.example.com{FAILING}{seed}"), *rows[:6]]
    for number in range(scale.ends):
        rows.insert(dice.randrange(len(rows) // 2), FeedRow(f"https://www.example.com{ENDING}{seed}-{number}"))
    plan = Plan(seed, scale, first=_delivery(0, Way.MESSAGE, first))
    for number, part in enumerate(_parts(dice, rows, scale.deliveries)):
        way = dice.choices((Way.WEBHOOK, Way.MESSAGE, Way.OBJECT), weights=(9, 9, 2))[0]
        times = dice.choices((1, 2, 3), weights=(85, 12, 3))[0]
        if any(ENDING in row.url for row in part):
            times = 1  # A second report could extend a ban after a person set its end.
        plan.deliveries.append(_delivery(number + 1, way, part, times))
    for number in range(8):
        url = f"https://www.example.com{FORGED}{seed}-{number}"
        plan.deliveries.append(Delivery(-1 - number, Way.FORGED, (url,), json.dumps({"urls": [url]})))
    for number, text in enumerate(text for text in POISON if text.strip("\0")):
        plan.deliveries.append(Delivery(-101 - number, Way.POISON, (), text))
    dice.shuffle(plan.deliveries)
    return plan


def _delivery(number: int, way: Way, rows: Sequence[FeedRow], times: int = 1) -> Delivery:
    body = json.dumps({"urls": [_entry(row) for row in rows]}, ensure_ascii=bool(number % 2))
    return Delivery(number, way, tuple(row.url for row in rows), body, times)


def _parts(dice: random.Random, rows: Sequence[FeedRow], count: int) -> Iterator[Sequence[FeedRow]]:
    """Cut into about ``count`` parts: many small ones, and some ten times as large."""
    mean = len(rows) / count
    at = 0
    while at < len(rows):
        size = max(1, round(dice.choice((0.2, 0.4, 0.6, 0.8, 1, 3)) * mean))
        yield rows[at : at + size]
        at += size


def _entry(row: FeedRow) -> dict[str, Any]:
    return {"url": row.url, "reporter": row.reporter, "category": row.tags.partition(" ")[0]}
