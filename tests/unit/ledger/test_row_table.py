"""The table of rows in ``chalicelib.ledger`` names every row that is written: each ``World`` checks each new key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chalicelib import ledger
from chalicelib.ports import Put
from dev.fakes import row_table
from dev.fakes.world import World


@pytest.mark.parametrize(
    ("pk", "sk"),
    [
        ("nothing#1", "row"),
        ("account#huawei-main", "unknown"),
        ("report#r-1", "claim"),
        ("exportsofall", "huawei-main"),
        ("report#seal", ""),
    ],
)
def test_a_row_that_the_table_does_not_name_cannot_be_written(pk: str, sk: str) -> None:
    assert not row_table.is_named(pk, sk)
    with pytest.raises(AssertionError, match="names no row"):
        World().rows.write([Put({"pk": pk, "sk": sk or "\n"})])


@pytest.mark.parametrize(
    ("pk", "sk"),
    [
        ("url#0123", "claim"),
        ("url#0123", "reporters"),
        ("account#huawei-main", "usage#2026-01-15T08"),
        ("report#r-1", "part#0123#0001"),
        ("exports#alibaba-main", "calls"),
    ],
)
def test_a_row_that_the_table_names_can_be_written(pk: str, sk: str) -> None:
    world = World()
    world.rows.write([Put({"pk": pk, "sk": sk})])
    assert (pk, sk) in world.rows.get([(pk, sk)])


def test_every_row_that_the_table_names_is_built_by_a_module_of_the_ledger() -> None:
    """A module contains a word of each key, such as ``usage#`` or ``reporters``."""
    modules = Path(ledger.__file__).parent.glob("*.py")
    code = "".join(path.read_text() for path in modules if path.name != "__init__.py")
    words = {word for row in row_table.named_rows() for key in row if (word := re.split("[<…]", key)[0])}
    assert len(words) > 30
    assert {word for word in words if word not in code} == set()
