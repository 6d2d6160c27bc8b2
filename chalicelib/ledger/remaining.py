"""The URLs of a chunk that are in no task yet. Each chunk has one such row; it is deleted when every URL is in a task.

The order that survives a crash between any two steps: **open** the chunk (its candidate URLs are durable, under a
lease), claim them, **seal** the chunk with those it claimed. A claim that points at an open chunk is a live duplicate.
An open chunk whose lease has passed is finished by the sweep, which claims again for the same chunk.

An unban has a second row (``waiting_unbans``), by which the submitter finds it among any number of waiting bans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger import chunks, holds
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.row import millis, moment, number, numbers, text, texts
from chalicelib.ledger.tasks import Task
from chalicelib.ports import Delete, Insert, Key, Put, Row, Rows, Update, Value

LEASE = timedelta(minutes=5)
"""How long the maker of a chunk may take to claim and seal. It is longer than the timeout of every function that makes
one, so that a lease that has passed means a crash."""


def open_chunk(rows: Rows, chunk: Chunk, *, then: ChunkState) -> None:
    """Make the candidates of a chunk durable: first its URLs, then the row by which the sweep finds it."""
    chunks.record(rows, chunk)
    pk, sk = _key(chunk.account, chunk.id)
    opened: Row = {
        "pk": pk,
        "sk": sk,
        "state": ChunkState.OPEN.value,
        "then": then.value,
        "action": chunk.action.value,
        "ban_days": chunk.ban_days,
        "rule": chunk.rule,
        "after": list(chunk.after),
        "count": len(chunk.urls),
        "received_at": millis(chunk.received_at),
        "lease_until": millis(chunk.created_at + LEASE),
        **holds.brief(chunk, then),
    }
    inserts = [Insert(opened)]
    if chunk.action is Action.UNBAN:
        pk, sk = unban_key(chunk.account, chunk.id)
        inserts.append(Insert({"pk": pk, "sk": sk}))
    rows.write(inserts)


def seal(rows: Rows, chunk: Chunk, claimed: Collection[str], *, then: ChunkState) -> bool:
    """Close a chunk with the keys that it claimed; ``False`` if somebody sealed it before."""
    excluded: list[Value] = [position for position, key in enumerate(chunk.keys) if key not in claimed]
    key = _key(chunk.account, chunk.id)
    still_open: Row = {"state": ChunkState.OPEN.value}
    if len(excluded) == len(chunk.keys):
        return rows.apply(Delete(key, expect=still_open))
    change: Row = {"state": then.value, "next": 0, "lost": excluded}
    return rows.apply(Update(key, set=change, expect=still_open, remove=("lease_until", "then")))


def of_account(rows: Rows, account: str, *, limit: int = 0, after: str = "") -> list[Work]:
    """Read the chunks of an account that are not wholly in tasks, oldest first, consistently.

    ``limit`` 0 means all. The first chunk that is read is the one behind the id ``after``.
    """
    pk, behind = _key(account, after)
    return [_work(row) for row in rows.query(pk, prefix="chunk#", limit=limit, after=behind if after else "")]


def of_chunk(rows: Rows, account: str, chunk: str) -> Work | None:
    """Read what remains of a chunk; ``None`` once it is wholly in tasks."""
    return among(rows, account, [chunk]).get(chunk)


def among(rows: Rows, account: str, ids: Iterable[str]) -> dict[str, Work]:
    """Read what remains of chunks by id; those that are wholly in tasks are absent from the answer."""
    found = rows.get([_key(account, chunk) for chunk in dict.fromkeys(ids)], consistent=True)
    return {work.chunk: work for work in map(_work, found.values())}


def take_slices(rows: Rows, recorded: Sequence[Task], works: Mapping[str, Work]) -> None:
    """Link an account's recorded tasks to their chunks and take their slices off the waiting chunks.

    The links are written first: once a chunk is off the list of waiting chunks, only its links lead to its tasks.
    Repeating this changes nothing.
    """
    parts = [(task, part) for task in recorded for part in task.slices]
    rows.write(
        [
            Put(
                {
                    "pk": f"chunk#{part.chunk}",
                    "sk": f"task#{task.id}",
                    "start": part.start,
                    "end": part.end,
                    "expires_at": task.expires_at,
                }
            )
            for task, part in parts
        ]
    )
    ends: dict[str, int] = {}
    for _, part in parts:
        ends[part.chunk] = max(part.end, ends.get(part.chunk, 0))
    _take(rows, ends, works)


def _take(rows: Rows, ends: Mapping[str, int], works: Mapping[str, Work]) -> None:
    """Take the URLs that are in tasks off the waiting chunks: ``ends`` maps a chunk to the position behind the last.

    The row of a chunk without remaining URLs is removed. Repeating this changes nothing.
    """
    writes: list[Delete | Update] = []
    for chunk, end in ends.items():
        work = works.get(chunk)
        if work and work.next < end:
            key = _key(work.account, chunk)
            writes.append(Delete(key) if end >= work.count else Update(key, set={"next": end}))
    rows.write(writes)


def _key(account: str, chunk: str) -> Key:
    return (f"account#{account}", f"chunk#{chunk}")


def unban_key(account: str, chunk: str) -> Key:
    """Return the key of the second row of an unban."""
    return (f"account#{account}", f"unban#{chunk}")


def _work(row: Mapping[str, Value]) -> Work:
    received_at = moment(row, "received_at")
    assert received_at
    return Work(
        chunk=text(row, "sk").removeprefix("chunk#"),
        account=text(row, "pk").removeprefix("account#"),
        state=ChunkState(text(row, "state")),
        action=Action(text(row, "action")),
        ban_days=number(row, "ban_days"),
        count=number(row, "count"),
        next=number(row, "next"),
        excluded=numbers(row, "lost"),
        received_at=received_at,
        lease_until=moment(row, "lease_until"),
        rule=text(row, "rule"),
        source=text(row, "source"),
        after=texts(row, "after"),
        approved_by=text(row, "approved_by"),
        approved_person=text(row, "approved_person"),
        refused=text(row, "refused"),
        version=number(row, "version"),
        excepted=numbers(row, "excepted"),
        approving=text(row, "approving"),
        told_at=moment(row, "told_at"),
        then=next((state for state in ChunkState if state == row.get("then")), None),  # an earlier version had others
    )
