"""The command line ``edgeban``. Each noun has a module; a command's module is imported when the command runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("service", "Show what runs, what waits and what is late."),
    "bans": ("bans", "List the bans in force, or count them."),
    "why": ("why", "Tell why a URL is banned, or why it is not."),
    "test": ("bans", "Try the policy, or a draft of it, on URLs."),
    "ban": ("bans", "Ban URLs by hand."),
    "extend": ("bans", "Change when bans end."),
    "unban": ("unbans", "Undo bans: by URL, host, source, category, report, decision or task."),
    "unbans": ("unbans", "List unbans, or show how far one is."),
    "report": ("reports", "Report URLs or a file as a source, signed."),
    "reports": ("reports", "List a source's reports, or show one."),
    "holds": ("holds", "List, show and review what waits for a person."),
    "approve": ("holds", "Approve holds: their URLs are banned."),
    "refuse": ("holds", "Refuse holds: their URLs are not banned."),
    "pause": ("service", "Pause submission for an account, or for all."),
    "resume": ("service", "Resume submission for an account, or for all."),
    "tasks": ("record", "List vendor tasks, or show one."),
    "audit": ("record", "List what people decided."),
    "tail": ("record", "Follow what happens, an event a line."),
    "stats": ("record", "Count reports and bans over days or hours."),
    "report-month": ("record", "Write a month's numbers for a transparency report."),
    "statements": ("statements", "State the reasons of bans, or send them to the EU's database."),
    "exports": ("record", "Show the archived days of a vendor's export as a calendar."),
    "policy": ("service", "Print the policy in force."),
    "sources": ("sources", "List the sources with today's numbers."),
    "source": ("sources", "Make the secret and the entry of a new source."),
    "operator": ("sources", "Make the token and the entry of a new operator."),
    "callbacks": ("sources", "List the deliveries of callbacks, or resend one."),
    "listen": ("webhooks", "Forward a source's outcomes to a receiver on this machine."),
    "trigger": ("webhooks", "Send a signed sample callback to a receiver."),
    "verify": ("webhooks", "Say what is wrong with a signed request."),
    "login": ("service", "Store the API's URL and your token in a profile."),
    "whoami": ("service", "Show your name and role."),
    "completion": ("service", "Print the completion script of a shell."),
}
"""Command → module and one-line help. The help stands here so that ``edgeban --help`` imports no command."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgeban.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table's help, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; name those that are spelled alike if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=3)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog="Full text: docs/cli.md")
@click.option("--profile", metavar="NAME", help="The profile to use; EDGEBAN_PROFILE.")
@click.option(
    "--url", metavar="URL", help="The API's URL; EDGEBAN_URL. The token comes from EDGEBAN_TOKEN or a profile."
)
@click.option("--color/--no-color", default=None, help="Colours, whatever the output is; NO_COLOR is heeded.")
@click.version_option(package_name="edgeban", message="edgeban %(version)s")
@click.pass_context
def cli(ctx: click.Context, *, profile: str | None, url: str | None, color: bool | None) -> None:
    """Turn abuse reports into URL bans at CDNs, and follow them."""
    from edgeban.cli.session import Session

    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    session.profile_name, session.url, session.color = profile or "", url or "", color
    ctx.obj = session


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str], session: Any = None) -> int:
    """Run a command and return its exit status; every error becomes one line for a person.

    0 done, 1 unexpected, 2 usage, 3 not found, 4 not authenticated or not allowed, 5 refused, 6 partly done,
    7 unreachable, 8 waited too long, 9 not banned, 10 not well, 130 interrupted.
    """
    from edgeban.cli.failures import status_of

    try:
        returned = cli.main(args=arguments, prog_name="edgeban", standalone_mode=False, obj=session)
    except Exception as error:  # noqa: BLE001  The last place: status_of raises again what nobody expected.
        return status_of(error, as_json=any(text == "--json" or text.startswith("--json=") for text in arguments))
    except KeyboardInterrupt:
        return 130
    return returned if isinstance(returned, int) else 0
