"""Simulate every vendor at which URLs can be banned: one table for the demonstration and for the shared tests.

A new vendor needs a line in the table: then the shared tests and ``make run VENDORS=all`` include it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from chalicelib.ports import BanVendor
from chalicelib.vendors import registry
from chalicelib.vendors.http import VendorHttp
from dev.simulators.alibaba_esa import RECORDS, AlibabaEsaSimulator
from dev.simulators.cloudfrontkvs import KvsSimulator
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.volcengine import VolcengineSimulator
from dev.simulators.volcengine_gate import Identity
from dev.simulators.workerskv import WorkersKvSimulator


class Simulator(Protocol):
    """What the simulators have in common."""

    url: str

    @property
    def credentials(self) -> Mapping[str, str]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def add_faults(self, *faults: Mapping[str, Any]) -> None: ...

    def calls(self) -> list[dict[str, Any]]: ...

    def edge_status(self, url: str) -> int: ...


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """One account at a simulated vendor."""

    name: str
    vendor: str
    simulator: Simulator
    lost_answer: Mapping[str, Any]
    """The fault by which a create is done and its answer lost."""
    secret: str
    """The name of the secret credential."""

    @property
    def configuration(self) -> dict[str, str]:
        """The account's entry in the vendors secret."""
        return {"vendor": self.vendor, "endpoint": self.simulator.url, **self.simulator.credentials}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a simulator behaves. ``seconds`` is how long the vendors with tasks work on one.

    ``settles`` lets the edges of the others see a change as late as they may.
    """

    seconds: float = 0.0
    clock: Callable[[], float] = time.time
    settles: bool = False
    domains: Sequence[str] = ()
    """The hosts of the accounts, exact or ``*.``; none: every host at the vendors with tasks, examples elsewhere."""

    def late(self, seconds: float) -> float:
        """Return the delay of an edge whose changes may take ``seconds`` at most."""
        return seconds if self.settles else 0.0


Make = Callable[[Behaviour], Simulator]
_WRITE, _CREATE = ({"match": match, "kind": "reset_after"} for match in ("write", "create"))
_BYTEPLUS = Identity(region="ap-singapore-1")

_TABLE: Mapping[str, tuple[str, Make, Mapping[str, Any], str]] = {
    "huawei-main": (
        "huawei",
        lambda wanted: HuaweiSimulator(task_seconds=wanted.seconds, clock=wanted.clock, domains=wanted.domains),
        _CREATE,
        "secret_key",
    ),
    "volcengine-main": (
        "volcengine",
        lambda wanted: VolcengineSimulator(task_seconds=wanted.seconds, clock=wanted.clock, domains=wanted.domains),
        _CREATE,
        "secret_key",
    ),
    "byteplus-main": (
        "byteplus",
        lambda wanted: VolcengineSimulator(
            identity=_BYTEPLUS, task_seconds=wanted.seconds, clock=wanted.clock, domains=wanted.domains
        ),
        _CREATE,
        "secret_key",
    ),
    "cloudflare-main": (
        "workerskv",
        lambda wanted: WorkersKvSimulator(clock=wanted.clock, settle_seconds=wanted.late(60)),
        _WRITE,
        "api_token",
    ),
    "cloudfront-main": (
        "cloudfrontkvs",
        lambda wanted: KvsSimulator(clock=wanted.clock, settle_seconds=wanted.late(30)),
        _WRITE,
        "secret_key",
    ),
    "esa-main": (
        "alibaba-esa",
        lambda wanted: AlibabaEsaSimulator(
            clock=wanted.clock, settle_seconds=wanted.late(60), records=tuple(wanted.domains) or RECORDS
        ),
        {"kind": "reset_after"},
        "secret_key",
    ),
}
"""Account → vendor, simulator, the fault that loses an answer, the secret credential."""

NAMES = tuple(_TABLE)
VENDORS = frozenset(vendor for vendor, _, _, _ in _TABLE.values())


def simulated(names: Sequence[str] = NAMES, behaviour: Behaviour = Behaviour()) -> list[SimulatedAccount]:
    """Return accounts at simulated vendors. Each simulator has a port already: start it, and stop it."""
    accounts = []
    for name in names:
        vendor, make, lost_answer, secret = _TABLE[name]
        accounts.append(SimulatedAccount(name, vendor, make(behaviour), lost_answer, secret))
    return accounts


def connected(
    account: SimulatedAccount, clock: Callable[[], datetime], http: VendorHttp, **credentials: str
) -> BanVendor:
    """Build the client of an account as the registry does, with another clock, and with other credentials if given."""
    configured = registry.parse_accounts({account.name: {**account.configuration, **credentials}})[account.name]
    module = importlib.import_module(f"chalicelib.vendors.{registry.VENDORS[account.vendor].client}")
    vendor: BanVendor = module.connect(configured, clock=clock, http=http)
    return vendor
