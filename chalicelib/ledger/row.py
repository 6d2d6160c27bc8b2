"""Read typed attributes out of rows, and pack lists of URLs into one compressed attribute."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from chalicelib.ports import Value


def text(row: Mapping[str, Value], name: str) -> str:
    """Read a string; empty if absent."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def number(row: Mapping[str, Value], name: str) -> int:
    """Read an integer; 0 if absent."""
    value = row.get(name)
    return value if isinstance(value, int) else 0


def blob(row: Mapping[str, Value], name: str) -> bytes:
    """Read bytes; empty if absent."""
    value = row.get(name)
    return value if isinstance(value, bytes) else b""


def numbers(row: Mapping[str, Value], name: str) -> tuple[int, ...]:
    """Read a list of integers; empty if absent."""
    value = row.get(name)
    return tuple(item for item in value if isinstance(item, int)) if isinstance(value, list) else ()


def texts(row: Mapping[str, Value], name: str) -> tuple[str, ...]:
    """Read a list of strings; empty if absent."""
    value = row.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


@lru_cache(maxsize=256)
def epoch(moment: datetime) -> int:
    """Return whole seconds since 1970, as DynamoDB's TTL wants them."""
    return int(moment.timestamp())


def moment(row: Mapping[str, Value], name: str) -> datetime | None:
    """Read a time stored by ``millis``."""
    value = row.get(name)
    return datetime.fromtimestamp(value / 1000, tz=UTC) if isinstance(value, int) else None


def millis(moment: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def stamp(moment: datetime) -> str:
    """Write a time as the sortable beginning of an id: ``20260115T083000.123456Z``, UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def compress(document: Any) -> bytes:
    """Compress a JSON document for a binary attribute."""
    return zlib.compress(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), 6)


def decompress(packed: bytes) -> Any:
    """Undo ``compress``."""
    return json.loads(zlib.decompress(packed))
