"""Count every AWS request of a process and the capacity it consumed, by function and operation.

Hooks of botocore ask for the capacity and read it: nothing of this is in the code that ships.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

CHUNK = 64 * 1024
"""Bytes of a request that SQS counts as one."""

READS = {"dynamodb.BatchGetItem", "dynamodb.Query"}
"""Operations whose units are for reading."""


class Meter:
    """Counts the requests of clients it is attached to, under the function that runs (``function``)."""

    def __init__(self) -> None:
        self.function = "-"
        self.counts: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._lock = threading.Lock()
        self._attached: list[Any] = []

    def attach(self, client: Any) -> None:
        """Count what a client sends from now on. Once is enough."""
        events = client.meta.events
        if client in self._attached:
            return
        self._attached.append(client)
        service = client.meta.service_model.service_name
        if service == "dynamodb":
            events.register(f"provide-client-params.{service}", self._ask)
        events.register(f"before-send.{service}", self._sent)
        events.register(f"after-call.{service}", self._answered)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            return {**params, "ReturnConsumedCapacity": "TOTAL"}
        return params

    def _sent(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.partition(".")[2]
        size = len(request.body or b"")
        with self._lock:
            counted = self.counts[self.function, operation]
            counted["requests"] += 1
            counted["chunks"] += max(1, -(-size // CHUNK))

    def _answered(self, parsed: dict[str, Any], event_name: str, **_: Any) -> None:
        operation = event_name.partition(".")[2]
        consumed = parsed.get("ConsumedCapacity") or []
        units = sum(each["CapacityUnits"] for each in (consumed if isinstance(consumed, list) else [consumed]))
        if units:
            kind = "read" if operation in READS else "written"
            with self._lock:
                self.counts[self.function, operation][kind] += units

    def take(self) -> list[dict[str, Any]]:
        """Return what was counted since the last time, a line for each function and operation."""
        with self._lock:
            lines = [
                {"function": function, "operation": operation, **counted}
                for (function, operation), counted in sorted(self.counts.items())
            ]
            self.counts.clear()
        return lines
