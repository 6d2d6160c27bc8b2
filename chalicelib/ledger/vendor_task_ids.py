"""Which task of ours a vendor's task is."""

from __future__ import annotations

from collections.abc import Iterable

from chalicelib.ledger.row import text
from chalicelib.ledger.tasks import vendor_key
from chalicelib.ports import Rows


def recorded_among(rows: Rows, account: str, vendor_task_ids: Iterable[str]) -> set[str]:
    """Return which of these vendor tasks are on record already, each for one of our tasks."""
    keys = {vendor_key(account, vendor_task_id): vendor_task_id for vendor_task_id in vendor_task_ids}
    return {keys[key] for key in rows.get(list(keys), consistent=True)}


def ours_of(rows: Rows, account: str, vendor_task_id: str) -> str:
    """Return the id of our task for a vendor task; empty if there is none."""
    key = vendor_key(account, vendor_task_id)
    return text(rows.get([key]).get(key, {}), "task")
