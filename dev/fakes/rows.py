"""The ledger's table in memory: the same promises and the same refusals as DynamoDB's, with visible state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from threading import RLock

from chalicelib.ports import Check, Delete, Insert, Key, Put, Row, Update, Value, Write
from dev.fakes import limits, rights


class MemoryRows:
    """Implements ``ports.Rows`` over a dict.

    ``units`` counts what DynamoDB charges: a ``written`` unit a begun KB, two ``halves read`` for a begun 4 KB read
    consistently and one otherwise, double in a transaction. What a condition refuses is charged as if it were written,
    a row that is not there as a small one. ``calls`` counts the calls. What DynamoDB refuses raises ClientError, also
    where ``Table`` raises LedgerUnavailable: DynamoDB answers it statement by statement there.
    """

    def __init__(self) -> None:
        self.note: rights.Note = rights.note
        self.rows: dict[Key, dict[str, Value]] = {}
        self._partitions: defaultdict[str, set[str]] = defaultdict(set)
        self._indexed = 0
        self.units: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.check_named: Callable[[str, str], None] | None = None
        """Raises for the key of a new row that the ledger's table does not name (``row_table``)."""
        self._lock = RLock()

    def get(
        self, keys: Sequence[Key], *, consistent: bool = False, attributes: Sequence[str] = ()
    ) -> dict[Key, dict[str, Value]]:
        """See ``Rows.get``."""
        keys = list(dict.fromkeys(keys))
        limits.check_keys(keys, "BatchGetItem")
        limits.check_projection(attributes, "BatchGetItem")
        self._note("BatchGetItem", keys)
        with self._lock:
            self.calls["get"] += 1
            rows = {key: _copy(self.rows[key]) for key in keys if key in self.rows}
            halves = 2 if consistent else 1
            self.units["halves read"] += sum(halves * _begun(size(rows.get(key, {})), 4096) for key in keys)
        if attributes:
            kept = {"pk", "sk", *attributes}
            rows = {key: {n: v for n, v in row.items() if n in kept} for key, row in rows.items()}
        return rows

    def query(
        self, pk: str, *, prefix: str = "", after: str = "", limit: int = 0, newest_first: bool = False
    ) -> list[dict[str, Value]]:
        """See ``Rows.query``."""
        limits.check_query(pk, prefix=prefix, after=after, limit=limit)
        self._note("Query", [(pk, "")])
        with self._lock:
            if self._indexed != len(self.rows):
                self._index()
            keys = sorted((pk, sk) for sk in self._partitions.get(pk, ()) if sk.startswith(prefix))
            if newest_first:
                keys = [k for k in reversed(keys) if not after or k[1] < after]
            else:
                keys = [k for k in keys if k[1] > after]
            rows = [_copy(self.rows[key]) for key in (keys[:limit] if limit else keys)]
            self.calls["query"] += 1
            self.units["halves read"] += 2 * _begun(sum(size(row) for row in rows), 4096)  # rounded up as a whole
            return rows

    def write(self, writes: Sequence[Write]) -> set[int]:
        """See ``Rows.write``."""
        keys = [_key(write) for write in writes]
        limits.check_keys(keys, "BatchWriteItem")
        for write, key in zip(writes, keys, strict=True):
            operation = _written_by(write)
            _check(write, operation)
            self._note(operation, [key])
        with self._lock:
            self.calls["write"] += 1
            refused = set()
            for index, (write, key) in enumerate(zip(writes, keys, strict=True)):
                before = size(self.rows.get(key, {}))
                if not self._do(write):
                    refused.add(index)
                self.units["written"] += self._charge(write, before)
            return refused

    def apply(self, write: Write) -> bool:
        """See ``Rows.apply``."""
        return not self.write([write])

    def transact(self, writes: Sequence[Write]) -> bool:
        """See ``Rows.transact``."""
        keys = [_key(write) for write in writes]
        for write, key in zip(writes, keys, strict=True):
            _check(write, "TransactWriteItems")
            self._note(TRANSACTED[type(write)], [key])
        with self._lock:
            self.calls["transact"] += 1
            before = [size(self.rows.get(key, {})) for key in keys]
            new = [size(write.row) if isinstance(write, Insert | Put) else 0 for write in writes]
            limits.check_transaction(keys, map(max, before, new))
            holds = all(self._holds(write) for write in writes)
            for write in writes if holds else ():
                self._do(write)
            charges = [self._charge(write, old) for write, old in zip(writes, before, strict=True)]
            self.units["written"] += 2 * sum(charges)
            return holds

    def add(self, key: Key, amounts: Mapping[str, int], *, beside: Row | None = None) -> dict[str, Value]:
        """See ``Rows.add``."""
        limits.check_update((key, {**amounts, **(beside or {})}, ()), "UpdateItem")
        self._note("UpdateItem", [key])
        with self._lock:
            self.calls["add"] += 1
            row = {**self.rows.get(key, {"pk": key[0], "sk": key[1]}), **(beside or {})}
            for attribute, amount in amounts.items():
                before = row.get(attribute, 0)
                if not isinstance(before, int):
                    raise limits.refusal("UpdateItem", f"{attribute} is no number that could be added to")
                row[attribute] = before + amount
            limits.check_row(row, "UpdateItem")
            self.rows[key] = row
            self._remember(*key)
            self.units["written"] += _begun(size(row), 1024)
            return _copy(row)

    def _note(self, operation: str, keys: Sequence[Key]) -> None:
        for key in keys:
            self.note(f"dynamodb:{operation}", "Ledger", key[0])

    def _remember(self, pk: str, sk: str) -> None:
        if self.check_named:
            self.check_named(pk, sk)
        sort_keys = self._partitions[pk]
        self._indexed += sk not in sort_keys
        sort_keys.add(sk)

    def _index(self) -> None:
        """Index the partitions anew, after a test has added or removed rows by hand."""
        self._partitions = defaultdict(set)
        for pk, sk in self.rows:
            self._partitions[pk].add(sk)
        self._indexed = len(self.rows)

    def _charge(self, write: Write, before: int) -> int:
        """Charge a write by the larger of the row before and after it, as DynamoDB does."""
        new = size(write.row) if isinstance(write, Insert | Put) else 0
        return _begun(max(before, size(self.rows.get(_key(write), {})), new), 1024)

    def _holds(self, write: Write) -> bool:
        row = self.rows.get(_key(write))
        if isinstance(write, Insert):
            return row is None
        if isinstance(write, Put):
            return True
        if isinstance(write, Delete) and not write.expect:
            return True
        return row is not None and all(row.get(name) == value for name, value in write.expect.items())

    def _do(self, write: Write) -> bool:
        if not self._holds(write):
            return False
        pk, sk = _key(write)
        if isinstance(write, Insert | Put):
            self.rows[pk, sk] = _copy(write.row)
            self._remember(pk, sk)
        elif isinstance(write, Delete):
            if self.rows.pop((pk, sk), None):
                self._partitions[pk].discard(sk)
                self._indexed -= 1
        elif isinstance(write, Update):
            row = {**self.rows[write.key], **_copy(write.set)}
            for name in write.remove:
                row.pop(name, None)
            limits.check_row(row, "UpdateItem")
            self.rows[write.key] = row
        return True


TRANSACTED: dict[type[Write], str] = {
    Insert: "PutItem",
    Put: "PutItem",
    Update: "UpdateItem",
    Delete: "DeleteItem",
    Check: "ConditionCheckItem",
}
"""What IAM is asked for each write of a transaction."""


def _written_by(write: Write) -> str:
    """Return what IAM is asked for a write on its own, as ``chalicelib.aws.dynamodb.Table`` does it."""
    match write:
        case Put():
            return "BatchWriteItem"
        case Delete(expect=expect) if not expect:
            return "BatchWriteItem"
        case Insert():
            return "PartiQLInsert"
        case Update():
            return "PartiQLUpdate"
        case Delete():
            return "DeleteItem"
    raise limits.refusal("BatchExecuteStatement", "a check stands only in a transaction")


def _check(write: Write, operation: str) -> None:
    if isinstance(write, Insert | Put):
        limits.check_key(_key(write), operation)
        limits.check_row(write.row, operation)
    elif isinstance(write, Update):
        limits.check_update((write.key, write.set, write.remove), operation)
    else:
        limits.check_key(write.key, operation)
    if not isinstance(write, Insert | Put):
        for name, value in write.expect.items():
            if value is not None:
                limits.check_value(name, value, operation)


def _copy(row: Row) -> dict[str, Value]:
    return {n: deepcopy(v) if isinstance(v, list | dict) else v for n, v in row.items() if v is not None}


def size(row: Row) -> int:
    """Return the bytes of a row as DynamoDB counts them: its names and values."""
    return sum(len(name.encode()) + limits.size_of(value) for name, value in row.items())


def _begun(amount: int, unit: int) -> int:
    return max(1, -(-amount // unit))


def _key(write: Write) -> Key:
    if isinstance(write, Insert | Put):
        pk, sk = write.row["pk"], write.row["sk"]
        assert isinstance(pk, str)
        assert isinstance(sk, str)
        return pk, sk
    return write.key
