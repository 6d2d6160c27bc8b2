"""Chunks: the URLs that were claimed together and go to the vendor together.

The order that survives a crash between any two steps: **open** the chunk (its candidates are durable), claim,
**seal** it with what was claimed. A claim that points at an open chunk is a live duplicate; an open chunk whose lease
has passed is finished by the sweep, by claiming again for the same chunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.domain.model import Action, ChunkState
from chalicelib.domain.packing import Work
from chalicelib.ledger import KEEP_DECISIONS, journal
from chalicelib.ledger.row import blob, compress, decompress, epoch, millis, moment, number, numbers, stamp, text, texts
from chalicelib.ports import Delete, Insert, Put, Row, Rows, Update, Value

CHAIN = 50
"""Later decisions about a URL that are looked through for an earlier one."""

LEASE = timedelta(minutes=5)
"""How long intake may take to claim and seal: longer than its function's timeout, so that a lease that has passed
means a crash."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a URL of a chunk came from."""

    report: str
    source: str
    reporter: str
    category: str
    note: str = ""

    @property
    def text(self) -> str:
        """All that a chunk's row holds once for the URLs that have this origin in common."""
        return f"{self.report}{self.source}{self.reporter}{self.category}{self.note}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The lasting part of a chunk. ``urls`` are canonical, ``keys`` their URL keys, ``origins`` beside them."""

    account: str
    action: Action
    ban_days: int
    rule: str
    urls: tuple[str, ...]
    keys: tuple[str, ...]
    origins: tuple[Origin, ...]
    created_at: datetime
    received_at: datetime
    until: datetime
    """The planned end of the ban; of an unban chunk the end of the cool-down."""
    after: tuple[str, ...] = ()
    """Chunks whose tasks must have ended before this one is submitted: ban after unban, unban after ban."""
    renews: tuple[str, ...] = ()
    """Chunks whose bans this one carries on."""
    before: tuple[tuple[int, str, str], ...] = ()
    """For URLs that were claimed before: position, and the chunks that banned and unbanned it. The chain of these is
    a URL's history."""
    actor: str = ""
    reason: str = ""
    """Who decided and why, where a person did."""
    renew_at: datetime | None = None
    """When the bans are to be renewed, if they are planned to outlive what the vendor grants."""
    id: str = ""
    """Ids sort by time, and only the same work at the same moment has the same id. A new chunk is given its own."""

    def __post_init__(self) -> None:
        if not self.id:
            work = (self.action, self.account, self.rule, str(self.ban_days), stamp(self.until), *self.keys)
            name = hashlib.sha256(",".join(work).encode()).hexdigest()[:12]
            object.__setattr__(self, "id", f"{stamp(self.created_at)}-{name}")

    @property
    def expires_at(self) -> int:
        """When the chunk's rows may go, in epoch seconds: a renewal carries the rest of a longer ban."""
        return epoch(self.created_at + timedelta(days=self.ban_days) + KEEP_DECISIONS)


def made_at(chunk: str) -> str:
    """When a chunk was made, by its id: a text that sorts by time."""
    return chunk.partition("-")[0]


def follower(rows: Rows, names: Iterable[str], key: str, chunk: str, known: dict[str, Chunk]) -> Chunk | None:
    """Find the later chunk that remembers ``chunk`` as one that had a URL, back from those that have it now.

    ``known`` keeps what was read for the next URL.
    """
    left = [name for name in names if name]
    for _ in range(CHAIN):
        if new := [name for name in left if name not in known]:
            known.update(read(rows, new))
        later = next((known[name] for name in left if name in known and key in known[name].keys), None)
        if later is None:
            return None
        at = later.keys.index(key)
        left = [name for where, ban, unban in later.before if where == at for name in (unban, ban) if name]
        if chunk in left:
            return later
    return None


def part_of(chunk: Chunk, positions: Iterable[int]) -> Chunk:
    """A chunk as if it had these positions alone, to claim for."""
    kept = sorted(positions)
    return replace(
        chunk,
        urls=tuple(chunk.urls[position] for position in kept),
        keys=tuple(chunk.keys[p] for p in kept),
        origins=tuple(chunk.origins[position] for position in kept),
    )


def open_chunk(rows: Rows, chunk: Chunk, *, then: ChunkState) -> None:
    """Make the candidates durable, under a lease. First the URLs, then the row that the sweep finds them by."""
    origins = list(dict.fromkeys(chunk.origins))
    position = {origin: index for index, origin in enumerate(origins)}
    document: dict[str, Any] = {
        "urls": chunk.urls,
        "keys": chunk.keys,
        "origins": [[o.report, o.source, o.reporter, o.category, o.note] for o in origins],
        "origin": [position[o] for o in chunk.origins] if len(origins) > 1 else [],
    }
    if chunk.before:
        document["before"] = chunk.before
    if chunk.renews:
        document["renews"] = chunk.renews
    rows.write(
        [
            Put(
                {
                    "pk": f"chunk#{chunk.id}",
                    "sk": "chunk",
                    "account": chunk.account,
                    "action": chunk.action.value,
                    "ban_days": chunk.ban_days,
                    "rule": chunk.rule,
                    "actor": chunk.actor,
                    "reason": chunk.reason,
                    "body": compress(document),
                    "created_at": millis(chunk.created_at),
                    "received_at": millis(chunk.received_at),
                    "until": millis(chunk.until),
                    "expires_at": chunk.expires_at,
                }
            ),
            Put(journal.entry("chunk", chunk.id, now=chunk.created_at)),
            *([Put(renewal(chunk, chunk.renew_at))] if chunk.renew_at else []),
        ]
    )
    rows.apply(
        Insert(
            {
                "pk": f"account#{chunk.account}",
                "sk": f"chunk#{chunk.id}",
                "state": ChunkState.OPEN.value,
                "then": then.value,
                "action": chunk.action.value,
                "ban_days": chunk.ban_days,
                "rule": chunk.rule,
                "after": list(chunk.after),
                "count": len(chunk.urls),
                "received_at": millis(chunk.received_at),
                "lease_until": millis(chunk.created_at + LEASE),
            }
        )
    )


def renewal(chunk: Chunk, at: datetime) -> Row:
    """Make the row by which the renewal finds a chunk when its bans are about to lapse."""
    return {
        "pk": f"renewals#{chunk.account}",
        "sk": f"{stamp(at)}#{chunk.id}",
        "chunk": chunk.id,
        "expires_at": chunk.expires_at,
    }


def seal(rows: Rows, chunk: Chunk, claimed: set[str], *, then: ChunkState) -> bool:
    """Close the claiming with the keys that were claimed; ``False`` if somebody sealed it before."""
    excluded = [position for position, key in enumerate(chunk.keys) if key not in claimed]
    key = (f"account#{chunk.account}", f"chunk#{chunk.id}")
    still_open: dict[str, Value] = {"state": ChunkState.OPEN.value}
    if len(excluded) == len(chunk.keys) or then is ChunkState.ADOPTED:
        return rows.apply(Delete(key, expect=still_open))
    change: dict[str, Value] = {"state": then.value, "next": 0, "lost": list(excluded)}
    return rows.apply(Update(key, set=change, expect=still_open, remove=("lease_until", "then")))


def read(rows: Rows, ids: Sequence[str]) -> dict[str, Chunk]:
    """Read chunks by id."""
    found = rows.get([(f"chunk#{each}", "chunk") for each in dict.fromkeys(ids)], consistent=True)
    return {pk[6:]: _chunk(row) for (pk, _), row in found.items()}


def _chunk(row: Mapping[str, Value]) -> Chunk:
    document: dict[str, Any] = decompress(blob(row, "body"))
    origins = [Origin(*each) for each in document["origins"]]
    which = document["origin"] or [0] * len(document["urls"])
    created_at, received_at, until = moment(row, "created_at"), moment(row, "received_at"), moment(row, "until")
    assert created_at
    assert received_at
    assert until
    return Chunk(
        id=text(row, "pk")[6:],
        account=text(row, "account"),
        action=Action(text(row, "action")),
        ban_days=number(row, "ban_days"),
        rule=text(row, "rule"),
        urls=tuple(document["urls"]),
        keys=tuple(document["keys"]),
        origins=tuple(origins[index] for index in which),
        created_at=created_at,
        received_at=received_at,
        until=until,
        renews=tuple(document.get("renews", ())),
        before=tuple((position, ban, unban) for position, ban, unban in document.get("before", ())),
        actor=text(row, "actor"),
        reason=text(row, "reason"),
    )


def work(rows: Rows, account: str, *, limit: int = 0, after: str = "") -> list[Work]:
    """Read the chunks of an account that are not wholly in tasks, oldest first, consistently.

    ``limit`` 0 means all; ``after`` is the id of the chunk behind which to begin.
    """
    found = rows.query(f"account#{account}", prefix="chunk#", limit=limit, after=f"chunk#{after}" if after else "")
    return [_work(row) for row in found]


def work_of(rows: Rows, account: str, chunk: str) -> Work | None:
    """Read one chunk's remaining work; ``None`` once it is wholly in tasks."""
    return work_among(rows, account, [chunk]).get(chunk)


def work_among(rows: Rows, account: str, ids: Iterable[str]) -> dict[str, Work]:
    """Read the remaining work of chunks by id; those that are wholly in tasks have none."""
    found = rows.get([(f"account#{account}", f"chunk#{each}") for each in dict.fromkeys(ids)], consistent=True)
    return {each.chunk: each for each in map(_work, found.values())}


def _work(row: Mapping[str, Value]) -> Work:
    received_at = moment(row, "received_at")
    assert received_at
    return Work(
        chunk=text(row, "sk")[6:],
        account=text(row, "pk")[8:],
        state=ChunkState(text(row, "state")),
        action=Action(text(row, "action")),
        ban_days=number(row, "ban_days"),
        count=number(row, "count"),
        next=number(row, "next"),
        excluded=numbers(row, "lost"),
        received_at=received_at,
        lease_until=moment(row, "lease_until"),
        rule=text(row, "rule"),
        after=texts(row, "after"),
        approved_by=text(row, "approved_by"),
        refused=text(row, "refused"),
        then=ChunkState(text(row, "then")) if row.get("then") else None,
    )


def withdraw(rows: Rows, work: Work, positions: Iterable[int]) -> None:
    """Take URLs out of what waits or is held, before any task has them. Only the account's submitter may."""
    excluded = sorted({*work.excluded, *positions})
    key = (f"account#{work.account}", f"chunk#{work.chunk}")
    same: Row = {"state": work.state.value}
    if {*range(work.next, work.count)} <= {*excluded}:
        rows.apply(Delete(key, expect=same))
    else:
        rows.apply(Update(key, set={"lost": list(excluded)}, expect=same))
