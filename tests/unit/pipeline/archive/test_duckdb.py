"""The queries of docs/archive.md run in DuckDB, over files that the archive wrote."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from dev.fakes.archive import KEYS, a_day

DOCUMENT = (Path(__file__).parents[4] / "docs" / "archive.md").read_text()
QUERIES = re.findall(r"```duckdb\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy an archived day into a folder, as ``aws s3 sync`` does."""
    world = a_day()
    world.midnight()
    world.archive()
    copied = tmp_path / KEYS.events
    copied.parent.mkdir(parents=True)
    copied.write_bytes(world.objects.objects[KEYS.events])
    monkeypatch.chdir(tmp_path)
    return copied


def test_bans_are_counted_by_day_and_source(archive: Path) -> None:
    rows = duckdb.execute(QUERIES[0]).fetchall()
    assert rows
    assert {str(day) for day, _, _ in rows} == {archive.parent.name.removeprefix("dt=")}
    assert all(bans > 0 for _, _, bans in rows)


def test_the_history_of_a_host_is_read(archive: Path) -> None:
    rows = duckdb.execute(QUERIES[1]).fetchall()
    assert rows
    assert all(url.startswith("https://www.example.com/") for url, *_ in rows)


def test_decisions_are_counted_as_statements_count_them(archive: Path) -> None:
    rows = duckdb.execute(QUERIES[2]).fetchall()
    assert rows == [("phishing", True, 2)], archive


def test_every_documented_question_is_tried() -> None:
    assert len(QUERIES) == 5, "tests/app/test_cli_duckdb.py tries the two that ask lists"
