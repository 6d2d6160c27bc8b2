"""The tables, files and queries of docs/archive.md are those that the archive writes, in SQL that Athena reads."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp, parse_one
from sqlglot.errors import ParseError

from chalicelib.pipeline.archive.keys import export_keys, ledger_keys
from dev.fakes.archive import KEYS, a_day
from dev.fakes.exports import ExportWorld

DOCUMENT = (Path(__file__).parents[4] / "docs" / "archive.md").read_text()
STATEMENTS = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


def parsed(statement: str) -> exp.Expr:
    """Parse a statement as Athena does: its DDL is Hive's. A part that the parser keeps as mere text is an error."""
    tree = parse_one(statement, dialect="athena")
    assert not isinstance(tree, exp.Command), statement
    return tree


def tables() -> dict[str, exp.Expr]:
    """Return the documented tables by name."""
    made = [parsed(each) for each in STATEMENTS if each.startswith("CREATE EXTERNAL TABLE")]
    return {each.this.this.name: each for each in made}


def columns(table: str) -> list[str]:
    return [each.name for each in tables()[table].this.expressions if isinstance(each, exp.ColumnDef)]


def fields(table: str, column: str) -> set[str]:
    """Return the names inside a structured column."""
    (definition,) = [each for each in tables()[table].this.expressions if each.name == column]
    names = {each.name for each in definition.kind.find_all(exp.ColumnDef)}
    assert names, "it has a structure"
    return names


def location(table: str) -> str:
    found = tables()[table].find(exp.LocationProperty)
    assert found
    return str(found.this.name).removeprefix("s3://BUCKET/")


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda each: each.split("(")[0].strip()[:50])
def test_every_statement_is_sql_that_athena_reads(statement: str) -> None:
    parsed(statement)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("domain string,", "domain string"), ("LOCATION '", "LOCATIN '"), ("ROW FORMAT SERDE", "ROW FORMAT SERD")],
)
def test_a_mistake_in_a_statement_is_seen(right: str, wrong: str) -> None:
    with pytest.raises((ParseError, AssertionError)):
        parsed(STATEMENTS[0].replace(right, wrong))


def test_every_query_asks_for_tables_and_columns_that_are_documented() -> None:
    known = {name: set(columns(name)) for name in tables()} | {"illegal_urls_latest": set(columns("illegal_urls"))}
    every = {column for each in known.values() for column in each} | {"vendor", "dt", "attempt", "blocked"}
    every |= fields("ledger_summary", "seconds_to_ban")
    for statement in STATEMENTS:
        tree = parsed(statement)
        if statement.startswith("CREATE EXTERNAL"):
            continue
        assert {each.name for each in tree.find_all(exp.Table)} <= known.keys()
        assert {each.name for each in tree.find_all(exp.Column)} - {"*"} <= every, statement


@pytest.fixture(scope="module")
def exported() -> ExportWorld:
    world = ExportWorld()
    world.only(date(2026, 1, 14))
    world.runs(2)
    return world


KEYS_OF_EXPORT = export_keys("alibaba", date(2026, 1, 14), "ali-main", 1)


@pytest.mark.parametrize(
    ("table", "key", "left_out"),
    [
        ("illegal_urls", KEYS_OF_EXPORT.rows, set()),
        ("illegal_urls_rejects", KEYS_OF_EXPORT.rejects, set()),
        (
            "illegal_urls_manifest",
            KEYS_OF_EXPORT.manifest,
            {"vendor", "day_start", "task_name", "export_created_at", "objects"},
        ),
    ],
)
def test_a_table_has_the_columns_of_its_files_and_stands_on_them_alone(
    exported: ExportWorld, table: str, key: str, left_out: set[str]
) -> None:
    (document, *_) = exported.objects.documents(key)
    assert document.keys() - left_out == set(columns(table))
    prefix = location(table)
    assert prefix.endswith("/")
    assert exported.objects.keys(prefix) == [key]
    partitions = [each.name for each in tables()[table].find(exp.PartitionedByProperty).find_all(exp.ColumnDef)]  # type: ignore[union-attr]
    assert [part.split("=")[0] for part in key.removeprefix(prefix).split("/")[:-1]] == partitions


def test_the_tables_of_the_ledger_have_the_columns_of_its_files() -> None:
    world = a_day()
    world.midnight()
    world.archive()
    names = {name for each in world.of_day() for name in each}
    assert names <= set(columns("ledger_events"))
    assert set(columns("ledger_events")) - names <= {"parent", "details", "subject", "note"}
    (summary,) = world.objects.documents(KEYS.summary)
    assert set(summary) == set(columns("ledger_summary"))
    assert fields("ledger_summary", "seconds_to_ban") <= summary["seconds_to_ban"].keys()
    assert fields("ledger_summary", "events") <= summary["events"]["ban"].keys()
    for table, key in (("ledger_events", KEYS.events), ("ledger_summary", KEYS.summary)):
        assert world.objects.keys(location(table)) == [key]


def test_the_document_names_the_files_as_they_are_written() -> None:
    keys: list[Any] = [export_keys("alibaba", date(2026, 1, 14), "main", 1), ledger_keys(date(2026, 1, 15))]
    for each in keys:
        for name in each.__slots__:
            assert f"\n{getattr(each, name)} " in DOCUMENT, name
