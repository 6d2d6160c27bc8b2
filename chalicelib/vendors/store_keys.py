"""Keys of URLs in a key-value store at the edge."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

HASHED: Final = "sha256:"
"""The beginning of a hashed key, for a URL that is too long to be a key."""


def key_within(url: str, longest: int) -> str:
    """Return the key of a canonical URL: the URL itself, or its SHA-256 if it has more than ``longest`` bytes."""
    octets = url.encode()
    return url if len(octets) <= longest else HASHED + sha256(octets).hexdigest()
