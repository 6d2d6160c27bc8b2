"""The ledger's table on DynamoDB: implements ``ports.Rows``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

from chalicelib.aws.wire import expressions, item_of, key_of, row_of, to_wire, where
from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.ports import Check, Delete, Insert, Key, Put, Row, Update, Value, Write

READ_KEYS = 100  # BatchGetItem's limit, docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
STATEMENTS = 25  # BatchExecuteStatement's and BatchWriteItem's limit, same place
TRIES = 8
"""How often the throttled part of a batch is tried, with a pause that doubles from 50 ms."""

FAILED = frozenset({"ConditionalCheckFailed", "DuplicateItem", "TransactionConflict"})
"""Statement errors that mean "the condition does not hold". A conflict with a transaction under way counts as such an
error: the caller reads again and sees what the transaction did."""
RETRIED = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "InternalServerError"})
REFUSED_FOR_NOW = frozenset(
    {
        "TransactionConflictException",
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
    }
)
"""Errors of a single write that was not done and may be repeated: a transaction on the row was under way, or DynamoDB
throttled."""

T = TypeVar("T")
R = TypeVar("R")


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
        batches = list(cut(dict.fromkeys(keys), count=READ_KEYS))
        for items in self._each(lambda batch: self._get_batch(batch, request), batches):
            for item in items:
                rows[item["pk"]["S"], item["sk"]["S"]] = row_of(item)
        return rows

    def _get_batch(self, keys: list[Key], request: dict[str, Any]) -> list[dict[str, Any]]:
        wanted: list[dict[str, Any]] = [key_of(key) for key in keys]
        items: list[dict[str, Any]] = []
        for attempt in range(TRIES):
            answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": wanted, **request}})
            items += answer["Responses"].get(self._name, [])
            wanted = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if not wanted:
                return items
            self._pause(attempt)
        raise LedgerUnavailable(f"DynamoDB left {len(wanted)} keys unread after {TRIES} tries")

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
            request["ExclusiveStartKey"] = key_of((pk, after))
        rows: list[dict[str, Value]] = []
        while True:
            if limit:
                request["Limit"] = limit - len(rows)
            answer = self._client.query(**request)
            rows += [row_of(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer or (limit and len(rows) >= limit):
                return rows
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # --- writing -------------------------------------------------------------------------------------------

    def write(self, writes: Sequence[Write]) -> set[int]:
        """See ``Rows.write``."""
        plain: list[tuple[int, Write]] = []
        deletes: list[tuple[int, Delete]] = []
        conditional: list[tuple[int, Write]] = []
        for index, write in enumerate(writes):
            if isinstance(write, Delete) and write.expect:
                deletes.append((index, write))
            else:
                (plain if isinstance(write, Put | Delete) else conditional).append((index, write))
        for _ in self._each(self._write_plain, list(cut(plain, count=STATEMENTS))):
            pass
        failed: set[int] = set()
        for failed_of_batch in self._each(self._write_conditional, list(cut(conditional, count=STATEMENTS))):
            failed |= failed_of_batch
        for failed_of_batch in self._each(self._delete_conditional, list(cut(deletes, count=1))):
            failed |= failed_of_batch
        return failed

    def apply(self, write: Write) -> bool:
        """See ``Rows.apply``."""
        return not self.write([write])

    def _write_plain(self, writes: list[tuple[int, Write]]) -> None:
        requests: list[dict[str, Any]] = [
            {"PutRequest": {"Item": item_of(write.row)}}
            if isinstance(write, Put)
            else {"DeleteRequest": {"Key": key_of(write.key)}}
            for _, write in writes
            if isinstance(write, Put | Delete)
        ]
        for attempt in range(TRIES):
            answer = self._client.batch_write_item(RequestItems={self._name: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._name, [])
            if not requests:
                return
            self._pause(attempt)
        raise LedgerUnavailable(f"DynamoDB left {len(requests)} rows unwritten after {TRIES} tries")

    def _write_conditional(self, writes: list[tuple[int, Write]]) -> set[int]:
        """Write rows by BatchExecuteStatement: each row has its own condition, and all go in one round trip."""
        failed: set[int] = set()
        pending = writes
        for attempt in range(TRIES):
            answer = self._client.batch_execute_statement(Statements=[self._statement(write) for _, write in pending])
            again: list[tuple[int, Write]] = []
            for pair, result in zip(pending, answer["Responses"], strict=True):
                code = result.get("Error", {}).get("Code")
                if code in FAILED:
                    failed.add(pair[0])
                elif code in RETRIED:
                    again.append(pair)
                elif code:
                    raise LedgerUnavailable(f"DynamoDB refused a statement: {code}")
            if not again:
                return failed
            pending = again
            self._pause(attempt)
        raise LedgerUnavailable(f"DynamoDB throttled {len(pending)} writes {TRIES} times")

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
            condition, parameters = where(write.key, write.expect)
            return {
                "Statement": f'UPDATE "{self._name}"{changes} WHERE {condition}',
                "Parameters": [to_wire(value) for value in values.values()] + parameters,
            }
        raise TypeError(f"{type(write).__name__} is no statement of its own")

    def _delete_conditional(self, deletes: list[tuple[int, Delete]]) -> set[int]:
        """Delete rows by DeleteItem: a DELETE statement of PartiQL succeeds if the row is gone, whatever it expects.

        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.delete.html
        """
        failed: set[int] = set()
        for index, write in deletes:
            request = {"TableName": self._name, "Key": key_of(write.key), **expressions(write.expect)}
            try:
                self._until_taken(lambda: self._client.delete_item(**request))  # noqa: B023, it is called at once
            except self._client.exceptions.ConditionalCheckFailedException:
                failed.add(index)
        return failed

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
        raise LedgerUnavailable(f"DynamoDB refused a transaction {TRIES} times: in conflict or throttled")

    def _transact_item(self, write: Write) -> dict[str, Any]:
        table = {"TableName": self._name}
        if isinstance(write, Insert):
            condition = {"ConditionExpression": "attribute_not_exists(pk)"}
            return {"Put": {**table, "Item": item_of(write.row), **condition}}
        if isinstance(write, Put):
            return {"Put": {**table, "Item": item_of(write.row)}}
        if isinstance(write, Delete):
            expect = expressions(write.expect) if write.expect else {}
            return {"Delete": {**table, "Key": key_of(write.key), **expect}}
        if isinstance(write, Check):
            return {"ConditionCheck": {**table, "Key": key_of(write.key), **expressions(write.expect)}}
        return {"Update": {**table, "Key": key_of(write.key), **expressions(write.expect, write.set, write.remove)}}

    def add(self, key: Key, amounts: Mapping[str, int], *, beside: Row | None = None) -> dict[str, Value]:
        """See ``Rows.add``. Not idempotent: after a lost answer the number may have grown twice."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        additions, sets = [], []
        for index, (name, amount) in enumerate(amounts.items()):
            names[f"#a{index}"], values[f":a{index}"] = name, {"N": str(amount)}
            additions.append(f"#a{index} :a{index}")
        for index, (name, value) in enumerate((beside or {}).items()):
            names[f"#b{index}"], values[f":b{index}"] = name, to_wire(value)
            sets.append(f"#b{index} = :b{index}")
        request = {
            "TableName": self._name,
            "Key": key_of(key),
            "UpdateExpression": f"ADD {', '.join(additions)}" + (f" SET {', '.join(sets)}" if sets else ""),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ReturnValues": "ALL_NEW",
        }
        return row_of(self._until_taken(lambda: self._client.update_item(**request))["Attributes"])

    def _until_taken(self, call: Callable[[], Any]) -> Any:
        """Repeat a single write while DynamoDB refuses it for now."""
        for attempt in range(TRIES):
            try:
                return call()
            except self._client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") not in REFUSED_FOR_NOW:
                    raise
                self._pause(attempt)
        raise LedgerUnavailable(f"DynamoDB refused a write {TRIES} times: in conflict or throttled")

    # --- both -----------------------------------------------------------------------------------------------

    def _each(self, work: Callable[[list[T]], R], batches: list[list[T]]) -> Iterable[R]:
        if len(batches) <= 1:
            return map(work, batches)
        futures = [self._pool.submit(work, batch) for batch in batches]
        wait(futures)  # for all of them: after an error no write goes on unseen
        return [future.result() for future in futures]

    def _pause(self, attempt: int) -> None:
        self._sleep(0.05 * 2**attempt)
