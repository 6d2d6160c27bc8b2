"""The queries of docs/archive.md about lists run in DuckDB, over files that the command line wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from chalicelib.config.policy import parse
from dev.fakes.api import Api, fixed
from dev.fakes.operations import STATING
from dev.fakes.shell import Shell, shell_of
from dev.fakes.world import POLICY, pages
from dev.package import ROOT

QUERIES = re.findall(r"```duckdb\n(.*?)```", (ROOT / "docs" / "archive.md").read_text(), re.DOTALL)


@pytest.fixture
def shell(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    """Open a shell."""
    with shell_of(api, monkeypatch, tmp_path) as opened:
        yield opened


@pytest.fixture
def folder(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ban some URLs of two hosts under a policy that states reasons, and stand in an empty folder."""
    shell.api.world.policy = parse({**POLICY, **STATING})
    shell.api.services._policy = fixed(shell.api.world.policy)
    shell.api.post({"urls": [*pages(3), *pages(1, "shop.example.com")]})
    shell.api.settle()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bans_in_force_are_counted_by_host_and_source(shell: Shell, folder: Path) -> None:
    (folder / "bans.csv").write_text(shell("bans", "--csv").out)
    rows = duckdb.execute(QUERIES[3]).fetchall()
    assert [row[:3] for row in rows] == [("www.example.com", "desk", 3), ("shop.example.com", "desk", 1)]
    assert all(row[3] for row in rows)


def test_statements_are_counted_by_their_ground(shell: Shell, folder: Path) -> None:
    (folder / "statements.csv").write_text(shell("statements", "--since", "yesterday", "--csv").out)
    rows = duckdb.execute(QUERIES[4]).fetchall()
    assert rows == [("incompatible_content", "Terms of service, section 4.2", "yes", 4, 0)]


def test_a_list_without_rows_is_read_too(shell: Shell, folder: Path) -> None:
    (folder / "bans.csv").write_text(shell("bans", "--csv", "--host", "nobody.example.com").out)
    assert duckdb.execute(QUERIES[3]).fetchall() == []
