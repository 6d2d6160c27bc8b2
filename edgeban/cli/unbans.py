"""Undoing bans: preview, confirm, follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session, reason_option, yes_option
from edgeban.reporter import wait_until

UNBAN_COLUMNS = (
    Column("at", "at", "time"),
    Column("by", "by"),
    Column("reason", "reason"),
    Column("urls", "URLs", "number"),
    Column("failed", "failed", "number"),
    Column("complete", "complete"),
    Column("waits", "waits"),
    Column("unban_id", "unban", "id"),
)
SHOWN = 10
STATES = ("under_way", "complete", "failed", "waiting")


@click.command("unban", short_help="Undo bans: by URL, host, source, category, report, decision or task.")
@click.argument("urls", nargs=-1)
@click.option("--host", help="All bans of a host; with a dot before it, of the host and all below it: .example.com.")
@click.option("--source", help="All bans of a source.")
@click.option("--category", help="All bans that were made for reports of a category.")
@click.option("--report", "report_id", metavar="ID", help="All bans of a report.")
@click.option("--chunk", "chunk_id", metavar="ID", help="All bans of a decision: a chunk's id, or that of its hold.")
@click.option("--task", "task_id", metavar="ID", help="All bans of a vendor task.")
@click.option(
    "--since", metavar="TIME", help="Only bans since: 2h, 12:00, yesterday; with --host, --source, --category."
)
@click.option("--until", "until_time", metavar="TIME", help="Only bans until then, written like --since.")
@click.option("--cool-down-days", type=click.IntRange(0, 365), help="For how many days no report bans them again.")
@click.option("--even-if-others-said-so", is_flag=True, help="Also bans that other sources reported, or a person made.")
@click.option("--preview", is_flag=True, help="Only show what would be undone.")
@click.option(
    "--expect",
    type=click.IntRange(0),
    help="Refuse if the number of URLs differs from this by over 10 %; for scripts. Default: the preview's number.",
)
@click.option("--wait/--no-wait", default=True, help="Follow it to its end (on by default).")
@reason_option
@yes_option
@output.output_options
@pass_session
def unban_command(
    session: Session, urls: Sequence[str], form: output.Form, *, yes: bool, wait: bool, **options: Any
) -> None:
    """Undo bans: of URLS, or of a host, source, category, report, decision or task.

    You may give --host, --source and --category together: then bans that match all of them are undone. --host undoes
    all bans of a host, whoever asked for them. --source and --category leave bans that others asked for too.
    The command first shows how many bans it would undo, the first ten, and the accounts. Above 100 URLs you type the
    number.
    `edgeban unban --source desk --since 12:00 --reason "false alarms"` undoes what a source did since noon.
    """
    preview, reason = options.pop("preview"), options.pop("reason")
    expect, cool_down_days = options.pop("expect"), options.pop("cool_down_days")
    scope = {"even_if_others_said_so": True} if options.pop("even_if_others_said_so") else {}
    selection = _selection(session, urls, options)
    client = session.client()
    shown = client.unban(selection, preview=True, **scope)
    if preview:
        output.document(session, form, shown, _preview(shown))
        return
    for line in _preview(shown):
        click.echo(line, err=True)
    if not shown["urls"] and not urls:
        raise Ended(Status.NOT_FOUND)
    reason = session.reason(reason)
    if not (urls and len(urls) == 1):
        session.confirm(f"Undo {output.counted(shown['urls'], 'ban')}?", yes=yes, number=shown["urls"])
    if expect is None and shown["counted_all"] and not urls:
        expect = shown["urls"]
    done = client.unban(selection, reason=reason, expect=expect, cool_down_days=cool_down_days, **scope)
    if wait and not done["complete"] and done.get("approvals_needed") != 2:
        unban_id = done["unban_id"]
        done = wait_until(
            lambda: client.unban_job(unban_id),
            lambda job: bool(job["complete"]),
            f"unban {unban_id} is recorded and goes on; it has not come to its end",
            seconds=120,
        )
    output.document(session, form, done, _done(done))


def _selection(session: Session, urls: Sequence[str], options: Mapping[str, Any]) -> dict[str, object]:
    """Return the selection in the API's words. Raises ``click.UsageError`` unless it names exactly one thing."""
    selection: dict[str, object] = {name: value for name, value in options.items() if value}
    for name in {"since", "until_time"} & selection.keys():
        selection[name] = times.parse(options[name], session.now())
    if urls:
        selection["urls"] = list(urls)
    named = selection.keys() & {"urls", "report_id", "task_id", "chunk_id"}
    together = selection.keys() & {"host", "source", "category"}
    if len(named) + bool(together) != 1:
        raise click.UsageError(
            "choose what to undo: URLs; --host, --source and --category; or one of --report, --chunk and --task"
        )
    return selection


def _preview(shown: Mapping[str, Any]) -> Iterator[str]:
    more = "" if shown.get("counted_all", True) else ", or more,"
    yield f"{output.counted(shown['urls'], 'ban')}{more} would be undone"
    for ban in shown["first"][:SHOWN]:
        yield f"  {harmless(ban['url'])}  at {harmless(ban['account'])}"
    if shown["urls"] > SHOWN:
        yield f"  … and {output.counted(shown['urls'] - min(SHOWN, len(shown['first'])), 'other')}"
    if shown.get("not_found"):
        no_ban = output.counted(len(shown["not_found"]), "of the URLs has", "of the URLs have")
        yield f"{no_ban} no ban on record; what is of a managed host is sent all the same"
        for url in shown["not_found"][:SHOWN]:
            yield f"  {harmless(url)}"
    if shown.get("stay"):
        stay = output.counted(shown["stay"], "ban stays", "bans stay")
        yield f"{stay}, because others asked for the same: --even-if-others-said-so undoes that too"
        for ban in shown.get("stay_first", [])[:SHOWN]:
            yield f"  {harmless(ban['url'])}  for {harmless(', '.join(ban['sources']))}"
    if shown.get("approvals_needed") == 2:
        yield "a second person must approve it; bans younger than a day are lifted at once"
    if shown.get("note"):
        yield harmless(shown["note"])


def _done(done: Mapping[str, Any]) -> Iterator[str]:
    if done.get("approvals_needed") == 2:
        unban_id = done["unban_id"]
        yield f"it waits for a second person: edgeban unbans {unban_id} --approve --reason …"
        yield f"bans younger than a day do not wait: {output.counted(done['urls'], 'URL is', 'URLs are')} lifted"
        return
    count = output.counted(done["urls"], "URL is", "URLs are") if done.get("urls") is not None else "its URLs are"
    how_far = "on the way to the vendor" if done["complete"] else "on the way to the vendor so far, and it goes on"
    yield f"{count} {how_far}, to be unbanned; follow it: edgeban unbans {done['unban_id']}"


@click.command("unbans", short_help="List unbans, or show how far one is.")
@click.argument("unban_id", required=False)
@click.option("--state", type=click.Choice(STATES), help="Only those; failed: the vendor did not unban some URLs.")
@click.option("--approve", "decision", flag_value="approve", help="Approve UNBAN_ID, which waits for a second person.")
@click.option("--cancel", "decision", flag_value="cancel", help="Cancel UNBAN_ID, which waits for a second person.")
@reason_option
@yes_option
@output.output_options
@pass_session
def unbans_command(session: Session, unban_id: str | None, form: output.Form, *, yes: bool, **options: Any) -> None:
    """List the unbans, newest first, or show how far UNBAN_ID is.

    If the policy says so, an unban of many URLs waits until another person approves it (--approve), or somebody
    cancels it (--cancel). Exits with 6 if the vendor failed to unban some URLs of UNBAN_ID: their bans stand.
    """
    client, state = session.client(), options["state"]
    if options["decision"]:
        if not unban_id:
            raise click.UsageError("name the unban that you decide about: edgeban unbans UNBAN_ID")
        reason = session.reason(options["reason"])
        if options["decision"] == "approve":
            session.confirm(f"Approve the unban of {client.unban_job(unban_id)['selection']}?", yes=yes)
            output.document(session, form, done := client.approve_unban(unban_id, reason=reason), _done(done))
        else:
            done = client.cancel_unban(unban_id, reason=reason)
            output.document(session, form, done, iter([f"{unban_id}: cancelled; it undid nothing"]))
        return
    items = [client.unban_job(unban_id)] if unban_id else client.unbans(state or "")
    output.show(session, form, items, UNBAN_COLUMNS, empty="no unban matches" if state else "nobody undid anything")
    if unban_id and any(item["failed"] for item in items):
        raise Ended(Status.PARTLY)
