"""The second row of an unban that waits, by which the submitter finds it among any number of waiting bans."""

from __future__ import annotations

from datetime import datetime

from chalicelib.domain.packing import Work
from chalicelib.ledger.chunks import made_at
from chalicelib.ledger.remaining import LEASE, among, unban_key
from chalicelib.ledger.row import stamp, text
from chalicelib.ports import Delete, Rows


def read(rows: Rows, account: str, *, now: datetime | None) -> list[Work]:
    """Read the unbans of an account that are not wholly in tasks, oldest first, however many bans wait beside them.

    The second row of an unban that has gone is removed on the way. A young one is kept: its first row may be under way.
    Without ``now`` nothing is removed.
    """
    pk, _ = unban_key(account, "")
    ids = [text(row, "sk").removeprefix("unban#") for row in rows.query(pk, prefix="unban#")]
    work_by_chunk = among(rows, account, ids) if ids else {}
    young = stamp(now - LEASE) if now else ""
    gone = [chunk for chunk in ids if chunk not in work_by_chunk and made_at(chunk) < young]
    if gone:
        rows.write([Delete(unban_key(account, chunk)) for chunk in gone])
    return [work_by_chunk[chunk] for chunk in ids if chunk in work_by_chunk]
