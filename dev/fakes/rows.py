"""The ledger's table in memory: the same promises as DynamoDB's, with visible state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from threading import RLock

from chalicelib.ports import Check, Delete, Insert, Key, Put, Row, Update, Value, Write


class MemoryRows:
    """Implements ``ports.Rows`` over a dict. ``units`` counts what DynamoDB charges: a ``written`` unit a begun KB, two
    ``halves read`` for a begun 4 KB read consistently and one otherwise, double in a transaction. What a condition
    refuses is charged as if it were written, a row that is not there as a small one. ``calls`` counts the calls.
    """

    def __init__(self) -> None:
        self.rows: dict[Key, dict[str, Value]] = {}
        self._partitions: defaultdict[str, set[str]] = defaultdict(set)
        self._indexed = 0
        self.units: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._lock = RLock()

    def get(
        self, keys: Sequence[Key], *, consistent: bool = False, attributes: Sequence[str] = ()
    ) -> dict[Key, dict[str, Value]]:
        with self._lock:
            self.calls["get"] += 1
            found = {key: _copy(self.rows[key]) for key in keys if key in self.rows}
            each = 2 if consistent else 1
            self.units["halves read"] += sum(each * _begun(size(found.get(key, {})), 4096) for key in keys)
        if attributes:
            kept = {"pk", "sk", *attributes}
            found = {key: {n: v for n, v in row.items() if n in kept} for key, row in found.items()}
        return found

    def query(
        self, pk: str, *, prefix: str = "", after: str = "", limit: int = 0, newest_first: bool = False
    ) -> list[dict[str, Value]]:
        with self._lock:
            if self._indexed != len(self.rows):
                self._index()
            keys = sorted((pk, sk) for sk in self._partitions.get(pk, ()) if sk.startswith(prefix))
            if newest_first:
                keys = [k for k in reversed(keys) if not after or k[1] < after]
            else:
                keys = [k for k in keys if k[1] > after]
            found = [_copy(self.rows[key]) for key in (keys[:limit] if limit else keys)]
            self.calls["query"] += 1
            self.units["halves read"] += 2 * _begun(sum(size(row) for row in found), 4096)  # rounded up as a whole
            return found

    def write(self, writes: Sequence[Write]) -> set[int]:
        keys = [_key(write) for write in writes]
        assert len(keys) == len(set(keys)), "a row may appear once in a call"
        with self._lock:
            self.calls["write"] += 1
            refused = set()
            for index, write in enumerate(writes):
                before = size(self.rows.get(_key(write), {}))
                if not self._do(write):
                    refused.add(index)
                self.units["written"] += self._charge(write, before)
            return refused

    def apply(self, write: Write) -> bool:
        return not self.write([write])

    def transact(self, writes: Sequence[Write]) -> bool:
        keys = [_key(write) for write in writes]
        assert len(keys) == len(set(keys)), "a row may appear once in a transaction"
        assert len(writes) <= 100, "DynamoDB takes 100 writes in a transaction"
        with self._lock:
            self.calls["transact"] += 1
            sizes = [size(self.rows.get(_key(write), {})) for write in writes]
            held = all(self._holds(write) for write in writes)
            for write in writes if held else ():
                self._do(write)
            charges = [self._charge(write, before) for write, before in zip(writes, sizes, strict=True)]
            self.units["written"] += 2 * sum(charges)
            return held

    def add(self, key: Key, amounts: Mapping[str, int], *, beside: Row | None = None) -> dict[str, Value]:
        with self._lock:
            self.calls["add"] += 1
            row = self.rows.setdefault(key, {"pk": key[0], "sk": key[1]})
            self._note(*key)
            for attribute, amount in amounts.items():
                before = row.get(attribute, 0)
                assert isinstance(before, int)
                row[attribute] = before + amount
            row.update(beside or {})
            self.units["written"] += _begun(size(row), 1024)
            return _copy(row)

    def _note(self, pk: str, sk: str) -> None:
        known = self._partitions[pk]
        self._indexed += sk not in known
        known.add(sk)

    def _index(self) -> None:
        """Find the partitions again, after a test has put rows in or taken them out by hand."""
        self._partitions = defaultdict(set)
        for pk, sk in self.rows:
            self._partitions[pk].add(sk)
        self._indexed = len(self.rows)

    def _charge(self, write: Write, before: int) -> int:
        """DynamoDB charges a write by the larger of the row before and after it."""
        new = size(write.row) if isinstance(write, Insert | Put) else 0
        return _begun(max(before, size(self.rows.get(_key(write), {})), new), 1024)

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
        pk, sk = _key(write)
        if isinstance(write, Insert | Put):
            self.rows[pk, sk] = _copy(write.row)
            self._note(pk, sk)
        elif isinstance(write, Delete):
            if self.rows.pop((pk, sk), None):
                self._partitions[pk].discard(sk)
                self._indexed -= 1
        elif isinstance(write, Update):
            row = self.rows[write.key]
            row.update(_copy(write.set))
            for name in write.remove:
                row.pop(name, None)
        return True


def _copy(row: Row) -> dict[str, Value]:
    return {n: deepcopy(v) if isinstance(v, list | dict) else v for n, v in row.items() if v is not None}


def size(row: Row) -> int:
    """Bytes of a row as DynamoDB counts them: names and values, and 3 for a list or map with 1 for each element.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size(value) for name, value in row.items())


def _size(value: Value) -> int:
    match value:
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case int():
            return (len(str(abs(value)).strip("0")) + 1) // 2 + 1 + (value < 0)
        case list():
            return 3 + sum(1 + _size(each) for each in value)
        case dict():
            return 3 + sum(1 + len(name.encode()) + _size(each) for name, each in value.items())
        case None:
            return 0


def _begun(amount: int, unit: int) -> int:
    return max(1, -(-amount // unit))


def _key(write: Write) -> Key:
    if isinstance(write, Insert | Put):
        pk, sk = write.row["pk"], write.row["sk"]
        assert isinstance(pk, str)
        assert isinstance(sk, str)
        return pk, sk
    assert isinstance(write, Update | Delete | Check)
    return write.key
