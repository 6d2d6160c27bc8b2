"""One account in a storm: how its simulated vendor breaks, and its state at the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from dev.fault.checker import Limits
from dev.fault.plan import FAILING, REFUSED
from dev.feed import HOSTS
from dev.simulators.alibaba_esa import AlibabaEsaSimulator
from dev.simulators.cloudfrontkvs import KvsSimulator
from dev.simulators.http_server import Simulated, WireFault
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.volcengine import VolcengineSimulator
from dev.simulators.workerskv import WorkersKvSimulator
from dev.vendors import SimulatedAccount


@dataclass(frozen=True, slots=True)
class Times:
    """The durations of faults, in seconds."""

    list_lags: float = 4.0
    """How late a vendor's list shows a task: well below ``lost_answers.LIST_LAG``."""
    long_lag: float = 18.0
    """How late the list is in a long lag: above ``lost_answers.LIST_LAG``."""
    lasting: tuple[float, float] = (3.0, 12.0)
    """The shortest and the longest duration of a host's refusal, a used-up quota and late answers."""
    drip: float = 0.4
    """Pause between two bytes of an answer. No pause reaches the read timeout; all pauses together do."""
    late: float = 3.0
    """Delay of a late answer."""


SHORTENED = Times()
"""For the deployed copy, whose own times are shortened as well."""

AFTER_KINDS = ("slow", "slow_after")
TASK_KINDS = (
    "429",
    "500",
    "500_after_effect",
    "reset_before",
    "reset_after",
    "slow",
    "slow_after",
    "truncate",
    "html",
    "error_200",
)
HUAWEI_CODES = (
    "CDN.0000",
    "CDN.0005",  # the quota is used up
    "APIGW.0308",
    "APIGW.0301",  # the keys are refused
    "CDN.0020",  # the keys lack the permission for some host
    "CDN.0106",  # the state of a host, which passes
    "CDN.0116",
)
VOLCENGINE_CODES = ("InternalError", "FlowLimitExceeded", "InvalidAccessKey", "LackProjectPolicy")
"""Like ``HUAWEI_CODES``: errors that the vendor answers with HTTP 200 for a few calls."""

FAILING_HOST_CODES = {"huawei": ("CDN.0020", "CDN.0106", "CDN.0116", "CDN.0145"), "volcengine": ("LackProjectPolicy",)}
FAILING_HOST_CODES["byteplus"] = FAILING_HOST_CODES["volcengine"]


LIMITS = {
    "huawei": Limits(1_000, {"create": 10, "list_tasks": 30, "list_banned": 30}),
    "volcengine": Limits(100, {"create": 20, "list_tasks": 20}),
    "byteplus": Limits(100, {"create": 20, "list_tasks": 20}),
    "workerskv": Limits(10_000, {}),  # 1,200 calls in five minutes: the simulator counts them
    "cloudfrontkvs": Limits(50, {}),  # none is documented
    "alibaba-esa": Limits(100, {"block": 5, "unblock": 5}),
}
"""Limits from the vendors' own documents, and not from edgeban's code."""


@dataclass
class VendorSide:
    """One account, its vendor, and the faults that a seed draws for it."""

    account: SimulatedAccount
    times: Times = SHORTENED
    forgotten: list[dict[str, Any]] = field(default_factory=list)
    """Tasks that the vendor's list does not show any more."""
    drawn: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        simulator = self.account.simulator
        if isinstance(simulator, HuaweiSimulator | VolcengineSimulator):
            simulator.list_lags = self.times.list_lags
            simulator.poison(REFUSED, "refuse")
            simulator.poison(FAILING, "fail_task" if isinstance(simulator, HuaweiSimulator) else "fail_url")
        if isinstance(simulator, WorkersKvSimulator):
            simulator.fail_keys(FAILING)
        if isinstance(simulator, AlibabaEsaSimulator):
            simulator.refuse(REFUSED)

    @property
    def name(self) -> str:
        return self.account.name

    @property
    def limits(self) -> Limits:
        return LIMITS[self.account.vendor]

    @property
    def honours(self) -> frozenset[str]:
        """The marks of URLs that this vendor refuses or fails. It bans URLs with other marks."""
        marks = {"workerskv": {FAILING}, "cloudfrontkvs": set[str](), "alibaba-esa": {REFUSED}}
        return frozenset(marks.get(self.account.vendor, {REFUSED, FAILING}))

    # --- breaking --------------------------------------------------------------------------------------------

    def strike(self, dice: random.Random) -> None:
        """Break something once, or for some seconds."""
        effects: list[tuple[int, Callable[[random.Random], None]]] = [
            (10, self._fault),
            (2, partial(self._wire, kind="drip_headers")),
            (2, partial(self._wire, kind="drip_body")),
            (3, partial(self._wire, kind="stale")),
            (2, self._answer_late),
        ]
        if isinstance(self.account.simulator, HuaweiSimulator | VolcengineSimulator):
            effects += [(2, self._refuse_host), (2, self._use_up_quota), (2, self._lag), (1, self._forget)]
        dice.choices([effect for _, effect in effects], weights=[weight for weight, _ in effects])[0](dice)

    def outage(self, dice: random.Random, seconds: float) -> None:
        """Let every call fail for so long."""
        kind = dice.choice(("down", "gone"))
        fault = WireFault(kind, times=0, until=self._simulator.now() + seconds)  # type: ignore[arg-type]
        self._simulator.break_wire(fault)
        self.drawn[f"{self.name}: outage"] += 1

    def calm(self, seed: int) -> None:
        """End the faults soon: each strikes a few times more, and lasting ones end."""
        simulator = self.account.simulator
        simulator.add_faults()
        self._simulator.break_wire()
        if isinstance(simulator, HuaweiSimulator | VolcengineSimulator):
            simulator.list_lags = self.times.list_lags
            simulator.use_up_quota("ban", 0)
            for host in HOSTS:
                simulator.poison(f"://{host}/", seconds=0)
        dice = random.Random(f"{self.name} {seed}")
        for _ in range(6):
            self._fault(dice)

    @property
    def _simulator(self) -> Simulated:
        return cast("Simulated", self.account.simulator)

    def _fault(self, dice: random.Random) -> None:
        simulator = self.account.simulator
        if isinstance(simulator, HuaweiSimulator | VolcengineSimulator):
            fault = self._of_tasks(dice)
        elif isinstance(simulator, WorkersKvSimulator):
            fault = _of_keys(dice, late=self.times.late)
        elif isinstance(simulator, KvsSimulator):
            fault = _of_store(dice)
        else:
            fault = _of_blocks(dice, late=self.times.late)
        simulator.add_faults({**fault, "times": dice.randint(1, 3)})

    def _of_tasks(self, dice: random.Random) -> dict[str, Any]:
        kind = dice.choice(TASK_KINDS)
        fault: dict[str, Any] = {"match": dice.choice(("create", "create", "list_tasks")), "kind": kind}
        if kind in AFTER_KINDS:
            fault["seconds"] = dice.uniform(0.2, 1) * self.times.late
        if kind == "error_200":
            fault["code"] = dice.choice(HUAWEI_CODES if self.account.vendor == "huawei" else VOLCENGINE_CODES)
        return fault

    def _wire(self, dice: random.Random, *, kind: str) -> None:
        fault = WireFault(kind, times=dice.randint(1, 3), seconds=self.times.drip)  # type: ignore[arg-type]
        self._simulator.break_wire(fault)

    def _answer_late(self, dice: random.Random) -> None:
        until = self._simulator.now() + dice.uniform(*self.times.lasting)
        self._simulator.break_wire(WireFault("late", times=0, seconds=self.times.late, until=until))

    def _refuse_host(self, dice: random.Random) -> None:
        code = dice.choice(FAILING_HOST_CODES[self.account.vendor])
        self._of_simulator("poison", f"://{dice.choice(HOSTS)}/", "refuse", code, dice.uniform(*self.times.lasting))
        self.drawn[f"{self.name}: host refused"] += 1

    def _use_up_quota(self, dice: random.Random) -> None:
        self._of_simulator("use_up_quota", "ban", dice.uniform(*self.times.lasting))
        self.drawn[f"{self.name}: quota used up"] += 1

    def _lag(self, dice: random.Random) -> None:
        """Let the list lag until the vendor is well again, or the next lag is drawn.

        A long lag begins while a task is under way. Nobody could know of one that begins while nothing is, and an
        answer that is lost at that moment would make a second task.
        """
        simulator = cast("HuaweiSimulator", self.account.simulator)
        is_known = any(task["state"] == "processing" for task in self.tasks())
        simulator.list_lags = dice.choice((self.times.list_lags, self.times.long_lag if is_known else 0.0))
        self.drawn[f"{self.name}: list lags {simulator.list_lags:g} s"] += 1

    def _forget(self, dice: random.Random) -> None:
        """Let the vendor's list lose a task that is under way."""
        under_way = [task for task in self.tasks() if task["state"] == "processing"]
        if under_way and len(self.forgotten) < 2:
            task = dice.choice(under_way)
            self._of_simulator("forget_task", task["id"])
            self.forgotten.append(task)
            self.drawn[f"{self.name}: task forgotten"] += 1

    def _of_simulator(self, name: str, *values: object) -> None:
        getattr(self.account.simulator, name)(*values)

    # --- afterwards ------------------------------------------------------------------------------------------

    def tasks(self) -> list[dict[str, Any]]:
        """Return the vendor's tasks (``id``, ``action``, ``state``, ``urls``); none of a vendor without tasks."""
        simulator = self.account.simulator
        if isinstance(simulator, HuaweiSimulator):
            return simulator.tasks(urls=True)
        if not isinstance(simulator, VolcengineSimulator):
            return []
        words = {"running": "processing", "complete": "succeeded", "failed": "failed"}
        found = []
        for task in simulator.tasks():
            states = {url: words[status] for url, status in task["statuses"].items()}
            action = "ban" if task["kind"] == "block_url" else "unban"
            state = "processing" if "processing" in states.values() else "succeeded"
            taken = [url for url, of_url in states.items() if of_url != "failed"]
            found.append({"id": task["id"], "action": action, "state": state, "urls": list(states), "taken": taken})
        return found

    def calls(self) -> list[dict[str, Any]]:
        """Return the vendor's log: ``endpoint``, ``time``, ``status`` and ``fault`` of each call."""
        simulator = self.account.simulator
        if isinstance(simulator, HuaweiSimulator | VolcengineSimulator):
            return simulator.calls(0, 1_000_000)
        return [
            {**call, "endpoint": call.get("endpoint") or call.get("type"), "fault": ""} for call in simulator.calls()
        ]

    def banned(self, urls: Sequence[str]) -> frozenset[str]:
        """Return what the vendor blocks: its own list, or which of these its edge refuses."""
        simulator = self.account.simulator
        if isinstance(simulator, KvsSimulator):
            return frozenset(url for url in urls if simulator.edge_status(url) == 403)
        return frozenset(cast("HuaweiSimulator", simulator).banned())

    def faults(self) -> Counter[str]:
        """Count what struck."""
        struck = Counter(self.drawn)
        struck.update({f"{self.name}: {kind}": count for kind, count in self._simulator.wire_struck().items()})
        if isinstance(self.account.simulator, HuaweiSimulator | VolcengineSimulator):
            struck.update(f"{self.name}: {call['fault']}" for call in self.calls() if call["fault"])
        else:
            struck[f"{self.name}: calls failed"] += sum(call["status"] != 200 for call in self.calls())
        return struck


def _of_keys(dice: random.Random, *, late: float) -> dict[str, Any]:
    """Draw a fault of Workers KV."""
    fault = dice.choice(
        (
            {"kind": "error", "status": 429, "code": 971, "retry_after": "2"},
            {"kind": "error", "status": 500, "code": 0},
            {"kind": "error", "status": 403, "code": 10000},  # the token is refused
            {"kind": "error_after"},
            {"kind": "html", "status": 502},
            {"kind": "reset_before"},
            {"kind": "reset_after"},
            {"kind": "truncate"},
            {"kind": "slow_after", "seconds": late},
        )
    )
    return {**fault, "match": dice.choice(("write", "delete"))}


def _of_store(dice: random.Random) -> dict[str, Any]:
    """Draw a fault of the CloudFront KeyValueStore."""
    fault: Mapping[str, Any] = dice.choice(
        (
            {"kind": "error", "status": 429, "code": "ThrottlingException"},
            {"kind": "error", "status": 500, "code": "InternalServerException"},
            {"kind": "error", "status": 403, "code": "AccessDeniedException"},
            {"kind": "error_after"},
            {"kind": "reset_before"},
            {"kind": "reset_after"},
            {"kind": "truncate"},
            {"kind": "other_writer"},
        )
    )
    return {**fault, "match": "write" if fault["kind"] == "other_writer" else dice.choice(("describe", "write"))}


def _of_blocks(dice: random.Random, *, late: float) -> dict[str, Any]:
    """Draw a fault of ESA."""
    fault: Mapping[str, Any] = dice.choice(
        (
            {"kind": "error", "status": 400, "code": "TooManyRequests"},
            {"kind": "error", "status": 500, "code": "InternalError"},
            {"kind": "error_after"},
            {"kind": "reset_before"},
            {"kind": "reset_after"},
            {"kind": "truncate"},
            {"kind": "slow_after", "seconds": late},
        )
    )
    return dict(fault)
