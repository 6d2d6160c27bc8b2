"""One deployed stack for all end-to-end tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from chalicelib.aws.dynamodb import Table
from dev.local_aws import LocalAws
from dev.simulators.huawei import HuaweiSimulator
from dev.stack import ACCOUNT, APPROVER_TOKEN, MANAGED, TOKEN, WEBHOOK_SECRET, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with HuaweiSimulator(task_seconds=1) as vendor, LocalAws() as aws:
        aws.configure(
            sources={
                "demo": {"auth": "standard-webhooks", "secrets": [WEBHOOK_SECRET], "format": "native"},
                "queue-demo": {"auth": "none", "format": "native"},
                "callback-demo": {
                    "auth": "standard-webhooks",
                    "secrets": [WEBHOOK_SECRET],
                    "callback_url": "https://hooks.example.invalid/outcomes",
                    "callback_secret": WEBHOOK_SECRET,
                },
            },
            operators={
                "tester": {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "role": "operator"},
                "approver": {"token_sha256": hashlib.sha256(APPROVER_TOKEN.encode()).hexdigest(), "role": "approver"},
            },
            vendors={ACCOUNT: {"vendor": "huawei", "endpoint": vendor.url, **vendor.credentials}},
            policy={"version": 1, "accounts": {ACCOUNT: {"managed_domains": MANAGED}}},
        )
        yield Stack(aws, vendor, Table(aws.dynamodb, aws.stack.table))
