"""Change what sources say of claimed URLs, and with it the planned end of a ban.

One row of the journal, ``words``, tells what a batch changes: it is written before the claims.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from chalicelib.ledger import KEEP, journal
from chalicelib.ledger.claims import Claim, key_of
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.packed_words import end_of_word
from chalicelib.ledger.row import blob, compress, decompress, epoch
from chalicelib.ports import Put, Rows, Update

Change = tuple[Claim, bytes, datetime]
"""A claim as it was read, what its sources say by now (``packed_words``), and the planned end."""


def change(rows: Rows, changes: Sequence[Change], *, now: datetime, lifted: bool = False) -> set[str]:
    """Write changes; return the keys whose claims changed meanwhile. Each claim is one conditional write.

    ``lifted``: edgeban lifts the bans at their planned end, however long the vendor would ban them.
    """
    if not changes:
        return set()
    document = [[claim.key, claim.until, epoch(until), words.hex()] for claim, words, until in changes]
    body = compress(document)
    rows.apply(Put(journal.entry("words", hashlib.sha256(body).hexdigest()[:12], now=now, body=body)))
    updates = [
        Update(
            key_of(claim.key),
            set={
                "words": words,
                "until": epoch(until),
                "expires_at": epoch(until + KEEP),
                **({"lifted_at": epoch(until)} if lifted else {}),
            },
            expect={"chunk": claim.chunk, "outcome": claim.outcome or None, "words": claim.words or None},
        )
        for claim, words, until in changes
    ]
    return {changes[index][0].key for index in rows.write(updates)}


def keys_of(entry: Entry, source: str) -> list[str]:
    """Return the keys of the URLs about which a source had a word when a batch changed them."""
    document: list[tuple[str, int, int, str]] = decompress(blob(entry.fields, "body"))
    return [key for key, _, _, words in document if end_of_word(bytes.fromhex(words), source)]


def ends_of(entry: Entry) -> list[tuple[str, int]]:
    """Return the keys of the URLs that a batch changed, with the planned end that each has by now, in epoch seconds."""
    document: list[tuple[str, int, int, str]] = decompress(blob(entry.fields, "body"))
    return [(key, until) for key, _, until, *_ in document]
