"""Whether a person approved the bans of a chunk: then they rest on a person's word, too."""

from __future__ import annotations

from typing import Final

from chalicelib.domain.model import Rule
from chalicelib.ledger import chunk_chain, chunks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ports import Rows

OF_A_PERSON: Final = frozenset(
    {
        Rule.BARE_HOST,
        Rule.REVIEW,
        Rule.SOURCE_CAP,
        Rule.HOST_CAP,
        Rule.ACCOUNT_CAP,
        Rule.SHARE_CAP,
        Rule.CONTENTION,
        Rule.DECIDED_BEFORE,
        Rule.BY_HAND,
    }
)
"""Rules of chunks whose bans began because a person approved them, or banned by hand."""


def approved(rows: Rows, chunk: Chunk) -> bool:
    """Return whether a person approved the bans of a chunk, or of one that it carries on.

    Nobody approved URLs that left their hold because of a report (``Rule.RELEASED``). If the chain of chunks is too
    long to be followed, the bans count as approved.
    """
    for _ in range(chunk_chain.CHAIN):
        if chunk.rule in OF_A_PERSON:
            return True
        earlier = chunks.read(rows, chunk.renews[:1]).get(chunk.renews[0]) if chunk.renews else None
        if earlier is None or chunk.rule == Rule.RELEASED:
            return False
        chunk = earlier
    return True
