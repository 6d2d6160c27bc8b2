"""Keys with which edgeban seals the messages that it queues itself: one a month, made by the first that needs it.

Only edgeban has these keys. So a source's secret can be replaced while accepted messages wait in the queue. The rows
begin with ``report#``, since the function that receives reports may write no others.
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
    """Return all keys by their names, of three months at most."""
    return {text(row, "sk"): text(row, "key") for row in rows.query(_PLACE)}
