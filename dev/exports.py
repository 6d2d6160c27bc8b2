"""The archive in the demonstration: a vendor's exports of the URLs that it blocked by itself, a day at a time in S3."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from dev.local_aws import LocalAws
from dev.ministack import LocalAwsError
from dev.simulators.alibaba import AlibabaSimulator
from dev.simulators.alibaba_state import Settings

ACCOUNT = "alibaba-main"
NAMES = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY")
COMPLETE_SECONDS = 2.0
"""How long the simulator takes for an export. The vendor takes about five minutes."""

PATIENCE_SECONDS = 120.0
ACCESS_KEY, SECRET_KEY = "demo-access-key", "demo-secret-key"


@dataclass(frozen=True, slots=True)
class ExportAccount:
    """Where the exports come from. An empty endpoint means the simulator."""

    endpoint: str
    access_key: str
    secret_key: str

    @classmethod
    def from_environment(cls) -> ExportAccount:
        """Read ALIBABA_ENDPOINT, ALIBABA_ACCESS_KEY and ALIBABA_SECRET_KEY. Raises LocalAwsError."""
        values = [os.environ.get(f"ALIBABA_{name}", "").strip() for name in NAMES]
        if any(values) and not all(values):
            raise LocalAwsError("give ALIBABA_ENDPOINT, ALIBABA_ACCESS_KEY and ALIBABA_SECRET_KEY together, or none")
        return cls(*values)

    def simulator(self) -> AlibabaSimulator:
        """Return the simulator that stands in for the vendor."""
        secrets = {ACCESS_KEY: SECRET_KEY}
        return AlibabaSimulator(Settings(secrets=secrets, complete_after=COMPLETE_SECONDS))

    def vendor(self, simulator: AlibabaSimulator | None) -> dict[str, str]:
        """Return the account's entry in the vendors secret."""
        if simulator:
            access = {"endpoint": simulator.url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        else:
            access = {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}
        return {"vendor": "alibaba", **access}


def show_archived_day(aws: LocalAws, *, token: str, interrupted: threading.Event, say: Callable[[str], None]) -> bool:
    """Wait for the first archived day and show its counts and files; ``False`` if there is none in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    listed: dict[str, Any] = {}
    while time.monotonic() < deadline and not interrupted.wait(1.0):
        answer = requests.get(
            f"{aws.stack.api_url}/v1/exports", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        listed = answer.json() if answer.ok else {}
        archived = [day for day in listed.get("days", ()) if day["state"] == "archived"]
        if archived:
            _show(aws, archived[-1], listed["days"], say)
            return True
    say(f"no day of the export was archived within {PATIENCE_SECONDS:.0f} s: {json.dumps(listed)[:500]}")
    return False


def _show(aws: LocalAws, day: dict[str, Any], days: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    bucket = aws.stack.bucket
    manifest = json.loads(aws.s3.get_object(Bucket=bucket, Key=day["manifest"])["Body"].read())
    reasons = ", ".join(f"{code} {count}" for code, count in manifest["rows_by_reason"].items())
    say("")
    say(f"archived day {day['day']} of the vendor's own blocks ({len(days)} days are asked for, oldest first):")
    say(f"  {manifest['rows']:,} rows, {manifest['rejected']:,} rejected; by reason: {reasons}")
    for name, stored in manifest["objects"].items():
        say(f"  {name:8} s3://{bucket}/{stored['key']}  {stored['bytes']:,} bytes, SHA-256 {stored['sha256'][:16]}…")
    say(f"  {'manifest':8} s3://{bucket}/{day['manifest']}")
    say("read one with")
    say(
        f"  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws --region {aws.region} --endpoint-url {aws.url} "
        f"s3 cp s3://{bucket}/{manifest['objects']['rows']['key']} - | gunzip"
    )
