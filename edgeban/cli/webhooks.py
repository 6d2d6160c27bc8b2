"""Try a receiver of callbacks on your own machine, and find what is wrong with a signature."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edgeban import config, signing
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import harmless
from edgeban.cli.session import Session, pass_session

POLL_SECONDS = 3.0
RECEIVER_SECONDS = 10.0


@click.command("listen", short_help="Forward a source's outcomes to a receiver on this machine.")
@click.option("--source", default=config.default_source, help="The source; EDGEBAN_SOURCE.")
@click.option("--forward-to", required=True, metavar="URL", help="Your receiver, such as http://localhost:3000/hook.")
@click.option("--once", is_flag=True, help="End after the reports that are complete now.")
@pass_session
def listen_command(session: Session, *, source: str, forward_to: str, once: bool) -> None:
    """Forward the outcomes of a source's reports to a receiver on this machine, signed as edgeban signs them.

    edgeban sends callbacks only to public https hosts. This command asks every three seconds for today's reports of the
    source. It posts each complete one, signed with the callback secret in EDGEBAN_CALLBACK_SECRET.
    """
    if not source:
        raise click.UsageError("say which source: --source or EDGEBAN_SOURCE")
    secret = _secret()
    client = session.client()
    sent: set[str] = set()
    while True:
        for listed in client.reports(of=source, day=session.now().date().isoformat()):
            report_id = listed["report_id"]
            if report_id in sent:
                continue
            report = client.report(report_id, limit=1000)
            if report.get("complete"):
                body = _outcome(report, session.now())
                status = _post(forward_to, secret, body, message_id=f"outcome-{report_id}", now=session.now())
                click.echo(f"{report_id}  {status}")
                sent.add(report_id)
        if once:
            return
        time.sleep(POLL_SECONDS)


def _secret() -> str:
    import os

    secret = os.environ.get("EDGEBAN_CALLBACK_SECRET", "")
    if not secret:
        raise click.UsageError("set EDGEBAN_CALLBACK_SECRET to the source's callback_secret")
    signing.webhook_key(secret)
    return secret


def _outcome(report: Mapping[str, Any], now: datetime) -> bytes:
    """Return the body of a callback, as edgeban writes it."""
    fields = ("report_id", "correlation_id", "test", "complete", "counts", "urls")
    data = {name: report[name] for name in fields if name in report}
    return json.dumps({"type": "report.complete", "timestamp": now.astimezone(UTC).isoformat(), "data": data}).encode()


@click.command("trigger", short_help="Send a signed sample callback to a receiver.")
@click.argument("event", type=click.Choice(["report.complete"]))
@click.option("--to", required=True, metavar="URL", help="The receiver.")
@pass_session
def trigger_command(session: Session, event: str, *, to: str) -> None:
    """Send a sample of EVENT to a receiver, signed with the secret in EDGEBAN_CALLBACK_SECRET."""
    assert event == "report.complete"
    sample = {
        "report_id": "r-sample",
        "complete": True,
        "counts": {"banned": 1, "rejected": 1},
        "urls": [
            {"url": "https://www.example.com/login", "account": "huawei-main", "state": "banned",
             "until": "2026-12-11T00:13:00Z"},
            {"url": "https://www.example.com/", "account": "", "state": "rejected", "rule": "bare_host",
             "reason": "the URL is the root of a host"},
        ],
    }  # fmt: skip
    status = _post(
        to, _secret(), _outcome(sample, session.now()), message_id=f"sample-{uuid.uuid4()}", now=session.now()
    )
    click.echo(f"the receiver answered {status}")
    if not 200 <= status < 300:
        raise Ended(Status.REFUSED)


def _post(url: str, secret: str, body: bytes, *, message_id: str, now: datetime) -> int:
    """Post a signed callback and return the receiver's status. Raises ``Unreachable``."""
    import requests

    from edgeban.errors import Unreachable

    signed = signing.headers("standard-webhooks", secret, body, message_id=message_id, now=now)
    try:
        return requests.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", **signed},
            timeout=RECEIVER_SECONDS,
            allow_redirects=False,
        ).status_code
    except requests.RequestException as error:
        raise Unreachable(f"{url} does not answer: {type(error).__name__}") from None


@click.command("verify", short_help="Say what is wrong with a signed request.")
@click.option(
    "--headers",
    "headers_file",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The request's headers, one `Name: value` a line.",
)
@click.option(
    "--body",
    "body_file",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The request's body, byte for byte.",
)
@click.option("--at", metavar="TIME", help="When it was received; now, if left out.")
@pass_session
def verify_command(session: Session, *, headers_file: Path, body_file: Path, at: str | None) -> None:
    """Say which of header, clock, secret and body is wrong with a signed request. Exits with 5 if one is.

    The secret comes from EDGEBAN_SOURCE_SECRET, or EDGEBAN_CALLBACK_SECRET for a callback.
    """
    import os

    from edgeban.cli import times

    secret = os.environ.get("EDGEBAN_SOURCE_SECRET") or os.environ.get("EDGEBAN_CALLBACK_SECRET")
    if not secret:
        raise click.UsageError("set EDGEBAN_SOURCE_SECRET, or EDGEBAN_CALLBACK_SECRET for a callback")
    given = dict(_header(line) for line in headers_file.read_text("utf-8").splitlines() if ":" in line)
    received = times.read(times.parse(at, session.now())) if at else session.now()
    assert received
    problem = signing.complaint(secret, given, body_file.read_bytes(), now=received)
    if problem:
        click.echo(harmless(problem))
        raise Ended(Status.REFUSED)
    click.echo("signature, time and body are right")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
