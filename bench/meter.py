"""Count every AWS request of a process and the capacity it consumes, by function and operation.

Hooks of botocore see requests and answers, so the code that ships knows nothing of the meter. DynamoDB is asked to
return the consumed capacity. MiniStack does not return it for BatchGetItem, and counts one unit for a statement or a
query of any size. So those units are computed from the bytes by DynamoDB's rule, which gives the same on AWS.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

SQS_CHUNK = 64 * 1024
"""Bytes of a request that SQS counts as one."""

READS = {"dynamodb.BatchGetItem", "dynamodb.Query"}
"""Operations that consume read units."""

_INSERTED = re.compile(r"'([^']+)': \?")


class Meter:
    """Counts the requests of the clients that it is attached to, under the name in ``function``."""

    def __init__(self) -> None:
        self.function = "-"
        self.counts: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._lock = threading.Lock()
        self._attached: list[Any] = []

    def attach(self, client: Any) -> None:
        """Count the requests of a client from now on. A second call for the same client changes nothing."""
        if client in self._attached:
            return
        self._attached.append(client)
        events = client.meta.events
        service = client.meta.service_model.service_name
        if service == "dynamodb":
            events.register(f"provide-client-params.{service}", self._ask)
        events.register(f"before-send.{service}", self._sent)
        events.register(f"after-call.{service}", self._answered)

    def _ask(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> dict[str, Any]:
        context["metered"] = params
        if "ReturnConsumedCapacity" in model.input_shape.members:
            return {**params, "ReturnConsumedCapacity": "TOTAL"}
        return params

    def _sent(self, request: Any, event_name: str, **_: Any) -> None:
        size = len(request.body or b"")
        with self._lock:
            counted = self.counts[self.function, event_name.partition(".")[2]]
            counted["requests"] += 1
            if ".sqs." in event_name:
                counted["sqs_chunks"] += max(1, -(-size // SQS_CHUNK))

    def _answered(self, parsed: dict[str, Any], event_name: str, context: dict[str, Any], **_: Any) -> None:
        operation = event_name.partition(".")[2]
        consumed = units(operation, context.get("metered", {}), parsed)
        if consumed:
            with self._lock:
                self.counts[self.function, operation]["read" if operation in READS else "written"] += consumed

    def take(self) -> list[dict[str, Any]]:
        """Return and clear the counts, one line for each function and operation."""
        with self._lock:
            lines = [
                {"function": function, "operation": operation, **counted}
                for (function, operation), counted in sorted(self.counts.items())
            ]
            self.counts.clear()
        return lines


def units(operation: str, params: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Return the capacity units of one call."""
    match operation:
        case "dynamodb.BatchGetItem":
            return sum(_units_of_keys(name, request, answer) for name, request in params["RequestItems"].items())
        case "dynamodb.Query":
            return _begun(sum(map(size, answer["Items"])), 4096) * (1 if params.get("ConsistentRead") else 0.5)
        case "dynamodb.BatchExecuteStatement":
            return sum(_begun(_size_of_statement(statement), 1024) for statement in params["Statements"])
        case _:
            consumed = answer.get("ConsumedCapacity") or []
            tables = consumed if isinstance(consumed, list) else [consumed]
            return float(sum(table["CapacityUnits"] for table in tables))


def _units_of_keys(table: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """Return the units of the keys. A key without a row costs too.

    A projection hides the size of a row. The rows that are read with one are below 4 KB.
    """
    rows = answer["Responses"].get(table, [])
    rounds = sum(_begun(size(row), 4096) for row in rows) + len(request["Keys"]) - len(rows)
    return rounds * (1 if request.get("ConsistentRead") else 0.5)


def _size_of_statement(statement: Mapping[str, Any]) -> int:
    """Return the size of an inserted row; of an update, the size of what it sets, since the row is not known here."""
    names = _INSERTED.findall(statement["Statement"])
    return sum(len(name) for name in names) + sum(map(value_size, statement["Parameters"]))


def size(row: Mapping[str, Any]) -> int:
    """Return the bytes of a row in DynamoDB's JSON, as DynamoDB counts them."""
    return sum(len(name.encode()) + value_size(value) for name, value in row.items())


def value_size(value: Mapping[str, Any]) -> int:
    """Return the bytes of one value in DynamoDB's JSON."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            return (len(str(content).strip("-").strip("0")) + 1) // 2 + 1 + str(content).startswith("-")
        case "B":
            return len(str(content)) * 3 // 4 - str(content).count("=")
        case "L":
            return 3 + sum(1 + value_size(item) for item in content)
        case _:
            return 3 + sum(1 + len(name.encode()) + value_size(item) for name, item in content.items())


def _begun(amount: int, unit: int) -> int:
    return max(1, -(-amount // unit))
