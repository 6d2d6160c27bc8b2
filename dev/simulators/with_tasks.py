"""What the simulators of vendors with tasks share: faults, poisoned URLs, used-up quotas, outages and a clock."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from dev.simulators.http_server import Reply, Simulated
from dev.simulators.huawei_faults import Fault, Faults

HTML = b"<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"


class WithTasks(Simulated):
    """The controls of a simulator, under the names that they have below ``/_sim/``."""

    poisons: ClassVar[tuple[str, ...]]
    """What a poisoned URL does to its call or task."""
    poison_code: ClassVar[str]
    """The code of the refusal that a poisoned URL brings about, if none is given."""
    _lock: threading.RLock
    _stopping: threading.Event

    def stop(self) -> None:
        self._stopping.set()
        super().stop()

    def reset_controls(self) -> None:
        """Forget all faults, poisoned URLs, quotas and outages, and set the clock right."""
        self._advanced = 0.0
        self._faults = Faults()
        self._poison: dict[str, tuple[str, str, float]] = {}
        self._quota_until: dict[str, float] = {}
        self._outage_until = 0.0
        self._outage_kind = "503"

    def add_faults(self, *faults: Mapping[str, Any]) -> None:
        added = [Fault(**fault) for fault in faults]
        with self._lock:
            self._faults.pending = self._faults.pending + added if added else []

    def poison(
        self, url_contains: str = "", mode: str = "refuse", code: str = "", seconds: float = float("inf")
    ) -> None:
        if mode not in (*self.poisons, "none") or not (url_contains or mode == "none"):
            raise ValueError("poison needs url_contains and a mode")
        with self._lock:
            if mode == "none":
                self._poison.clear()
            else:
                self._poison[url_contains] = (mode, code or self.poison_code, self.now() + seconds)

    def outage(self, seconds: float | None = None, on: bool | None = None, kind: str = "503") -> None:
        if kind not in ("503", "reset"):
            raise ValueError("an outage is of kind 503 or reset")
        with self._lock:
            self._outage_kind = kind
            self._outage_until = self.now() + seconds if seconds is not None else float("inf") if on else 0.0

    def answer_of_outage(self) -> Reply | None:
        """Return the answer during an outage; ``None`` if there is no outage."""
        if self.now() >= self._outage_until:
            return None
        reply = Reply(503, HTML, {"Content-Type": "text/html"})
        reply.wire = "reset" if self._outage_kind == "reset" else "whole"
        return reply

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._advanced += seconds
