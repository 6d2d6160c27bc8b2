"""A vendor account is read with the fields of its vendor, or refused by the path of its field."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.domain.errors import ConfigurationError
from chalicelib.domain.model import VendorAccount
from chalicelib.vendors.registry import EXPORT_VENDORS, VENDORS, parse_accounts
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.workerskv import WorkersKvSimulator

MAIN = {"vendor": "huawei", "endpoint": "https://cdn.example.org", "access_key": "AK", "secret_key": "SK"}
EXPORTS = {**MAIN, "vendor": "alibaba", "report_to_queue": "yes"}


def test_an_account_is_read_with_the_fields_of_its_vendor() -> None:
    accounts = parse_accounts({"main": MAIN, "exports": EXPORTS})
    keys = {"access_key": "AK", "secret_key": "SK"}
    assert accounts["main"] == VendorAccount("main", "huawei", "https://cdn.example.org", keys)
    assert accounts["exports"].credentials == {**keys, "report_to_queue": "yes"}
    assert "SK" not in repr(accounts)


def test_every_vendor_that_is_registered_names_its_fields() -> None:
    for vendor in VENDORS.keys() | EXPORT_VENDORS.keys():
        fields = {"vendor": vendor, "endpoint": "https://cdn.example.org"}
        assert parse_accounts({"main": fields})["main"].vendor == vendor
    with HuaweiSimulator() as simulator:
        for credentials in (simulator.credentials, simulator.token_credentials):
            assert parse_accounts({"main": {**MAIN, **credentials}})
    with WorkersKvSimulator() as kv:
        assert parse_accounts({"main": {"vendor": "workerskv", "endpoint": kv.url, **kv.credentials}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vendor": "acme"}, 'main.vendor is a string: write "alibaba" or "'),
        ({"vendor": None}, "main.vendor is missing or null"),
        ({"endpoint": ""}, "main.endpoint is missing or empty: name the base URL of the vendor's API"),
        ({"endpoint": 7}, "main.endpoint is 7: write a string"),
        ({"secret": "hunter2"}, "main.secret is not a field: known are access_key, domain, domain_id, endpoint"),
        ({"report_to_queue": "yes"}, "main.report_to_queue is not a field"),
        ({"vendor": "alibaba", "report_to_queue": "true"}, 'main.report_to_queue is a string: write "no" or "yes"'),
        ({"secret_key": ["SK"]}, "main.secret_key is a list: write a string"),
        ({"secret_key": "SK\n"}, "main.secret_key begins or ends with white space, such as the line end of a file"),
        ({"access_key": " AK"}, "main.access_key begins or ends with white space"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path_with_what_to_write(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_accounts({"main": {**MAIN, **changes}})
    assert str(refused.value).startswith(f"vendors: {said}")


@pytest.mark.parametrize("name", ["a/b", "a b", "-a", "ä", "", "a" * 65])
def test_an_account_has_a_name_that_files_and_queues_take(name: str) -> None:
    with pytest.raises(ConfigurationError, match="use letters, digits, - and _, at most 64"):
        parse_accounts({name: MAIN})
