"""The service itself: who am I, what runs, what waits; pause and resume."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from edgeban import config
from edgeban.cli import output, times
from edgeban.cli.failures import Ended, Status
from edgeban.cli.session import Session, pass_session, reason_option, yes_option

WATCH_SECONDS = 5.0


@click.command("status", short_help="Show what runs, what waits and what is late.")
@click.option("--watch", is_flag=True, help="Show it again every five seconds, until Ctrl-C.")
@output.output_options
@pass_session
def status_command(session: Session, form: output.Form, *, watch: bool) -> None:
    """Show what runs, what waits and what is late.

    Exits with 10 if an account is paused or blocked, a day of an export failed, a hold is overdue or dead letters wait:
    for cron.
    """
    client = session.client()
    while True:
        overview = client.overview()
        troubles = list(troubles_of(overview))
        if watch and session.on_terminal:
            click.clear()
        output.document(session, form, overview, _overview_lines(overview, troubles))
        if not watch:
            break
        time.sleep(WATCH_SECONDS)
    if troubles:
        raise Ended(Status.NOT_WELL)


def troubles_of(overview: Mapping[str, Any]) -> Iterator[str]:
    """Name the troubles that need a person."""
    for account in overview["accounts"]:
        if account["state"] != "running":
            by = f" by {account['by']}" if account.get("by") else ""
            yield f"{account['account']} is {account['state']}{by}: {account.get('reason') or 'no reason given'}"
        if account.get("holds", {}).get("overdue"):
            overdue = output.counted(account["holds"]["overdue"], "hold waits", "holds wait")
            yield f"{account['account']}: {overdue} longer than allowed"
    exports = overview.get("exports") or {}
    if exports.get("late"):
        late = output.counted(exports["late"], "day of the export is", "days of the export are")
        yield f"{late} late: edgeban exports"
    if exports.get("failed"):
        yield f"{output.counted(exports['failed'], 'day')} of the export failed"
    for queue, count in (overview.get("dead_letters") or {}).items():
        if count:
            yield f"{output.counted(count, 'dead letter')} of {queue}: see make redrive QUEUE={queue} DRY=1"


def _overview_lines(overview: Mapping[str, Any], troubles: list[str]) -> Iterator[str]:
    if overview["bans_in_force"] is not None:
        bans, as_of = output.counted(overview["bans_in_force"], "ban"), times.clock(overview["bans_as_of"])
        yield f"{bans} in force, as of {as_of}"
    for account in overview["accounts"]:
        holds, waiting = account["holds"], account["waiting"]
        yield (
            f"{output.harmless(account['account'])}  {output.state(account['state'])}"
            f"   {output.counted(waiting['urls'], 'URL waits', 'URLs wait')}"
            + (f", the oldest {times.span(waiting['oldest_seconds'])}" if waiting.get("oldest_seconds") else "")
            + f"   {output.counted(account.get('tasks_under_way', 0), 'task')} under way"
        )
        if holds.get("count"):
            yield (
                f"  {output.counted(holds['count'], 'hold')} with {output.counted(holds['urls'], 'URL')} for a person"
                + (f", the oldest {times.span(holds['oldest_seconds'])}" if holds.get("oldest_seconds") else "")
                + ": edgeban holds review"
            )
        for cap in account.get("caps") or []:
            if cap.get("limit") and cap["used"] / cap["limit"] >= 0.5:
                yield f"  cap {cap['cap']}: {cap['used']:,} of {cap['limit']:,}"
    hour = overview.get("last_hour") or {}
    if hour:
        yield (
            f"last hour: {hour.get('reported', 0):,} reported, {hour.get('banned', 0):,} banned"
            + (f", median {hour['p50']:.1f} s, 95 % {hour['p95']:.1f} s" if hour.get("p50") is not None else "")
        )
    for trouble in troubles:
        yield click.style("! ", fg="bright_red") + output.harmless(trouble)
    if not troubles:
        yield "nothing needs you" if not _held(overview) else "nothing is in trouble"


def _held(overview: Mapping[str, Any]) -> int:
    return sum((account.get("holds") or {}).get("count", 0) for account in overview["accounts"])


@click.command("pause", short_help="Pause submission for an account, or for all.")
@click.argument("account", required=False, default="")
@reason_option
@yes_option
@pass_session
def pause_command(session: Session, account: str, reason: str | None, *, yes: bool) -> None:
    """Pause submission for ACCOUNT, or for all accounts. Unbans go on. Reports are taken and wait."""
    reason = session.reason(reason)
    if not account:
        session.confirm("No ban goes to any vendor until you resume. Pause all accounts?", yes=yes)
    _said(session.client().pause(reason=reason, account=account))


@click.command("resume", short_help="Resume submission for an account, or for all.")
@click.argument("account", required=False, default="")
@reason_option
@pass_session
def resume_command(session: Session, account: str, reason: str | None) -> None:
    """Resume submission for ACCOUNT, or for all accounts."""
    _said(session.client().resume(reason=session.reason(reason), account=account))


def _said(switched: Mapping[str, Any]) -> None:
    account = "all accounts" if switched["account"] == "*" else switched["account"]
    click.echo(f"{output.harmless(account)}: {'paused' if switched['paused'] else 'running'}")


@click.command("policy", short_help="Print the policy in force.")
@pass_session
def policy_command(session: Session) -> None:
    """Print the policy in force as JSON; on stderr when it took effect, and what is wrong with a newer one."""
    answer = session.client().policy()
    click.echo(json.dumps(answer["policy"], indent=2))
    if answer.get("changed_at"):
        click.echo(f"unchanged since {times.clock(answer['changed_at'])}", err=True)
    refused = answer.get("refused")
    if refused:
        click.echo(f"a newer policy is refused since {refused['at']}: {output.harmless(refused['problem'])}", err=True)
        raise Ended(Status.NOT_WELL)


@click.command("login", short_help="Store the API's URL and your token in a profile.")
@click.argument("url", required=False)
@click.option("--name", default="default", show_default=True, help="The profile to write.")
@click.option("--token-file", type=click.File(), help="Read the token from a file; - is stdin. Asked for otherwise.")
@pass_session
def login_command(session: Session, url: str | None, name: str, token_file: Any) -> None:
    """Store the API's URL and your token in a profile, after trying them.

    The token goes to the system's keyring if the package `keyring` is there, otherwise to the configuration file,
    which only you can read. No option takes a token, since other users of the machine see a command's options.
    """
    from edgeban.client import Client

    chosen = url or session.url or click.prompt("URL of the API", err=True)
    token = token_file.read() if token_file else click.prompt("Token", hide_input=True, err=True)
    me = Client(chosen, token.strip()).me()
    where = config.store_login(session.profile_name or name, chosen, token.strip())
    click.echo(f"{output.harmless(me['name'])}, {me['role']} at {me['stage']}; the token is kept in {where}")


@click.command("whoami", short_help="Show your name and role.")
@output.output_options
@pass_session
def whoami_command(session: Session, form: output.Form) -> None:
    """Show your name and role, and the stage and version of the API."""
    me = session.client().me()
    line = f"{output.harmless(me['name'])}, {me['role']} at {me['stage']} (edgeban {me['version']})"
    output.document(session, form, me, [line])


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    bash: `eval "$(edgeban completion bash)"` in ~/.bashrc. zsh: the same in ~/.zshrc.
    fish: `edgeban completion fish > ~/.config/fish/completions/edgeban.fish`.
    """
    from click.shell_completion import get_completion_class

    from edgeban.cli import cli

    kind = get_completion_class(shell)
    assert kind
    click.echo(kind(cli, {}, "edgeban", "_EDGEBAN_COMPLETE").source())
