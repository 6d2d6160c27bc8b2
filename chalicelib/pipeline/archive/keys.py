"""Where archives lie in the bucket: every kind of file under a prefix of its own, as the location of an Athena table.

Below a prefix come only Hive partitions (``vendor=…/dt=…``) and files of one kind: Athena reads every file that it
finds under a table's location, and a manifest among the rows would be read as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

LEDGER_MANIFESTS: Final = "ledger-manifest/dt="
"""Prefix of the manifests of the ledger's days; the date follows."""


@dataclass(frozen=True, slots=True)
class ExportKeys:
    """The objects of one export of one day. The manifest is written last: with it the day is archived."""

    rows: str
    raw: str
    rejects: str
    manifest: str


def export_keys(vendor: str, day: date, account: str, attempt: int) -> ExportKeys:
    """Name the objects of a day's export. ``attempt`` counts how often the day was asked for, from 1."""
    place = f"vendor={vendor}/dt={day:%Y-%m-%d}/{account}.{attempt}"
    return ExportKeys(
        rows=f"illegal-urls/{place}.jsonl.gz",
        raw=f"illegal-urls-raw/{place}.csv.gz",
        rejects=f"illegal-urls-rejects/{place}.jsonl.gz",
        manifest=f"illegal-urls-manifest/{place}.json",
    )


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """The objects of one UTC day of the ledger, the manifest last."""

    events: str
    summary: str
    manifest: str


def ledger_keys(day: date) -> LedgerKeys:
    """Name the objects of a day of the ledger."""
    return LedgerKeys(
        events=f"ledger/dt={day:%Y-%m-%d}/events.jsonl.gz",
        summary=f"ledger-summary/dt={day:%Y-%m-%d}/summary.json",
        manifest=f"{LEDGER_MANIFESTS}{day:%Y-%m-%d}/manifest.json",
    )
