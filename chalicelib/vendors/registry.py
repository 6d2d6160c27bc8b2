"""Every vendor by name: where its client is, and which fields its accounts have. See docs/adding-a-vendor.md.

A client is imported when it is first needed: a function that calls no vendor does not pay for any at its cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple

from chalicelib.config import vendor_accounts
from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import VendorAccount
from chalicelib.ports import BanVendor, ExportVendor
from chalicelib.vendors import alibaba, cloudfrontkvs, huawei, volcengine, workerskv

Clock = Callable[[], datetime]


class Vendor(NamedTuple):
    """Where the client of a vendor's accounts is, and how an account is configured."""

    client: str
    """The module below ``chalicelib.vendors`` whose ``connect`` makes the client."""
    credentials: frozenset[str]
    """Fields of an account beside ``vendor`` and ``endpoint``."""


VENDORS: Final = {
    "huawei": Vendor("huawei.client", huawei.CREDENTIALS),
    "volcengine": Vendor("volcengine.client", volcengine.CREDENTIALS),
    "byteplus": Vendor("volcengine.client", volcengine.CREDENTIALS),
    "workerskv": Vendor("workerskv.client", workerskv.CREDENTIALS),
    "alibaba-esa": Vendor("alibaba.esa", alibaba.ESA_CREDENTIALS),
    "cloudfrontkvs": Vendor("cloudfrontkvs.client", cloudfrontkvs.CREDENTIALS),
}
"""Vendors where URLs can be banned, by the name that an account's configuration uses."""

EXPORT_VENDORS: Final = {"alibaba": Vendor("alibaba.client", alibaba.CREDENTIALS)}
"""Vendors that export the URLs which they blocked by themselves."""


def parse_accounts(document: object) -> dict[str, VendorAccount]:
    """Validate the vendors document. Raises ConfigurationError."""
    vendors = VENDORS | EXPORT_VENDORS
    return vendor_accounts.parse(document, {name: vendor.credentials for name, vendor in vendors.items()})


class Clients:
    """The clients of a process. A client is made again when the configuration of its account changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[str, tuple[VendorAccount, BanVendor]] = {}

    def at(self, name: str, accounts: Mapping[str, VendorAccount]) -> BanVendor:
        """Return the client of an account where URLs can be banned. Raises ConfigurationError."""
        account = accounts.get(name)
        if account is None:
            raise ConfigurationError(f"the vendors secret has no account {name!r}, which the policy names")
        if account.vendor not in VENDORS:
            raise ConfigurationError(f"account {name!r}, which the policy names, is at a vendor that bans nothing")
        if name not in self._clients or self._clients[name][0] != account:
            self.keep(account, connect(account, clock=self._clock))
        return self._clients[name][1]

    def keep(self, account: VendorAccount, client: BanVendor) -> None:
        """Use a client for an account, until the account's configuration changes."""
        self._clients[account.name] = (account, client)


def connect(account: VendorAccount, *, clock: Clock) -> BanVendor:
    """Make the client of an account where URLs can be banned. Raises ConfigurationError."""
    client: BanVendor = _module(VENDORS[account.vendor]).connect(account, clock=clock)
    return client


def connect_exports(account: VendorAccount, *, clock: Clock) -> ExportVendor:
    """Make the client of an account whose vendor exports. Raises ConfigurationError."""
    client: ExportVendor = _module(EXPORT_VENDORS[account.vendor]).connect(account, clock=clock)
    return client


def _module(vendor: Vendor) -> ModuleType:
    return import_module(f"chalicelib.vendors.{vendor.client}")
