"""Keys with which edgeban seals what it queues itself: one a month, made by whoever needs it first.

A key is of edgeban alone, so that replacing a source's secret strands nothing that was accepted. Its rows begin with
``report#``, since the function that receives reports may write no others.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from secrets import token_hex

from chalicelib.ledger.row import epoch, text
from chalicelib.ports import Insert, Rows

KEEP = timedelta(days=75)
"""How long a key is kept: it seals for a month, and a dead letter waits 14 days after its first sending."""

_PLACE = "report#seal"


def current(rows: Rows, *, now: datetime) -> tuple[str, str]:
    """Return the name and the key of this month."""
    name = f"{now:%Y-%m}"
    place = (_PLACE, name)
    key = text(rows.get([place]).get(place, {}), "key")
    if not key:
        rows.apply(Insert({"pk": _PLACE, "sk": name, "key": token_hex(32), "expires_at": epoch(now + KEEP)}))
        key = text(rows.get([place], consistent=True)[place], "key")  # another process may have been quicker
    return name, key


def read(rows: Rows) -> dict[str, str]:
    """Return all keys by their names: those of three months at the most."""
    return {text(row, "sk"): text(row, "key") for row in rows.query(_PLACE)}
