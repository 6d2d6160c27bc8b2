"""Keys under which a key-value store at the edge holds URLs."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

HASHED: Final = "sha256:"
"""What a key begins with that stands for a URL too long to be one."""


def key_within(url: str, longest: int) -> str:
    """Return the key of a canonical URL: the URL itself, or its SHA-256 where it has more than ``longest`` bytes."""
    octets = url.encode()
    return url if len(octets) <= longest else HASHED + sha256(octets).hexdigest()
