"""The JSON of an answer, of which nothing is certain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def object_in(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object that a body is; ``None`` if it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
