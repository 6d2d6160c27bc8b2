"""When the policy in force took effect, and the words that each version of it had for statements of reasons.

Versions of the words are a few rows a year and are kept for good: a statement says what held when its ban was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chalicelib.ledger.row import blob, millis, moment, stamp, text, texts
from chalicelib.ports import Put, Rows

_WORDS = "policy#statements"
_DOCUMENT = ("policy#document", "current")
_ACCOUNTS = ("policy#document", "accounts")


def record_words(rows: Rows, words: bytes, *, since: datetime) -> None:
    """Write a version of the words."""
    rows.apply(Put({"pk": _WORDS, "sk": stamp(since), "since": millis(since), "words": words}))


def latest_words(rows: Rows) -> bytes:
    """Return the words that were recorded last; empty if none were."""
    found = rows.query(_WORDS, limit=1, newest_first=True)
    return blob(found[0], "words") if found else b""


def all_words(rows: Rows) -> list[tuple[datetime, bytes]]:
    """Return the words of all versions, oldest first, each with the moment at which it took effect."""
    return [(since, blob(row, "words")) for row in rows.query(_WORDS) if (since := moment(row, "since"))]


def record_document(rows: Rows, digest: str, *, since: datetime) -> None:
    """Record the document in force and when it took effect; this replaces the record of the one before."""
    pk, sk = _DOCUMENT
    rows.apply(Put({"pk": pk, "sk": sk, "digest": digest, "since": millis(since)}))


def in_use_since(rows: Rows, digest: str) -> datetime | None:
    """Return when the document with this digest took effect; ``None`` if another one was recorded last."""
    row = rows.get([_DOCUMENT], consistent=True).get(_DOCUMENT, {})
    return moment(row, "since") if text(row, "digest") == digest else None


def record_accounts(rows: Rows, accounts: Sequence[str]) -> None:
    """Record which accounts the policy names; this replaces the record before."""
    pk, sk = _ACCOUNTS
    rows.apply(Put({"pk": pk, "sk": sk, "accounts": list(accounts)}))


def known_accounts(rows: Rows) -> set[str]:
    """Return the accounts that the policy named when they were last recorded."""
    return {*texts(rows.get([_ACCOUNTS], consistent=True).get(_ACCOUNTS, {}), "accounts")}
