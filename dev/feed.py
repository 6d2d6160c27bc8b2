"""Feeds of reported URLs: real ones from a file, and one of the project's own making."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

MANAGED = ("example.com", "*.example.com", "*.example.org", "example.net", "*.example.net")
"""The managed domains that belong to ``sample_feed``."""

HOSTS = ("www.example.com", "static.example.com", "img.example.org", "shop.example.net", "files.eu.example.com")
IDN_HOSTS = ("bücher.example.com", "例え.example.org", "xn--bcher-kva.example.com")
FOREIGN_HOSTS = ("www.example.edu", "login.other.example", "example.com.evil.example", "203.0.113.7")
INVALID = (
    "http://",
    "not a url",
    "https://exa mple.com/x",
    "ftp://www.example.com/a",
    "javascript:alert(1)",
    "https://[::1",
)
TAGS = ("phishing", "malware", "scam", "c2", "")


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One report of one URL, as it stands in a feed."""

    url: str
    reporter: str = ""
    reported_at: str = ""
    tags: str = ""


def read_feed(path: Path, limit: int | None = None) -> Iterator[FeedRow]:
    """Read a feed in its order: CSV with the columns ``date,reporter,url,tags``, or one URL a line; also gzipped."""
    raw = path.open("rb")
    with raw, cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw as file:
        yield from itertools.islice(_rows(io.TextIOWrapper(file, encoding="utf-8", newline="")), limit)


def _rows(file: Iterable[str]) -> Iterator[FeedRow]:
    lines = iter(file)
    first = next(lines, "")
    columns = [name.strip().lower() for name in first.split(",")]
    if "url" not in columns:
        for line in itertools.chain([first], lines):
            if line.strip() and not line.startswith("#"):
                yield FeedRow(line.strip())
        return
    for row in csv.DictReader(lines, fieldnames=columns):
        if row.get("url"):
            yield FeedRow(row["url"], row.get("reporter") or "", row.get("date") or "", row.get("tags") or "")


def sample_feed(count: int, seed: int = 1) -> Iterator[FeedRow]:
    """Make up reports of every kind that real feeds hold; the same for the same seed. The hosts are examples."""
    dice = random.Random(seed)
    seen: list[str] = []
    makers = [
        (52, _fresh),
        (22, _repeat),
        (6, _scheme_variant),
        (5, _oddly_encoded),
        (3, _with_fragment),
        (2, _with_userinfo),
        (3, _with_port),
        (2, _international),
        (1, _bare_host),
        (3, _foreign),
        (1, _invalid),
    ]
    kinds = [maker for _, maker in makers]
    weights = [weight for weight, _ in makers]
    for number in range(count):
        (maker,) = dice.choices(kinds, weights)
        url = maker(dice, seen, number)
        if maker is _fresh:
            seen.append(url)
        at = datetime.fromtimestamp(1_767_225_600 + number, tz=UTC)
        yield FeedRow(url, f"reporter-{dice.randrange(40):02}", at.strftime("%Y-%m-%d %H:%M:%S"), dice.choice(TAGS))


def _fresh(dice: random.Random, _: list[str], number: int) -> str:
    path = "/".join(
        dice.choice(("login", "wp-content", "a", "secure", "update", "img")) for _ in range(dice.randint(1, 4))
    )
    query = dice.choice(("", "", f"?id={dice.randrange(10**6)}", "?q=a+b&r=%2F"))
    return f"{dice.choice(('https', 'http'))}://{dice.choice(HOSTS)}/{path}/{number:x}{query}"


def _repeat(dice: random.Random, seen: list[str], number: int) -> str:
    return dice.choice(seen) if seen else _fresh(dice, seen, number)


def _scheme_variant(dice: random.Random, seen: list[str], number: int) -> str:
    """Return the scheme variant of a URL: to a CDN it is another URL."""
    url = _repeat(dice, seen, number)
    return url.replace("https://", "http://") if url.startswith("https") else url.replace("http://", "https://")


def _oddly_encoded(dice: random.Random, _: list[str], number: int) -> str:
    path = dice.choice(
        (
            "%7Euser",
            "~user",
            "a%2fb",
            "caf\u00e9",
            "%63af%C3%A9",
            "a%20b",
            "x/../y",
            "x/%2e%2e/y",
            "\\back",
            "a\tb",
            "%",
        )
    )
    return f"https://{dice.choice(HOSTS).upper()}/{path}/{number:x}"


def _with_fragment(dice: random.Random, seen: list[str], number: int) -> str:
    return f"{_repeat(dice, seen, number)}#section-{dice.randrange(9)}"


def _with_userinfo(dice: random.Random, seen: list[str], number: int) -> str:
    return _repeat(dice, seen, number).replace("://", "://user:word@", 1)


def _with_port(dice: random.Random, _: list[str], number: int) -> str:
    scheme, port = dice.choice((("https", 443), ("http", 80), ("https", 8443), ("http", 8080)))
    return f"{scheme}://{dice.choice(HOSTS)}:{port}/port/{number:x}"


def _international(dice: random.Random, _: list[str], number: int) -> str:
    return f"https://{dice.choice(IDN_HOSTS)}/{number:x}"


def _bare_host(dice: random.Random, _: list[str], __: int) -> str:
    return f"https://{dice.choice(HOSTS)}/"


def _foreign(dice: random.Random, _: list[str], number: int) -> str:
    return f"https://{dice.choice(FOREIGN_HOSTS)}/{number:x}"


def _invalid(dice: random.Random, _: list[str], __: int) -> str:
    return dice.choice(INVALID)
