"""The personal data of reporters: rows hold names, the archive holds keyed pseudonyms, and both can be erased.

The archive replaces each name by an HMAC with a key of that person's own (``subject#<hash>``). The archive is
write-once. To erase a person from it, the key is deleted: then nobody can tell whose pseudonym it was.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from chalicelib.ledger import KEEP_DECISIONS
from chalicelib.ledger.reporters import hash_of
from chalicelib.ledger.row import blob, compress, decompress, epoch, text, texts
from chalicelib.ports import Delete, Insert, Key, Row, Rows, Update

SHORTEST = 4
"""Shortest name that can be erased, in characters: a shorter one would be found inside the notes of others."""

ERASED = "(erased)"
"""Replaces a person's name, and a note about that person."""


def form_of(name: str) -> str:
    """Return the form in which names are compared: names that differ only in case or spaces are one person's."""
    return " ".join(name.casefold().split())


def pseudonyms(rows: Rows, names: Iterable[str], *, now: datetime) -> dict[str, str]:
    """Return the pseudonyms of names. A person without a key gets one, which is kept as long as decisions are."""
    forms = {name: form_of(name) for name in names if form_of(name)}
    if not forms:
        return {}
    keys = {form: _key(form) for form in forms.values()}
    found = rows.get(list(keys.values()), consistent=True)
    inserts = [
        Insert({"pk": pk, "sk": sk, "key": secrets.token_bytes(32), "expires_at": epoch(now + KEEP_DECISIONS)})
        for pk, sk in dict.fromkeys(keys.values())
        if (pk, sk) not in found
    ]
    if inserts:
        rows.write(inserts)  # one that fails was made by another run: it is read below
        found = rows.get(list(keys.values()), consistent=True)
    return {name: _pseudonym(blob(found[keys[form]], "key"), form) for name, form in forms.items()}


def erase(rows: Rows, stored: Iterable[Row], name: str) -> int:
    """Erase a person from rows, and the key of that person's pseudonym; return how many rows were changed.

    ``stored`` are rows of the ledger; rows that do not name the person are passed over. After a crash the erasure must
    be repeated. The key is deleted last: otherwise the archive of a day could make a new key for a name that is still
    in a row.
    """
    changed = 0
    for row in stored:
        update = _erased(row, form_of(name))
        changed += update is not None and rows.apply(update)
    rows.apply(Delete(_key(form_of(name))))
    return changed


def names(row: Row, name: str) -> bool:
    """Return whether a row names a person."""
    return _erased(row, form_of(name)) is not None


def _erased(row: Row, form: str) -> Update | None:
    """Return the change that takes a person out of a row; ``None`` if the row does not name that person."""
    key = (text(row, "pk"), text(row, "sk"))
    if key[0].startswith("chunk#") and key[1] == "chunk":
        document = decompress(blob(row, "body"))
        origins = [_origin_without(origin, form) for origin in document["origins"]]
        if origins == document["origins"]:
            return None
        return Update(key, set={"body": compress({**document, "origins": origins})}, expect={"body": blob(row, "body")})
    if key[1] == "reporters" and hash_of(form) in texts(row, "names"):
        # The count stays: that a second person reported the URL is nobody's personal data.
        names = [secrets.token_hex(8) if each == hash_of(form) else each for each in texts(row, "names")]
        return Update(key, set={"names": [*names]}, expect={"count": len(names)})
    return None


def _origin_without(origin: list[str], form: str) -> list[str]:
    """Return an origin of a chunk (report, source, reporter, category, note) without a person."""
    report, source, reporter, category, note = origin
    named = form_of(reporter) == form
    return [
        report,
        source,
        ERASED if named else reporter,
        category,
        ERASED if note and (named or form in form_of(note)) else note,
    ]


def _pseudonym(key: bytes, form: str) -> str:
    return f"p-{hmac.new(key, form.encode(), hashlib.sha256).hexdigest()[:20]}"


def _key(form: str) -> Key:
    return (f"subject#{hashlib.sha256(form.encode()).hexdigest()[:32]}", "key")
