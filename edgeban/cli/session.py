"""What the commands share: the profile, the client, the terminal, and the questions they ask a person."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from edgeban import config

if TYPE_CHECKING:
    from edgeban.client import Client
    from edgeban.reporter import Reporter


@dataclass
class Session:
    """One run of the command line. Tests set ``terminal`` and ``now``."""

    profile_name: str = ""
    url: str = ""
    color: bool | None = None
    terminal: bool | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def on_terminal(self) -> bool:
        """Whether a person reads the output."""
        return sys.stdout.isatty() if self.terminal is None else self.terminal

    @property
    def can_ask(self) -> bool:
        """Whether a person can answer a question."""
        return sys.stdin.isatty() if self.terminal is None else self.terminal

    @property
    def profile(self) -> config.Profile:
        """The chosen profile under the environment. Raises ``ConfigurationProblem``."""
        return config.read_profile(self.profile_name, url=self.url)

    def client(self) -> Client:
        """Return the API for the operator of the profile."""
        from edgeban.client import Client

        profile = self.profile
        return Client(profile.read_url(), profile.read_token())

    def reporter(self, source: str) -> Reporter:
        """Return the API for a source."""
        from edgeban.reporter import Reporter

        profile = self.profile
        settings = profile.source(source)
        return Reporter(profile.read_url(), source, settings.read_secret(), auth=settings.auth, now=self.now)

    def reason(self, given: str | None) -> str:
        """Return the reason of a decision; ask for it on a terminal. Raises ``click.UsageError`` elsewhere."""
        if given and given.strip():
            return given.strip()
        if not self.can_ask:
            raise click.UsageError("give --reason: it is recorded with the decision")
        answer: str = click.prompt("Reason", err=True)
        return answer.strip()

    def confirm(self, question: str, *, yes: bool, number: int = 0) -> None:
        """Ask before a dangerous action. Above 100 URLs the person types the number.

        Raises ``click.UsageError`` if nobody can answer and ``--yes`` was not given, ``click.Abort`` on no.
        """
        if yes:
            return
        if not self.can_ask:
            raise click.UsageError(f"{question} Give --yes: there is no terminal to ask on")
        if number > 100:
            if click.prompt(f"{question} Type {number} to go on", err=True, default="", show_default=False) != str(
                number
            ):
                raise click.Abort
            return
        click.confirm(question, abort=True, err=True)


pass_session: Callable[[Callable[..., Any]], Callable[..., Any]] = click.make_pass_decorator(Session)


def reason_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--reason``."""
    return click.option("--reason", metavar="TEXT", help="Why; recorded with the decision. Asked for on a terminal.")(
        command
    )


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask; needed where there is no terminal.")(command)
