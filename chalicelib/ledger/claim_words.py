"""Change what sources say of claimed URLs, and with it the planned end of a ban.

The journal tells what a batch changes, in rows of the kind ``words``. They are written before the claims.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import UrlState
from chalicelib.ledger import KEEP, journal
from chalicelib.ledger.claims import Claim, key_of
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.row import blob, compress, decompress, epoch
from chalicelib.ports import Insert, Put, Row, Rows, Update, Value

Change = tuple[Claim, bytes, datetime]
"""A claim as it was read, what its sources say now (``packed_words``), and the new planned end."""

NO_RETRIES: Mapping[str, datetime] = {}

ROW_BYTES = 300_000
"""Bytes of a journal row's document before it is compressed. It keeps every such row below 400 KB."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One report of a URL in a batch: who said it in which report, and the end that it asks for."""

    source: str
    report: str
    until: datetime
    bans: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What a batch says of one URL: the planned ends before and after, and all words that are on record then."""

    key: str
    account: str
    before: int
    until: int
    words: bytes
    mentions: tuple[Mention, ...] = ()


def record(rows: Rows, said: Sequence[Said], *, now: datetime) -> None:
    """Write the rows of the journal that tell what a batch says of URLs."""
    for part in cut(said, count=10_000, size=ROW_BYTES, size_of=_size):
        document = [
            [
                each.key,
                each.account,
                each.before,
                each.until,
                each.words.hex(),
                [[mention.source, mention.report, epoch(mention.until), mention.bans] for mention in each.mentions],
            ]
            for each in part
        ]
        body = compress(document)
        name = hashlib.sha256(body).hexdigest()[:12]
        rows.apply(Put(journal.entry("words", name, now=now, body=body, count=len(part))))


def _size(said: Said) -> int:
    return 150 + 2 * len(said.words) + sum(60 + len(each.source) + len(each.report) for each in said.mentions)


def change(
    rows: Rows,
    changes: Sequence[Change],
    *,
    now: datetime,
    recorded: bool = False,
    lifted: bool = False,
    retries: Mapping[str, datetime] = NO_RETRIES,
) -> set[str]:
    """Write changes, each claim by one conditional write; return the keys whose claims changed meanwhile.

    ``recorded``: the caller has written the changes into the journal. ``lifted``: edgeban lifts the bans at their
    planned end, though the vendor would ban for longer. ``retries`` says which of the URLs that the vendor refused are
    sent again, and when.
    """
    if not changes:
        return set()
    if not recorded:
        said = [Said(claim.key, claim.account, claim.until, epoch(until), words) for claim, words, until in changes]
        record(rows, said, now=now)
    updates = [_update(each, lifted=lifted, retry_at=retries.get(each[0].key)) for each in changes]
    return {changes[index][0].key for index in rows.write(updates)}


def _update(new: Change, *, lifted: bool, retry_at: datetime | None) -> Update:
    """Make the write of one change. It moves no end of a claim that is held or that ended for good."""
    claim, words, until = new
    change: dict[str, Value] = {"words": words}
    if retry_at:
        change["retry_at"] = epoch(retry_at)
    if claim.asked:
        change["asked"] = claim.asked
    if not claim.outcome or claim.tried:
        change["until"] = epoch(until)
        if not claim.held:
            change["expires_at"] = epoch(until + KEEP)
        if lifted:
            change["lifted_at"] = epoch(until)
    unchanged: Row = {"chunk": claim.chunk, "outcome": claim.outcome or None, "words": claim.words or None}
    return Update(key_of(claim.key), set=change, expect=unchanged)


def mentioned(entry: Entry) -> Iterator[tuple[str, str, str]]:
    """Yield key, source and report of each mention that a row of the journal holds."""
    document: list[Any] = decompress(blob(entry.fields, "body"))
    for key, _, _, _, _, mentions in document:
        for source, report, _, _ in mentions:
            yield key, source, report


def ends_of(entry: Entry) -> list[tuple[str, int]]:
    """Return the keys of the URLs that a batch changed, with the new planned end of each, in epoch seconds."""
    document: list[list[Any]] = decompress(blob(entry.fields, "body"))
    # An earlier version wrote no account behind the key.
    return [(change[0], change[3] if isinstance(change[1], str) else change[2]) for change in document]


NO_CHUNK = "0"
"""The chunk in the claim of a URL that a source withdrew before anybody reported it. It sorts before every chunk."""


def mark(rows: Rows, key: str, *, url: str, account: str, words: bytes, until: datetime) -> bool:
    """Leave a marker for a URL that the ledger does not know; ``False`` if it knows the URL by now."""
    pk, sk = key_of(key)
    row: Row = {
        "pk": pk,
        "sk": sk,
        "url": url,
        "account": account,
        "chunk": NO_CHUNK,
        "until": 0,
        "outcome": UrlState.SUPPRESSED.value,
        "reason": "its source took the report back",
        "words": words,
        "expires_at": epoch(until),
    }
    return rows.apply(Insert(row))
