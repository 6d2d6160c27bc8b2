"""Commands for the record: tasks, decisions, events, numbers and exports."""

from __future__ import annotations

import calendar
import csv
import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import click

from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session

TASK_COLUMNS = (
    Column("created_at", "made", "time"),
    Column("action", "action"),
    Column("state", "state", "state"),
    Column("urls", "URLs", "number"),
    Column("account", "account"),
    Column("reason", "reason"),
    Column("task_id", "task", "id"),
)
DECISION_COLUMNS = (
    Column("at", "at", "time"),
    Column("actor", "who"),
    Column("action", "did"),
    Column("about", "about", "url"),
    Column("after", "then"),
    Column("reason", "reason", "url"),
)
COUNTS = ("reported", "ban", "duplicate", "hold", "rejected", "suppressed", "banned", "unbanned", "undone")
STAT_COLUMNS = (
    Column("bucket", "when"),
    Column("value", "value"),
    *(Column(name, name, "number") for name in COUNTS),
    Column("refused_at_once", "refused at once", "number"),
    Column("p50", "median s", "number"),
    Column("p95", "95 % s", "number"),
)
DIMENSIONS = ("source", "account", "category", "rule", "state")
CALENDAR_SIGNS = {"archived": "✓", "failed": "✗", "wanted": "·"}
TAIL_PAUSES = (2.0, 10.0)
EVENT_FIELDS = ("place", "at", "kind", "subject", "details")


@click.group("tasks", invoke_without_command=True, short_help="List vendor tasks, or show one.")
@click.option("--day", metavar="YYYY-MM-DD", help="Those that ended on this day (UTC), not those under way.")
@output.output_options
@click.pass_context
def tasks_command(ctx: click.Context, /, form: output.Form, *, day: str | None) -> None:
    """List the vendor tasks under way, or those of a day; show one with `edgeban tasks show ID`."""
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    output.show(session, form, session.client().tasks(day or ""), TASK_COLUMNS, empty="no task is under way")


@tasks_command.command("show", short_help="Show a task with its URLs.")
@click.argument("task_id")
@click.option("--account", help="The vendor account, if TASK_ID is the vendor's own.")
@output.output_options
@pass_session
def show_task(session: Session, task_id: str, form: output.Form, *, account: str | None) -> None:
    """Show a task with its URLs, and what the vendor said."""
    task = session.client().task(task_id, account or "")
    urls = output.counted(task["urls"], "URL")
    lines = [
        f"{task['action']} at {harmless(task['account'])}  {output.state(task['state'])}  {urls}",
        *(f"  {name} {task[name]}" for name in ("created_at", "submitted_at", "finished_at") if task.get(name)),
        *([f"  the vendor's task {harmless(task['vendor_task_id'])}"] if task["vendor_task_id"] else []),
        *([f"  {harmless(task['reason'])}"] if task["reason"] else []),
        *(f"  continued by {harmless(child)}" for child in task["children"]),
        *(f"  {harmless(url)}" for url in task.get("urls_carried") or []),
    ]
    output.document(session, form, task, lines)


@click.command("audit", short_help="List what people decided.")
@click.option("--by", "actor", help="Only decisions of this operator.")
@click.option("--about", help="Only decisions about this subject: hold:ID, account:NAME, url:URL.")
@click.option("--day", metavar="YYYY-MM-DD", help="Only of this day (UTC).")
@click.option("--action", help="Only decisions of this kind, such as unban.")
@click.option("--since", metavar="TIME", help="Only since: 2h, 12:00, yesterday, 2026-11-01.")
@click.option("--limit", type=click.IntRange(1), help="The most decisions to show.")
@output.output_options
@pass_session
def audit_command(session: Session, form: output.Form, **options: Any) -> None:
    """List what people decided, newest first."""
    since, limit = options.pop("since"), options.pop("limit")
    oldest = times.read(times.parse(since, session.now())) if since else None
    decisions = session.client().audit(**options)
    rows = _until(decisions, oldest) if oldest else decisions
    if limit:
        rows = (row for row, _ in zip(rows, range(limit), strict=False))
    output.show(session, form, rows, DECISION_COLUMNS, empty="nobody decided anything")


def _until(decisions: Iterator[dict[str, Any]], oldest: Any) -> Iterator[dict[str, Any]]:
    """Yield decisions, newest first, until one is older."""
    for decision in decisions:
        at = times.read(decision["at"])
        if at is not None and at < oldest:
            return
        yield decision


@click.command("tail", short_help="Follow what happens, an event a line.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind; may be given again.")
@click.option("--source", help="Only events that name this source.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header line, safe in spreadsheets.")
@pass_session
def tail_command(session: Session, *, follow: bool, as_json: bool, as_csv: bool, **options: Any) -> None:
    """Follow what happens, an event a line, from ten minutes ago: batches of reports, tasks, decisions, words."""
    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    write = json.dumps if as_json else _event_as_csv if as_csv else _event
    client = session.client()
    if as_csv:
        click.echo(",".join(EVENT_FIELDS))
    place = ""
    pause = TAIL_PAUSES[0]
    while True:
        page = client.events(place, kinds=",".join(options["kinds"]), limit=500)
        for event in page["events"]:
            if not options["source"] or json.dumps(options["source"]) in json.dumps(event["details"]):
                click.echo(write(event))
        place = page["next"]
        if not page["events"]:
            if not follow:
                return
            time.sleep(pause)
            pause = min(TAIL_PAUSES[1], pause * 1.5)
        else:
            pause = TAIL_PAUSES[0]


def _event_as_csv(event: Mapping[str, Any]) -> str:
    written = io.StringIO()
    row = {**event, "details": json.dumps(event["details"])}
    csv.writer(written, lineterminator="").writerow([output.cell(output.plain(row[name])) for name in EVENT_FIELDS])
    return written.getvalue()


def _event(event: Mapping[str, Any]) -> str:
    details = ", ".join(
        f"{name} {output.plain(value)}" for name, value in event["details"].items() if value not in (None, "", [], {})
    )
    return harmless(f"{event['at']}  {event['kind']}  {event['subject']}  {details}".rstrip())


@click.command("stats", short_help="Count reports and bans over days or hours.")
@click.option(
    "--by",
    type=click.Choice(DIMENSIONS),
    default="source",
    show_default=True,
    help="source: its reports and bans; account: its bans; the others: the decisions about the URLs.",
)
@click.option("--from", "first", metavar="TIME", default="today", show_default=True, help="Where to begin.")
@click.option("--to", "last", metavar="TIME", help="Now, if left out.")
@click.option("--bucket", type=click.Choice(["minute", "hour", "day"]), default="day", show_default=True)
@output.output_options
@pass_session
def stats_command(session: Session, form: output.Form, **options: Any) -> None:
    """Count URLs that were reported, banned and unbanned: a day by minutes, 31 days by hours, 92 days by days.

    Days older than 31 are read from the archive.
    """
    query = {"from": times.parse(options["first"], session.now())}
    if options["last"]:
        query["to"] = times.parse(options["last"], session.now())
    series = session.client().stats(**query, by=options["by"], bucket=options["bucket"])["series"]
    output.show(session, form, series, STAT_COLUMNS, empty="nothing was reported")


@click.command("report-month", short_help="Write a month's numbers for a transparency report.")
@click.argument("month", metavar="YYYY-MM")
@click.option("--csv", "as_csv", is_flag=True, help="CSV in place of Markdown.")
@pass_session
def report_month_command(session: Session, month: str, *, as_csv: bool) -> None:
    """Write a month's numbers by source, account, category, rule and state, as Markdown or CSV."""
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise click.BadParameter(f"{month!r} is no month: write 2026-11") from None
    end = first.replace(day=calendar.monthrange(first.year, first.month)[1]) + timedelta(days=1)
    if first > session.now().date():
        raise click.BadParameter(f"{month} has not begun")
    span = {"from": first.isoformat()}
    if end <= session.now().date():
        span["to"] = end.isoformat()
    client = session.client()
    tables = {
        by: _summed(client.stats(**span, by=by, bucket="day")["series"])
        for by in output.progress(session, DIMENSIONS, "reading")
    }
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["month", "by", "value", *COUNTS])
        for by, table in tables.items():
            for value, counts in table.items():
                writer.writerow([month, by, output.cell(value), *(counts[name] for name in COUNTS)])
        return
    click.echo(f"# Bans in {month}" + ("" if "to" in span else f", up to {session.now():%Y-%m-%d %H:%M} UTC"))
    for by, table in tables.items():
        click.echo(f"\n## By {by}\n\n| {by} | {' | '.join(COUNTS)} |\n|{' --- |' * (len(COUNTS) + 1)}")
        for value, counts in table.items():
            cells = " | ".join("–" if counts[name] is None else f"{counts[name]:,}" for name in COUNTS)
            click.echo(f"| {harmless(value).replace('|', chr(92) + '|') or '(none)'} | {cells} |")


def _summed(series: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int | None]]:
    """Add up the buckets of each value. What a dimension does not tell is ``None``, and not 0."""
    sums: dict[str, dict[str, int | None]] = defaultdict(lambda: dict.fromkeys(COUNTS))
    for entry in series:
        of_value = sums[str(entry["value"])]
        for name in COUNTS:
            if entry.get(name) is not None:
                of_value[name] = (of_value[name] or 0) + int(entry[name])
    return dict(sorted(sums.items()))


@click.command("exports", short_help="Show the archived days of a vendor's export as a calendar.")
@click.option("--account", help="The vendor account, if several have exports.")
@click.option("--again", nargs=2, metavar="FROM TO", help="Ask the vendor for these days again (UTC+8).")
@click.option("--reason", help="Why; recorded with --again.")
@output.output_options
@pass_session
def exports_command(session: Session, form: output.Form, **options: Any) -> None:
    """Show how far each day of a vendor's export is archived, with a sign for each day.

    Exits with 10 if a day failed.
    """
    client = session.client()
    if options["again"]:
        first, last = options["again"]
        reason = session.reason(options["reason"])
        answer = client.request_exports(first, last, account=options["account"] or "", reason=reason)
    else:
        answer = client.exports(options["account"] or "")
    output.document(session, form, answer, _calendar(answer["days"])) if not form.csv else output.show(
        session, form, answer["days"], [Column(name, name) for name in ("day", "state", "rows", "reason")], empty=""
    )
    if any(day["state"] == "failed" for day in answer["days"]):
        raise Ended(Status.NOT_WELL)


def _calendar(days: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield weeks of signs, Monday first: ✓ archived, ◐ under way, ✗ failed, · wanted."""
    states = {date.fromisoformat(day["day"]): day for day in days}
    if not states:
        yield "no day is asked for yet"
        return
    monday = min(states) - timedelta(days=min(states).weekday())
    yield "            Mo Tu We Th Fr Sa Su    ✓ archived  ◐ under way  ✗ failed  · wanted"
    while monday <= max(states):
        week = [states.get(monday + timedelta(days=offset)) for offset in range(7)]
        yield f"{monday}  " + "  ".join(CALENDAR_SIGNS.get(day["state"], "◐") if day else " " for day in week)
        monday += timedelta(days=7)
    for day in days:
        if day["state"] == "failed":
            again = f"edgeban exports --again {day['day']} {day['day']}"
            yield f"{day['day']} failed: {harmless(day.get('reason') or '')}; {again}"
