"""The ledger's table in memory: the same promises as DynamoDB's, with visible state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from threading import RLock

from chalicelib.ports import Check, Delete, Insert, Key, Put, Row, Update, Value, Write


class MemoryRows:
    """Implements ``ports.Rows`` over a dict. ``units`` counts what DynamoDB would charge for rows below 1 KB."""

    def __init__(self) -> None:
        self.rows: dict[Key, dict[str, Value]] = {}
        self.units: Counter[str] = Counter()
        self._lock = RLock()

    def get(
        self, keys: Sequence[Key], *, consistent: bool = False, attributes: Sequence[str] = ()
    ) -> dict[Key, dict[str, Value]]:
        with self._lock:
            found = {key: deepcopy(self.rows[key]) for key in keys if key in self.rows}
        self.units["halves read"] += len(keys) * (2 if consistent else 1)
        if attributes:
            kept = {"pk", "sk", *attributes}
            found = {key: {n: v for n, v in row.items() if n in kept} for key, row in found.items()}
        return found

    def query(
        self, pk: str, *, prefix: str = "", after: str = "", limit: int = 0, newest_first: bool = False
    ) -> list[dict[str, Value]]:
        with self._lock:
            keys = sorted(k for k in self.rows if k[0] == pk and k[1].startswith(prefix))
            if newest_first:
                keys = [k for k in reversed(keys) if not after or k[1] < after]
            else:
                keys = [k for k in keys if k[1] > after]
            return [deepcopy(self.rows[key]) for key in (keys[:limit] if limit else keys)]

    def write(self, writes: Sequence[Write]) -> set[int]:
        keys = [_key(write) for write in writes]
        assert len(keys) == len(set(keys)), "a row may appear once in a call"
        with self._lock:
            self.units["written"] += len(writes)
            return {index for index, write in enumerate(writes) if not self._do(write)}

    def transact(self, writes: Sequence[Write]) -> bool:
        keys = [_key(write) for write in writes]
        assert len(keys) == len(set(keys)), "a row may appear once in a transaction"
        assert len(writes) <= 100, "DynamoDB takes 100 writes in a transaction"
        with self._lock:
            self.units["written"] += 2 * len(writes)
            if not all(self._holds(write) for write in writes):
                return False
            for write in writes:
                self._do(write)
            return True

    def add(self, key: Key, attribute: str, amount: int, *, beside: Row | None = None) -> dict[str, Value]:
        with self._lock:
            self.units["written"] += 1
            row = self.rows.setdefault(key, {"pk": key[0], "sk": key[1]})
            before = row.get(attribute, 0)
            assert isinstance(before, int)
            row.update({attribute: before + amount, **(beside or {})})
            return deepcopy(row)

    def _holds(self, write: Write) -> bool:
        row = self.rows.get(_key(write))
        if isinstance(write, Insert):
            return row is None
        if isinstance(write, Put):
            return True
        if isinstance(write, Delete) and row is None:
            return True
        return row is not None and all(row.get(name) == value for name, value in write.expect.items())

    def _do(self, write: Write) -> bool:
        if not self._holds(write):
            return False
        if isinstance(write, Insert | Put):
            self.rows[_key(write)] = {n: deepcopy(v) for n, v in write.row.items() if v is not None}
        elif isinstance(write, Delete):
            self.rows.pop(write.key, None)
        elif isinstance(write, Update):
            row = self.rows[write.key]
            row.update({n: deepcopy(v) for n, v in write.set.items() if v is not None})
            for name in write.remove:
                row.pop(name, None)
        return True


def _key(write: Write) -> Key:
    if isinstance(write, Insert | Put):
        pk, sk = write.row["pk"], write.row["sk"]
        assert isinstance(pk, str)
        assert isinstance(sk, str)
        return pk, sk
    assert isinstance(write, Update | Delete | Check)
    return write.key
