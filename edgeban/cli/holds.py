"""Holds: list, show, approve, refuse, and review them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session, reason_option, yes_option
from edgeban.client import Client
from edgeban.errors import EdgebanError, Unreachable

HOLD_COLUMNS = (
    Column("rule", "rule"),
    Column("sources", "sources"),
    Column("asked_by", "asked by"),
    Column("urls", "URLs", "number"),
    Column("hosts", "hosts"),
    Column("since", "since", "time"),
    Column("approvals_needed", "needs", "number"),
    Column("account", "account"),
    Column("hold_id", "hold", "id"),
)
URL_COLUMNS = (
    Column("url", "URL", "url"),
    Column("source", "source"),
    Column("reporter", "reporter"),
    Column("category", "category"),
    Column("report_id", "report", "id"),
)
MANY = 20


@click.group("holds", invoke_without_command=True, short_help="List, show and review what waits for a person.")
@click.option("--rule", help="Only holds by this rule, such as bare_host.")
@click.option("--source", help="Only holds with URLs of this source.")
@click.option("--host", help="Only holds with URLs of this host.")
@click.option("--account", help="Only holds of this vendor account.")
@click.option("--mine", is_flag=True, help="Only holds that you have not approved yet.")
@output.output_options
@click.pass_context
def holds_command(ctx: click.Context, /, form: output.Form, *, mine: bool, **filters: Any) -> None:
    """List what waits for a person. `edgeban holds review` shows one hold a screen and asks."""
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    client = session.client()
    holds = _not_approved_by_me(client, client.holds(**filters)) if mine else client.holds(**filters)
    output.show(session, form, holds, HOLD_COLUMNS, empty="nothing waits for a person")


def _not_approved_by_me(client: Client, holds: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    me = client.me()["name"]
    return (hold for hold in holds if me not in [approval["by"] for approval in hold.get("approvals") or []])


@holds_command.command("show", short_help="Show the URLs of a hold, and who reported them.")
@click.argument("hold_id")
@output.output_options
@pass_session
def show_hold(session: Session, hold_id: str, form: output.Form) -> None:
    """Show the URLs of a hold, who reported them, and who decided what."""
    hold = session.client().hold(hold_id)
    if form.json_fields is not None:
        output.document(session, form, hold, [])
        return
    if session.on_terminal and not form.csv:
        for line in _head(hold, session):
            click.echo(line)
    output.show(session, form, hold["urls"], URL_COLUMNS, empty="no URL")


def _head(hold: Mapping[str, Any], session: Session) -> Iterator[str]:
    where = f"{harmless(hold['rule'])} at {harmless(hold['account'])}"
    needed = f", needs {hold['approvals_needed']}" if hold["state"] == "held" else ""
    yield f"{where}: {output.counted(hold['url_count'], 'URL')}, {hold['state']}{needed}"
    for decision in hold["decisions"]:
        at = times.short(decision["at"], utc=False, now=session.now())
        yield f"  {harmless(decision['actor'])} {harmless(decision['action'])} {at}: {harmless(decision['reason'])}"


@click.command("approve", short_help="Approve holds: their URLs are banned.")
@click.argument("hold_ids", nargs=-1, required=True)
@click.option("--except", "excepted", multiple=True, metavar="URL", help="Not this URL: it ends as refused.")
@reason_option
@yes_option
@pass_session
def approve_command(
    session: Session, hold_ids: Sequence[str], excepted: Sequence[str], reason: str | None, *, yes: bool
) -> None:
    """Approve holds: their URLs are banned. A large hold takes two people.

    Exits with 6 if some of several holds could not be approved.
    """
    client = session.client()
    reason = session.reason(reason)
    urls = sum(client.get(f"/holds/{hold_id}", limit=1)["url_count"] for hold_id in hold_ids)
    if urls > MANY or len(hold_ids) > 1:
        count, holds = output.counted(urls - len(excepted), "URL"), output.counted(len(hold_ids), "hold")
        session.confirm(f"Ban {count} of {holds}?", yes=yes, number=urls)
    _decide(session, hold_ids, lambda hold_id: client.approve(hold_id, reason=reason, excepted=excepted))


@click.command("refuse", short_help="Refuse holds: their URLs are not banned.")
@click.argument("hold_ids", nargs=-1, required=True)
@reason_option
@pass_session
def refuse_command(session: Session, hold_ids: Sequence[str], reason: str | None) -> None:
    """Refuse holds: none of their URLs is banned, and no report bans them for the time that the policy states."""
    client = session.client()
    reason = session.reason(reason)
    _decide(session, hold_ids, lambda hold_id: client.refuse(hold_id, reason=reason))


def _decide(session: Session, hold_ids: Sequence[str], decide: Any) -> None:
    """Decide one hold after the other, and write the result of each."""
    failures: list[EdgebanError] = []
    for hold_id in output.progress(session, hold_ids, "deciding"):
        try:
            click.echo(_outcome(decide(hold_id)))
        except Unreachable:
            raise
        except EdgebanError as error:
            if len(hold_ids) == 1:
                raise
            failures.append(error)
            click.echo(f"{hold_id}: {harmless(error.message)}", err=True)
    if failures:
        raise Ended(Status.PARTLY)


def _outcome(done: Mapping[str, Any]) -> str:
    if done["state"] == "held":
        return f"{done['hold_id']}: approved {done['approvals']} of {done['approvals_needed']}; another person has to"
    parts = [f"{done[name]:,} {name}" for name in ("approved", "refused", "urls") if isinstance(done.get(name), int)]
    return f"{done['hold_id']}: {done['state']}" + (f" ({', '.join(parts)})" if parts else "")


@holds_command.command("review", short_help="Show one hold a screen and ask.")
@click.option("--rule", help="Only holds by this rule.")
@click.option("--source", help="Only holds with URLs of this source.")
@click.option("--reason", "default_reason", default="", help="The reason offered for each decision.")
@pass_session
def review_holds(session: Session, rule: str | None, source: str | None, default_reason: str) -> None:
    """Show one hold a screen: a approves, r refuses, e approves all but some, s skips, q ends."""
    if not session.can_ask:
        raise click.UsageError("a review needs a terminal; edgeban approve and edgeban refuse do not")
    client = session.client()
    holds = list(client.holds(rule=rule, source=source))
    if not holds:
        click.echo("nothing waits for a person")
        return
    reason = default_reason
    for number, listed in enumerate(holds, start=1):
        hold = client.hold(listed["hold_id"])
        if session.terminal is None:
            click.clear()
        click.echo(f"hold {number} of {len(holds)}: {listed['hold_id']}")
        for line in _head(hold, session):
            click.echo(line)
        for entry in hold["urls"][:MANY]:
            who = ", ".join(text for text in (entry["source"], entry["reporter"], entry["category"]) if text)
            click.echo(f"  {harmless(entry['url'])}   {harmless(who)}")
        if len(hold["urls"]) > MANY:
            click.echo(
                f"  … and {output.counted(len(hold['urls']) - MANY, 'other')}: edgeban holds show {listed['hold_id']}"
            )
        choice = click.prompt("a approve, r refuse, e approve except, s skip, q quit", type=click.Choice(list("aresq")))
        if choice == "q":
            return
        if choice == "s":
            continue
        reason = click.prompt("Reason", default=reason or None)
        _review(client, listed["hold_id"], choice, reason)


def _review(client: Client, hold_id: str, choice: str, reason: str) -> None:
    try:
        if choice == "r":
            click.echo(_outcome(client.refuse(hold_id, reason=reason)))
            return
        excepted = click.prompt("URLs that are not banned, with spaces between").split() if choice == "e" else ()
        click.echo(_outcome(client.approve(hold_id, reason=reason, excepted=excepted)))
    except Unreachable:
        raise
    except EdgebanError as error:  # Somebody was quicker, or the exceptions are not of this hold: the review goes on.
        click.echo(harmless(error.message), err=True)
