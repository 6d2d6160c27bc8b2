"""Find the sources that ask for the bans of holds now, even if they joined while the URL waited.

A hold's chunk names the source for which each URL is held, and the claims have the words that joined. Only the claims
of one page of holds are read, and only those of the first URLs of each hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.ledger import chunk_chain, claims
from chalicelib.ledger.packed_words import unpack
from chalicelib.pipeline.decisions.holds import Hold
from chalicelib.pipeline.run import Run

OF_A_HOLD: Final = 20
"""For how many URLs of one hold the words are read."""

OF_A_PAGE: Final = 400
"""For how many URLs of all holds of a page the words are read, in the order of the holds: half a read unit each."""

SHOWN: Final = 10
"""How many sources are named."""


@dataclass(slots=True)
class AskedBy:
    """The sources, each with the number of a hold's first URLs that it asks for."""

    sources: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0

    def as_json(self) -> dict[str, Any]:
        """Write the sources in the form of the list of holds."""
        ordered = sorted(self.sources.items(), key=lambda counted: (-counted[1], counted[0]))
        return {
            "asked_by": [{"value": source, "urls": count} for source, count in ordered[:SHOWN]],
            "asked_by_count": len(ordered),
            "asked_of": self.looked_at,
        }


def read(run: Run, holds: Sequence[Hold], sources: Iterable[str]) -> Mapping[str, AskedBy]:
    """Return, for each hold, who asks for its first URLs. ``sources`` are the names of the sources known now."""
    names, left = tuple(sources), OF_A_PAGE
    positions_by_hold: dict[str, list[int]] = {}
    for hold in holds:
        positions_by_hold[hold.work.chunk] = hold.positions[: min(OF_A_HOLD, left)]
        left -= len(positions_by_hold[hold.work.chunk])
    keys = [hold.chunk.keys[position] for hold in holds for position in positions_by_hold[hold.work.chunk]]
    found = claims.read(run.rows, list(dict.fromkeys(keys))) if keys else {}
    asked: dict[str, AskedBy] = {}
    for hold in holds:
        asked_by = asked[hold.work.chunk] = AskedBy()
        for position in positions_by_hold[hold.work.chunk]:
            asked_by.looked_at += 1
            key, origin = hold.chunk.keys[position], hold.chunk.origins[position]
            if chunk_chain.belongs(found, hold.chunk, position) and found[key].words:
                asked_by.sources.update({word.source for word in unpack(found[key].words, (*names, origin.source))})
            else:  # version 1 wrote no words; a question whether to lift is no source's word
                asked_by.sources[origin.source] += 1
    return asked
