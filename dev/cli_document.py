"""Write docs/cli.md from the commands themselves: ``make cli-docs``."""

from __future__ import annotations

import click

from dev.package import ROOT
from edgeban.cli import COMMANDS, cli
from edgeban.cli.failures import Status

DOCUMENT = ROOT / "docs" / "cli.md"

HEAD = """# The command line

<!-- made from the commands by `make cli-docs`; a test holds it -->

```console
$ pipx install .                     # from a clone; or pipx install git+<its URL>
$ edgeban login https://<the API>    # asks for your token, and keeps it in the keyring or in a file that only you read
$ edgeban status
```

`make local` prints the `export` lines that point `edgeban` at a stack on your own machine.

**Where it finds things.** A flag, then the environment (`EDGEBAN_PROFILE`, `EDGEBAN_URL`, `EDGEBAN_TOKEN`,
`EDGEBAN_SOURCE`, `EDGEBAN_SOURCE_SECRET`, `EDGEBAN_SOURCE_AUTH`), then a profile in the file that `EDGEBAN_CONFIG`
names, otherwise `config.toml` in the platform's folder for configuration. The file must be readable for you alone.

```toml
default = "prod"
[profiles.prod]
url = "https://abc.execute-api.eu-west-1.amazonaws.com/api"
token_command = "op read op://abuse/edgeban/token"        # or keyring = true, or token = "…"
[profiles.prod.sources.desk]
auth = "standard-webhooks"                                # or hub-sha256, or bearer
secret_command = "aws secretsmanager get-secret-value …"
```

No option takes a token or a secret, since other users of a machine see the options of a command.

**What it writes.** A table on a terminal, tab-separated lines in a pipe, `--json` (all fields) or `--json=url,until`
(those), `--csv` (safe in spreadsheets). Tables show times relative to now, and `--utc` as they are; machines get
ISO 8601 in UTC. Control and bidi characters of reported text are shown as escapes. Errors go to stderr: with `--json`
as the API's error object.

**What it asks.** Whatever is dangerous is previewed first: an unban, a ban, an approval of more than twenty URLs, a
pause of all accounts. Without a terminal these need `--yes`. Above 100 URLs you type the number. A decision needs
`--reason`.

**From Python.** `from edgeban import Client, Reporter`: `Client` has a method for each route of an operator, `Reporter`
reports as a source and waits for the outcome; `EdgebanError` and its kinds say what went wrong.

## Exit statuses

"""

MEANINGS = {
    Status.DONE: "done",
    Status.UNEXPECTED: "unexpected: a fault of this program",
    Status.USAGE: "the command or its configuration is wrong",
    Status.NOT_FOUND: "not found",
    Status.NOT_ALLOWED: "not authenticated, or the role does not suffice",
    Status.REFUSED: "refused: the request is wrong, or something changed meanwhile",
    Status.PARTLY: "partly done: some URLs refused, some holds failed",
    Status.UNREACHABLE: "the API does not answer, or answered 5xx or 429 to every try",
    Status.WAITED: "waited too long",
    Status.NOT_BANNED: "not banned (`why --exit-status`)",
    Status.NOT_WELL: "not well (`status`, `exports`, `policy`)",
    Status.INTERRUPTED: "interrupted, or declined",
}


def document() -> str:
    """Return the whole document."""
    parts = [HEAD, "| status | meaning |\n| --- | --- |\n"]
    parts += [f"| {status.value} | {MEANINGS[status]} |\n" for status in Status]
    parts.append("\n## Commands\n")
    context = click.Context(cli, info_name="edgeban", help_option_names=["-h", "--help"])
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        parts += _section(command, click.Context(command, info_name=name, parent=context))
    return "".join(parts)


def _section(command: click.Command, context: click.Context) -> list[str]:
    context.terminal_width = context.max_content_width = 110
    formatter = click.HelpFormatter(width=110, max_width=110)
    command.format_help(context, formatter)
    text = "\n".join(line.rstrip() for line in formatter.getvalue().strip().splitlines())
    parts = [f"\n### {context.command_path}\n\n```text\n{text}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            parts += _section(child, click.Context(child, info_name=name, parent=context))
    return parts


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(), "utf-8")
    print(f"written to {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
