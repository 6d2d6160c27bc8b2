"""The table of rows in the docstring of ``chalicelib.ledger``, and which keys it names."""

from __future__ import annotations

import re
from functools import cache

from chalicelib import ledger


@cache
def named_rows() -> tuple[tuple[str, str], ...]:
    """Return the partition key and the sort key of each row of the table, as the table writes them."""
    table = re.split(r"^=.*=$", ledger.__doc__ or "", flags=re.MULTILINE)[2]
    rows: list[tuple[str, str]] = []
    pk = ""
    for line in table.strip().splitlines():
        keys = re.findall("``(.+?)``", line)
        if not line.startswith("\\"):
            pk, *keys = keys
        rows += [(pk, sk) for sk in keys]
    return tuple(rows)


@cache
def _pattern() -> re.Pattern[str]:
    keys = [re.escape(f"{pk}\n{sk}") for pk, sk in named_rows()]
    return re.compile("|".join(re.sub("<.*?>", ".+", key).replace("…", ".*") for key in keys))


def is_named(pk: str, sk: str) -> bool:
    """Tell whether the table names a row with this key."""
    return _pattern().fullmatch(f"{pk}\n{sk}") is not None


def check_named(pk: str, sk: str) -> None:
    """Raise AssertionError if the table names no row with this key."""
    assert is_named(pk, sk), f"the table in chalicelib/ledger/__init__.py names no row {pk!r}, {sk!r}"
