"""The order of the tests: shared code has its own place, and the folders mirror those of the code."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def imported(path: Path) -> list[str]:
    """Name every module that a file imports."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append("." * node.level + (node.module or ""))
    return names


def test_no_test_imports_a_test() -> None:
    """Shared code lives in ``dev/fakes`` or in a fixture, so that a test can be read, moved and deleted alone."""
    files = [*TESTS.rglob("*.py"), *(ROOT / "dev").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    assert len(files) > 100
    guilty = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path)
        if name.split(".")[0] == "tests" or name.startswith((".", "test_")) or name == "conftest"
    ]
    assert not guilty, guilty


def test_unit_tests_stand_where_the_code_that_they_test_stands() -> None:
    directories = {path.parent.relative_to(TESTS / "unit") for path in (TESTS / "unit").rglob("test_*.py")}
    strays = [
        str(directory)
        for directory in directories
        if not any((ROOT / home / directory).is_dir() for home in ("chalicelib", "."))
    ]
    assert not strays, strays
