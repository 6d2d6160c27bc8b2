"""The faults that the Huawei Cloud CDN simulator can be asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal, get_args

Match = Literal["create", "list_tasks", "list_banned", "token", "any"]
Kind = Literal[
    "429",  # the gateway throttles
    "500",  # CDN.0000, nothing done
    "500_after_effect",  # CDN.0000, but the work is done
    "error",  # any `status` with any `code`, nothing done
    "error_200",  # an error body with HTTP 200, nothing done
    "html",  # a proxy's page instead of JSON (`status`, 200 by default), nothing done
    "slow",  # waits `seconds`, then works
    "slow_after",  # works, then waits `seconds` before it answers
    "reset_before",  # the connection is reset, nothing done
    "reset_after",  # done, then the connection is reset: the answer is lost
    "truncate",  # done, then half of the answer's body arrives
]


@dataclass
class Fault:
    """One fault. ``times`` 0 means without end. The default is 1, or 0 if there is a ``probability``."""

    match: Match
    kind: Kind
    times: int | None = None
    probability: float | None = None
    seed: int = 0
    seconds: float = 1.0
    status: int | None = None
    code: str = ""
    message: str = "made by a fault"
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.match not in get_args(Match) or self.kind not in get_args(Kind):
            raise ValueError(f"no such fault: {self.match} {self.kind}")
        if self.times is None:
            self.times = 1 if self.probability is None else 0
        self._random = random.Random(self.seed)

    def strikes(self, endpoint: str) -> bool:
        if self.match not in ("any", endpoint):
            return False
        return self.probability is None or self._random.random() < self.probability


class Faults:
    """The faults that have not struck yet, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def take(self, endpoint: str) -> Fault | None:
        """Return the first fault that strikes this call, and drop it if it has struck often enough."""
        for fault in self.pending:
            if fault.strikes(endpoint):
                if fault.times:
                    fault.times -= 1
                    if fault.times == 0:
                        self.pending.remove(fault)
                return fault
        return None
