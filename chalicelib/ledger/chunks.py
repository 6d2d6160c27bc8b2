"""Chunks: the URLs that were claimed together and go to the vendor together. This module holds what never changes.

``ledger.remaining`` holds the part that changes: which URLs of a chunk are in no task yet.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from chalicelib.domain.model import Action
from chalicelib.ledger import KEEP_DECISIONS, journal
from chalicelib.ledger.row import blob, compress, decompress, epoch, millis, moment, number, stamp, text
from chalicelib.ports import Key, Put, Row, Rows, Value

BRIEF_SOURCES = 8
"""Sources of a chunk that the journal names: its row stays below one write unit."""


OPERATOR: Final = "operator:"
"""A person's word is kept under a name that begins so. The name of a source has no colon."""

EDGEBAN: Final = "edgeban"
"""The actor of a lift that no person asked for."""


class Origin(NamedTuple):
    """Where a URL of a chunk came from."""

    report: str
    source: str
    reporter: str
    category: str
    note: str = ""

    @property
    def is_person(self) -> bool:
        """Whether a person decided, and not a source."""
        return self.source.startswith(OPERATOR)

    @property
    def text(self) -> str:
        """The text that a chunk's row holds once for all URLs of this origin."""
        return f"{self.report}{self.source}{self.reporter}{self.category}{self.note}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a chunk that never changes. ``urls`` are canonical; ``keys`` and ``origins`` are in their order."""

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
    """For each URL that was claimed before: its position, the chunk that banned it and the one that unbanned it. From
    chunk to chunk, these lead through a URL's history."""
    actor: str = ""
    reason: str = ""
    """Who decided and why, where a person did."""
    call_back: tuple[str, ...] = ()
    """Sources that are called back when their URLs have ended."""
    unban_id: str = ""
    """The request that asked for an unban, where a person did."""
    renew_at: datetime | None = None
    """When the bans are to be renewed, if they are planned to outlive what the vendor grants."""
    id: str = ""
    """Ids sort by time. Only the same work at the same moment has the same id. A new chunk is given its id here."""

    def __post_init__(self) -> None:
        if not self.id:
            work = (self.action, self.account, self.rule, str(self.ban_days), stamp(self.until), *self.keys)
            name = hashlib.sha256(",".join(work).encode()).hexdigest()[:12]
            object.__setattr__(self, "id", f"{stamp(self.created_at)}-{name}")

    @property
    def expires_at(self) -> int:
        """When DynamoDB may delete the chunk's rows, in epoch seconds. The renewal of a longer ban has its own rows."""
        return epoch(self.created_at + timedelta(days=self.ban_days) + KEEP_DECISIONS)


def made_at(chunk: str) -> str:
    """Return when a chunk was made, from its id: a text that sorts by time."""
    return chunk.partition("-")[0]


def record(rows: Rows, chunk: Chunk) -> None:
    """Write a new chunk, its event in the journal, and the row by which it is renewed."""
    writes = [Put(_row(chunk)), Put(journal.entry("chunk", chunk.id, now=chunk.created_at, **_brief(chunk)))]
    if chunk.renew_at:
        writes.append(Put(renewal(chunk, chunk.renew_at)))
    rows.write(writes)


def _brief(chunk: Chunk) -> dict[str, Value]:
    """Return what the journal tells of a chunk. Its reader needs no other row to count."""
    by_source = Counter(origin.source for origin in chunk.origins).most_common(BRIEF_SOURCES)
    return {
        "account": chunk.account,
        "action": chunk.action.value,
        "rule": chunk.rule,
        "count": len(chunk.urls),
        "sources": dict(by_source),
    }


def renewal(chunk: Chunk, at: datetime) -> Row:
    """Make the row by which a chunk is found when its bans are about to end (``ledger.due_chunks``)."""
    return {
        "pk": f"renewals#{chunk.account}",
        "sk": f"{stamp(at)}#{chunk.id}",
        "chunk": chunk.id,
        "expires_at": chunk.expires_at,
    }


def read(rows: Rows, ids: Iterable[str]) -> dict[str, Chunk]:
    """Read chunks by id; those whose rows have expired are absent from the answer."""
    found = rows.get([_key(chunk) for chunk in dict.fromkeys(ids)], consistent=True)
    return {pk.removeprefix("chunk#"): _chunk(row) for (pk, _), row in found.items()}


def _key(chunk: str) -> Key:
    return (f"chunk#{chunk}", "chunk")


def _row(chunk: Chunk) -> dict[str, Value]:
    origins = list(dict.fromkeys(chunk.origins))
    index_of = {origin: index for index, origin in enumerate(origins)}
    document: dict[str, Any] = {
        "urls": chunk.urls,
        "keys": chunk.keys,
        "origins": [[each.report, each.source, each.reporter, each.category, each.note] for each in origins],
        "origin": [index_of[origin] for origin in chunk.origins] if len(origins) > 1 else [],
    }
    if chunk.before:
        document["before"] = chunk.before
    if chunk.renews:
        document["renews"] = chunk.renews
    if chunk.call_back:
        document["call_back"] = chunk.call_back
    if chunk.unban_id:
        document["unban_id"] = chunk.unban_id
    pk, sk = _key(chunk.id)
    return {
        "pk": pk,
        "sk": sk,
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


def _chunk(row: Mapping[str, Value]) -> Chunk:
    document: dict[str, Any] = decompress(blob(row, "body"))
    origins = [Origin(*each) for each in document["origins"]]
    origin_of = document["origin"] or [0] * len(document["urls"])
    created_at, received_at, until = moment(row, "created_at"), moment(row, "received_at"), moment(row, "until")
    assert created_at
    assert received_at
    assert until
    return Chunk(
        id=text(row, "pk").removeprefix("chunk#"),
        account=text(row, "account"),
        action=Action(text(row, "action")),
        ban_days=number(row, "ban_days"),
        rule=text(row, "rule"),
        urls=tuple(document["urls"]),
        keys=tuple(document["keys"]),
        origins=tuple(origins[index] for index in origin_of),
        created_at=created_at,
        received_at=received_at,
        until=until,
        renews=tuple(document.get("renews", ())),
        before=tuple((position, ban, unban) for position, ban, unban in document.get("before", ())),
        call_back=tuple(document.get("call_back", ())),
        unban_id=document.get("unban_id", ""),
        actor=text(row, "actor"),
        reason=text(row, "reason"),
    )
