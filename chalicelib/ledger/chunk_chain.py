"""Which chunk has a URL, and which had it before: each chunk names the chunks that had its URLs before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from chalicelib.ledger.chunks import Chunk, read
from chalicelib.ledger.claims import Claim
from chalicelib.ports import Rows

CHAIN = 50
"""A walk back from the chunk that has a URL now to an earlier one goes through this many chunks at most."""


def follower(rows: Rows, latest: Iterable[str], key: str, chunk: str, read_before: dict[str, Chunk]) -> Chunk | None:
    """Find the chunk that took a URL over from ``chunk``; ``None`` if none did.

    ``latest`` are the chunks that have the URL now. The walk goes back from these: each chunk names the one that had
    the URL before it. ``read_before`` keeps the chunks that are read, for the next URL.
    """
    ids = [each for each in latest if each]
    for _ in range(CHAIN):
        if unread := [each for each in ids if each not in read_before]:
            read_before.update(read(rows, unread))
        later = next((read_before[each] for each in ids if each in read_before and key in read_before[each].keys), None)
        if later is None:
            return None
        at = later.keys.index(key)
        ids = [each for position, ban, unban in later.before if position == at for each in (unban, ban) if each]
        if chunk in ids:
            return later
    return None


def part_of(chunk: Chunk, positions: Iterable[int]) -> Chunk:
    """Return the chunk with only the URLs at these positions."""
    kept = sorted(positions)
    return replace(
        chunk,
        urls=tuple(chunk.urls[position] for position in kept),
        keys=tuple(chunk.keys[position] for position in kept),
        origins=tuple(chunk.origins[position] for position in kept),
    )


def belongs(claims_by_key: Mapping[str, Claim], chunk: Chunk, position: int) -> bool:
    """Whether a chunk still has the URL at one of its positions (``Claim.belongs_to``)."""
    claim = claims_by_key.get(chunk.keys[position])
    return claim is not None and claim.belongs_to(chunk.id)
