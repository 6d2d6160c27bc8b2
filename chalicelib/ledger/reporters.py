"""Who reported a URL for which the policy wants several independent reporters. Names are kept as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from chalicelib.ledger import KEEP
from chalicelib.ledger.row import epoch, texts
from chalicelib.ports import Insert, Key, Rows, Update, Value

MOST_NAMES = 100
"""Names kept of a URL's reporters: no category asks for more."""

TRIES = 5
"""How often a reporter is noted again, because another intake noted one of the same URL meanwhile."""


def note(rows: Rows, asked: Mapping[str, Sequence[str]], *, now: datetime) -> dict[str, int]:
    """Note who reported URLs that need several independent reporters; return how many each has by now.

    Names are kept as hashes. Where another intake notes a reporter of the same URL at the same moment, it is read and
    written again: so the second of them counts both. After too many tries a name is left out, until its next report.
    """
    counts: dict[str, int] = {}
    pending = dict(asked)
    for _ in range(TRIES):
        found = rows.get([_key_of(key) for key in pending], consistent=True)
        writes: list[tuple[str, Insert | Update]] = []
        for key, names in pending.items():
            row = found.get(_key_of(key), {})
            before = texts(row, "names")
            after = list(dict.fromkeys((*before, *map(hash_of, names))))[:MOST_NAMES]
            counts[key] = len(after)
            if len(after) == len(before):
                continue
            change: dict[str, Value] = {"names": list(after), "count": len(after), "expires_at": epoch(now + KEEP)}
            pk, sk = _key_of(key)
            noted = Update((pk, sk), set=change, expect={"names": list(before)}) if row else None
            writes.append((key, noted or Insert({"pk": pk, "sk": sk, **change})))
        failed = rows.write([write for _, write in writes]) if writes else set()
        pending = {key: pending[key] for index, (key, _) in enumerate(writes) if index in failed}
        if not pending:
            break
    return counts


def forget(rows: Rows, withdrawn: Mapping[str, Collection[str]], *, now: datetime) -> bool:
    """Take names out of the reporters of URLs, because they took their word back.

    ``False`` if other intakes kept changing some of these rows: then the withdrawal must come again.
    """
    pending = dict(withdrawn)
    for _ in range(TRIES):
        found = rows.get([_key_of(key) for key in pending], consistent=True) if pending else {}
        writes: list[tuple[str, Update]] = []
        for key, names in pending.items():
            before = texts(found.get(_key_of(key), {}), "names")
            gone = {hash_of(name) for name in names}
            after: list[Value] = [name for name in before if name not in gone]
            if len(after) < len(before):
                change: dict[str, Value] = {"names": after, "count": len(after), "expires_at": epoch(now + KEEP)}
                writes.append((key, Update(_key_of(key), set=change, expect={"names": list(before)})))
        failed = rows.write([write for _, write in writes]) if writes else set()
        pending = {key: pending[key] for index, (key, _) in enumerate(writes) if index in failed}
        if not pending:
            return True
    return False


def count(rows: Rows, asked: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many reporters URLs would have if these reported them too. Nothing is noted."""
    found = rows.get([_key_of(key) for key in asked], consistent=True) if asked else {}
    return {
        key: len({*texts(found.get(_key_of(key), {}), "names"), *map(hash_of, names)}) for key, names in asked.items()
    }


def hash_of(name: str) -> str:
    """Return what stands for a reporter's name in a row."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _key_of(url_key: str) -> Key:
    return (f"url#{url_key}", "reporters")
