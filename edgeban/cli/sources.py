"""Sources and operators: their numbers, and the entries of new ones."""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import b64encode
from typing import Any

import click

from edgeban import config
from edgeban.cli import output
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session
from edgeban.signing import SCHEMES

SOURCE_COLUMNS = (
    Column("name", "source"),
    Column("format", "format"),
    Column("auth", "auth"),
    Column("trust", "trust"),
    Column("today.reported", "today", "number"),
    Column("today.ban", "to ban", "number"),
    Column("today.duplicate", "again", "number"),
    Column("today.hold", "held", "number"),
    Column("today.rejected", "refused", "number"),
    Column("refused_today.reports", "bad reports", "number"),
    Column("refused_today.urls", "bad URLs", "number"),
    Column("last_30_days.banned", "banned, 30 d", "number"),
    Column("last_30_days.undone", "undone", "number"),
    Column("last_30_days.undone_share", "share", "share"),
    Column("last_report_at", "last report", "time"),
    Column("callback_host", "callback to"),
)
CALLBACK_COLUMNS = (
    Column("received_at", "reported", "time"),
    Column("state", "state", "state"),
    Column("attempts", "tries", "number"),
    Column("last_status", "answered", "number"),
    Column("next_at", "next", "time"),
    Column("finished_at", "finished", "time"),
    Column("report_id", "report", "id"),
)
ROLES = ("reader", "operator", "approver")
FORMATS = (
    "native", "xarf", "stix", "misp", "urlhaus", "phishtank", "phishunt", "tweetfeed", "plain", "feedback-mail",
    "cloudflare",
)  # fmt: skip


@click.command("sources", short_help="List the sources with today's numbers.")
@output.output_options
@pass_session
def sources_command(session: Session, form: output.Form) -> None:
    """List the sources with today's numbers, and the bans of 30 days that people undid. No secret is shown."""
    output.show(session, form, session.client().sources(), SOURCE_COLUMNS, empty="no source is configured")


@click.group("source", short_help="Make the secret and the entry of a new source.")
def source_command() -> None:
    """Make the secret and the entry of a new source."""


@source_command.command("new", short_help="Print the entry of a new source, and its secret once.")
@click.argument("name")
@click.option("--auth", type=click.Choice(SCHEMES), default="standard-webhooks", show_default=True)
@click.option("--format", "format_name", type=click.Choice(FORMATS), default="native", show_default=True)
def new_source(name: str, auth: str, format_name: str) -> None:
    """Print the entry of a new source for the secret `edgeban/STAGE/sources`, and its secret once, on stderr."""
    secret = (
        "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        if auth == "standard-webhooks"
        else secrets.token_urlsafe(32)
    )
    held = "sha256:" + hashlib.sha256(secret.encode()).hexdigest() if auth == "bearer" else secret
    click.echo(json.dumps({name: {"auth": auth, "secrets": [held], "format": format_name}}, indent=2))
    click.echo(f"the secret of {harmless(name)}, for its sender; it is shown this once: {secret}", err=True)


@click.group("operator", short_help="Make the token and the entry of a new operator.")
def operator_command() -> None:
    """Make the token and the entry of a new operator."""


@operator_command.command("new", short_help="Print the entry of a new operator, and the token once.")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="An approver may do what an operator may.")
@click.option("--person", help="The human behind the name, if it is not the name itself.")
def new_operator(name: str, role: str, person: str | None) -> None:
    """Print the entry of a new operator for the secret `edgeban/STAGE/operators`, and the token once, on stderr."""
    token = secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "role": role}
    if person:
        entry["person"] = person
    click.echo(json.dumps({name: entry}, indent=2))
    click.echo(f"the token of {harmless(name)}; it is shown this once: {token}", err=True)


@click.group("callbacks", invoke_without_command=True, short_help="List the deliveries of callbacks, or resend one.")
@click.option("--source", default=config.default_source, help="The source; EDGEBAN_SOURCE.")
@click.option("--day", metavar="YYYY-MM-DD", help="The day the reports came (UTC); today, if left out.")
@output.output_options
@click.pass_context
def callbacks_command(ctx: click.Context, /, form: output.Form, *, source: str, day: str | None) -> None:
    """List the deliveries of outcome callbacks to a source; send one again with `edgeban callbacks resend REPORT`."""
    if ctx.invoked_subcommand:
        return
    if not source:
        raise click.UsageError("say which source: --source or EDGEBAN_SOURCE")
    session: Session = ctx.obj
    output.show(
        session,
        form,
        session.client().callbacks(source=source, day=day),
        CALLBACK_COLUMNS,
        empty="no callback is known",
    )


@callbacks_command.command("resend", short_help="Send the outcome callback of a report again.")
@click.argument("report_id")
@pass_session
def resend_callback(session: Session, report_id: str) -> None:
    """Send the outcome callback of a report again."""
    answer = session.client().resend(report_id)
    click.echo(f"it is sent again at {answer['due_at']}")
