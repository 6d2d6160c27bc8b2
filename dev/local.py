"""``make local``: a local AWS with the app, a vendor's simulator, a source and operators, ready to be used.

How to reach all of it stands in ``.local/access.json`` until Ctrl-C.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.exports import ACCOUNT as EXPORT_ACCOUNT
from dev.exports import ExportAccount
from dev.hold_notices import hold_notices
from dev.local_aws import LocalAws
from dev.ministack import LocalAwsError
from dev.package import ROOT, PackagingError
from dev.showing import ACCOUNT, say, until_interrupted
from dev.simulators.huawei import HuaweiSimulator

ACCESS = ROOT / ".local" / "access.json"
"""Where a console, a command line or a script finds the running stack."""

SOURCE = "desk"
OPERATORS = {"reader": "reader", "operator": "operator", "approver": "approver", "approver2": "approver"}
"""Name → role. Two approvers: a large hold takes two different people."""

MANAGED = ("example.com", "*.example.com")


@dataclass(frozen=True)
class Access:
    """The secrets of one run, made anew each time."""

    tokens: Mapping[str, str] = field(default_factory=lambda: {name: secrets.token_urlsafe(24) for name in OPERATORS})
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def webhook_secret(self) -> str:
        """The secret with which the source signs its reports."""
        return "whsec_" + base64.b64encode(self.key).decode()

    def operators(self) -> dict[str, Any]:
        """Return the operators' secret."""
        return {
            name: {"token_sha256": hashlib.sha256(self.tokens[name].encode()).hexdigest(), "role": role}
            for name, role in OPERATORS.items()
        }

    def sources(self) -> dict[str, Any]:
        """Return the sources' secret."""
        return {SOURCE: {"auth": "standard-webhooks", "secrets": [self.webhook_secret], "format": "native"}}

    def document(self, aws: LocalAws, vendors: Mapping[str, str]) -> dict[str, Any]:
        """Return what ``.local/access.json`` holds."""
        return {
            "api": aws.stack.api_url,
            "console": f"{aws.stack.api_url}/console",
            "aws_endpoint": aws.url,
            "tokens": dict(self.tokens),
            "sources": {SOURCE: {"auth": "standard-webhooks", "secret": self.webhook_secret}},
            "vendors": dict(vendors),
        }


def configure(aws: LocalAws, access: Access, vendors: Mapping[str, Mapping[str, str]]) -> None:
    """Put the source, the operators, the vendor accounts and the default policy where the functions look for them."""
    policy = {"version": 1, "accounts": {ACCOUNT: {"managed_domains": list(MANAGED)}}}
    aws.configure(sources=access.sources(), operators=access.operators(), vendors=dict(vendors), policy=policy)


def write_access(document: Mapping[str, Any], path: Path = ACCESS) -> None:
    """Write the file, readable for its owner alone, all of it or nothing."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(document, indent=2) + "\n")
    unfinished.replace(path)


def remove_access(document: Mapping[str, Any], path: Path = ACCESS) -> None:
    """Remove the file, unless another stack has written its own since."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text()) == document:
            path.unlink()


def commands(access: Access, api: str) -> list[tuple[str, str]]:
    """Return three commands to paste, each with what it does: report a URL, ask for it, list the holds."""
    url = "https://www.example.com/phishing"
    report = " ".join(
        (
            f"""id=$(date +%s%N) ts=$(date +%s) body='{{"urls":[{{"url":"{url}","category":"phishing"}}]}}';""",
            f"curl -sS {api}/v1/reports/{SOURCE} -H 'content-type: application/json' -d \"$body\"",
            '-H "webhook-id: $id" -H "webhook-timestamp: $ts"',
            '-H "webhook-signature: v1,$(printf %s "$id.$ts.$body" |',
            f'openssl dgst -sha256 -mac HMAC -macopt hexkey:{access.key.hex()} -binary | base64)"',
        )
    )

    def asked(name: str, path: str) -> str:
        return f"curl -sS -H 'Authorization: Bearer {access.tokens[name]}' '{api}/v1/{path}'"

    return [
        (f"report a URL as the source {SOURCE}", report),
        ("ask for its state, within some seconds", asked("reader", f"urls?url={url}")),
        ("see what waits for a person", asked("approver", "holds")),
    ]


def show(aws: LocalAws, access: Access, vendors: Mapping[str, str]) -> None:
    """Show where everything is, and three commands to paste."""
    say(f"AWS           {aws.url}  (region {aws.region}, credentials test/test)")
    say(f"API           {aws.stack.api_url}")
    say(f"reports queue {aws.stack.reports_queue_url}")
    say(f"table         {aws.stack.table}")
    say(f"bucket        {aws.stack.bucket}")
    say(f"holds topic   {aws.stack.holds_topic} (its messages are shown here)")
    for name, url in vendors.items():
        say(f"vendor        {name} at {url} (simulator)")
    say(f"policy        the default one, for {', '.join(MANAGED)}")
    say(f"access        {ACCESS} (tokens of {', '.join(OPERATORS)}; secret of {SOURCE})")
    say(f"              export EDGEBAN_URL={aws.stack.api_url} EDGEBAN_TOKEN={access.tokens['approver']}")
    for what, command in commands(access, aws.stack.api_url):
        say("")
        say(f"# {what}")
        say(command)
    say("")
    say("# the same by the command line, once `make cli` has put it into .venv/bin")
    say(".venv/bin/edgeban status")
    say("")
    say("Ctrl-C ends it all")


def main() -> int:
    ended, access = until_interrupted(), Access()
    stage, port = os.environ.get("STAGE", "local"), int(os.environ.get("PORT", "0"))
    try:
        with ExitStack() as stack:
            vendor = stack.enter_context(HuaweiSimulator(task_seconds=2))
            exports = ExportAccount("", "", "")
            archivist = stack.enter_context(exports.simulator())
            aws = stack.enter_context(LocalAws(stage=stage, port=port, say=say))
            urls = {ACCOUNT: vendor.url, EXPORT_ACCOUNT: archivist.url}
            accounts = {
                ACCOUNT: {"vendor": "huawei", "endpoint": vendor.url, **vendor.credentials},
                EXPORT_ACCOUNT: exports.vendor(archivist),
            }
            configure(aws, access, accounts)
            document = access.document(aws, urls)
            write_access(document)
            stack.enter_context(hold_notices(aws, say))
            stack.callback(remove_access, document)
            show(aws, access, urls)
            ended.wait()
    except (LocalAwsError, PackagingError) as error:
        sys.stderr.write(f"make local: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
