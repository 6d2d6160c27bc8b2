"""Report as a source, and follow reports."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edgeban import config, splitting
from edgeban.cli import output
from edgeban.cli.failures import Ended, Status
from edgeban.cli.output import Column, harmless
from edgeban.cli.session import Session, pass_session

REPORT_COLUMNS = (
    Column("received_at", "received", "time"),
    Column("source", "source"),
    Column("accepted", "accepted", "number"),
    Column("correlation_id", "correlation id"),
    Column("report_id", "report", "id"),
)
STATE_COLUMNS = (
    Column("url", "URL", "url"),
    Column("state", "state", "state"),
    Column("account", "account"),
    Column("rule", "rule"),
    Column("reason", "reason"),
    Column("until", "until", "time"),
)


@click.command("report", short_help="Report URLs or a file as a source, signed.")
@click.argument("urls", nargs=-1)
@click.option("--source", default=config.default_source, help="The source that reports; EDGEBAN_SOURCE.")
@click.option("--file", "file", type=click.Path(path_type=Path, allow_dash=True), help="A file; - is stdin.")
@click.option("--content-type", help="The file's media type, if its name does not tell it.")
@click.option("--category", help="Such as phishing; of URLs given as arguments.")
@click.option("--note", help="Words for the operators; of URLs given as arguments.")
@click.option("--correlation-id", help="Your own case number; of URLs given as arguments.")
@click.option("--test", is_flag=True, help="A rehearsal: nothing goes to a vendor; of URLs given as arguments.")
@click.option("--wait", is_flag=True, help="Follow the URLs to their end.")
@click.option("--wait-seconds", type=click.IntRange(1), default=120, show_default=True, help="For how long.")
@output.output_options
@pass_session
def report_command(session: Session, urls: Sequence[str], form: output.Form, **options: Any) -> None:
    """Report URLS, or a --file in the source's format, signed with the source's secret.

    A file that is too large for one report is cut into several. If you send the same file again, it is the same reports
    and counts once. The secret comes from EDGEBAN_SOURCE_SECRET or the profile.
    Exits with 6 if some URLs are refused, with 8 if --wait ran out.
    """
    if not options["source"]:
        raise click.UsageError("say which source reports: --source or EDGEBAN_SOURCE")
    if bool(urls) == bool(options["file"]):
        raise click.UsageError("give URLs, or --file")
    reporter = session.reporter(options["source"])
    if urls:
        fields = {name: options[name] for name in ("category", "note", "correlation_id")}
        receipts = [reporter.report(urls, **fields, test=True if options["test"] else None)]
    else:
        body, content_type = _read(options["file"], options["content_type"])
        parts = splitting.split(body, content_type)
        receipts = [
            reporter.send(part, content_type=content_type)
            for part in output.progress(session, parts, f"reporting {output.counted(len(parts), 'part')}")
        ]
    accepted = sum(receipt["accepted"] for receipt in receipts)
    refused = [entry for receipt in receipts for entry in receipt["rejected"]]
    skipped = [entry for receipt in receipts for entry in receipt.get("skipped", [])]
    if options["wait"]:
        _follow(session, form, reporter, receipts, options["wait_seconds"])
    else:
        document = {
            "accepted": accepted,
            "rejected": refused,
            "skipped": skipped,
            "reports": [receipt["report_id"] for receipt in receipts],
        }
        output.document(session, form, document, _receipt_lines(document))
    if refused:
        raise Ended(Status.PARTLY)


def _read(file: Path, content_type: str | None) -> tuple[bytes, str]:
    body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    if file.suffix == ".gz":
        body = gzip.decompress(body)
    if not body.strip():
        raise click.BadParameter("the file is empty")
    return body, content_type or splitting.content_type_of(file.name, body)


def _receipt_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"{output.counted(document['accepted'], 'URL')} accepted, {len(document['rejected']):,} refused"
    for entry in document["rejected"][:20]:
        yield f"  refused {harmless(entry['url'])}: {harmless(entry['reason'])}"
    for entry in document["skipped"][:20]:
        yield f"  skipped {harmless(entry['where'])}: {harmless(entry['reason'])}"
    for report in document["reports"]:
        yield f"follow it: edgeban reports show {report}"


def _follow(
    session: Session, form: output.Form, reporter: Any, receipts: Sequence[Mapping[str, Any]], seconds: int
) -> None:
    for receipt in receipts:
        if receipt["accepted"]:
            reporter.wait(receipt["report_id"], seconds=seconds)
    states = (state for receipt in receipts for state in reporter.urls(receipt["report_id"]))
    output.show(session, form, states, STATE_COLUMNS, empty="no URL was accepted")


@click.group("reports", invoke_without_command=True, short_help="List a source's reports, or show one.")
@click.option("--source", default=config.default_source, help="The source; EDGEBAN_SOURCE.")
@click.option("--day", metavar="YYYY-MM-DD", help="The day they came (UTC); today, if left out.")
@click.option("--correlation-id", help="The reports with this correlation id, in place of source and day.")
@output.output_options
@click.pass_context
def reports_command(ctx: click.Context, /, form: output.Form, **options: Any) -> None:
    """List the webhook reports of a source and day, or show one with `edgeban reports show ID`."""
    if ctx.invoked_subcommand:
        return
    session: Session = ctx.obj
    if options["correlation_id"]:
        filters = {"correlation_id": options["correlation_id"]}
    elif options["source"]:
        filters = {"of": options["source"], "day": options["day"] or session.now().date().isoformat()}
    else:
        raise click.UsageError("say which source: --source, or give --correlation-id")
    output.show(session, form, session.client().reports(**filters), REPORT_COLUMNS, empty="no report")


@reports_command.command("show", short_help="Show the state of each URL of a report.")
@click.argument("report_id")
@output.output_options
@pass_session
def show_report(session: Session, report_id: str, form: output.Form) -> None:
    """Show the state of each URL of a report."""
    client = session.client()
    if session.on_terminal and not form.machine:
        report = client.report(report_id)
        counts = ", ".join(f"{count:,} {name}" for name, count in (report.get("counts") or {}).items())
        click.echo(f"{harmless(report['source'])}, {report['received_at']}: {counts or 'no URL'}")
    output.show(session, form, client.report_urls(report_id), STATE_COLUMNS, empty="no URL")
