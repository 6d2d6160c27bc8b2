"""How the edge answered for the URLs of a task, on the task's row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chalicelib.ledger.row import millis, moment, number, texts
from chalicelib.ports import Key, Row, Rows, Update, Value


@dataclass(frozen=True, slots=True)
class Verified:
    """How the edge answered for a sample of a ban task's URLs. A URL without an answer is in neither count."""

    at: datetime
    sampled: int
    blocked: int
    open: int
    open_urls: tuple[str, ...] = ()
    """Some of the URLs that are open."""


def record(rows: Rows, task: Key, verified: Verified) -> bool:
    """Write how the edge answered for a task, once; ``False`` if that is on record already."""
    change: Row = {
        "verified_at": millis(verified.at),
        "sampled": verified.sampled,
        "blocked": verified.blocked,
        "open": verified.open,
        "open_urls": list(verified.open_urls),
    }
    return rows.apply(Update(task, set=change, expect={"verified_at": None}))


def read_from(row: Mapping[str, Value]) -> Verified | None:
    """Read from a task's row how the edge answered; ``None`` if it was not asked yet."""
    at = moment(row, "verified_at")
    if at is None:
        return None
    return Verified(at, number(row, "sampled"), number(row, "blocked"), number(row, "open"), texts(row, "open_urls"))
