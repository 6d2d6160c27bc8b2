"""Vendor accounts: how each is reached, and with which keys. docs/adding-a-vendor.md describes the document."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chalicelib.config.fields import Fields
from chalicelib.domain.model import VendorAccount


def parse(document: object, credentials: Mapping[str, Collection[str]]) -> dict[str, VendorAccount]:
    """Validate the document of all vendor accounts. Raises ConfigurationError, which never repeats a value.

    ``credentials`` names all vendors, and for each vendor the fields that say how its accounts are reached. The
    vendor's ``connect`` says which of these fields an account needs.
    """
    accounts: dict[str, VendorAccount] = {}
    for name, fields in Fields.of("vendors", document, holds_secrets=True).named(plain=True).items():
        vendor = fields.choice("vendor", credentials)
        fields.only({"vendor", "endpoint", *credentials[vendor]})
        endpoint = _value(fields, "endpoint") if "endpoint" in fields else ""
        if not endpoint:
            fields.refuse("endpoint", "is missing or empty", "name the base URL of the vendor's API")
        if "report_to_queue" in fields:
            fields.choice("report_to_queue", ("yes", "no"))
        given = {key: _value(fields, key) for key in fields.values if key not in {"vendor", "endpoint"}}
        accounts[name] = VendorAccount(name, vendor, endpoint, given)
    return accounts


def _value(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if value != value.strip():
        problem = "begins or ends with white space, such as the line end of a file"
        fields.refuse(name, problem, "remove it: no key or password holds it")
    return value
