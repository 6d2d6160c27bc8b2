"""Which holds people were told of, and in which minutes of the clock.

The row of a hold says that people were told of it. A row for each minute with a message keeps messages a minute apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from chalicelib.domain.model import ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger.row import epoch, millis
from chalicelib.ports import Insert, Row, Rows, Update

KEEP_MINUTES = timedelta(days=1)
"""How long the row of a minute is kept."""


def take_minute(rows: Rows, now: datetime) -> bool:
    """Take a minute of the clock for one message; ``False`` if a message of this minute is under way or was sent."""
    minute: Row = {"pk": "notices#holds", "sk": f"{now:%Y%m%dT%H%M}", "expires_at": epoch(now + KEEP_MINUTES)}
    return rows.apply(Insert(minute))


def note_told(rows: Rows, holds: Iterable[Work], now: datetime) -> None:
    """Record that people were told of these holds, except those that were decided meanwhile."""
    told = {"told_at": millis(now)}
    still_held = {"state": ChunkState.HELD.value}
    rows.write(
        [Update((f"account#{hold.account}", f"chunk#{hold.chunk}"), set=told, expect=still_held) for hold in holds]
    )
