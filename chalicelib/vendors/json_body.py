"""Read the JSON of an answer that may have any content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

LONGEST_NUMBER: Final = 19
"""Digits of a number that is written as a text, at most."""


def object_in(body: bytes) -> Mapping[str, Any] | None:
    """Return a body as a JSON object; ``None`` if it is not one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def number_of(value: object) -> int:
    """Return a whole number of an answer, which may be written as a text. Raises ``TypeError`` if it is no number."""
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER and value.isascii() and value.isdigit():
        return int(value)
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value
