"""The second row of an unban that waits, by which the submitter finds it among any number of waiting bans."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from chalicelib.domain.packing import Work
from chalicelib.ledger.chunks import made_at
from chalicelib.ledger.remaining import LEASE, _key, among, unban_key
from chalicelib.ledger.row import stamp, text
from chalicelib.ports import Delete, Row, Rows, Update, Value


def read(rows: Rows, account: str, *, now: datetime | None) -> list[Work]:
    """Read the unbans of an account that are not wholly in tasks, oldest first, however many bans wait beside them.

    The second row of an unban whose first row is gone is removed. A young one is kept, since its first row may not be
    written yet. Without ``now`` nothing is removed.
    """
    pk, _ = unban_key(account, "")
    ids = [text(row, "sk").removeprefix("unban#") for row in rows.query(pk, prefix="unban#")]
    work_by_chunk = among(rows, account, ids) if ids else {}
    young = stamp(now - LEASE) if now else ""
    gone = [chunk for chunk in ids if chunk not in work_by_chunk and made_at(chunk) < young]
    if gone:
        rows.write([Delete(unban_key(account, chunk)) for chunk in gone])
    return [work_by_chunk[chunk] for chunk in ids if chunk in work_by_chunk]


def withdraw(rows: Rows, work: Work, positions: Iterable[int]) -> None:
    """Take URLs out of a waiting or held chunk before any task has them. Only the account's submitter may call this.

    Nothing happens if the chunk's state has changed since it was read, because a person decided about a hold.
    """
    excluded: list[Value] = [*sorted({*work.excluded, *positions})]
    key = _key(work.account, work.chunk)
    unchanged: Row = {"state": work.state.value}
    if {*range(work.next, work.count)} <= {*excluded}:
        rows.apply(Delete(key, expect=unchanged))
    else:
        rows.apply(Update(key, set={"lost": excluded}, expect=unchanged))
