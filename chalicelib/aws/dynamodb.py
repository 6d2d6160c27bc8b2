"""The ledger's table on DynamoDB: implements ``ports.Rows``, with a client that passes rows through (``client.py``).

Attributes are converted here, not by boto3's ``TypeSerializer``: that one turns numbers into ``Decimal`` and takes a
third of the handler's CPU, and our rows hold only strings, integers, bytes and lists and maps of them.
"""

from __future__ import annotations

import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

from chalicelib.ports import Check, Delete, Insert, Key, Put, Row, Update, Value, Write

READ_KEYS = 100  # BatchGetItem's limit, docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
STATEMENTS = 25  # BatchExecuteStatement's and BatchWriteItem's limit, same place
TRIES = 8
"""How often the rest of a batch that DynamoDB throttled is tried, with a pause that doubles from 50 ms."""

FAILED = frozenset({"ConditionalCheckFailed", "DuplicateItem", "TransactionConflict"})
"""Statement errors that mean "your condition does not hold". A conflict with a transaction under way is answered as
one: whoever lost reads again and sees."""
RETRIED = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError"})
REFUSED_FOR_NOW = frozenset({
    "TransactionConflictException", "ThrottlingException", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
})  # fmt: skip
"""Errors of a single write that was not made, and may be made again: a transaction on the row was under way, or
DynamoDB throttled."""

T = TypeVar("T")
R = TypeVar("R")


class LedgerUnavailable(Exception):
    """DynamoDB refused or throttled beyond our retries: the message goes back to its queue."""


def to_wire(value: Value) -> dict[str, Any]:
    """Convert one attribute to DynamoDB's JSON."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": b2a_base64(value, newline=False).decode()}
    if isinstance(value, list):
        return {"L": [to_wire(each) for each in value]}
    if isinstance(value, dict):
        return {"M": {name: to_wire(each) for name, each in value.items()}}
    raise TypeError(f"a row cannot hold {type(value).__name__}")


def from_wire(value: Mapping[str, Any]) -> Value:
    """Convert one attribute from DynamoDB's JSON."""
    ((kind, content),) = value.items()
    if kind == "S":
        return str(content)
    if kind == "N":
        return int(content)
    if kind == "B":
        return a2b_base64(content)
    if kind == "L":
        return [from_wire(each) for each in content]
    if kind == "M":
        return {name: from_wire(each) for name, each in content.items()}
    raise TypeError(f"a row does not hold {kind}")


def _item(row: Row) -> dict[str, Any]:
    return {name: to_wire(value) for name, value in row.items() if value is not None}


def _row(item: Mapping[str, Any]) -> dict[str, Value]:
    return {name: from_wire(value) for name, value in item.items()}


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


class Table:
    """One DynamoDB table with the keys ``pk`` and ``sk``."""

    def __init__(
        self, client: Any, name: str, *, threads: int = 8, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._name = name
        self._pool = ThreadPoolExecutor(threads)  # starts a thread when there is work for it
        self._sleep = sleep
        self._insert_statements: dict[tuple[str, ...], str] = {}

    # --- reading ------------------------------------------------------------------------------------------

    def get(
        self, keys: Sequence[Key], *, consistent: bool = False, attributes: Sequence[str] = ()
    ) -> dict[Key, dict[str, Value]]:
        """See ``Rows.get``."""
        request: dict[str, Any] = {"ConsistentRead": consistent}
        if attributes:
            names = ("pk", "sk", *attributes)
            request["ProjectionExpression"] = ",".join(f"#{index}" for index in range(len(names)))
            request["ExpressionAttributeNames"] = {f"#{index}": name for index, name in enumerate(names)}
        rows: dict[Key, dict[str, Value]] = {}
        batches = list(_batched(dict.fromkeys(keys), READ_KEYS))
        for items in self._each(lambda batch: self._get_batch(batch, request), batches):
            for item in items:
                row = _row(item)
                rows[str(row["pk"]), str(row["sk"])] = row
        return rows

    def _get_batch(self, keys: list[Key], request: dict[str, Any]) -> list[dict[str, Any]]:
        wanted: list[dict[str, Any]] = [_key(key) for key in keys]
        items: list[dict[str, Any]] = []
        for attempt in range(TRIES):
            answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": wanted, **request}})
            items += answer["Responses"].get(self._name, [])
            wanted = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if not wanted:
                return items
            self._pause(attempt)
        raise LedgerUnavailable(f"{len(wanted)} keys stayed unread after {TRIES} tries")

    def query(
        self, pk: str, *, prefix: str = "", after: str = "", limit: int = 0, newest_first: bool = False
    ) -> list[dict[str, Value]]:
        """See ``Rows.query``."""
        request: dict[str, Any] = {
            "TableName": self._name,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            "KeyConditionExpression": "pk = :pk" + (" AND begins_with(sk, :prefix)" if prefix else ""),
            "ExpressionAttributeValues": {":pk": {"S": pk}, **({":prefix": {"S": prefix}} if prefix else {})},
        }
        if after:
            request["ExclusiveStartKey"] = _key((pk, after))
        rows: list[dict[str, Value]] = []
        while True:
            if limit:
                request["Limit"] = limit - len(rows)
            answer = self._client.query(**request)
            rows += [_row(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer or (limit and len(rows) >= limit):
                return rows
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # --- writing -------------------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> set[int]:
        """See ``Rows.write``."""
        plain: list[tuple[int, Write]] = []
        conditional: list[tuple[int, Write]] = []
        for index, write in enumerate(writes):
            unconditional = isinstance(write, Put) or (isinstance(write, Delete) and not write.expect)
            (plain if unconditional else conditional).append((index, write))
        for _ in self._each(self._write_plain, list(_batched(plain, STATEMENTS))):
            pass
        failed: set[int] = set()
        for some in self._each(self._write_conditional, list(_batched(conditional, STATEMENTS))):
            failed |= some
        return failed

    def _write_plain(self, writes: list[tuple[int, Write]]) -> None:
        requests: list[dict[str, Any]] = [
            {"PutRequest": {"Item": _item(write.row)}}
            if isinstance(write, Put)
            else {"DeleteRequest": {"Key": _key(write.key)}}
            for _, write in writes
            if isinstance(write, Put | Delete)
        ]
        for attempt in range(TRIES):
            answer = self._client.batch_write_item(RequestItems={self._name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._name, [])
            if not requests:
                return
            self._pause(attempt)
        raise LedgerUnavailable(f"{len(requests)} rows stayed unwritten after {TRIES} tries")

    def _write_conditional(self, writes: list[tuple[int, Write]]) -> set[int]:
        """BatchExecuteStatement: a condition of its own for each row, in one round trip."""
        failed: set[int] = set()
        left = writes
        for attempt in range(TRIES):
            answer = self._client.batch_execute_statement(Statements=[self._statement(write) for _, write in left])
            again: list[tuple[int, Write]] = []
            for pair, result in zip(left, answer["Responses"], strict=True):
                code = result.get("Error", {}).get("Code")
                if code in FAILED:
                    failed.add(pair[0])
                elif code in RETRIED:
                    again.append(pair)
                elif code:
                    raise LedgerUnavailable(f"DynamoDB refused a statement: {code}")
            if not again:
                return failed
            left = again
            self._pause(attempt)
        raise LedgerUnavailable(f"{len(left)} statements stayed throttled after {TRIES} tries")

    def _statement(self, write: Write) -> dict[str, Any]:
        if isinstance(write, Insert):
            names = tuple(name for name, value in write.row.items() if value is not None)
            statement = self._insert_statements.get(names)
            if statement is None:
                fields = ", ".join(f"'{name}': ?" for name in names)
                statement = self._insert_statements[names] = f'INSERT INTO "{self._name}" VALUE {{{fields}}}'
            return {"Statement": statement, "Parameters": [to_wire(write.row[name]) for name in names]}
        if isinstance(write, Update):
            values = {name: value for name, value in write.set.items() if value is not None}
            changes = "".join(f' SET "{name}" = ?' for name in values) + "".join(f' REMOVE "{n}"' for n in write.remove)
            where, parameters = _where(write.key, write.expect)
            return {
                "Statement": f'UPDATE "{self._name}"{changes} WHERE {where}',
                "Parameters": [to_wire(value) for value in values.values()] + parameters,
            }
        assert isinstance(write, Delete)
        where, parameters = _where(write.key, write.expect)
        return {"Statement": f'DELETE FROM "{self._name}" WHERE {where}', "Parameters": parameters}  # noqa: S608, all values are parameters

    def transact(self, writes: Sequence[Write]) -> bool:
        """See ``Rows.transact``."""
        items = [self._transact_item(write) for write in writes]
        for attempt in range(TRIES):
            try:
                self._client.transact_write_items(TransactItems=items)
            except self._client.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])}
                if "ConditionalCheckFailed" in codes:
                    return False
                if not codes & {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}:
                    raise
                self._pause(attempt)
            except self._client.exceptions.TransactionInProgressException:
                self._pause(attempt)
            else:
                return True
        raise LedgerUnavailable(f"a transaction stayed in conflict after {TRIES} tries")

    def _transact_item(self, write: Write) -> dict[str, Any]:
        table = {"TableName": self._name}
        if isinstance(write, Insert):
            condition = {"ConditionExpression": "attribute_not_exists(pk)"}
            return {"Put": {**table, "Item": _item(write.row), **condition}}
        if isinstance(write, Put):
            return {"Put": {**table, "Item": _item(write.row)}}
        if isinstance(write, Delete):
            expect = _expressions(write.expect) if write.expect else {}
            if expect:
                expect["ConditionExpression"] = f"attribute_not_exists(pk) OR ({expect['ConditionExpression']})"
            return {"Delete": {**table, "Key": _key(write.key), **expect}}
        if isinstance(write, Check):
            return {"ConditionCheck": {**table, "Key": _key(write.key), **_expressions(write.expect)}}
        return {"Update": {**table, "Key": _key(write.key), **_expressions(write.expect, write.set, write.remove)}}

    def add(self, key: Key, attribute: str, amount: int, *, beside: Row | None = None) -> dict[str, Value]:
        """See ``Rows.add``. Not idempotent: after a lost answer the number may have grown twice."""
        names = {"#0": attribute}
        values: dict[str, Any] = {":0": {"N": str(amount)}}
        sets = []
        for index, (name, value) in enumerate((beside or {}).items(), start=1):
            names[f"#{index}"], values[f":{index}"] = name, to_wire(value)
            sets.append(f"#{index} = :{index}")
        for attempt in range(TRIES):
            try:
                answer = self._client.update_item(
                    TableName=self._name,
                    Key=_key(key),
                    UpdateExpression="ADD #0 :0" + (" SET " + ", ".join(sets) if sets else ""),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") not in REFUSED_FOR_NOW:
                    raise
                self._pause(attempt)
            else:
                return _row(answer["Attributes"])
        raise LedgerUnavailable(f"an addition stayed in conflict or throttled after {TRIES} tries")

    # --- both -----------------------------------------------------------------------------------------------

    def _each(self, work: Callable[[list[T]], R], batches: list[list[T]]) -> Iterable[R]:
        if len(batches) <= 1:
            return map(work, batches)
        begun = [self._pool.submit(work, batch) for batch in batches]
        wait(begun)  # all of them, so that after an error nothing is written behind the caller's back
        return [each.result() for each in begun]

    def _pause(self, attempt: int) -> None:
        self._sleep(0.05 * 2**attempt)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _where(key: Key, expect: Row) -> tuple[str, list[dict[str, Any]]]:
    clauses, parameters = ['"pk" = ?', '"sk" = ?'], [to_wire(key[0]), to_wire(key[1])]
    for name, value in expect.items():
        if value is None:
            clauses.append(f'"{name}" IS MISSING')
        else:
            clauses.append(f'"{name}" = ?')
            parameters.append(to_wire(value))
    return " AND ".join(clauses), parameters


def _expressions(expect: Row, change: Row | None = None, remove: Sequence[str] = ()) -> dict[str, Any]:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}

    def name_of(name: str) -> str:
        return names.setdefault(name, f"#{len(names)}")

    def value_of(value: Value) -> str:
        placeholder = f":{len(values)}"
        values[placeholder] = to_wire(value)
        return placeholder

    conditions = ["attribute_exists(pk)"]
    for name, value in expect.items():
        conditions.append(
            f"attribute_not_exists({name_of(name)})" if value is None else f"{name_of(name)} = {value_of(value)}"
        )
    parts: dict[str, Any] = {"ConditionExpression": " AND ".join(conditions)}
    sets = [f"{name_of(name)} = {value_of(value)}" for name, value in (change or {}).items() if value is not None]
    removes = [name_of(name) for name in remove]
    if sets or removes:
        update = ("SET " + ", ".join(sets) if sets else "") + (" REMOVE " + ", ".join(removes) if removes else "")
        parts["UpdateExpression"] = update.strip()
    if names:
        parts["ExpressionAttributeNames"] = {placeholder: name for name, placeholder in names.items()}
    if values:
        parts["ExpressionAttributeValues"] = values
    return parts
