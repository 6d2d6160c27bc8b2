"""What the functions need on this machine: tables, queues and documents in a local AWS, and a vendor."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dev.local_aws import LocalAws
from dev.ministack import free_port
from dev.package import ROOT
from dev.simulators.huawei import HuaweiSimulator
from dev.simulators.huawei_gate import Identity

ACCOUNT = "huawei-main"
SOURCE, FURTHER, WEBHOOK = "bench", "bench-further", "bench-webhook"
SECRET = "whsec_" + "YmVuY2g" * 8
BUCKET = "bench"
MANY = 1_000_000_000
OPEN_CAPS = {
    "per_source_per_hour": MANY,
    "per_host_per_hour": MANY,
    "per_account_per_hour": MANY,
    "share_floor": MANY,
}
"""Caps that count and hold nothing: a benchmark bans in a minute what an incident would ban in days."""


@dataclass(frozen=True, slots=True)
class VendorProcess:
    """A vendor's simulator in its own process, where the benchmark cannot delay the calls that arrive."""

    url: str
    credentials: Mapping[str, str]

    def creates(self) -> list[dict[str, Any]]:
        """Read the simulator's log of creates: times, URLs, statuses."""
        with urllib.request.urlopen(f"{self.url}/_sim/calls?limit=1000000") as answer:
            calls: list[dict[str, Any]] = json.loads(answer.read())
        return [call for call in calls if call["endpoint"] == "create"]


@contextmanager
def vendor_process(*, answer_seconds: float = 0.0) -> Iterator[VendorProcess]:
    """Start a simulator that enforces the vendor's rates, and answers after ``answer_seconds``."""
    port, identity = free_port(), Identity()
    command = [sys.executable, "-m", "dev.simulators.huawei", "--port", str(port)]
    command += ["--answer-seconds", str(answer_seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # It prints where it listens.
        credentials = {"access_key": identity.access_key, "secret_key": identity.secret_key}
        try:
            yield VendorProcess(f"http://127.0.0.1:{port}", credentials)
        finally:
            process.terminate()


@dataclass(slots=True)
class Local:
    """One local AWS. ``environment`` makes a new, empty ledger in it."""

    aws: LocalAws
    managed: Sequence[str]
    numbers: Iterator[int]

    def environment(self, vendor: HuaweiSimulator | VendorProcess | None = None) -> dict[str, str]:
        """Make a table, queues and documents; return the environment variables that name them."""
        number = next(self.numbers)
        table = f"ledger-{number}"
        self.aws.dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        secrets = {
            "sources": {
                SOURCE: {"auth": "none", "format": "native"},
                FURTHER: {"auth": "none", "format": "native"},
                WEBHOOK: {"auth": "standard-webhooks", "secrets": [SECRET], "format": "native"},
            },
            "vendors": {
                ACCOUNT: {
                    "vendor": "huawei",
                    "endpoint": vendor.url if vendor else "http://127.0.0.1:9",
                    **(vendor.credentials if vendor else {"access_key": "none", "secret_key": "none"}),
                }
            },
        }
        for name, document in secrets.items():
            self.aws.secrets.create_secret(Name=f"bench-{number}/{name}", SecretString=json.dumps(document))
        policy = {"version": 1, "accounts": {ACCOUNT: {"managed_domains": list(self.managed)}}}
        self._put_policy(f"/bench-{number}/policy", {**policy, "bare_hosts": "ban", "caps": OPEN_CAPS})
        return {
            **self._reach(),
            "EDGEBAN_STAGE": "bench",
            "EDGEBAN_TABLE": table,
            "EDGEBAN_REPORTS_QUEUE_URL": self.aws.sqs.create_queue(QueueName=f"reports-{number}")["QueueUrl"],
            "EDGEBAN_SUBMIT_QUEUE_URL": self.aws.sqs.create_queue(
                QueueName=f"submit-{number}.fifo", Attributes={"FifoQueue": "true"}
            )["QueueUrl"],
            "EDGEBAN_BUCKET": BUCKET,
            "EDGEBAN_SOURCES_SECRET": f"bench-{number}/sources",
            "EDGEBAN_VENDORS_SECRET": f"bench-{number}/vendors",
            "EDGEBAN_POLICY_PARAMETER": f"/bench-{number}/policy",
        }

    def _reach(self) -> dict[str, str]:
        """Return the environment variables of a process that reaches this AWS and no other."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_DEFAULT_REGION": self.aws.region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "POWERTOOLS_SERVICE_NAME": "edgeban",
            "POWERTOOLS_METRICS_NAMESPACE": "edgeban",
        }

    def _put_policy(self, name: str, policy: Mapping[str, Any]) -> None:
        """Put the policy into an object: a feed has more hosts than a parameter can hold."""
        key = f"policy{name}.json"
        self.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(policy).encode())
        self.aws.ssm.put_parameter(Name=name, Value=json.dumps({"object": key}), Type="String")


@contextmanager
def local(managed: Sequence[str]) -> Iterator[Local]:
    """Start a local AWS without the app: the functions run in the benchmark's processes."""
    aws = LocalAws()
    aws.start()
    try:
        aws.wait()
        aws.s3.create_bucket(Bucket=BUCKET)
        yield Local(aws, managed, itertools.count(1))
    finally:
        aws.stop()
