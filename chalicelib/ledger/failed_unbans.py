"""How many URLs of a person's unban the vendor failed to unban for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from chalicelib.ledger import KEEP_DECISIONS
from chalicelib.ledger.audit import Decision
from chalicelib.ledger.row import epoch, number, stamp, text
from chalicelib.ports import Put, Row, Rows

_FAILED = "unban#failed"
"""The partition of all failures: they are rare, and one query shows which of many requests had some."""


class Asked(NamedTuple):
    """Whose unban it was, when it began, and the id of the request."""

    actor: str
    at: datetime
    unban_id: str


def note(rows: Rows, asked: Asked, *, task: str, urls: int, now: datetime) -> None:
    """Record how many URLs of a request a task could not unban. Safe to repeat."""
    name = f"{stamp(asked.at)}#{asked.actor}#{task}"
    row: Row = {"pk": _FAILED, "sk": name, "urls": urls, "expires_at": epoch(now + KEEP_DECISIONS)}
    rows.apply(Put({**row, "unban_id": asked.unban_id or None}))


def read(rows: Rows, decisions: Sequence[Decision]) -> dict[str, int]:
    """Return how many URLs could not be unbanned, by the id of the request, for requests with such URLs.

    A request that waited for a second person begins later than it was asked for, so only its id leads to its rows.
    Rows of earlier versions have no id: the person and the time name the request.
    """
    if not decisions:
        return {}
    id_of = {f"{stamp(decision.at)}#{decision.actor}": decision.after for decision in decisions}
    wanted, counts = {decision.after for decision in decisions}, Counter[str]()
    for row in rows.query(_FAILED, after=stamp(min(decision.at for decision in decisions))):
        asked = text(row, "unban_id") or id_of.get(text(row, "sk").rpartition("#")[0], "")
        if asked in wanted:
            counts[asked] += number(row, "urls")
    return dict(counts)
