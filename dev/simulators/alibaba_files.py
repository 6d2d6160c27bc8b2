"""The files that the simulator exports. The same seed, day and shape give the same bytes, made while they are sent."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

HEADER = "gmt_created,punish_domain,punish_url,user_id,reason\r\n"
CODES = ("PR001", "PR002", "PR006", "PR008", "PR102", "PR104", "PR201")
UNKNOWN_CODES = ("PR105", "PR999", "NEW_REASON")
BAD_ROWS = (
    "not a time,www.example.com,http://www.example.com/bad-time,1234567890,PR002\r\n",
    "2026-01-15 08:30:00,www.example.com,,1234567890,PR002\r\n",
    "2026-01-15 08:30:00,www.example.com\r\n",
    '2026-01-15 08:30:00,www.example.com,"http://www.example.com/open,1234567890,PR002\r\n',
)
FORMULAS = ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\uff1d1")
BLOCK_ROWS = 500


@dataclass(frozen=True)
class Shape:
    """How a file is made. ``total_bytes`` repeats the day's first rows until the file has about that many bytes."""

    rows: int
    domains: Sequence[str]
    urls: Sequence[str] = ()
    encoding: str = "utf-8"
    mark: bytes = b""
    header: bool = True
    unknown_codes: bool = False
    bad_rows: bool = False
    formulas: bool = False
    total_bytes: int = 0
    seed: int = 1


def file_size(day: date, shape: Shape) -> int:
    """Count the bytes of a day's file. A file with ``total_bytes`` repeats a block, so counting is cheap."""
    if not shape.total_bytes:
        return sum(map(len, file_blocks(day, shape)))
    start, block = _start(shape), _block(day, shape, 0, BLOCK_ROWS)
    return len(start) + len(block) * _repeats(shape, len(start), len(block))


def file_blocks(day: date, shape: Shape) -> Iterator[bytes]:
    """Make a day's file, some 50 KB at a time."""
    start = _start(shape)
    if start:
        yield start
    if shape.total_bytes:
        block = _block(day, shape, 0, BLOCK_ROWS)
        for _ in range(_repeats(shape, len(start), len(block))):
            yield block
        return
    for first in range(0, shape.rows, BLOCK_ROWS):
        yield _block(day, shape, first, min(BLOCK_ROWS, shape.rows - first))
    if shape.bad_rows:
        yield "".join(BAD_ROWS).encode(shape.encoding)


def _start(shape: Shape) -> bytes:
    return shape.mark + (HEADER.encode(shape.encoding) if shape.header else b"")


def _repeats(shape: Shape, start: int, block: int) -> int:
    return max(1, round((shape.total_bytes - start) / block))


def _block(day: date, shape: Shape, first: int, count: int) -> bytes:
    return "".join(_row(day, shape, number) for number in range(first, first + count)).encode(shape.encoding)


def _row(day: date, shape: Shape, number: int) -> str:
    chance = random.Random(f"{shape.seed}/{day.isoformat()}/{number}")
    moment = datetime(day.year, day.month, day.day) + timedelta(seconds=chance.randrange(86_400))  # noqa: DTZ001  (the file names no zone)
    domain = chance.choice(shape.domains)
    if shape.urls:
        url = shape.urls[number % len(shape.urls)]
        domain = url.partition("://")[2].partition("/")[0] or domain
    else:
        url = f"{_scheme(chance)}{domain}{_path(chance, day, number)}"
    codes = UNKNOWN_CODES if shape.unknown_codes and number % 3 == 0 else CODES
    user = FORMULAS[number % len(FORMULAS)] if shape.formulas else "1234567890123456"
    if "," in url:
        url = f'"{url}"'
    return f"{moment:%Y-%m-%d %H:%M:%S},{domain},{url},{user},{chance.choice(codes)}\r\n"


def _scheme(chance: random.Random) -> str:
    return chance.choice(("http://", "https://", "https://", ""))


def _path(chance: random.Random, day: date, number: int) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return f"/图片/{day:%m%d}/违规-{number}.jpg"
    if kind == 1:
        return f"/list?page={number},{chance.randrange(100)}"
    return f"/{chance.getrandbits(64):016x}/{number}.html"
