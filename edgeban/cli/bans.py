"""Bans: which are in force, what the policy would do; a ban by hand and a changed end."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session, reason_option, yes_option

BAN_COLUMNS = (
    Column("url", "URL", "url"),
    Column("account", "account"),
    Column("source", "source"),
    Column("category", "category"),
    Column("banned_at", "banned", "time"),
    Column("planned_until", "ends", "time"),
    Column("rule", "rule"),
    Column("report_id", "report", "id"),
)
CSV_COLUMNS = tuple(
    Column(name, name)
    for name in (
        *("url", "account", "source", "reporter", "category", "rule", "report_id", "chunk_id", "task_id"),
        *("banned_at", "until", "planned_until"),
    )
)
COUNT_COLUMNS = (Column("value", "value"), Column("bans", "bans", "number"))
SHOWN = 10
VERDICT_COLUMNS = (
    Column("url", "URL", "url"),
    Column("account", "account"),
    Column("verdict", "would be", "state"),
    Column("rule", "rule"),
    Column("reason", "reason"),
    Column("until", "until", "time"),
    Column("state_now", "is now", "state"),
)


@click.command("bans", short_help="List the bans in force, or count them.")
@click.option("--host", help="A host; with a dot before it, the host and all below it: .example.com.")
@click.option("--q", metavar="TEXT", help="Text that the URL holds.")
@click.option("--source", help="The source that reported it.")
@click.option("--category", help="Its category, such as phishing.")
@click.option("--rule", help="The rule that decided it.")
@click.option("--account", help="The vendor account.")
@click.option("--since", metavar="TIME", help="Banned since: 2h, 12:00, yesterday, 2026-11-27.")
@click.option("--ends-before", metavar="TIME", help="Ends before: 3d, tomorrow, 2026-12-01.")
@click.option(
    "--sort",
    type=click.Choice(["-at", "at", "until", "url"]),
    help="Newest or oldest first, next to end first, by URL.",
)
@click.option("--limit", type=click.IntRange(1), help="The most bans to show; 100 on a terminal.")
@click.option(
    "--by",
    type=click.Choice(["source", "category", "account", "rule", "host", "ends"]),
    help="Count instead of list; ends counts by the last day.",
)
@output.output_options
@pass_session
def bans_command(session: Session, form: output.Form, **options: Any) -> None:
    """List the bans in force, or count them with --by. `edgeban bans --csv > bans.csv` writes all of them."""
    by, limit = options.pop("by"), options.pop("limit")
    if options["since"]:
        options["since"] = times.parse(options["since"], session.now())
    if options["ends_before"]:
        options["ends_before"] = times.parse(options["ends_before"], session.now(), ahead=True)
    client = session.client()
    if by:
        options.pop("sort")
        counts = client.ban_counts(by, **options)
        output.show(session, form, counts["counts"], COUNT_COLUMNS, empty="no ban matches")
        if session.on_terminal and not form.machine:
            click.echo(f"{output.counted(counts['total'], 'ban')}, as of {times.clock(counts['as_of'])}")
        return
    most = limit or (100 if session.on_terminal and not form.machine else None)
    page = client.get("/bans", **{**options, "limit": min(most or 1000, 1000)})
    total = page["total"]
    rows = client.further(page, "/bans", "bans", **options, limit=1000)
    rows = rows if most is None else itertools.islice(rows, most)
    shown = output.show(session, form, rows, CSV_COLUMNS if form.csv else BAN_COLUMNS, empty="no ban matches")
    if session.on_terminal and not form.machine:
        more = f"; --limit {total} shows all" if total > shown else ""
        click.echo(f"{shown:,} of {output.counted(total, 'ban')}, as of {times.clock(page['as_of'])}{more}")


# --- what the policy would do ---


@click.command("test", short_help="Try the policy, or a draft of it, on URLs.")
@click.argument("urls", nargs=-1, required=True)
@click.option("--source", help="As if this source reported them.")
@click.option("--category", help="As if they were reported in this category.")
@click.option("--reporter", help="As if this reporter was named.")
@click.option("--days", type=click.IntRange(1), help="As if a ban of so many days was asked for.")
@click.option(
    "--policy", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A draft to try in its place."
)
@output.output_options
@pass_session
def test_command(session: Session, urls: Sequence[str], form: output.Form, **options: Any) -> None:
    """Try the policy on URLS, or the draft of a policy: what would be banned, held or refused, and why.

    The command writes nothing. If the draft is not valid, it exits with 5 and names the field.
    """
    draft = options.pop("policy")
    fields = {**options, "ban_duration": options["days"]}
    fields.pop("days")
    if draft:
        try:
            fields["policy"] = json.loads(draft.read_text("utf-8"))
        except ValueError as error:
            raise click.BadParameter(f"{draft} is not JSON: {error}") from None
    client = session.client()
    verdicts: list[dict[str, Any]] = []
    parts = [urls[start : start + 100] for start in range(0, len(urls), 100)]
    for part in output.progress(session, parts, "testing"):
        verdicts += client.test_policy(part, **fields)["verdicts"]
    output.show(session, form, verdicts, VERDICT_COLUMNS, empty="no verdict")


# --- a ban by hand ---


def _end(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    """Return the end that the person chose, by days or by time."""
    days, until = options.pop("days"), options.pop("until")
    if days and until:
        raise click.UsageError("choose one of --days and --until")
    if until == "unbanned":
        return {"until": until}
    if until:
        return {"until": times.parse(until, session.now(), ahead=True)}
    return {"ban_for_days": days}


@click.command("ban", short_help="Ban URLs by hand.")
@click.argument("urls", nargs=-1, required=True)
@click.option("--category", help="Such as phishing or malware; its length counts if no end is given.")
@click.option("--days", type=click.IntRange(1), help="For how many days; the policy says, if left out.")
@click.option("--until", metavar="TIME", help="Until when, in place of --days; `unbanned`: without end.")
@click.option("--preview", is_flag=True, help="Only show what would be banned.")
@reason_option
@yes_option
@output.output_options
@pass_session
def ban_command(session: Session, urls: Sequence[str], form: output.Form, *, yes: bool, **options: Any) -> None:
    """Ban URLS by hand. The command shows what will happen, and asks before it does it.

    Managed hosts and protection apply to a ban by hand; caps do not.
    Exits with 6 if some of the URLs cannot be banned.
    """
    fields = {"category": options.pop("category"), **_end(session, options)}
    ban = functools.partial(session.client().ban, urls, **fields)
    question = f"Ban {len(urls)} URLs?" if len(urls) > 1 else "Ban it?"
    _preview_and_do(session, form, ban, question, {**options, "yes": yes})


@click.command("extend", short_help="Change when bans end.")
@click.argument("urls", nargs=-1, required=True)
@click.option("--days", type=click.IntRange(1), help="For how many days from now.")
@click.option("--until", metavar="TIME", help="Until when, in place of --days; `unbanned`: without end.")
@click.option("--preview", is_flag=True, help="Only show what would change.")
@reason_option
@yes_option
@output.output_options
@pass_session
def extend_command(session: Session, urls: Sequence[str], form: output.Form, *, yes: bool, **options: Any) -> None:
    """Change when the bans of URLS end, to a later or an earlier time."""
    fields = _end(session, options)
    if not any(fields.values()):
        raise click.UsageError("say when they end: --days or --until")
    change_end = functools.partial(session.client().change_end, urls, **fields)
    _preview_and_do(session, form, change_end, "Change the end?", {**options, "yes": yes})


EFFECTS = {"ban": "banned anew", "release": "leaves a hold, banned", "set_end": "end changed", "nothing": "stands so"}


def _preview_and_do(
    session: Session, form: output.Form, do: Callable[..., dict[str, Any]], question: str, options: Mapping[str, Any]
) -> None:
    """Show what would be done, ask, and do it. Only show it for ``--preview``, or if it changes nothing."""
    shown = do(preview=True)
    if not options["preview"] and shown["urls"]:
        for line in _lines(shown):
            click.echo(line, err=True)  # so that the output holds the result alone
        reason = session.reason(options["reason"])
        session.confirm(question, yes=options["yes"], number=shown["urls"])
        shown = do(reason=reason)
    output.document(session, form, shown, _lines(shown))
    if shown["rejected_urls"]:
        raise Ended(Status.PARTLY if shown["urls"] else Status.REFUSED)


def _lines(shown: Mapping[str, Any]) -> Iterator[str]:
    end = f"until {times.clock(shown['until'])}" if shown["until"] else "until somebody unbans"
    yield f"{output.counted(shown['urls'], 'ban')} {end}" + (
        " (a preview: nothing is done)" if shown["preview"] else ""
    )
    for entry in shown["first"][:SHOWN]:
        effect = EFFECTS.get(entry["effect"], entry["effect"])
        yield f"  {harmless(entry['url'])}  at {harmless(entry['account'])}: {effect}"
    if shown["urls"] > SHOWN:
        yield f"  … and {output.counted(shown['urls'] - SHOWN, 'other')}"
    for entry in shown["rejected"][:SHOWN]:
        yield f"  refused {harmless(entry['url'])}: {harmless(entry['reason'])} ({entry['rule']})"
    if shown["rejected_urls"] > SHOWN:
        yield f"  … and {output.counted(shown['rejected_urls'] - SHOWN, 'other')} refused"
    for hold in shown["holds"]:
        yield f"  a second person must approve: edgeban approve {hold}"
