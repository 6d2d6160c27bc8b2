"""How much the webhook refused at once from correctly signed calls: a count for each source, day and kind.

The rows begin with ``report#``, since the function that receives reports may write no others. A stranger leaves no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime

from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, number
from chalicelib.ports import Key, Rows

URLS = "url_"
"""Kinds that begin so count URLs of accepted reports. All other kinds count reports, by the code of the error."""


def add(rows: Rows, source: str, counts: Mapping[str, int], *, now: datetime) -> None:
    """Add to the counts of a source. No decision depends on them, so a crash or an outage may lose an addition."""
    with suppress(LedgerUnavailable):
        rows.add(_key(source, now.date()), counts, beside={"expires_at": epoch(now + KEEP)})


def read(rows: Rows, sources: Iterable[str], day: date) -> dict[str, dict[str, int]]:
    """Return the counts of sources on a UTC day, by source and kind."""
    source_of = {_key(source, day): source for source in sources}
    found = rows.get(list(source_of))
    return {
        source_of[key]: {name: number(row, name) for name in row if name not in {"pk", "sk", "expires_at"}}
        for key, row in found.items()
    }


def urls_in(counts: Mapping[str, int]) -> int:
    """Return how many URLs of accepted reports are among the counts of a source."""
    return sum(count for kind, count in counts.items() if kind.startswith(URLS))


def _key(source: str, day: date) -> Key:
    return (f"report#refused#{source}", f"{day:%Y-%m-%d}")
