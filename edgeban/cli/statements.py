"""Statements of reasons: show them, and send them to the Commission's transparency database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO
from urllib.parse import urlsplit

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session, yes_option

COLUMNS = (
    Column("applied_at", "banned", "time"),
    Column("until", "until", "time"),
    Column("url", "URL", "url"),
    Column("ground", "ground"),
    Column("basis", "basis"),
    Column("automated_decision", "automated"),
    Column("missing", "missing"),
    Column("puid", "puid", "id"),
)
CSV_COLUMNS = tuple(
    Column(name, name)
    for name in (
        *("puid", "url", "account", "report_id", "decision", "rule", "decided_at", "applied_at", "until"),
        *("decided_until", "territorial_scope", "facts"),
        *("notified_at", "notice", "automated_detection", "automated_decision", "category", "ground", "basis"),
        *("explanation", "dsa_category", "redress", "words_since", "missing"),
    )
)


@click.group(
    "statements",
    invoke_without_command=True,
    short_help="State the reasons of bans, or send them to the EU's database.",
)
@click.option("--url", help="All bans of this URL.")
@click.option("--report", "report_id", metavar="ID", help="The bans that this report began.")
@click.option("--since", metavar="TIME", help="Bans since: 2h, yesterday, 2026-11-01. Today's, if nothing is named.")
@click.option("--until", metavar="TIME", help="With --since: the end. Now, if left out.")
@output.output_options
@click.pass_context
def statements_command(ctx: click.Context, /, form: output.Form, **options: Any) -> None:
    """State the reasons of bans, as Article 17 of the Digital Services Act asks.

    The column "missing" names what the policy does not say. `edgeban statements send` sends them.
    """
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    found = session.client().statements(**_asked(session, **options))
    output.show(session, form, found, CSV_COLUMNS if form.csv else COLUMNS, empty="no ban began")


def _asked(
    session: Session, *, url: str | None = None, report_id: str | None = None, since: str | None, until: str | None
) -> dict[str, str]:
    """Return the query in the API's words. Raises ``click.UsageError`` unless it names exactly one thing."""
    if sum(bool(each) for each in (url, report_id, since)) > 1:
        raise click.UsageError("choose one of --url, --report and --since")
    if url or report_id:
        if until:
            raise click.UsageError("--until goes with --since")
        return {"url": url} if url else {"report_id": report_id or ""}
    asked = {"from": times.parse(since or "today", session.now())}
    if until:
        asked["to"] = times.parse(until, session.now())
    return asked


@statements_command.command("send", short_help="Send statements to the Commission's transparency database.")
@click.option("--to", "address", required=True, metavar="URL", help="The address of the database's `statements`.")
@click.option("--token-file", type=click.File(), required=True, help="Holds the platform's token; - is stdin.")
@click.option("--since", metavar="TIME", required=True, help="Of bans since: yesterday, 2026-11-01.")
@click.option("--until", metavar="TIME", help="The end. Now, if left out.")
@click.option("--preview", is_flag=True, help="Only show what would be sent.")
@yes_option
@output.output_options
@pass_session
def send_command(
    session: Session, address: str, form: output.Form, *, token_file: TextIO, preview: bool, yes: bool, **span: Any
) -> None:
    """Send the statements of a span to the Commission's transparency database. No other part of edgeban sends them.

    The command shows first what would be sent. The database knows statements that were sent before, so you may
    repeat the command after any failure. Exits with 6 if the policy lacks what some statements need.
    """
    from edgeban.transparency import BATCH, Sent, TransparencyDatabase

    database = TransparencyDatabase(address, token_file.read().strip())
    ready, left_out = _ready(session, _asked(session, **span))
    for line in _preview(ready, left_out, urlsplit(address).hostname or ""):
        click.echo(line, err=not preview)
    if preview or not ready:
        raise Ended(Status.PARTLY if left_out else Status.DONE)
    session.confirm(f"Send {output.counted(len(ready), 'statement')}?", yes=yes, number=len(ready))
    sent = Sent()
    batches = [ready[at : at + BATCH] for at in range(0, len(ready), BATCH)]
    for batch in output.progress(session, batches, "sending"):
        sent += database.send(batch)
    told = {"made": sent.made, "known": sent.known, "left_out": left_out}
    output.document(session, form, told, [f"{sent.made:,} made, {sent.known:,} were there already"])
    if left_out:
        raise Ended(Status.PARTLY)


def _ready(session: Session, asked: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
    """Return the complete statements, each once, and how many bans have an incomplete one."""
    client = session.client()
    pages = client.statement_batches(**asked)
    ready: dict[str, dict[str, Any]] = {}
    left_out = 0
    for page in pages:
        left_out += page["left_out"]
        ready |= {statement["puid"]: statement for statement in page["statements"]}
    return list(ready.values()), left_out


def _preview(ready: Sequence[Mapping[str, Any]], left_out: int, host: str) -> Iterator[str]:
    yield f"{output.counted(len(ready), 'statement')} would be sent to {harmless(host)}"
    for category, count in Counter(statement["category"] for statement in ready).most_common():
        yield f"  {count:,}  {harmless(category)}"
    if ready:
        yield f"the first: {json.dumps(ready[0], indent=2)}"
    if left_out:
        bans = output.counted(left_out, "ban is", "bans are")
        yield f"{bans} left out: `edgeban statements --since …` names what the policy does not say"
