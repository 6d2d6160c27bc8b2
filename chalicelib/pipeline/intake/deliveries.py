"""Name the report of a delivery: the same delivery is the same report, however often it comes."""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.config.sources import Source
from chalicelib.ledger import reports
from chalicelib.ports import Rows
from chalicelib.reports.signature import DIGEST, Scheme

SAME_DELIVERY = timedelta(minutes=10)
"""How long a body with a bearer token and without an id is one delivery."""


def report_id_of(rows: Rows, source: Source, call_id: str, now: datetime) -> str:
    """Name the report of a delivery.

    A body with a bearer token and without an id is one delivery for ``SAME_DELIVERY``, and a new word later.
    """
    if source.auth is not Scheme.BEARER or not call_id.startswith(DIGEST):
        return reports.report_id(source.name, call_id)
    seconds = SAME_DELIVERY.total_seconds()
    span = int(now.timestamp() // seconds)
    before, current = (reports.report_id(source.name, f"{call_id} {number}") for number in (span - 1, span))
    earlier = reports.received_at(rows, before)
    return before if earlier and now - earlier < SAME_DELIVERY else current
