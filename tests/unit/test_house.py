"""The architecture holds: no import circles, rows in the ledger alone, vendors' words in vendors alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from dev.package import ROOT

HOUSES = ("app.py", "chalicelib", "dev", "bench", "edgeban")


def python_files(*roots: str, under: Path = ROOT) -> dict[str, Path]:
    """Return the Python files of these roots by module name."""
    files: dict[str, Path] = {}
    for root in roots:
        place = under / root
        for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
            name = ".".join(file.relative_to(under).with_suffix("").parts)
            files[name.removesuffix(".__init__")] = file
    return files


# --- import circles -----------------------------------------------------------------------------------------------


def imports_of(source: str, modules: Iterable[str]) -> set[str]:
    """Return the modules that a source imports: at its top, inside functions, and for types alone."""
    known, imported = set(modules), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {each.name for each in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            submodules = {f"{node.module}.{each.name}" for each in node.names} & known
            imported |= submodules
            if len(submodules) < len(node.names):
                imported.add(str(node.module))
    return imported & known


def circle(files: Mapping[str, str]) -> list[str]:
    """Return the modules of one import circle; nothing if there is none."""
    try:
        TopologicalSorter({name: imports_of(source, files) - {name} for name, source in files.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_there_is_no_import_circle() -> None:
    assert not circle({name: file.read_text() for name, file in python_files(*HOUSES).items()})


@pytest.mark.parametrize(
    "back",
    [
        "import house.a",
        "from house import a",
        "from house.a import thing",
        "def late():\n    from house.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.a import Thing",
    ],
)
def test_a_circle_is_found_however_it_is_imported(back: str) -> None:
    assert not circle({"house": "", "house.a": "from house.b import x", "house.b": "import json"})
    assert set(circle({"house": "", "house.a": "from house.b import x", "house.b": back})) == {"house.a", "house.b"}


# --- sizes --------------------------------------------------------------------------------------------------------


def test_no_module_that_ships_is_longer_than_300_lines() -> None:
    lines = {name: len(file.read_text().splitlines()) for name, file in python_files("app.py", "chalicelib").items()}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_the_docstring_of_each_folder_of_the_pipeline_names_all_its_modules() -> None:
    """A newcomer finds a file by the docstring of its folder."""
    for folder in sorted(path.parent for path in (ROOT / "chalicelib" / "pipeline").glob("*/__init__.py")):
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert not {module for module in modules if f"``{module}``" not in docstring}, folder.name


# --- the ledger's rows --------------------------------------------------------------------------------------------

ROW_STEPS = {"Insert", "Put", "Update", "Delete", "Check"}
ROWS_ARE_KNOWN_TO = ("chalicelib.ledger", "chalicelib.aws", "chalicelib.ports")
"""The ledger builds rows and steps; ``ports`` has the types, ``aws`` writes them to DynamoDB."""


def words_of_rows(source: str) -> set[str]:
    """Return how a source names keys or steps of rows."""
    words = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in {"pk", "sk"}:
            words.add(str(node.value))
        if isinstance(node, (ast.keyword, ast.arg)) and node.arg in {"pk", "sk"}:
            words.add(node.arg)
        if isinstance(node, ast.ImportFrom) and node.module == "chalicelib.ports":
            words |= ROW_STEPS & {each.name for each in node.names}
    return words


def test_the_ledger_alone_builds_keys_and_steps_of_rows() -> None:
    found = {
        name: words
        for name, file in python_files("app.py", "chalicelib").items()
        if not name.startswith(ROWS_ARE_KNOWN_TO) and (words := words_of_rows(file.read_text()))
    }
    assert not found, f"these belong into chalicelib/ledger: {found}"


@pytest.mark.parametrize(
    "source", ['row["pk"]', "rows.query(pk=name)", "def read(sk): ...", "from chalicelib.ports import Rows, Update"]
)
def test_a_row_that_is_built_elsewhere_is_found(source: str) -> None:
    assert words_of_rows(source)
    assert not words_of_rows('from chalicelib.ports import Rows\nrows.read("chunk")')


# --- the vendors' words -------------------------------------------------------------------------------------------

VENDORS = sorted(path.name for path in (ROOT / "chalicelib" / "vendors").iterdir() if (path / "__init__.py").exists())
OTHER_NAMES = {"aliyun": "alibaba"}
"""Further names of vendors, beside those of their folders."""


def vendors_named(source: str) -> set[str]:
    """Return the vendors that a source names, in code or in words."""
    names = re.findall("|".join([*VENDORS, *OTHER_NAMES]), source.lower())
    return {OTHER_NAMES.get(name, name) for name in names}


def test_no_vendor_is_named_outside_vendors() -> None:
    found = {
        name: vendors
        for name, file in python_files("app.py", "chalicelib").items()
        if not name.startswith("chalicelib.vendors")
        if (vendors := vendors_named(file.read_text()))
    }
    assert not found, f"a vendor's word belongs into chalicelib/vendors/<vendor>: {found}"


def test_a_vendor_that_is_named_is_found() -> None:
    assert {"alibaba", "huawei"} <= set(VENDORS)
    assert vendors_named('if vendor.name == "Huawei":') == {"huawei"}
    assert vendors_named('hosts = ("*.aliyuncs.com",)') == {"alibaba"}
