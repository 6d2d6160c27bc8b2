"""A shell in which ``edgeban`` is typed, against the app itself behind a real port."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest

from chalicelib.config.operators import parse as parse_operators
from dev.fakes.api import ONE_OF_MANY, Api, fixed
from dev.fakes.served import served
from dev.fakes.world import SECRET
from edgeban import cli
from edgeban.cli.session import Session

ROLES = {"rita": "reader", "olaf": "operator", "anna": "approver", "bert": "approver"}


@dataclass
class Result:
    """What a command left behind: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@dataclass
class Shell:
    """A shell in which ``edgeban`` is typed. ``terminal``: whether a person sits at it."""

    api: Api
    url: str
    monkeypatch: pytest.MonkeyPatch
    now: datetime

    def __call__(self, *arguments: str, who: str = "anna", terminal: bool = False, typed: str = "") -> Result:
        self.monkeypatch.setenv("EDGEBAN_TOKEN", f"hidden-token-{who}")
        session = Session(terminal=terminal, now=lambda: datetime.now(UTC))
        status: list[int] = []

        @click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
        @click.argument("words", nargs=-1, type=click.UNPROCESSED)
        def typed_command(words: tuple[str, ...]) -> None:
            status.append(cli.run(list(words), session))

        ran = click.testing.CliRunner().invoke(typed_command, list(arguments), input=typed, catch_exceptions=False)
        result = Result(status[0], ran.stdout, ran.stderr)
        for secret in (f"hidden-token-{who}", SECRET):
            assert secret not in result.out + result.err, "a secret is never written"
        assert not (wrong := ONE_OF_MANY.findall(result.out + result.err)), wrong
        return result

    def json(self, *arguments: str, **options: Any) -> Any:
        result = self(*arguments, "--json", **options)
        assert result.status == 0, result
        return json.loads(result.out)


@contextmanager
def shell_of(api: Api, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Shell]:
    """Serve the app, and set a shell's environment to it. Its configuration stands in a folder."""
    named = {
        who: {"token_sha256": hashlib.sha256(f"hidden-token-{who}".encode()).hexdigest(), "role": role}
        for who, role in ROLES.items()
    }
    api.services._operators = fixed(parse_operators(named))  # noqa: SLF001, the wiring of a test
    api.world.clock.now -= timedelta(minutes=9)  # To settle takes some minutes of the world's time.
    with served(api) as url:
        for name, value in {
            "EDGEBAN_CONFIG": str(folder / "config.toml"),
            "EDGEBAN_URL": url,
            "EDGEBAN_SOURCE": "desk",
            "EDGEBAN_SOURCE_SECRET": SECRET,
        }.items():
            monkeypatch.setenv(name, value)
        yield Shell(api, url, monkeypatch, datetime.now(UTC))
