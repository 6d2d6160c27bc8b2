"""The command line without an API: its help, its document, its times and its text."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.cli_document import DOCUMENT, MEANINGS, document
from dev.package import ROOT
from edgeban.cli import COMMANDS, cli, output, times
from edgeban.cli.failures import Status

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


def test_the_document_is_made_from_the_commands() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run make cli-docs"


def test_every_status_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Status)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_group_is_that_of_the_command(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command
    assert command.name == name
    assert command.short_help == COMMANDS[name][1]


def test_help_imports_neither_requests_nor_rich_nor_any_command() -> None:
    code = (
        "import sys; from edgeban.cli import run; run(['--help']); "
        "print([m for m in sys.modules if m in ('requests', 'rich') or m.startswith('edgeban.cli.')], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "['edgeban.cli.failures']"


@pytest.mark.parametrize(
    ("text", "ahead", "time"),
    [
        ("2h", False, "2026-11-27T10:30:00Z"),
        ("3d", True, "2026-11-30T12:30:00Z"),
        ("12:00", False, "2026-11-27T12:00:00Z"),
        ("today", False, "2026-11-27T00:00:00Z"),
        ("today", True, "2026-11-28T00:00:00Z"),
        ("yesterday", False, "2026-11-26T00:00:00Z"),
        ("tomorrow", True, "2026-11-29T00:00:00Z"),
        ("2026-11-01", False, "2026-11-01T00:00:00Z"),
        ("2026-11-01T12:00+02:00", False, "2026-11-01T10:00:00Z"),
    ],
)
def test_times_as_people_type_them(text: str, ahead: bool, time: str) -> None:
    assert times.parse(text, NOW, ahead=ahead) == time


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01", "-2h"])
def test_a_text_that_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 2h"):
        times.parse(text, NOW)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-11-27T12:29:30Z", "30 s ago"),
        ("2026-11-27T09:30:00Z", "3 h ago"),
        ("2026-12-10T12:30:00Z", "in 13 days"),
        (None, "–"),
    ],
)
def test_times_as_people_read_them(time: str | None, text: str) -> None:
    assert times.relative(time, NOW) == text


@given(st.text())
def test_no_text_moves_the_cursor_or_turns_the_line(text: str) -> None:
    shown = output.harmless(text)
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in shown)
    assert not set(shown) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b")


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    assert not output.cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
