"""Read the JSON of an answer that may have any content."""

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
